/**
 * What hashes, verifying keys, topics and log ids have in common: 32 bytes, in memory 64 lower-case hex characters.
 */
import * as Schema from "effect/Schema"
import * as Bytes from "../Bytes.ts"

const pattern = /^[0-9a-f]{64}$/

/** Whether `text` is 64 lower-case hex characters. */
export const is = (text: string): boolean => pattern.test(text)

/** The hex of exactly 32 bytes; anything else is a mistake of the caller and throws a `RangeError`. */
export const fromBytes = (what: string, bytes: Uint8Array): string => {
  if (bytes.length !== 32) throw new RangeError(`${what}.fromBytes: 32 bytes are needed, not ${bytes.length}.`)
  return Bytes.toHex(bytes)
}

/** A schema of the text, not branded yet. */
export const schema = (what: string) =>
  Schema.String.pipe(
    Schema.pattern(pattern, {
      identifier: what,
      description: `${what}: 32 bytes as 64 lower-case hex characters`,
      message: () => `${what}: 64 lower-case hex characters are expected`,
      arbitrary: () => (fc) => fc.uint8Array({ minLength: 32, maxLength: 32 }).map(Bytes.toHex)
    })
  )
