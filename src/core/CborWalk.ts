/**
 * A walk over the bytes of one CBOR item that says whether they are p2panda's canonical form (cbor-core 0.10.1,
 * `Strictness::STRICT`), without making values of them.
 *
 * No library checks this, and everything depends on it: signatures and hashes are made over bytes, so there must be one
 * way only to write a value. Checks are made in Rust's order (stream order, depth first, the length before the nesting),
 * so that also the reason is Rust's.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Utf8 from "./internal/Utf8.ts"

/**
 * Why bytes are not taken, in the words of cbor-core. `AmbiguousKey` is our own and comes from making values only, never
 * from the walk: JavaScript has the same number for two keys of a map (1 and 1.0, two kinds of NaN).
 */
export const Reason = Schema.Literal(
  "NonDeterministic",
  "Malformed",
  "InvalidUtf8",
  "UnexpectedEof",
  "InvalidFormat",
  "LengthTooLarge",
  "NestingTooDeep",
  "AmbiguousKey"
)
export type Reason = typeof Reason.Type

const explanations: { readonly [reason in Reason]: string } = {
  NonDeterministic: "it can be written in fewer bytes or in another order; only the canonical form is taken",
  Malformed: "this is no CBOR",
  InvalidUtf8: "the text is not UTF-8",
  UnexpectedEof: "the bytes end in the middle of it",
  InvalidFormat: "there are bytes after the item",
  LengthTooLarge: "it is longer than allowed",
  NestingTooDeep: "it is nested deeper than allowed",
  AmbiguousKey: "JavaScript cannot tell this map key from an earlier one; read the bytes with another library"
}

/** Bytes that are not one canonical CBOR item within the limits. `offset`: where in the bytes, counted from 0. */
export class CborError extends Schema.TaggedError<CborError>()("CborError", {
  reason: Reason,
  offset: Schema.Number
}) {
  override get message() {
    return `Not canonical CBOR at byte ${this.offset}: ${explanations[this.reason]} (${this.reason}).`
  }
}

/** How deep and how long an item may be. */
export interface Limits {
  /** Arrays, maps and tags around each other. At most 1000, however large the number. Default 200. */
  readonly recursion?: number | undefined
  /** Bytes of a byte string or text, elements of an array, pairs of a map: of each one, not of all. Default 10^9. */
  readonly length?: number | undefined
}

/** `Limits`, and where in the bytes the item begins (default 0). */
export interface Options extends Limits {
  readonly offset?: number | undefined
}

/** The limits of a p2panda header (`AnyHeader::decode`); the extensions are inside its array and have one level less. */
export const headerLimits = { recursion: 64, length: 512 }

// The walk recurses on the JavaScript stack, once per level; this many levels fit on every platform's.
const deepest = 1000

/**
 * Checks the item that begins at `offset` and tells where it ends. What comes after it is not looked at.
 *
 * ```ts
 * CborWalk.walk(Uint8Array.of(0x82, 0x01, 0x02)) // Either.right(3)
 * CborWalk.walk(Uint8Array.of(0x18, 0x01))       // Either.left(CborError { reason: "NonDeterministic", offset: 0 })
 * ```
 */
export const walk = (bytes: Uint8Array, options?: Options): Either.Either<number, CborError> => {
  const cursor = new Cursor(bytes, options?.offset ?? 0, options?.length ?? 1_000_000_000)
  return item(cursor, Math.min(options?.recursion ?? 200, deepest))
    ? Either.right(cursor.at)
    : Either.left(new CborError({ reason: cursor.reason, offset: cursor.offset }))
}

/** As `walk`, and the item has to end where the bytes end. */
export const whole = (bytes: Uint8Array, limits?: Limits): Either.Either<void, CborError> => {
  const cursor = new Cursor(bytes, 0, limits?.length ?? 1_000_000_000)
  if (!item(cursor, Math.min(limits?.recursion ?? 200, deepest)))
    return Either.left(new CborError({ reason: cursor.reason, offset: cursor.offset }))
  return cursor.at === bytes.length
    ? Either.void
    : Either.left(new CborError({ reason: "InvalidFormat", offset: cursor.at }))
}

// internal

/** Where the walk is, and why it ended. A failure is `false` all the way up: hostile bytes cost no exceptions. */
class Cursor {
  readonly bytes: Uint8Array
  readonly length: number
  at: number
  /** The argument of the head that was read last. Beyond 2^53 it is rounded, which no check here can notice. */
  argument = 0
  reason: Reason = "UnexpectedEof"
  offset = 0

  constructor(bytes: Uint8Array, at: number, length: number) {
    this.bytes = bytes
    this.at = at
    this.length = length
  }

  fail(reason: Reason, offset: number): false {
    this.reason = reason
    this.offset = offset
    return false
  }
}

