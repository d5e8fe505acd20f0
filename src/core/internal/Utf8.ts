/**
 * Whether bytes are UTF-8, without making a text of them and without an exception, and whether text can become some. RFC 3629,
 * as Rust's `from_utf8`: no surrogates, nothing above U+10FFFF, no longer form than needed.
 */

/** Where in `bytes` from `from` until before `to` the first byte of a wrong sequence is; -1 when all is well. */
export const invalidAt = (bytes: Uint8Array, from: number, to: number): number => {
  let at = from
  while (at < to) {
    const lead = bytes[at] ?? 0
    if (lead < 0x80) at++
    else {
      const size = sequence(bytes, at, to, lead)
      if (size === 0) return at
      at += size
    }
  }
  return -1
}

/**
 * The text without half characters (lone surrogates), which UTF-8 does not have: each becomes U+FFFD. A driver writes them all
 * the same, and what is in the database then is no text.
 */
export const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, "\ufffd")

// internal

/** The size of the sequence of several bytes at `at`; 0 when it is wrong. */
const sequence = (bytes: Uint8Array, at: number, to: number, lead: number): number => {
  if (lead < 0xc2 || lead > 0xf4) return 0
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (at + size > to) return 0
  // the second byte has a narrower range after some leads: longer forms, surrogates, above U+10FFFF
  const second = bytes[at + 1] ?? 0
  if (second < (lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80)) return 0
  if (second > (lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf)) return 0
  for (let next = at + 2; next < at + size; next++) if (((bytes[next] ?? 0) & 0xc0) !== 0x80) return 0
  return size
}
