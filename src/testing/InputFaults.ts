/**
 * What a hostile or broken peer sends: bytes that were damaged, and operations that come twice, late, cut, or with the body of
 * another. Everything follows from a seed, so that what has failed once fails again.
 *
 * `mutate` knows CBOR: it does not only flip bits, but lets lengths lie, takes elements out and puts others in. `deliver` damages
 * a sequence of operations and says of each what was done to it, so that a test can say what must become of it.
 *
 * @example
 * for (let seed = 0; seed < 1000; seed++) {
 *   const answers = yield* controller.processAll(
 *     InputFaults.deliver(operations, InputFaults.random(seed)).map(({ raw }) => raw)
 *   )
 *   // what must hold, whatever came
 * }
 */
import * as FastCheck from "effect/FastCheck"
import { PCGRandom } from "effect/Utils"
import * as Bytes from "../core/Bytes.ts"
import type { Raw } from "../core/Operation.ts"
import * as CborFaults from "./internal/cborFaults.ts"

/** Where choices come from: a whole number from 0 below `limit`. */
export interface Random {
  readonly below: (limit: number) => number
}

/** The choices of a seed: the same ones in every run. */
export const random = (seed: number): Random => {
  const pcg = new PCGRandom(seed)
  return { below: (limit) => (limit < 1 ? 0 : pcg.integer(limit)) }
}

/** How bytes are damaged. */
export interface Options {
  /** What pieces are taken from, besides the bytes themselves. Default: nothing else. */
  readonly other?: Uint8Array | undefined
  /** How many damages at the most, one after the other. Default: 4. */
  readonly times?: number | undefined
}

/**
 * A damaged copy of `bytes`: flipped and replaced bits, removed, inserted and repeated pieces, cut ends, crossings with `other`,
 * and, where they are CBOR, heads that lie, elements added, removed and exchanged, and deep nesting. It may happen to be the same.
 *
 * @example
 * InputFaults.mutate(operation.headerBytes, InputFaults.random(7))
 */
export const mutate = (bytes: Uint8Array, random: Random, { other, times = 4 }: Options = {}): Uint8Array => {
  let made = bytes
  for (let left = 1 + random.below(times); left > 0; left--) made = damage(made, other ?? bytes, random)
  return made
}

/** What was done to an operation on its way. */
export type Fault =
  /** Nothing. */
  | "None"
  /** Nothing, but it came before. */
  | "Repeated"
  /** Bytes of the header were damaged. */
  | "Header"
  /** Bytes of the body were damaged, or it was cut. */
  | "Body"
  /** It has the body of another one. */
  | "ForeignBody"
  /** Its body was left out, which is no fault of anybody's. */
  | "NoBody"

/** An operation as it arrives. `from`: which of the operations it was, counted from 0. */
export interface Delivery {
  readonly raw: Raw
  readonly from: number
  readonly fault: Fault
}

/** How a sequence is damaged. Each is how many of a hundred operations it happens to. */
export interface Rates {
  /** It never comes. Default: 5. */
  readonly lost?: number | undefined
  /** It comes twice. Default: 10. */
  readonly repeated?: number | undefined
  /** It is damaged in one of the ways of {@link Fault}. Default: 10. */
  readonly damaged?: number | undefined
  /** It changes places with another. Default: 20. */
  readonly moved?: number | undefined
}

/**
 * The operations as they might arrive: some lost, some twice, some damaged, some in another place. A damaged one comes besides
 * the whole one as often as instead of it.
 */
export const deliver = (operations: ReadonlyArray<Raw>, random: Random, rates: Rates = {}): ReadonlyArray<Delivery> => {
  const { damaged = 10, lost = 5, moved = 20, repeated = 10 } = rates
  const happens = (rate: number) => random.below(100) < rate
  const arrived: Array<Delivery> = []
  for (const [from, raw] of operations.entries()) {
    if (happens(damaged)) {
      arrived.push({ from, ...broken(raw, operations, random) })
      if (random.below(2) === 0) continue
    }
    if (happens(lost)) continue
    arrived.push({ from, raw, fault: "None" })
    if (happens(repeated)) arrived.push({ from, raw, fault: "None" })
  }
  for (let at = 0; at < arrived.length; at++) if (happens(moved)) exchange(arrived, at, random.below(arrived.length))
  // Which of two comes first is only known now.
  const seen = new Set<number>()
  return arrived.map((one) => {
    if (one.fault !== "None" && one.fault !== "Repeated") return one
    const fault = seen.has(one.from) ? "Repeated" : "None"
    seen.add(one.from)
    return { ...one, fault }
  })
}

