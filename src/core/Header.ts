/**
 * The header of an operation: one canonical CBOR array, signed by its author. Reads, checks and makes the bytes exactly as
 * p2panda 0.7.1 does (`AnyHeader::decode`), with one exception: a CBOR tag in front of an element or of the array, which
 * p2panda looks through and then stores and forwards as other bytes, is refused (`TaggedField`).
 *
 * The elements: version, verifying key, signature, payload size, payload hash (if the size is not 0), sequence number,
 * backlink (if that is not 0), extensions (optional). The id of an operation is the BLAKE3 hash of these bytes; signed is
 * the same array without the signature.
 */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Bytes from "./Bytes.ts"
import * as CborHead from "./internal/CborHead.ts"
import { keyStart, signatureEnd, signatureStart } from "./internal/HeaderLayout.ts"
import * as HeaderReader from "./internal/HeaderReader.ts"
import * as CborWalk from "./CborWalk.ts"
import type * as Crypto from "./Crypto.ts"
import * as Hash from "./Hash.ts"
import type { SigningKey } from "./SigningKey.ts"
import * as VerifyingKey from "./VerifyingKey.ts"

/** The content of a header. */
export interface Header {
  readonly version: 1
  /** The author. */
  readonly verifyingKey: VerifyingKey.VerifyingKey
  /** 64 bytes, a view into the header's bytes. */
  readonly signature: Uint8Array
  /** The size of the body in bytes, below 2^32. 0: there is no body. */
  readonly payloadSize: number
  /** The hash of the body; there is one exactly if the size is not 0. */
  readonly payloadHash: Hash.Hash | undefined
  /** The place in the log, from 0, below 2^32. */
  readonly seqNum: number
  /** The id of the operation before it; there is one exactly if the sequence number is not 0. */
  readonly backlink: Hash.Hash | undefined
  /** One canonical CBOR item, a view into the header's bytes. What it means is a matter of `Extensions`. */
  readonly extensions: Uint8Array | undefined
}

/** What a header is made of; the rest follows from the key. */
export type Fields = Pick<Header, "payloadSize" | "payloadHash" | "seqNum" | "backlink" | "extensions">

/** An element of the header, as error messages and verdicts name it (p2panda's names). */
export const Field = Schema.Literal(
  "header",
  "version",
  "verifying_key",
  "signature",
  "payload_size",
  "payload_hash",
  "seq_num",
  "backlink",
  "extensions"
)
export type Field = typeof Field.Type

/**
 * Bytes that are no valid header: wrong for everybody and for ever. The reasons are p2panda's `HeaderError`, besides
 * `TaggedField`.
 */
export class InvalidHeader extends Schema.TaggedError<InvalidHeader>()("InvalidHeader", {
  reason: Schema.Literal(
    "DecodingHeader",
    "UnexpectedHeaderType",
    "MissingField",
    "UnexpectedFieldType",
    "InvalidVerifyingKey",
    "InvalidBytesLen",
    "UnsupportedVersion",
    "InvalidSignature",
    "ExcessiveFields",
    "TaggedField"
  ),
  /** Which element. */
  field: Schema.optional(Field),
  /** With `DecodingHeader`: why the bytes are no canonical CBOR. */
  cbor: Schema.optional(CborWalk.Reason),
  /** Where in the header's bytes. */
  offset: Schema.optional(Schema.Number),
  detail: Schema.optional(Schema.String)
}) {
  override get message() {
    const what = this.cbor ?? this.field
    const where = this.offset === undefined ? "" : ` at byte ${this.offset}`
    const why = this.detail === undefined ? "" : `: ${this.detail}`
    return `The header is not valid (${this.reason}${what === undefined ? "" : ` ${what}`}${where})${why}. Nobody accepts this operation; its author has to make a new one.`
  }
}

/** The error as the Rust oracle prints it: `MissingField:backlink`, `DecodingHeader`, `InvalidSignature`. */
export const verdict = (error: InvalidHeader): string =>
  ["MissingField", "UnexpectedFieldType", "InvalidBytesLen", "TaggedField"].includes(error.reason)
    ? `${error.reason}:${error.field ?? "header"}`
    : error.reason

/**
 * Reads a header without checking the signature and without asking whether the key is a point: for bytes that were
 * checked before. `signature` and `extensions` are views into `bytes`, which must not be changed afterwards.
 */
export const parse = (bytes: Uint8Array): Either.Either<Header, InvalidHeader> => {
  const parsed = HeaderReader.read(bytes)
  return HeaderReader.isFailure(parsed) ? Either.left(new InvalidHeader(parsed)) : Either.right(parsed)
}

/**
 * What is signed: the bytes of the header with the signature cut out and the array head one lower. Nothing is encoded
 * again, so no second encoder has a say. For bytes that `parse` accepts.
 */
export const signingBytes = (bytes: Uint8Array): Uint8Array => {
  const signed = new Uint8Array(Math.max(0, bytes.length - (signatureEnd - signatureStart)))
  signed.set(bytes.subarray(0, signatureStart))
  signed.set(bytes.subarray(signatureEnd), signatureStart)
  signed[0] = (bytes[0] ?? 0) - 1
  return signed
}