/** One item at the cursor; afterwards the cursor stands behind it. */
const item = (cursor: Cursor, depth: number): boolean => {
  const start = cursor.at
  if (start >= cursor.bytes.length) return cursor.fail("UnexpectedEof", start)
  const initial = cursor.bytes[start] ?? 0
  const major = initial >> 5
  const info = initial & 31
  if (info === 31) {
    // an indefinite length, legal CBOR but never canonical; or a break where none can be
    return cursor.fail(major >= 2 && major <= 5 ? "NonDeterministic" : "Malformed", start)
  }
  if (info < 24) {
    cursor.at = start + 1
    cursor.argument = info
  } else if (!longHead(cursor, start, info, major)) return false
  switch (major) {
    case 0:
    case 1:
      return true
    case 2:
    case 3:
      return string(cursor, start, major)
    case 4:
    case 5:
      if (cursor.argument > cursor.length) return cursor.fail("LengthTooLarge", start)
      if (depth === 0) return cursor.fail("NestingTooDeep", start)
      return major === 4 ? array(cursor, depth - 1) : map(cursor, depth - 1)
    case 6:
      return depth === 0 ? cursor.fail("NestingTooDeep", start) : tag(cursor, start, depth - 1)
    default:
      return info < 25 ? simple(cursor, start, info) : float(cursor, start, info)
  }
}

/** A head of 2, 3, 5 or 9 bytes. Only a number that needs the room may have it; a float is not a number here. */
const longHead = (cursor: Cursor, start: number, info: number, major: number): boolean => {
  if (info > 27) return cursor.fail("Malformed", start)
  const { bytes } = cursor
  const width = 1 << (info - 24)
  const end = start + 1 + width
  if (end > bytes.length) return cursor.fail("UnexpectedEof", start)
  let argument = 0
  for (let at = start + 1; at < end; at++) argument = argument * 256 + (bytes[at] ?? 0)
  const smallest = info === 24 ? 24 : 2 ** (4 * width)
  if (argument < smallest && (major !== 7 || info === 24)) return cursor.fail("NonDeterministic", start)
  cursor.argument = argument
  cursor.at = end
  return true
}

const string = (cursor: Cursor, start: number, major: number): boolean => {
  if (cursor.argument > cursor.length) return cursor.fail("LengthTooLarge", start)
  const from = cursor.at
  const to = from + cursor.argument
  if (to > cursor.bytes.length) return cursor.fail("UnexpectedEof", start)
  cursor.at = to
  if (major === 2) return true
  const wrong = Utf8.invalidAt(cursor.bytes, from, to)
  return wrong < 0 || cursor.fail("InvalidUtf8", wrong)
}

const array = (cursor: Cursor, depth: number): boolean => {
  for (let left = cursor.argument; left > 0; left--) if (!item(cursor, depth)) return false
  return true
}

/** The order is looked at after the value, as cbor-core does: a fault in the value is told first. */
const map = (cursor: Cursor, depth: number): boolean => {
  let lastStart = 0
  let lastEnd = -1
  for (let left = cursor.argument; left > 0; left--) {
    const start = cursor.at
    if (!item(cursor, depth)) return false
    const end = cursor.at
    if (!item(cursor, depth)) return false
    if (lastEnd >= 0 && !ascending(cursor.bytes, lastStart, lastEnd, start, end))
      return cursor.fail("NonDeterministic", start)
    lastStart = start
    lastEnd = end
  }
  return true
}

/** Whether the first range sorts strictly before the second. An encoded item is never the beginning of another one. */
const ascending = (bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): boolean => {
  for (; a < aEnd && b < bEnd; a++, b++) {
    const difference = (bytes[a] ?? 0) - (bytes[b] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

/** A bignum (tag 2 or 3 directly over a byte string) has to need its form: more than 8 bytes, no zero in front. */
const tag = (cursor: Cursor, start: number, depth: number): boolean => {
  const number = cursor.argument
  const from = cursor.at
  if (!item(cursor, depth)) return false
  if ((number !== 2 && number !== 3) || (cursor.bytes[from] ?? 0) >> 5 !== 2) return true
  // up to 23 bytes have a head of one byte, and longer ones are told by their first byte as well
  const size = (cursor.bytes[from] ?? 0) & 31
  const first = size < 24 ? from + 1 : from + 1 + (1 << (size - 24))
  return (size > 8 && cursor.bytes[first] !== 0) || cursor.fail("NonDeterministic", start)
}

const simple = (cursor: Cursor, start: number, info: number): boolean =>
  info < 24 || cursor.argument >= 32 || cursor.fail("Malformed", start)

const float = (cursor: Cursor, start: number, info: number): boolean => {
  if (info === 25) return true
  const view = new DataView(cursor.bytes.buffer, cursor.bytes.byteOffset + start + 1)
  const shorter = info === 26 ? fitsHalf(view.getUint32(0)) : fitsSingle(view)
  return !shorter || cursor.fail("NonDeterministic", start)
}

/** Whether the float of 32 bits keeps every bit in 16. */
export const fitsHalf = (bits: number): boolean => {
  const exponent = ((bits >>> 23) & 0xff) - 127
  const mantissa = bits & 0x7f_ffff
  if (exponent === -127) return mantissa === 0
  if (exponent === 128 || (exponent >= -14 && exponent <= 15)) return (mantissa & 0x1fff) === 0
  // subnormal in 16 bits: multiples of 2^-24
  return exponent >= -24 && exponent < -14 && (mantissa & ((1 << (-1 - exponent)) - 1)) === 0
}

/** Whether the float of 64 bits keeps every bit in 32. */
const fitsSingle = (view: DataView): boolean => {
  const value = view.getFloat64(0)
  // infinities and NaN are told by their bits: JavaScript does not keep those of a NaN
  return Number.isFinite(value) ? Math.fround(value) === value : (view.getUint32(4) & 0x1fff_ffff) === 0
}
