/**
 * Bytes as people and maps need them: hex, comparison, concatenation. The same in Node and in the browser.
 */

/** The digits as ASCII. */
const digits = new TextEncoder().encode("0123456789abcdef")

const values = new Uint8Array(128).fill(255)
for (const [value, code] of digits.entries()) {
  values[code] = value
  values[String.fromCharCode(code).toUpperCase().charCodeAt(0)] = value
}

/** As many bytes as are written at once: adding characters up would leave a rope of strings for each hash. */
const most = 64
const scratch = new Uint8Array(most * 2)
const ascii = new TextDecoder()

/** Lower-case hex, two characters a byte. */
export const toHex = (bytes: Uint8Array): string => {
  if (bytes.length > most) {
    let hex = ""
    for (let at = 0; at < bytes.length; at += most) hex += toHex(bytes.subarray(at, at + most))
    return hex
  }
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    scratch[at * 2] = digits[byte >> 4] ?? 0
    scratch[at * 2 + 1] = digits[byte & 15] ?? 0
  }
  return ascii.decode(scratch.subarray(0, bytes.length * 2))
}

/** Whether `text` is hex: an even number of hex digits, in either case. The empty text is. */
export const isHex = (text: string): boolean => {
  if (text.length % 2 !== 0) return false
  for (let at = 0; at < text.length; at++) if (digit(text, at) > 15) return false
  return true
}

/**
 * The bytes of a text that `isHex`.
 *
 * Anything else is a mistake of the caller and throws a `RangeError`; check text from outside with `isHex` first.
 */
export const fromHex = (hex: string): Uint8Array => {
  const bytes = new Uint8Array(hex.length >> 1)
  let wrong = hex.length & 1
  for (let at = 0; at < bytes.length; at++) {
    const high = digit(hex, at * 2)
    const low = digit(hex, at * 2 + 1)
    // 255 marks what is no digit, so one bit above the low four tells for all of them at once
    wrong |= (high | low) & 0xf0
    bytes[at] = (high << 4) | low
  }
  if (wrong !== 0) throw new RangeError("Bytes.fromHex: not hex. Check text from outside with Bytes.isHex.")
  return bytes
}

/** Whether both hold the same bytes. Not in constant time: nothing here is secret. */
export const equals = (a: Uint8Array, b: Uint8Array): boolean => {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}

/** All parts one after the other, in new memory. */
export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** The order of the bytes, a prefix before what it begins: negative, zero or positive, as `Array.sort` wants it. */
export const compare = (a: Uint8Array, b: Uint8Array): number => {
  const shared = Math.min(a.length, b.length)
  for (let at = 0; at < shared; at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

// internal

const digit = (text: string, at: number): number => values[text.charCodeAt(at)] ?? 255
