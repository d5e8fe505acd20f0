/** Which statements would end a transaction, or begin one, behind its owner's back. */

/**
 * True for BEGIN, START TRANSACTION, COMMIT, END, ABORT and a ROLLBACK without TO. Called for every statement: the first
 * letter decides for nearly all of them.
 */
export const isControl = (sql: string): boolean => {
  let start = 0
  while (isSpace(sql.charCodeAt(start))) start++
  // Lower case by the bit that ASCII letters differ in; the rest of the table is not mapped onto these letters.
  switch (sql.charCodeAt(start) | 0x20) {
    case 0x61: // a
    case 0x62: // b
    case 0x63: // c
    case 0x65: // e
    case 0x72: // r
    case 0x73: // s
    case 0x2d: // - begins a comment, as does /
    case 0x2f:
    case 0x3b: // ; an empty statement before it
      return control.test(sql)
    default:
      return false
  }
}

/** True for a statement that can only read: a SELECT that begins with that word. */
export const isRead = (sql: string): boolean => {
  let start = 0
  while (isSpace(sql.charCodeAt(start))) start++
  return (sql.charCodeAt(start) | 0x20) === 0x73 && /^select\b/i.test(sql.slice(start, start + 7))
}

const isSpace = (code: number) => code === 0x20 || (code >= 0x09 && code <= 0x0d) || code === 0xfeff

const ignored = String.raw`(?:[\s;\ufeff]|--[^\n]*(?:\n|$)|/\*[\s\S]*?\*/)*`
const control = new RegExp(
  String.raw`^${ignored}(?:(?:begin|commit|end|abort)\b|start\s+transaction\b|rollback\b(?!\s+(?:(?:transaction|work)\s+)?to\b))`,
  "i"
)
