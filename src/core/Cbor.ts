/**
 * CBOR values, in p2panda's canonical form both ways. The bytes are checked by `CborWalk`.
 *
 * | CBOR | JavaScript |
 * |---|---|
 * | integer, bignum (tags 2 and 3) | `number` where it is safe, else `bigint` |
 * | float | `number` |
 * | byte string, text | `Uint8Array` (a copy), `string` |
 * | array, map with text keys only, other map | `Array`, plain object, `Map` |
 * | `false`, `true`, `null`, `undefined` | the same |
 * | other tag, other simple value | `Tagged`, `Simple` |
 *
 * JavaScript has one kind of number: **a number without a fraction is written as an integer** (3.0 comes back as the
 * integer 3), except -0 and those beyond 2^53, which stay floats; a `bigint` is always an integer. Of a NaN only that it
 * is one is kept. Where such differences matter (signatures, hashes) keep the bytes.
 */
import * as Data from "effect/Data"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as CborReader from "./internal/CborReader.ts"
import * as CborWriter from "./internal/CborWriter.ts"
import * as CborWalk from "./CborWalk.ts"

export { CborError, walk, whole } from "./CborWalk.ts"
export type { Limits, Options, Reason } from "./CborWalk.ts"

/** A value under a tag that has no JavaScript counterpart. `tag` is a `bigint` only beyond 2^53. */
export class Tagged extends Data.TaggedClass("Tagged")<{
  readonly tag: number | bigint
  readonly value: unknown
}> {}

/** A simple value other than false, true, null and undefined: 0 to 19 or 32 to 255. */
export class Simple extends Data.TaggedClass("Simple")<{ readonly value: number }> {}

/** A JavaScript value that has no canonical CBOR. `path`: where in the value, as one would write it. */
export class CborEncodeError extends Schema.TaggedError<CborEncodeError>()("CborEncodeError", {
  reason: Schema.Literal("Unsupported", "LoneSurrogate", "DuplicateKey", "LengthTooLarge", "NestingTooDeep"),
  path: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `The value cannot be written as CBOR: ${this.detail} at ${this.path} (${this.reason}).`
  }
}

/**
 * The first item of `bytes`, refused unless it is canonical and within the limits. Bytes after it are not looked at, as
 * in p2panda's `decode_cbor`; check them with `whole` where they matter.
 *
 * ```ts
 * Cbor.decode(Uint8Array.of(0xa1, 0x61, 0x6e, 0x05)) // Either.right({ n: 5 })
 * ```
 */
export const decode = (bytes: Uint8Array, limits?: CborWalk.Limits): Either.Either<unknown, CborWalk.CborError> =>
  Either.flatMap(CborWalk.walk(bytes, limits), () => {
    const { value, ambiguous } = CborReader.read(bytes, make)
    return ambiguous < 0
      ? Either.right(value)
      : Either.left(new CborWalk.CborError({ reason: "AmbiguousKey", offset: ambiguous }))
  })

/**
 * The canonical bytes of a value: what is in the table above, nothing else (no dates, no class instances). Properties
 * that are `undefined` are left out, as JSON does, also those that were read so; in arrays and Maps `undefined` is written.
 * Key order does not matter.
 */
export const encode = (value: unknown, limits?: CborWalk.Limits): Either.Either<Uint8Array, CborEncodeError> => {
  const written = CborWriter.write(value, classes, limits?.recursion ?? 200, limits?.length ?? 1_000_000_000)
  return written instanceof Uint8Array ? Either.right(written) : Either.left(new CborEncodeError(written))
}

// internal

const make: CborReader.Make = {
  tagged: (tag, value) => new Tagged({ tag, value }),
  simple: (value) => new Simple({ value })
}

const classes: CborWriter.Classes = {
  tagged: (value) => (value instanceof Tagged ? value : undefined),
  simple: (value) => (value instanceof Simple ? value.value : undefined)
}
