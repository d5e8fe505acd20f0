/**
 * A BLAKE3-256 hash: the name of an operation (over its header's bytes) or of a body.
 *
 * In memory it is branded lower-case hex (comparable, usable as the key of a map), on the wire and in tables 32 bytes.
 */
import * as Brand from "effect/Brand"
import * as EffectSchema from "effect/Schema"
import * as Bytes from "./Bytes.ts"
import * as Hex32 from "./internal/Hex32.ts"

/** A hash: 64 lower-case hex characters. */
export type Hash = string & Brand.Brand<"applecart/Hash">

const make = Brand.nominal<Hash>()

/** Reads 64 lower-case hex characters, as they come from a file, a wire or a person. */
export const Schema = Hex32.schema("Hash").pipe(EffectSchema.brand("applecart/Hash"))

/** Whether `text` is one. */
export const is = (text: string): text is Hash => Hex32.is(text)

/** From its 32 bytes; another number of bytes is a mistake of the caller and throws a `RangeError`. */
export const fromBytes = (bytes: Uint8Array): Hash => make(Hex32.fromBytes("Hash", bytes))

/** From what a hash function just wrote as lower-case hex. Not checked: nothing from outside comes through here. */
export const fromHexUnsafe: (hex: string) => Hash = make

/** Its 32 bytes, in new memory. */
export const toBytes: (self: Hash) => Uint8Array = Bytes.fromHex

/** The first eight characters, enough for people to tell a few of them apart. Never compare by it. */
export const short = (self: Hash): string => self.slice(0, 8)
