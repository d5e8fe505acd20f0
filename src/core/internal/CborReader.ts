/**
 * Makes values of CBOR bytes that a walk has found canonical; nothing is checked again.
 *
 * Not cborg: it strips a byte order mark off a text, has one value for the keys 1 and 1.0, no simple values, no tags but
 * those known beforehand, and objects or Maps for all maps alike (docs/crypto.md has the numbers).
 */
import * as Bytes from "../Bytes.ts"

/** How to make the values that JavaScript has not. */
export interface Make {
  readonly tagged: (tag: number | bigint, value: unknown) => unknown
  readonly simple: (value: number) => unknown
}

/** What was read; `ambiguous`: where a map key is that JavaScript cannot tell from an earlier one (1 and 1.0), or -1. */
export interface Read {
  readonly value: unknown
  readonly ambiguous: number
}

/** The item at the beginning of `bytes`. The depth of the recursion is what the walk allowed. */
export const read = (bytes: Uint8Array, make: Make): Read => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const source: Source = { bytes, view, make, at: 0, ambiguous: -1 }
  return { value: item(source), ambiguous: source.ambiguous }
}

// internal

interface Source {
  readonly bytes: Uint8Array
  readonly view: DataView
  readonly make: Make
  at: number
  ambiguous: number
}

// ignoreBOM: a byte order mark is a character of the text like any other
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

const item = (source: Source): unknown => {
  const initial = source.bytes[source.at] ?? 0
  const info = initial & 31
  switch (initial >> 5) {
    case 0:
      return argument(source, info)
    case 1:
      return negative(argument(source, info))
    case 2:
      return bytes(source, info).slice()
    case 3:
      return text(bytes(source, info))
    case 4:
      return array(source, size(source, info))
    case 5:
      return map(source, size(source, info))
    case 6:
      return tagged(source, argument(source, info))
    default:
      return info < 25 ? simple(source, info) : float(source, info)
  }
}

/** The argument of the head at the cursor, which then stands behind the head. */
const argument = (source: Source, info: number): number | bigint => {
  const at = source.at + 1
  if (info < 24) {
    source.at = at
    return info
  }
  source.at = at + (1 << (info - 24))
  if (info === 24) return source.view.getUint8(at)
  if (info === 25) return source.view.getUint16(at)
  if (info === 26) return source.view.getUint32(at)
  return narrow(source.view.getBigUint64(at))
}

const size = (source: Source, info: number): number => Number(argument(source, info))

const narrow = (value: bigint): number | bigint => {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

const negative = (value: number | bigint): number | bigint =>
  typeof value === "number" ? narrow(-1n - BigInt(value)) : -1n - value

/** A view: who keeps it copies it. */
const bytes = (source: Source, info: number): Uint8Array => {
  const length = size(source, info)
  source.at += length
  return source.bytes.subarray(source.at - length, source.at)
}

/** Short ASCII, which most keys are, is made faster without the decoder. */
const text = (bytes: Uint8Array): string => {
  if (bytes.length > 24) return utf8.decode(bytes)
  let made = ""
  for (const byte of bytes) {
    if (byte > 127) return utf8.decode(bytes)
    made += String.fromCharCode(byte)
  }
  return made
}

const array = (source: Source, length: number): unknown => {
  const values: Array<unknown> = []
  for (let left = length; left > 0; left--) values.push(item(source))
  return values
}

const map = (source: Source, length: number): unknown => {
  const object: { [key: string]: unknown } = {}
  for (let left = length; left > 0; left--) {
    const start = source.at
    const key = item(source)
    if (typeof key !== "string") return mixed(source, new Map(Object.entries(object)), left, start, key)
    define(object, key, item(source))
  }
  return object
}

/** Goes on with a map in which a key that is no text was found; `left` entries are to come, this one included. */
const mixed = (source: Source, entries: Map<unknown, unknown>, left: number, start: number, key: unknown) => {
  for (; ; start = source.at, key = item(source)) {
    if (entries.has(key) && source.ambiguous < 0) source.ambiguous = start
    entries.set(key, item(source))
    if (--left === 0) return entries
  }
}

/** `__proto__` has to become a property like any other and not the object's prototype. */
const define = (object: { [key: string]: unknown }, key: string, value: unknown): void => {
  if (key !== "__proto__") object[key] = value
  else Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
}

const tagged = (source: Source, tag: number | bigint): unknown => {
  const from = source.at
  const value = item(source)
  // only directly over a byte string is it a bignum
  if ((tag !== 2 && tag !== 3) || (source.bytes[from] ?? 0) >> 5 !== 2 || !(value instanceof Uint8Array))
    return source.make.tagged(tag, value)
  const number = BigInt(`0x${Bytes.toHex(value)}`)
  return tag === 2 ? number : -1n - number
}

const simple = (source: Source, info: number): unknown => {
  const value = size(source, info)
  if (value === 20) return false
  if (value === 21) return true
  if (value === 22) return null
  return value === 23 ? undefined : source.make.simple(value)
}

const float = (source: Source, info: number): number => {
  const at = source.at + 1
  source.at = at + (1 << (info - 24))
  if (info === 25) return half(source.view.getUint16(at))
  return info === 26 ? source.view.getFloat32(at) : source.view.getFloat64(at)
}

const half = (bits: number): number => {
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  const sign = bits >> 15 === 0 ? 1 : -1
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN
  return sign * (1024 + mantissa) * 2 ** (exponent - 25)
}
