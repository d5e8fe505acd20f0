/** All that a run is about: the peers, what has happened, and what was found. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type * as Queue from "effect/Queue"
import type * as Fiber from "effect/Fiber"
import type * as Crypto from "../../../core/Crypto.ts"
import * as Bytes from "../../../core/Bytes.ts"
import * as Either from "effect/Either"
import * as Extensions from "../../../core/Extensions.ts"
import * as Header from "../../../core/Header.ts"
import type { SigningKey } from "../../../core/SigningKey.ts"
import type { Topic } from "../../../core/Topic.ts"
import type * as StreamController from "../../../stream/StreamController.ts"
import type * as History from "../../History.ts"
import type { Told } from "../../Promises.ts"
import type { Arrived, Fault, Peer, Sent } from "../../Simulation.ts"
import type { PeerClock } from "./clock.ts"
import type { Disk } from "./disk.ts"
import type { Random } from "./random.ts"
import type { Group, Turns } from "./turns.ts"

/** A statement that fails. */
export interface Plan {
  readonly at: number
  readonly kind: "busy" | "full" | "io"
  readonly isRun: boolean
}

/** What becomes of a program's statements. */
export interface Fate {
  readonly group: Group
  /** Who waits for a statement that is never answered. */
  readonly hung: Array<() => void>
  statements: number
  /** The number of the statement with which it ends, and whether that is still run. */
  crash: { readonly at: number; readonly isRun: boolean } | undefined
  plan: Plan | undefined
  busyUntil: number
  /** Its connection is closed for good. */
  isOver: boolean
}

/** A peer as long as its program runs. */
export interface Life<M, E> extends Fate {
  readonly peer: Peer
  readonly client: SqlClient
  readonly mail: Queue.Queue<Arrived>
  readonly published: Queue.Queue<Sent>
  readonly fibers: Array<Fiber.RuntimeFiber<unknown, unknown>>
  controller: StreamController.StreamController<M, E> | undefined
}

/** A peer, whether its program runs or not. */
export interface Member<M, E> {
  readonly name: string
  readonly nth: number
  readonly key: SigningKey
  readonly author: string
  readonly clock: PeerClock
  readonly disk: Disk
  /** What calls confirmed. */
  readonly told: Array<Told>
  /** The ids of what it knows to have published. */
  readonly own: Array<string>
  opened: number
  life: Life<M, E> | undefined
  /** What it has, as it said last. */
  has: string
}

/** What is noted about operations: their names, and who has which place in a log. */
export class Names {
  readonly byId = new Map<string, string>()
  /** The ids of what peers have published, by their places. */
  private readonly places = new Map<string, string>()
  private readonly authors = new Map<string, string>()
  private readonly logs = new Map<string, number>()
  private readonly ids = new WeakMap<Uint8Array, string>()
  private readonly crypto: Crypto.Service

  constructor(crypto: Crypto.Service) {
    this.crypto = crypto
  }

  author(author: string, letter: string): void {
    this.authors.set(author, letter)
  }

  topic(logId: string, nth: number): void {
    this.logs.set(logId, nth)
  }

  /** Remembers an operation that is really its author's; says so if its place was taken. */
  place(id: string, author: string, logId: string, seqNum: number): string | undefined {
    const name = `${this.authors.get(author) ?? author.slice(0, 6)}${seqNum}${this.suffix(logId)}`
    const before = this.places.get(name)
    if (before !== undefined && before !== id) {
      this.byId.set(id, `${name}*`)
      return `P11: ${name} was given twice: ${before} and ${id}`
    }
    this.places.set(name, id)
    this.byId.set(id, name)
    return undefined
  }

  /** Everything that peers have published. */
  get published(): Iterable<string> {
    return this.places.values()
  }

  /** Remembers what its author hands out: whether it was told that it is published or not, it exists from now on. */
  handedOut(author: string, raw: { readonly header: Uint8Array }): string | undefined {
    const id = this.crypto.hash(raw.header)
    const header = this.byId.has(id) ? undefined : Either.getOrUndefined(Header.parse(raw.header))
    if (header === undefined || header.verifyingKey !== author) return undefined
    const extensions = Either.getOrUndefined(Extensions.any.decode(header.extensions))
    return extensions === undefined ? undefined : this.place(id, author, extensions.logId, header.seqNum)
  }

  /** The name of an operation that was sent. */
  of(raw: { readonly header: Uint8Array }): string {
    const id = this.ids.get(raw.header) ?? this.crypto.hash(raw.header)
    this.ids.set(raw.header, id)
    const known = this.byId.get(id)
    if (known !== undefined) return known
    const header = Either.getOrUndefined(Header.parse(raw.header))
    const letter = header === undefined ? undefined : this.authors.get(header.verifyingKey)
    return letter === undefined ? `?${id.slice(0, 4)}` : `${letter}${header?.seqNum}?`
  }

  name(id: string): string {
    return this.byId.get(id) ?? id.slice(0, 8)
  }

  private suffix(logId: string): string {
    const nth = this.logs.get(logId) ?? 0
    return nth === 0 ? "" : `/${nth + 1}`
  }
}

export interface World<M, E> {
  readonly turns: Turns
  readonly random: { readonly script: Random; readonly network: Random; readonly peers: Random }
  readonly members: ReadonlyArray<Member<M, E>>
  readonly topics: ReadonlyArray<Topic>
  readonly names: Names
  readonly faults: Set<Fault>
  readonly log: Array<string>
  readonly facts: Record<string, number>
  readonly broken: Array<string>
  /** What was published, and what strangers have. */
  readonly entries: Array<History.Entry>
  /** Programs that have ended, to be let go after the run. */
  readonly ended: Array<Life<M, E>>
  /** Who is on the other side of a network that fell apart. */
  readonly apart: Set<string>
  /** How many messages are on their way. */
  flying: number
  /** What has crashed is told here. */
  readonly crashed: (member: Member<M, E>) => void
}

/** Writes down what happened. */
export const say = ({ log, turns }: Pick<World<never, never>, "log" | "turns">, what: string): void => {
  log.push(`${(turns.now / 1000).toFixed(3).padStart(8)}s ${what}`)
}

/** Counts what happened. */
export const count = ({ facts }: Pick<World<never, never>, "facts">, what: string, times = 1): void => {
  facts[what] = (facts[what] ?? 0) + times
}

/** Notes what does not hold, once. */
export const broke = ({ broken, log, turns }: Pick<World<never, never>, "broken" | "log" | "turns">, what: string) => {
  if (broken.includes(what)) return
  broken.push(what)
  say({ log, turns }, `BROKEN ${what}`)
}

/** A copy of bytes with one bit changed. */
export const flipped = (bytes: Uint8Array, bit: number): Uint8Array => {
  const copy = Bytes.concat([bytes])
  const at = (bit >> 3) % copy.length
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit & 7))
  return copy
}
