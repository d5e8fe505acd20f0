/**
 * What all extension formats have in common; public as part of `Extensions`.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as CborWalk from "../CborWalk.ts"
import type * as Crypto from "../Crypto.ts"
import type { Hash } from "../Hash.ts"
import type { LogId } from "../LogId.ts"
import type { Topic } from "../Topic.ts"

/** What the extensions of every operation say, whatever their format. */
export interface Fields {
  /** The log that the operation belongs to, together with its author. */
  readonly logId: LogId
  /** When it was made, by its author's clock: microseconds since the epoch, below 2^64. */
  readonly timestamp: bigint | undefined
  /** Whether everything before it in its log is to be forgotten. */
  readonly prune: boolean
  /** The operations that it was made in the knowledge of, which come before it. */
  readonly previous: ReadonlyArray<Hash>
  /** The operations whose bodies are to be forgotten: it is their tombstone. */
  readonly deletes: ReadonlyArray<Hash>
}

/** What an own operation says; what is left out it does not say. */
export type Draft = Pick<Fields, "logId"> & Partial<Fields>

/** Extensions that are not of the expected format. The header around them is valid: other peers may read it differently. */
export class InvalidExtensions extends Schema.TaggedError<InvalidExtensions>()("InvalidExtensions", {
  reason: Schema.Literal("MissingExtensions", "UnexpectedExtensions", "DecodingExtensions", "EncodingExtensions"),
  /** Which format was expected. */
  format: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The extensions are no ${this.format} extensions (${this.reason}): ${this.detail}.`
  }
}

/** How the extensions of an application's operations are read and written. */
export interface Codec<A extends Fields> {
  /** The bytes of the header's last element, `undefined` where there is none. */
  readonly decode: (extensions: Uint8Array | undefined) => Either.Either<A, InvalidExtensions>
  /** One canonical CBOR item that fits into a header. */
  readonly encode: (value: A) => Either.Either<Uint8Array, InvalidExtensions>
  /** The extensions of an own operation. */
  readonly draft: (fields: Draft) => A
  /** Whether this is the log of that topic. Not there where the format does not tell. */
  readonly ownsLog?: ((crypto: Crypto.Service, topic: Topic, value: A) => boolean) | undefined
}

/** The limits of an item inside the header's array. */
const limits = { recursion: CborWalk.headerLimits.recursion - 1, length: CborWalk.headerLimits.length }

/** Failures of one format. */
export const failures = (format: string) => {
  const fail = (reason: InvalidExtensions["reason"], detail: string) =>
    new InvalidExtensions({ reason, format, detail })
  return {
    missing: fail("MissingExtensions", "there are none"),
    decoding: (detail: string) => fail("DecodingExtensions", detail),
    encoding: (detail: string) => fail("EncodingExtensions", detail)
  }
}

/** Why these bytes are not one canonical item within a header's limits; `undefined` when they are. */
export const notCanonical = (bytes: Uint8Array): string | undefined => {
  const walked = CborWalk.whole(bytes, limits)
  return Either.isLeft(walked) ? walked.left.message : undefined
}
