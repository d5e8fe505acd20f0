/**
 * The few CBOR items that headers, extensions and sequences are made of, written and read one at a time.
 */

/** An unsigned integer below 2^53. */
export const unsigned = (value: number): Uint8Array => head(0, value)

/** An unsigned integer below 2^64. */
export const unsigned64 = (value: bigint): Uint8Array => {
  if (value <= 0xffff_ffffn) return head(0, Number(value))
  const bytes = new Uint8Array(9)
  bytes[0] = 27
  new DataView(bytes.buffer).setBigUint64(1, value)
  return bytes
}

/** A byte string. */
export const bytes = (value: Uint8Array): Uint8Array => withHead(2, value)

/** A text. */
export const text = (value: string): Uint8Array => withHead(3, new TextEncoder().encode(value))

/** The head of an item: the major type and its argument, below 2^53, in the shortest form. */
export const head = (major: number, argument: number): Uint8Array => {
  const initial = major << 5
  if (argument < 24) return Uint8Array.of(initial | argument)
  if (argument < 0x100) return Uint8Array.of(initial | 24, argument)
  if (argument < 0x1_0000) return Uint8Array.of(initial | 25, argument >> 8, argument & 255)
  const made = new Uint8Array(argument <= 0xffff_ffff ? 5 : 9)
  const view = new DataView(made.buffer)
  made[0] = initial | (made.length === 5 ? 26 : 27)
  if (made.length === 5) view.setUint32(1, argument)
  else view.setBigUint64(1, BigInt(argument))
  return made
}

/** What a head says. */
export interface Head {
  readonly major: number
  /** Rounded beyond 2^53. */
  readonly argument: number
  /** Where what belongs to the head begins. */
  readonly end: number
}

/** Reads the head at `at`, where a walk has found a canonical one. */
export const read = (from: Uint8Array, at: number): Head => {
  const initial = from[at] ?? 0
  const info = initial & 31
  if (info < 24) return { major: initial >> 5, argument: info, end: at + 1 }
  const end = at + 1 + (1 << (info - 24))
  let argument = 0
  for (let next = at + 1; next < end; next++) argument = argument * 256 + (from[next] ?? 0)
  return { major: initial >> 5, argument, end }
}

// internal

const withHead = (major: number, value: Uint8Array): Uint8Array => {
  const first = head(major, value.length)
  const made = new Uint8Array(first.length + value.length)
  made.set(first)
  made.set(value, first.length)
  return made
}
