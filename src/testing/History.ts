/**
 * Histories: what some authors did in some topics, in the order in which it was done. They answer each other, prune their logs,
 * delete what was said, and fork. A history is made of *deeds*, small values that shrink; written down they are signed
 * operations, each with a short name: `a3` is the operation with sequence number 3 of the first author, `b0` the first of the
 * second; `a3/2` stands in the log of a second topic, and `a3*` is another one for the place of `a3`.
 *
 * @example
 * it.effect("everybody has the same feed", () =>
 *   Effect.gen(function* () {
 *     const crypto = yield* Crypto.Crypto
 *     FastCheck.assert(FastCheck.property(History.arbitrary(crypto), (history) => ...history.operations...))
 *   }))
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Cbor from "../core/Cbor.ts"
import type * as Crypto from "../core/Crypto.ts"
import * as Extensions from "../core/Extensions.ts"
import * as Operation from "../core/Operation.ts"
import * as SigningKey from "../core/SigningKey.ts"
import * as Topic from "../core/Topic.ts"
import * as Picture from "./Picture.ts"

/**
 * - `say`: the next operation of a log;
 * - `prune`: the next one, which makes everything before it in its log unnecessary;
 * - `delete`: the next one, a tombstone for the bodies of others;
 * - `fork`: another one for the place of the log's newest, which its author must never do. Nothing follows it.
 */
export type Kind = "say" | "prune" | "delete" | "fork"

/** Something that an author does. Numbers are taken modulo what there is, so that any list of deeds is a history. */
export interface Deed {
  readonly author: number
  readonly topic: number
  readonly kind: Kind
  /** Which earlier operations it comes after. */
  readonly after: ReadonlyArray<number>
  /** Which earlier operations it deletes, if it does. */
  readonly deletes: ReadonlyArray<number>
  /** How far its author's clock is off, in microseconds: clocks may go backwards. */
  readonly skew: number
  readonly body: Uint8Array | undefined
}

/** An operation of a history. */
export interface Entry {
  readonly name: string
  readonly operation: Operation.Operation
  readonly kind: Kind
  /** Counted from 0. */
  readonly author: number
  readonly topic: Topic.Topic
  /** The names of the operations that it comes after, by its own words. */
  readonly after: ReadonlyArray<string>
  /** The names of the operations whose bodies it deletes. */
  readonly deletes: ReadonlyArray<string>
}

/** A history, written down: valid operations, each after those it names. A property that fails with one shows its picture. */
export interface History {
  readonly deeds: ReadonlyArray<Deed>
  readonly entries: ReadonlyArray<Entry>
  readonly operations: ReadonlyArray<Operation.Operation>
  /** The short names by id. */
  readonly names: ReadonlyMap<string, string>
}

/** What histories are to consist of. */
export interface Options {
  /** Deeds at the most. Default: 25. */
  readonly most?: number | undefined
  /** Default: 4. */
  readonly authors?: number | undefined
  /** Default: 1. */
  readonly topics?: number | undefined
  /** What is done; one that is listed several times is the more usual. Default: mostly `say`, some `prune` and `delete`. */
  readonly kinds?: ReadonlyArray<Kind> | undefined
  /** The bodies, such as {@link bodies} of the application's message. Default: a few random bytes, or none. */
  readonly body?: FastCheck.Arbitrary<Uint8Array | undefined> | undefined
  /** How extensions are written. Default: as the controller does, p2panda's format where it has room for what is said. */
  readonly extensions?: Extensions.Codec<Extensions.Any> | undefined
}

const usual: ReadonlyArray<Kind> = ["say", "say", "say", "say", "prune", "delete"]

/** The bodies of messages that fit a schema, as `Application.make` reads them. */
export const bodies = <A, I>(message: Schema.Schema<A, I>): FastCheck.Arbitrary<Uint8Array> => {
  const encode = Schema.encodeSync(message)
  return Arbitrary.make(message).map((value) => Either.getOrThrow(Cbor.encode(encode(value))))
}

/** Deeds that shrink to fewer and simpler ones. */
export const deeds = (options: Options = {}): FastCheck.Arbitrary<ReadonlyArray<Deed>> => {
  const picks = FastCheck.array(FastCheck.nat({ max: 30 }), { maxLength: 3 })
  const deed = FastCheck.record({
    author: FastCheck.nat({ max: (options.authors ?? 4) - 1 }),
    topic: FastCheck.nat({ max: (options.topics ?? 1) - 1 }),
    kind: FastCheck.constantFrom(...(options.kinds ?? usual)),
    after: picks,
    deletes: picks,
    skew: FastCheck.constantFrom(0, 0, 0, 1, -5, 40, -40),
    body: options.body ?? FastCheck.option(FastCheck.uint8Array({ minLength: 1, maxLength: 12 }), { nil: undefined })
  })
  return FastCheck.array(deed, { minLength: 1, maxLength: options.most ?? 25, size: "max" })
}

/** Histories that shrink to fewer and simpler deeds. */
export const arbitrary = (crypto: Crypto.Service, options: Options = {}): FastCheck.Arbitrary<History> =>
  deeds(options).map((all) => write(crypto, all, options))

