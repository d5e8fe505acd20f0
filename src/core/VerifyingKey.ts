/**
 * An Ed25519 public key: who an author is. That the 32 bytes are a point of the curve is not checked here; no signature
 * verifies under a key that is none.
 *
 * In memory it is branded lower-case hex (comparable, usable as the key of a map), on the wire and in tables 32 bytes.
 */
import * as Brand from "effect/Brand"
import * as EffectSchema from "effect/Schema"
import * as Bytes from "./Bytes.ts"
import * as Hex32 from "./internal/Hex32.ts"

/** A verifying key: 64 lower-case hex characters. */
export type VerifyingKey = string & Brand.Brand<"applecart/VerifyingKey">

const make = Brand.nominal<VerifyingKey>()

/** Reads 64 lower-case hex characters, as they come from a file, a wire or a person. */
export const Schema = Hex32.schema("VerifyingKey").pipe(EffectSchema.brand("applecart/VerifyingKey"))

/** Whether `text` is one. */
export const is = (text: string): text is VerifyingKey => Hex32.is(text)

/** From its 32 bytes; another number of bytes is a mistake of the caller and throws a `RangeError`. */
export const fromBytes = (bytes: Uint8Array): VerifyingKey => make(Hex32.fromBytes("VerifyingKey", bytes))

/** Its 32 bytes, in new memory. */
export const toBytes: (self: VerifyingKey) => Uint8Array = Bytes.fromHex

/** The first eight characters, enough for people to tell a few of them apart. Never compare by it. */
export const short = (self: VerifyingKey): string => self.slice(0, 8)
