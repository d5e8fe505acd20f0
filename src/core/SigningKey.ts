/**
 * An Ed25519 signing key: the 32-byte seed, kept where nothing prints it. `String`, `JSON.stringify`, an inspector, a log
 * line or a trace shows `<redacted>`; `toHex` is the only way out.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Bytes from "./Bytes.ts"
import * as Crypto from "./Crypto.ts"

/** A signing key. Whoever has it can write in its author's name, for ever. */
export type SigningKey = Redacted.Redacted<Uint8Array>

/** The bytes or the text are no signing key. What they were is not told: it may be a key with a slip in it. */
export class InvalidSigningKey extends Schema.TaggedError<InvalidSigningKey>()("InvalidSigningKey", {
  reason: Schema.Literal("Length", "NotHex"),
  /** How many bytes (`fromBytes`) or characters (`fromHex`) were given. */
  length: Schema.Number
}) {
  override get message() {
    return this.reason === "NotHex"
      ? "The signing key is not hex: 64 characters 0-9 and a-f are expected."
      : `A signing key has 32 bytes (64 hex characters); this has ${this.length}.`
  }
}

/** A new key from the system's randomness. */
export const generate: Effect.Effect<SigningKey, never, Crypto.Crypto> = Effect.map(Crypto.Crypto, (crypto) =>
  Redacted.make(crypto.randomBytes(32))
)

/** The key with this seed. The bytes are copied; wipe your own copy. */
export const fromBytes = (bytes: Uint8Array): Either.Either<SigningKey, InvalidSigningKey> =>
  bytes.length === 32
    ? Either.right(Redacted.make(Uint8Array.from(bytes)))
    : Either.left(new InvalidSigningKey({ reason: "Length", length: bytes.length }))

/** The key with this seed, 64 hex characters in either case. */
export const fromHex = (hex: string): Either.Either<SigningKey, InvalidSigningKey> => {
  if (hex.length !== 64) return Either.left(new InvalidSigningKey({ reason: "Length", length: hex.length }))
  if (!Bytes.isHex(hex)) return Either.left(new InvalidSigningKey({ reason: "NotHex", length: hex.length }))
  return fromBytes(Bytes.fromHex(hex))
}

/**
 * The seed as hex: **the secret itself**, for the file or the keychain that keeps it and for nothing else. Whoever reads
 * it can sign in the author's name.
 */
export const toHex = (key: SigningKey): string => Bytes.toHex(Redacted.value(key))