/** The signing key of an author of histories, counted from 0: the same in every run. */
export const signingKey = (author: number): SigningKey.SigningKey =>
  Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(author + 1)))

/** The topic of a number, counted from 0. */
export const topic = (crypto: Crypto.Service, nth: number): Topic.Topic => Topic.named(crypto, `topic ${nth}`)

/** When histories begin, in microseconds since the epoch. */
export const begin = 1_786_000_000_000_000n

/** The simplest deed: somebody says something. `more`: what is otherwise than usual. */
export const say = (author: number, more: Partial<Omit<Deed, "author" | "kind">> = {}): Deed => ({
  author,
  topic: 0,
  kind: "say",
  after: [],
  deletes: [],
  skew: 0,
  body: undefined,
  ...more
})

/**
 * Writes a history down. The same deeds give the same bytes. A prune operation repeats the tombstones of its log that are for other
 * logs, as `Deletion` does for operations of our own.
 */
export const write = (crypto: Crypto.Service, deeds: ReadonlyArray<Deed>, options: Options = {}): History => {
  const entries: Array<Entry> = []
  const names = new Map<string, string>()
  const logs = new Map<string, Log>()
  for (const [at, deed] of deeds.entries()) {
    const place = `${deed.author} ${deed.topic}`
    const log = logs.get(place) ?? { head: undefined, before: undefined, forks: 0, deleted: [] }
    const { entry, log: next } = append(crypto, options.extensions ?? Extensions.any, { at, deed, entries, log })
    logs.set(place, next)
    names.set(entry.operation.id, entry.name)
    entries.push(entry)
  }
  return pictured({ deeds, entries, names, operations: entries.map(({ operation }) => operation) })
}

// internal

/** How fast-check prints it. Not enumerable, so that two histories of the same deeds are equal. */
const pictured = (history: History): History =>
  Object.defineProperty(history, FastCheck.toStringMethod, { value: () => `\n${Picture.draw(history)}\n` })

/** What a log has come to. */
interface Log {
  readonly head: Operation.Operation | undefined
  /** The one before the head, which a fork of the head comes after. */
  readonly before: Operation.Operation | undefined
  readonly forks: number
  readonly deleted: ReadonlyArray<Entry>
}

interface Writing {
  readonly at: number
  readonly deed: Deed
  readonly entries: ReadonlyArray<Entry>
  readonly log: Log
}

const append = (
  crypto: Crypto.Service,
  codec: Extensions.Codec<Extensions.Any>,
  { at, deed, entries, log }: Writing
): { readonly entry: Entry; readonly log: Log } => {
  const key = signingKey(deed.author)
  // Nothing can be forked before there is something.
  const kind = deed.kind === "fork" && log.head === undefined ? "say" : deed.kind
  const backlink = kind === "fork" ? log.before : log.head
  const seqNum = backlink === undefined ? 0 : backlink.header.seqNum + 1
  const about = topic(crypto, deed.topic)
  const deletes = tombstones(kind, deed, entries, log, about)
  const after = pick(entries, deed.after)
  const extensions = codec.draft({
    logId: Topic.logId(crypto, about),
    timestamp: begin + BigInt(at * 10 + deed.skew),
    prune: kind === "prune",
    previous: after.map(({ operation }) => operation.id),
    deletes: deletes.map(({ operation }) => operation.id)
  })
  const operation = Either.getOrThrow(
    Operation.signWith(crypto)(key, {
      seqNum,
      backlink: backlink?.id,
      extensions: Either.getOrThrow(codec.encode(extensions)),
      body: deed.body
    })
  )
  const forks = kind === "fork" ? log.forks + 1 : 0
  const entry: Entry = {
    name: name(deed, seqNum, forks),
    operation,
    kind,
    author: deed.author,
    topic: about,
    after: after.map(({ name }) => name),
    deletes: deletes.map(({ name }) => name)
  }
  const deleted = kind === "fork" ? log.deleted : Array.from(new Set([...log.deleted, ...deletes]))
  return {
    entry,
    log: kind === "fork" ? { ...log, forks } : { head: operation, before: log.head, forks: 0, deleted }
  }
}

const tombstones = (
  kind: Kind,
  deed: Deed,
  entries: ReadonlyArray<Entry>,
  log: Log,
  about: Topic.Topic
): ReadonlyArray<Entry> => {
  if (kind === "delete") return pick(entries, deed.deletes)
  return kind === "prune" ? log.deleted.filter(({ author, topic }) => author !== deed.author || topic !== about) : []
}

const pick = (entries: ReadonlyArray<Entry>, numbers: ReadonlyArray<number>): ReadonlyArray<Entry> =>
  Array.from(new Set(numbers.flatMap((n) => entries[n % Math.max(1, entries.length)] ?? [])))

const name = ({ author, topic }: Deed, seqNum: number, forks: number): string => {
  const letter = author < 26 ? String.fromCharCode(97 + author) : `author${author}-`
  return `${letter}${seqNum}${topic === 0 ? "" : `/${topic + 1}`}${"*".repeat(forks)}`
}