/** Reads a header and checks everything that needs no log: the form, the limits, the key, the signature. */
export const decode = (crypto: Crypto.Service, bytes: Uint8Array): Either.Either<Header, InvalidHeader> => {
  const parsed = HeaderReader.read(bytes)
  if (HeaderReader.isFailure(parsed)) return Either.left(refusal(crypto, bytes, parsed))
  const key = bytes.subarray(keyStart, signatureStart)
  if (crypto.verify(key, signingBytes(bytes), parsed.signature)) return Either.right(parsed)
  return Either.left(crypto.isPoint(key) ? invalidSignature() : invalidVerifyingKey())
}

/**
 * The bytes of a new header, signed. Everything that `decode` would refuse is refused here, limits included: a list of
 * more than 512 elements in the extensions makes an operation that nobody can read.
 */
export const build = (
  crypto: Crypto.Service,
  key: SigningKey,
  fields: Fields
): Either.Either<Uint8Array, InvalidHeader> => {
  const wrong = contradiction(fields)
  if (wrong !== undefined) return Either.left(new InvalidHeader(wrong))
  const front = Bytes.concat([Uint8Array.of(0x01), CborHead.bytes(VerifyingKey.toBytes(crypto.verifyingKey(key)))])
  const back = Bytes.concat(rest(fields))
  const count = 4 + Number(fields.payloadHash !== undefined) + Number(fields.backlink !== undefined)
  const head = 0x80 | (count + Number(fields.extensions !== undefined))
  const signature = crypto.sign(key, Bytes.concat([Uint8Array.of(head), front, back]))
  const bytes = Bytes.concat([Uint8Array.of(head + 1), front, CborHead.bytes(signature), back])
  return Either.map(parse(bytes), () => bytes)
}

// internal

/** Why a header that could not be read is refused, with p2panda's precedence. */
const refusal = (crypto: Crypto.Service, bytes: Uint8Array, failure: HeaderReader.Failure): InvalidHeader => {
  // it looks at the point as soon as it has read the key, before everything that comes after
  const key = HeaderReader.keyBefore(bytes, failure)
  if (key !== undefined && !crypto.isPoint(key)) return invalidVerifyingKey()
  if (failure.reason !== "TaggedField" || failure.field !== "header") return new InvalidHeader(failure)
  // it looks through a tag around everything, and signed is what is behind it
  const inner = decode(crypto, bytes.subarray(HeaderReader.untaggedStart(bytes)))
  return Either.isLeft(inner) ? inner.left : new InvalidHeader(failure)
}

const invalidVerifyingKey = () =>
  new InvalidHeader({
    reason: "InvalidVerifyingKey",
    field: "verifying_key",
    offset: 2,
    detail: "it is not a point of the curve"
  })

const invalidSignature = () =>
  new InvalidHeader({
    reason: "InvalidSignature",
    field: "signature",
    offset: signatureStart,
    detail: "the author did not sign these bytes"
  })

const rest = (fields: Fields): ReadonlyArray<Uint8Array> => [
  CborHead.unsigned(fields.payloadSize),
  ...(fields.payloadHash === undefined ? [] : [CborHead.bytes(Hash.toBytes(fields.payloadHash))]),
  CborHead.unsigned(fields.seqNum),
  ...(fields.backlink === undefined ? [] : [CborHead.bytes(Hash.toBytes(fields.backlink))]),
  ...(fields.extensions === undefined ? [] : [fields.extensions])
]

/** Fields that contradict each other or are no single item; written down, they would be read as something else. */
const contradiction = (fields: Fields): HeaderReader.Failure | undefined => {
  if (!isUint32(fields.payloadSize)) return notUint32("payload_size", fields.payloadSize)
  if (fields.payloadSize > 0 && fields.payloadHash === undefined)
    return { reason: "MissingField", field: "payload_hash" }
  if (fields.payloadSize === 0 && fields.payloadHash !== undefined) return surplus("payload_hash", "payload size")
  if (!isUint32(fields.seqNum)) return notUint32("seq_num", fields.seqNum)
  if (fields.seqNum > 0 && fields.backlink === undefined) return { reason: "MissingField", field: "backlink" }
  if (fields.seqNum === 0 && fields.backlink !== undefined) return surplus("backlink", "sequence number")
  if (fields.extensions === undefined) return undefined
  const { recursion, length } = CborWalk.headerLimits
  const walked = CborWalk.whole(fields.extensions, { recursion: recursion - 1, length })
  if (Either.isRight(walked)) return undefined
  return { reason: "DecodingHeader", field: "extensions", cbor: walked.left.reason, detail: walked.left.message }
}

const isUint32 = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff

const notUint32 = (field: Field, value: number): HeaderReader.Failure => ({
  reason: "UnexpectedFieldType",
  field,
  detail: `${value} is no integer of 32 bits`
})

const surplus = (field: Field, size: string): HeaderReader.Failure => ({
  reason: "UnexpectedFieldType",
  field,
  detail: `there is none where the ${size} is 0`
})
