/**
 * Histories for tests of the system layers: what some authors did in one topic, in the order in which it was done. They answer
 * each other, prune their logs and delete what was said.
 */
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type { Hash } from "../../src/core/Hash.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import { native } from "../core/support.ts"
import { signingKey } from "./Peer.ts"

export const topic = Topic.named(native, "history")
export const logId = Topic.logId(native, topic)

/** Something that an author does. Numbers are taken modulo what there is. */
export interface Deed {
  readonly author: number
  readonly kind: "say" | "prune" | "delete"
  /** Which earlier operations it comes after. */
  readonly after: ReadonlyArray<number>
  /** Which earlier operations it deletes. */
  readonly deletes: ReadonlyArray<number>
  /** How far its author's clock is off, in microseconds: clocks may go backwards. */
  readonly skew: number
}

const picks = FastCheck.array(FastCheck.nat({ max: 30 }), { maxLength: 3 })

const deed = (kinds: ReadonlyArray<Deed["kind"]>, authors: number): FastCheck.Arbitrary<Deed> =>
  FastCheck.record({
    author: FastCheck.nat({ max: authors - 1 }),
    kind: FastCheck.constantFrom(...kinds),
    after: picks,
    deletes: picks,
    skew: FastCheck.constantFrom(0, 0, 0, 1, -5, 40, -40)
  })

/** Histories of so many deeds at the most. `say` is listed several times to be the most usual one. */
export const deeds = (
  most: number,
  kinds: ReadonlyArray<Deed["kind"]> = ["say", "say", "say", "say", "prune", "delete"],
  authors = 4
): FastCheck.Arbitrary<ReadonlyArray<Deed>> =>
  FastCheck.array(deed(kinds, authors), { minLength: 1, maxLength: most, size: "max" })

/**
 * The operations of a history, each signed after those it comes after. A prune operation repeats what was deleted in its log
 * of other logs, as `Deletion` does for operations of our own.
 */
export const write = (history: ReadonlyArray<Deed>): ReadonlyArray<Operation.Operation> => {
  const written: Array<Operation.Operation> = []
  const heads = new Map<number, Operation.Operation>()
  const deleted = new Map<number, ReadonlyArray<Hash>>()
  const isOwn = (author: number) => (id: Hash) =>
    written.some((one) => one.id === id && one.header.verifyingKey === heads.get(author)?.header.verifyingKey)
  const pick = (numbers: ReadonlyArray<number>): ReadonlyArray<Hash> =>
    Array.from(new Set(numbers.flatMap((n) => written[n % Math.max(1, written.length)]?.id ?? [])))
  for (const [at, { after, author, deletes, kind, skew }] of history.entries()) {
    const head = heads.get(author)
    const before = deleted.get(author) ?? []
    const now = kind === "delete" ? pick(deletes) : kind === "prune" ? before.filter((id) => !isOwn(author)(id)) : []
    deleted.set(author, Array.from(new Set([...before, ...now])))
    const extensions = OpenExtensions.draft({
      logId,
      timestamp: 1_786_000_000_000_000n + BigInt(at * 10 + skew),
      prune: kind === "prune",
      previous: pick(after),
      deletes: now
    })
    const operation = sign(author, {
      seqNum: head === undefined ? 0 : head.header.seqNum + 1,
      backlink: head?.id,
      extensions,
      body: new TextEncoder().encode(`deed ${at} of ${author}`)
    })
    heads.set(author, operation)
    written.push(operation)
  }
  return written
}

/** Signs an operation of an author with open extensions. */
export const sign = (
  author: number,
  draft: {
    readonly seqNum: number
    readonly backlink: Hash | undefined
    readonly extensions: OpenExtensions.OpenExtensions
    readonly body: Uint8Array | undefined
  }
): Operation.Operation =>
  Either.getOrThrow(
    Operation.signWith(native)(signingKey(author + 1), {
      ...draft,
      extensions: Either.getOrThrow(OpenExtensions.encode(draft.extensions))
    })
  )
