/**
 * Writes JavaScript values as canonical CBOR: shortest heads and floats, map keys sorted by their bytes.
 */
import * as Bytes from "../Bytes.ts"
import * as CborWalk from "../CborWalk.ts"

/** How to recognise the values that JavaScript has not. */
export interface Classes {
  readonly tagged: (value: object) => { readonly tag: number | bigint; readonly value: unknown } | undefined
  readonly simple: (value: object) => number | undefined
}

/** Why a value cannot be written, and where in it. */
export interface Failure {
  readonly reason: "Unsupported" | "LoneSurrogate" | "DuplicateKey" | "LengthTooLarge" | "NestingTooDeep"
  readonly path: string
  readonly detail: string
}

/** The bytes of a value, or why it has none. */
export const write = (value: unknown, classes: Classes, recursion: number, length: number): Uint8Array | Failure => {
  const sink: Sink = { bytes: new Uint8Array(256), at: 0, classes, length, path: [], failure: undefined }
  return item(sink, value, Math.min(recursion, 1000)) ? sink.bytes.slice(0, sink.at) : failureOf(sink)
}

// internal

interface Sink {
  bytes: Uint8Array
  at: number
  readonly classes: Classes
  readonly length: number
  /** Where in the value the writer is; kept as it goes down, read after a failure only. */
  readonly path: Array<string>
  failure: Omit<Failure, "path"> | undefined
}

const failureOf = (sink: Sink): Failure => ({
  reason: sink.failure?.reason ?? "Unsupported",
  detail: sink.failure?.detail ?? "an unknown value",
  path: `value${sink.path.join("")}`
})

const fail = (sink: Sink, reason: Failure["reason"], detail: string): false => {
  sink.failure = { reason, detail }
  return false
}

const item = (sink: Sink, value: unknown, depth: number): boolean => {
  switch (typeof value) {
    case "number":
      return number(sink, value)
    case "bigint":
      return integer(sink, value, depth)
    case "string":
      return text(sink, value)
    case "boolean":
      return byte(sink, value ? 0xf5 : 0xf4)
    case "undefined":
      return byte(sink, 0xf7)
    case "object":
      return value === null ? byte(sink, 0xf6) : object(sink, value, depth)
    default:
      return fail(sink, "Unsupported", `a ${typeof value}`)
  }
}

const object = (sink: Sink, value: object, depth: number): boolean => {
  if (value instanceof Uint8Array) return string(sink, 2, value)
  if (Array.isArray(value)) return array(sink, value, depth)
  if (value instanceof Map) return map(sink, [...value], depth)
  const tagged = sink.classes.tagged(value)
  if (tagged !== undefined) return tag(sink, tagged.tag, tagged.value, depth)
  const simple = sink.classes.simple(value)
  if (simple !== undefined) return simpleValue(sink, simple)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype)
    return fail(sink, "Unsupported", "an object of a class (encode it with its Schema first)")
  return map(
    sink,
    Object.entries(value).filter(([, property]) => property !== undefined),
    depth
  )
}

const room = (sink: Sink, size: number): void => {
  if (sink.at + size <= sink.bytes.length) return
  const larger = new Uint8Array(Math.max(sink.bytes.length * 2, sink.at + size))
  larger.set(sink.bytes.subarray(0, sink.at))
  sink.bytes = larger
}

const byte = (sink: Sink, value: number): true => {
  room(sink, 1)
  sink.bytes[sink.at++] = value
  return true
}

const head = (sink: Sink, major: number, argument: number | bigint): true => {
  room(sink, 9)
  const view = new DataView(sink.bytes.buffer, sink.at)
  const info = argument < 24 ? Number(argument) : argument < 0x100 ? 24 : argument < 0x1_0000 ? 25 : wide(argument)
  view.setUint8(0, (major << 5) | info)
  if (info === 24) view.setUint8(1, Number(argument))
  else if (info === 25) view.setUint16(1, Number(argument))
  else if (info === 26) view.setUint32(1, Number(argument))
  else if (info === 27) view.setBigUint64(1, BigInt(argument))
  sink.at += info < 24 ? 1 : 1 + (1 << (info - 24))
  return true
}

const wide = (argument: number | bigint): number => (argument < 0x1_0000_0000 ? 26 : 27)

const number = (sink: Sink, value: number): boolean => {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return float(sink, value)
  return value >= 0 ? head(sink, 0, value) : head(sink, 1, -1 - value)
}

const largest = 2n ** 64n

/** Beyond 64 bits it is a bignum, which counts as a tag. */
const integer = (sink: Sink, value: bigint, depth: number): boolean => {
  const argument = value >= 0n ? value : -1n - value
  if (argument < largest) return head(sink, value >= 0n ? 0 : 1, argument)
  if (depth === 0) return fail(sink, "NestingTooDeep", "a bignum")
  const hex = argument.toString(16)
  head(sink, 6, value >= 0n ? 2 : 3)
  return string(sink, 2, Bytes.fromHex(hex.length % 2 === 0 ? hex : `0${hex}`))
}

