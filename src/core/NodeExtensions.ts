/**
 * The extensions of p2panda's node (`p2panda::operation::Extensions`, version 1): `[1, 0, log id, timestamp, prune]`.
 *
 * Reads what p2panda reads: tags are looked through and surplus elements ignored; both survive in the header's bytes.
 * Variant 1 (`[1, 1, log id, timestamp, previous]`) is p2panda's placeholder for causal order: read, never written.
 */
import * as Either from "effect/Either"
import * as Bytes from "./Bytes.ts"
import * as CborHead from "./internal/CborHead.ts"
import * as Base from "./internal/ExtensionsCodec.ts"
import * as Hash from "./Hash.ts"
import * as LogId from "./LogId.ts"
import * as Topic from "./Topic.ts"

/** Extensions in the format of p2panda's node. */
export interface NodeExtensions extends Base.Fields {
  readonly _tag: "Node"
  /** 0: basic. 1: causal, which has `previous` instead of `prune`. */
  readonly variant: 0 | 1
}

/** Node extensions with these fields. `encode` refuses a draft without timestamp, with `previous` or `deletes`: the format has no place. */
export const draft = (fields: Base.Draft): NodeExtensions => ({
  _tag: "Node",
  variant: 0,
  logId: fields.logId,
  timestamp: fields.timestamp,
  prune: fields.prune ?? false,
  previous: fields.previous ?? [],
  deletes: fields.deletes ?? []
})

/** Reads extensions as p2panda's node does, with its verdict. */
export const decode = (extensions: Uint8Array | undefined): Either.Either<NodeExtensions, Base.InvalidExtensions> => {
  if (extensions === undefined) return Either.left(failures.missing)
  const wrong = Base.notCanonical(extensions)
  if (wrong !== undefined) return Either.left(failures.decoding(wrong))
  const read = elements(extensions)
  return typeof read === "string" ? Either.left(failures.decoding(read)) : Either.right(read)
}

/** The bytes of basic extensions (variant 0). */
export const encode = (value: NodeExtensions): Either.Either<Uint8Array, Base.InvalidExtensions> => {
  const { timestamp } = value
  if (value.variant !== 0) return Either.left(failures.encoding("variant 1 is p2panda's placeholder and never written"))
  if (value.previous.length > 0)
    return Either.left(failures.encoding("there is no place for `previous`; use OpenExtensions"))
  if (value.deletes.length > 0)
    return Either.left(failures.encoding("there is no place for `deletes`; use OpenExtensions"))
  if (timestamp === undefined) return Either.left(failures.encoding("a timestamp is needed"))
  if (timestamp < 0n || timestamp > 0xffff_ffff_ffff_ffffn)
    return Either.left(failures.encoding("the timestamp is no unsigned integer of 64 bits"))
  return Either.right(
    Bytes.concat([
      Uint8Array.of(0x85, 0x01, 0x00),
      CborHead.bytes(LogId.toBytes(value.logId)),
      CborHead.unsigned64(timestamp),
      Uint8Array.of(value.prune ? 0xf5 : 0xf4)
    ])
  )
}

/** The format as a codec; the log of a topic is BLAKE3 of the topic. */
export const codec: Base.Codec<NodeExtensions> = {
  decode,
  encode,
  draft,
  ownsLog: (crypto, topic, value) => value.logId === Topic.logId(crypto, topic)
}

// internal

const failures = Base.failures("p2panda node")

interface Source {
  readonly bytes: Uint8Array
  at: number
  left: number
}

/** The extensions, or why they are none. The bytes are canonical. */
const elements = (bytes: Uint8Array): NodeExtensions | string => {
  const array = untagged(bytes, 0)
  if (array.major !== 4) return "they are not an array"
  const source: Source = { bytes, at: array.end, left: array.argument }
  const version = small(source)
  if (version !== 1) return version === undefined ? "the version is missing or no integer" : `version ${version}, not 1`
  const variant = small(source)
  if (variant !== 0 && variant !== 1)
    return variant === undefined ? "the variant is missing or no integer" : `unknown variant ${variant}`
  const logId = bytes32(source)
  if (logId === undefined) return "the log id is missing or not 32 bytes"
  const timestamp = uint64(source)
  if (timestamp === undefined) return "the timestamp is missing or no unsigned integer"
  return variant === 0
    ? basic(source, LogId.fromBytes(logId), timestamp)
    : causal(source, LogId.fromBytes(logId), timestamp)
}

const basic = (source: Source, logId: LogId.LogId, timestamp: bigint): NodeExtensions | string => {
  const prune = boolean(source)
  if (prune === undefined) return "the prune flag is missing or no boolean"
  return { _tag: "Node", variant: 0, logId, timestamp, prune, previous: [], deletes: [] }
}

const causal = (source: Source, logId: LogId.LogId, timestamp: bigint): NodeExtensions | string => {
  const previous = hashes(source)
  if (previous === undefined) return "`previous` is missing or no array of hashes"
  return { _tag: "Node", variant: 1, logId, timestamp, prune: false, previous, deletes: [] }
}

/** The head at `at`, behind any number of tags. */
const untagged = (bytes: Uint8Array, at: number): CborHead.Head => {
  let head = CborHead.read(bytes, at)
  while (head.major === 6) head = CborHead.read(bytes, head.end)
  return head
}

const next = (source: Source, major: number): CborHead.Head | undefined => {
  if (source.left === 0) return undefined
  source.left--
  const head = untagged(source.bytes, source.at)
  source.at = head.end
  return head.major === major ? head : undefined
}

const small = (source: Source): number | undefined => {
  const head = next(source, 0)
  return head === undefined || head.argument > 0xffff ? undefined : head.argument
}

const bytes32 = (source: Source): Uint8Array | undefined => {
  const head = next(source, 2)
  if (head?.argument !== 32) return undefined
  source.at = head.end + 32
  return source.bytes.subarray(head.end, source.at)
}

const uint64 = (source: Source): bigint | undefined => {
  const head = next(source, 0)
  if (head === undefined) return undefined
  // only a head of nine bytes holds what a number does not
  if (head.argument <= 0xffff_ffff) return BigInt(head.argument)
  return new DataView(source.bytes.buffer, source.bytes.byteOffset + head.end - 8).getBigUint64(0)
}

const boolean = (source: Source): boolean | undefined => {
  const head = next(source, 7)
  const byte = head === undefined ? undefined : source.bytes[head.end - 1]
  // a float may end in such a byte, but is no such number
  if (head?.argument === 20 && byte === 0xf4) return false
  return head?.argument === 21 && byte === 0xf5 ? true : undefined
}

/** A set in p2panda: its order says nothing and repetitions are one. */
const hashes = (source: Source): ReadonlyArray<Hash.Hash> | undefined => {
  const array = next(source, 4)
  if (array === undefined) return undefined
  const found = new Set<Hash.Hash>()
  const inner: Source = { bytes: source.bytes, at: source.at, left: array.argument }
  while (inner.left > 0) {
    const hash = bytes32(inner)
    if (hash === undefined) return undefined
    found.add(Hash.fromBytes(hash))
  }
  return [...found]
}
