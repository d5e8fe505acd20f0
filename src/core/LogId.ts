/**
 * The name of a log. Together with the author it is one log; p2panda's node derives it from the topic (`Topic.logId`).
 *
 * In memory it is branded lower-case hex (comparable, usable as the key of a map), on the wire and in tables 32 bytes.
 */
import * as Brand from "effect/Brand"
import * as EffectSchema from "effect/Schema"
import * as Bytes from "./Bytes.ts"
import * as Hex32 from "./internal/Hex32.ts"

/** A log id: 64 lower-case hex characters. */
export type LogId = string & Brand.Brand<"applecart/LogId">

const make = Brand.nominal<LogId>()

/** Reads 64 lower-case hex characters, as they come from a file, a wire or a person. */
export const Schema = Hex32.schema("LogId").pipe(EffectSchema.brand("applecart/LogId"))

/** Whether `text` is one. */
export const is = (text: string): text is LogId => Hex32.is(text)

/** From its 32 bytes; another number of bytes is a mistake of the caller and throws a `RangeError`. */
export const fromBytes = (bytes: Uint8Array): LogId => make(Hex32.fromBytes("LogId", bytes))

/** Its 32 bytes, in new memory. */
export const toBytes: (self: LogId) => Uint8Array = Bytes.fromHex

/** The first eight characters, enough for people to tell a few of them apart. Never compare by it. */
export const short = (self: LogId): string => self.slice(0, 8)