const string = (sink: Sink, major: number, bytes: Uint8Array): boolean => {
  if (bytes.length > sink.length) return fail(sink, "LengthTooLarge", `${bytes.length} bytes`)
  head(sink, major, bytes.length)
  room(sink, bytes.length)
  sink.bytes.set(bytes, sink.at)
  sink.at += bytes.length
  return true
}

const utf8 = new TextEncoder()

const text = (sink: Sink, value: string): boolean =>
  /\p{Surrogate}/u.test(value)
    ? fail(sink, "LoneSurrogate", "half a character (a lone surrogate), which UTF-8 does not have,")
    : string(sink, 3, utf8.encode(value))

const nest = (sink: Sink, count: number, depth: number): boolean => {
  if (count > sink.length) return fail(sink, "LengthTooLarge", `${count} elements`)
  return depth > 0 || fail(sink, "NestingTooDeep", "too many levels (or a value that contains itself)")
}

const array = (sink: Sink, values: ReadonlyArray<unknown>, depth: number): boolean => {
  if (!nest(sink, values.length, depth)) return false
  head(sink, 4, values.length)
  for (let index = 0; index < values.length; index++) {
    sink.path.push(`[${index}]`)
    if (!item(sink, values[index], depth - 1)) return false
    sink.path.pop()
  }
  return true
}

interface Pair {
  readonly name: string
  readonly key: Uint8Array
  readonly value: unknown
}

const map = (sink: Sink, entries: ReadonlyArray<readonly [unknown, unknown]>, depth: number): boolean => {
  if (!nest(sink, entries.length, depth)) return false
  const pairs: Array<Pair> = []
  for (const [key, value] of entries) {
    const name = `[${typeof key === "string" ? JSON.stringify(key) : typeof key === "object" ? "…" : String(key)}]`
    sink.path.push(name)
    const start = sink.at
    if (!item(sink, key, depth - 1)) return false
    pairs.push({ name, key: sink.bytes.slice(start, sink.at), value })
    sink.at = start
    sink.path.pop()
  }
  head(sink, 5, pairs.length)
  return sorted(sink, pairs, depth)
}

const sorted = (sink: Sink, pairs: Array<Pair>, depth: number): boolean => {
  pairs.sort((a, b) => Bytes.compare(a.key, b.key))
  let last: Uint8Array | undefined
  for (const pair of pairs) {
    sink.path.push(pair.name)
    if (last !== undefined && Bytes.equals(last, pair.key)) return fail(sink, "DuplicateKey", "the same key twice")
    last = pair.key
    room(sink, pair.key.length)
    sink.bytes.set(pair.key, sink.at)
    sink.at += pair.key.length
    if (!item(sink, pair.value, depth - 1)) return false
    sink.path.pop()
  }
  return true
}

/** Tags 2 and 3 directly over bytes are bignums: only what a `bigint` is written as is canonical. */
const tag = (sink: Sink, number: number | bigint, value: unknown, depth: number): boolean => {
  const whole = typeof number === "bigint" ? number < largest : Number.isSafeInteger(number)
  if (!whole || number < 0) return fail(sink, "Unsupported", "a tag number that is no integer of 64 bits")
  if ((BigInt(number) === 2n || BigInt(number) === 3n) && value instanceof Uint8Array)
    return fail(sink, "Unsupported", "tag 2 or 3 over bytes (use a bigint)")
  if (depth === 0) return fail(sink, "NestingTooDeep", "too many levels")
  head(sink, 6, number)
  return item(sink, value, depth - 1)
}

const simpleValue = (sink: Sink, value: number): boolean => {
  if (!Number.isInteger(value) || value < 0 || value > 255 || (value > 19 && value < 32))
    return fail(sink, "Unsupported", "a simple value that is not 0 to 19 or 32 to 255")
  return head(sink, 7, value)
}

const float = (sink: Sink, value: number): boolean => {
  room(sink, 9)
  const view = new DataView(sink.bytes.buffer, sink.at, 9)
  view.setFloat32(1, value)
  const bits = Number.isNaN(value) ? 0x7fc0_0000 : view.getUint32(1)
  if (!Number.isNaN(value) && Math.fround(value) !== value) {
    view.setUint8(0, 0xfb)
    view.setFloat64(1, value)
    sink.at += 9
  } else if (CborWalk.fitsHalf(bits)) {
    view.setUint8(0, 0xf9)
    view.setUint16(1, half(bits))
    sink.at += 3
  } else {
    view.setUint8(0, 0xfa)
    sink.at += 5
  }
  return true
}

/** The 16 bits of a float whose 32 fit into them. */
const half = (bits: number): number => {
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 127
  const mantissa = bits & 0x7f_ffff
  if (exponent === -127) return sign
  if (exponent === 128) return sign | 0x7c00 | (mantissa >> 13)
  if (exponent >= -14) return sign | ((exponent + 15) << 10) | (mantissa >> 13)
  return sign | ((mantissa | 0x80_0000) >> (-1 - exponent))
}
