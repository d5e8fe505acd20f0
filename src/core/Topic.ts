/**
 * What peers share an interest in. The topic itself is not in an operation, only the log id derived from it.
 *
 * In memory it is branded lower-case hex (comparable, usable as the key of a map), on the wire and in tables 32 bytes.
 */
import * as Brand from "effect/Brand"
import * as Effect from "effect/Effect"
import * as EffectSchema from "effect/Schema"
import * as Bytes from "./Bytes.ts"
import * as Crypto from "./Crypto.ts"
import * as Hex32 from "./internal/Hex32.ts"
import * as LogId from "./LogId.ts"

/** A topic: 64 lower-case hex characters. */
export type Topic = string & Brand.Brand<"applecart/Topic">

const make = Brand.nominal<Topic>()

/** Reads 64 lower-case hex characters, as they come from a file, a wire or a person. */
export const Schema = Hex32.schema("Topic").pipe(EffectSchema.brand("applecart/Topic"))

/** Whether `text` is one. */
export const is = (text: string): text is Topic => Hex32.is(text)

/** From its 32 bytes; another number of bytes is a mistake of the caller and throws a `RangeError`. */
export const fromBytes = (bytes: Uint8Array): Topic => make(Hex32.fromBytes("Topic", bytes))

/** Its 32 bytes, in new memory. */
export const toBytes: (self: Topic) => Uint8Array = Bytes.fromHex

/** The first eight characters, enough for people to tell a few of them apart. Never compare by it. */
export const short = (self: Topic): string => self.slice(0, 8)

/** The log id under which every author writes about this topic: BLAKE3 of the 32 bytes (p2panda node, `LogId::from_topic`). */
export const logId = (crypto: Crypto.Service, topic: Topic): LogId.LogId => {
  if (last?.topic !== topic || last.crypto !== crypto) {
    last = { crypto, topic, logId: LogId.fromBytes(Bytes.fromHex(crypto.hash(toBytes(topic)))) }
  }
  return last.logId
}

/** Whoever hands operations over has many of one topic. */
let last: { readonly crypto: Crypto.Service; readonly topic: Topic; readonly logId: LogId.LogId } | undefined

/**
 * The topic that people call `text`: 64 hex characters are the topic itself (in either case), any other text is hashed
 * (BLAKE3 of its UTF-8).
 */
export const named = (crypto: Crypto.Service, text: string): Topic =>
  text.length === 64 && Bytes.isHex(text) ? make(text.toLowerCase()) : make(crypto.hash(new TextEncoder().encode(text)))

/** A new random topic, which nobody can guess. */
export const generate: Effect.Effect<Topic, never, Crypto.Crypto> = Effect.map(Crypto.Crypto, (crypto) =>
  fromBytes(crypto.randomBytes(32))
)
