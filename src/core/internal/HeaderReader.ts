/**
 * Reads the elements of a header, in p2panda's order of checks (core.md 1.3, steps 1 to 8 without the point).
 */
import * as Either from "effect/Either"
import * as CborHead from "./CborHead.ts"
import * as CborWalk from "../CborWalk.ts"
import * as Hash from "../Hash.ts"
import type { Header, InvalidHeader } from "../Header.ts"
import * as VerifyingKey from "../VerifyingKey.ts"

/** What an `InvalidHeader` is made of. */
export type Failure = ConstructorParameters<typeof InvalidHeader>[0]

/** The header, or what is wrong with it. */
export const read = (bytes: Uint8Array): Header | Failure => {
  const walked = CborWalk.whole(bytes, CborWalk.headerLimits)
  if (Either.isLeft(walked)) {
    const { reason, offset, message } = walked.left
    return { reason: "DecodingHeader", cbor: reason, offset, detail: message }
  }
  const start = untaggedStart(bytes)
  const head = CborHead.read(bytes, start)
  if (head.major !== 4) return { reason: "UnexpectedHeaderType", offset: 0, detail: "a header is an array" }
  const header = elements({ bytes, at: head.end, left: head.argument, failure: undefined })
  // p2panda looks through the tag, so what is wrong behind it is told first
  return start > 0 && !isFailure(header) ? { reason: "TaggedField", field: "header", offset: 0 } : header
}

/** Where the array begins, behind any tags. The bytes are canonical. */
export const untaggedStart = (bytes: Uint8Array): number => {
  let at = 0
  for (let head = CborHead.read(bytes, at); head.major === 6; head = CborHead.read(bytes, at)) at = head.end
  return at
}

/** Tells the two results of `read` apart. */
export const isFailure = (result: Header | Failure): result is Failure => "reason" in result

/** The key of a header that failed at something after the key, where p2panda had looked at the point already. */
export const keyBefore = (bytes: Uint8Array, failure: Failure): Uint8Array | undefined => {
  if (failure.reason === "DecodingHeader" || failure.offset === undefined) return undefined
  // the array head (three bytes at most), the version (the byte 01), the head of the key
  const start = CborHead.read(bytes, untaggedStart(bytes)).end + 3
  return failure.offset >= start + 32 ? bytes.subarray(start, start + 32) : undefined
}

// internal

interface Source {
  readonly bytes: Uint8Array
  at: number
  /** Elements that were not read yet. */
  left: number
  failure: Failure | undefined
}

type Field = NonNullable<Failure["field"]>

const elements = (source: Source): Header | Failure => {
  const version = unsigned(source, "version", 0xffff)
  if (version !== undefined && version !== 1)
    return { reason: "UnsupportedVersion", field: "version", offset: source.at - 1, detail: `${version}, not 1` }
  const verifyingKey = fixed(source, "verifying_key", 32)
  const signature = fixed(source, "signature", 64)
  const payloadSize = unsigned(source, "payload_size", 0xffff_ffff)
  const payloadHash = payloadSize === 0 ? undefined : fixed(source, "payload_hash", 32)
  const seqNum = unsigned(source, "seq_num", 0xffff_ffff)
  const backlink = seqNum === 0 ? undefined : fixed(source, "backlink", 32)
  if (source.failure !== undefined) return source.failure
  if (source.left > 1)
    return { reason: "ExcessiveFields", offset: source.at, detail: `${source.left} elements are left` }
  // a failed element is told above, so none of these is missing
  if (verifyingKey === undefined || signature === undefined) return missing(source, "signature")
  return {
    version: 1,
    verifyingKey: VerifyingKey.fromBytes(verifyingKey),
    signature,
    payloadSize: payloadSize ?? 0,
    payloadHash: payloadHash && Hash.fromBytes(payloadHash),
    seqNum: seqNum ?? 0,
    backlink: backlink && Hash.fromBytes(backlink),
    extensions: source.left === 1 ? source.bytes.subarray(source.at) : undefined
  }
}

const missing = (source: Source, field: Field): Failure => ({ reason: "MissingField", field, offset: source.at })

/** The head of the next element if it has this major type; otherwise the first failure is kept. */
const next = (source: Source, field: Field, major: number): CborHead.Head | undefined => {
  if (source.failure !== undefined) return undefined
  if (source.left === 0) {
    source.failure = missing(source, field)
    return undefined
  }
  const head = CborHead.read(source.bytes, source.at)
  if (head.major === major) return head
  source.failure = { reason: head.major === 6 ? "TaggedField" : "UnexpectedFieldType", field, offset: source.at }
  return undefined
}

const unsigned = (source: Source, field: Field, largest: number): number | undefined => {
  const head = next(source, field, 0)
  if (head === undefined) return undefined
  if (head.argument > largest) {
    source.failure = { reason: "UnexpectedFieldType", field, offset: source.at, detail: `more than ${largest}` }
    return undefined
  }
  source.at = head.end
  source.left--
  return head.argument
}

/** A byte string of this size, as a view. */
const fixed = (source: Source, field: Field, size: number): Uint8Array | undefined => {
  const head = next(source, field, 2)
  if (head === undefined) return undefined
  if (head.argument !== size) {
    const detail = `${head.argument} bytes instead of ${size}`
    source.failure = { reason: "InvalidBytesLen", field, offset: source.at, detail }
    return undefined
  }
  source.at = head.end + size
  source.left--
  return source.bytes.subarray(head.end, source.at)
}