/**
 * Damaged copies of these byte strings, for property tests. Shrinks to fewer damages.
 *
 * @example
 * FastCheck.assert(FastCheck.property(InputFaults.mutated([header]), (bytes) => Either.isEither(Header.parse(bytes))))
 */
export const mutated = (
  originals: readonly [Uint8Array, ...ReadonlyArray<Uint8Array>]
): FastCheck.Arbitrary<Uint8Array> =>
  FastCheck.tuple(
    FastCheck.constantFrom(...originals),
    FastCheck.constantFrom(...originals),
    FastCheck.array(FastCheck.nat(), { minLength: 1, maxLength: 4 })
  ).map(([bytes, other, seeds]) => seeds.reduce((made, seed) => mutate(made, random(seed), { other, times: 1 }), bytes))

/** {@link deliver} for property tests. */
export const delivered = (
  operations: ReadonlyArray<Raw>,
  rates?: Rates
): FastCheck.Arbitrary<ReadonlyArray<Delivery>> =>
  FastCheck.noShrink(FastCheck.nat()).map((seed) => deliver(operations, random(seed), rates))

// internal

const damage = (bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array => {
  // Half of it knows what CBOR is.
  const structured = random.below(2) === 0 ? CborFaults.damage(bytes, other, random) : undefined
  return structured ?? blind(bytes, other, random)
}

/** Damage that knows nothing of what the bytes mean. */
const blind = (bytes: Uint8Array, other: Uint8Array, { below }: Random): Uint8Array => {
  const at = below(bytes.length + 1)
  const insert = (piece: Uint8Array) => Bytes.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
  switch (below(7)) {
    case 0:
      return bytes.map((byte, index) => (index === at ? byte ^ (1 << below(8)) : byte))
    case 1: {
      const by = below(2) === 0 ? below(256) : (telling[below(telling.length)] ?? 0)
      return bytes.map((byte, index) => (index === at ? by : byte))
    }
    case 2:
      return Bytes.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(below(2) === 0 ? 4 : 64))])
    case 3:
      return insert(Uint8Array.from({ length: 1 + below(8) }, () => below(256)))
    case 4:
      return insert(bytes.subarray(at, at + 1 + below(40)))
    case 5:
      return bytes.slice(0, at)
    default:
      return Bytes.concat([bytes.subarray(0, at), other.subarray(below(other.length + 1))])
  }
}

/** First bytes of items that say much more than there is, or something special; and what is next to a limit. */
const telling = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x9b, 0xbb, 0x5b, 0x7b, 0xdb, 0x81, 0xc1, 0xfb, 0x9f, 0x1b, 0x1f, 0xf6]

const broken = (raw: Raw, all: ReadonlyArray<Raw>, random: Random): Pick<Delivery, "raw" | "fault"> => {
  const { below } = random
  const other = all[below(all.length)] ?? raw
  const { body } = raw
  const kind = body === undefined ? below(2) * 3 : below(4)
  if (kind === 1 && body !== undefined) return unlike(raw, { ...raw, body: mutate(body, random) }, "Body")
  if (kind === 2) return { raw: { ...raw, body: undefined }, fault: "NoBody" }
  if (kind === 3) {
    const fault = other.body === undefined ? "NoBody" : "ForeignBody"
    return unlike(raw, { ...raw, body: other.body }, fault)
  }
  return unlike(raw, { ...raw, header: mutate(raw.header, random, { other: other.header }) }, "Header")
}

/** A damage may happen to change nothing, and two operations may have the same body. */
const unlike = (raw: Raw, made: Raw, fault: Fault): Pick<Delivery, "raw" | "fault"> => {
  const sameBody =
    raw.body === undefined || made.body === undefined ? raw.body === made.body : Bytes.equals(raw.body, made.body)
  return sameBody && Bytes.equals(raw.header, made.header) ? { raw, fault: "None" } : { raw: made, fault }
}

const exchange = (items: Array<Delivery>, one: number, two: number): void => {
  const [first, second] = [items[one], items[two]]
  if (first === undefined || second === undefined) return
  items[one] = second
  items[two] = first
}
