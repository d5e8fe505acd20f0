/**
 * Our own extensions: a map with text keys that may grow.
 *
 * | key | value |
 * |---|---|
 * | `log` | byte string of 32: the log id; required |
 * | `timestamp` | unsigned integer: microseconds since the epoch |
 * | `prune` | boolean |
 * | `previous` | array of byte strings of 32: ids of operations that come before it |
 * | `deletes` | array of byte strings of 32: ids of operations whose bodies it deletes |
 *
 * Other keys are kept as they are. `encode(decode(bytes))` gives the same bytes, so an old program can handle what a newer
 * one has written. Tags in front of the known values are refused.
 */
import * as Either from "effect/Either"
import * as Bytes from "./Bytes.ts"
import * as CborHead from "./internal/CborHead.ts"
import * as Base from "./internal/ExtensionsCodec.ts"
import * as CborWalk from "./CborWalk.ts"
import * as Hash from "./Hash.ts"
import * as LogId from "./LogId.ts"
import * as Topic from "./Topic.ts"

/** Open extensions. */
export interface OpenExtensions extends Base.Fields {
  readonly _tag: "Open"
  /**
   * The keys that are not known here, each with the CBOR of its value. A known key is among them where it was written
   * out although it says nothing: `prune` as `false`, `previous` or `deletes` as an empty array.
   */
  readonly rest: ReadonlyMap<string, Uint8Array>
}

/** Open extensions with these fields and nothing else. */
export const draft = (fields: Base.Draft): OpenExtensions => ({
  _tag: "Open",
  logId: fields.logId,
  timestamp: fields.timestamp,
  prune: fields.prune ?? false,
  previous: fields.previous ?? [],
  deletes: fields.deletes ?? [],
  rest: new Map()
})

/** Reads a map with text keys. */
export const decode = (extensions: Uint8Array | undefined): Either.Either<OpenExtensions, Base.InvalidExtensions> => {
  if (extensions === undefined) return Either.left(failures.missing)
  const wrong = Base.notCanonical(extensions)
  if (wrong !== undefined) return Either.left(failures.decoding(wrong))
  const entries = pairs(extensions)
  const read = typeof entries === "string" ? entries : known(entries)
  return typeof read === "string" ? Either.left(failures.decoding(read)) : Either.right(read)
}

/** The bytes: canonical, and within the limits of a header (512 hashes in `previous`, and in `deletes`, at most). */
export const encode = (value: OpenExtensions): Either.Either<Uint8Array, Base.InvalidExtensions> => {
  const { timestamp } = value
  if (timestamp !== undefined && (timestamp < 0n || timestamp > 0xffff_ffff_ffff_ffffn))
    return Either.left(failures.encoding("the timestamp is no unsigned integer of 64 bits"))
  const entries = new Map(value.rest)
  for (const [key, allowed] of silent) {
    const given = entries.get(key)
    if (given !== undefined && (allowed === undefined || !Bytes.equals(given, allowed)))
      return Either.left(failures.encoding(`\`${key}\` is a known key and has no place in \`rest\``))
  }
  for (const [key, bytes] of entries)
    if (Base.notCanonical(bytes) !== undefined)
      return Either.left(failures.encoding(`\`${key}\` is not one canonical item`))
  entries.set("log", CborHead.bytes(LogId.toBytes(value.logId)))
  if (timestamp !== undefined) entries.set("timestamp", CborHead.unsigned64(timestamp))
  if (value.prune) entries.set("prune", Uint8Array.of(0xf5))
  if (value.previous.length > 0) entries.set("previous", array(value.previous))
  if (value.deletes.length > 0) entries.set("deletes", array(value.deletes))
  const bytes = write(entries)
  const wrong = Base.notCanonical(bytes)
  return wrong === undefined ? Either.right(bytes) : Either.left(failures.encoding(wrong))
}

/** The format as a codec; the log of a topic is BLAKE3 of the topic, as with node extensions. */
export const codec: Base.Codec<OpenExtensions> = {
  decode,
  encode,
  draft,
  ownsLog: (crypto, topic, value) => value.logId === Topic.logId(crypto, topic)
}

// internal

const failures = Base.failures("open")

/** The known keys, each with the value that says nothing where there is one. */
const silent: ReadonlyMap<string, Uint8Array | undefined> = new Map([
  ["log", undefined],
  ["timestamp", undefined],
  ["prune", Uint8Array.of(0xf4)],
  ["previous", Uint8Array.of(0x80)],
  ["deletes", Uint8Array.of(0x80)]
])

const array = (ids: ReadonlyArray<Hash.Hash>): Uint8Array =>
  Bytes.concat([CborHead.head(4, ids.length), ...ids.map((id) => CborHead.bytes(Hash.toBytes(id)))])

const write = (entries: ReadonlyMap<string, Uint8Array>): Uint8Array => {
  const sorted = Array.from(entries, ([key, value]) => ({ key: CborHead.text(key), value }))
  sorted.sort((a, b) => Bytes.compare(a.key, b.key))
  return Bytes.concat([CborHead.head(5, sorted.length), ...sorted.flatMap(({ key, value }) => [key, value])])
}

/** Key by key the bytes of the value; or why these are no open extensions. The bytes are canonical. */
const pairs = (bytes: Uint8Array): Map<string, Uint8Array> | string => {
  const map = CborHead.read(bytes, 0)
  if (map.major !== 5) return "they are not a map"
  const entries = new Map<string, Uint8Array>()
  let at = map.end
  for (let left = map.argument; left > 0; left--) {
    const key = CborHead.read(bytes, at)
    if (key.major !== 3) return "a key is not a text"
    const start = key.end + key.argument
    const end = Either.getOrElse(CborWalk.walk(bytes, { offset: start }), () => bytes.length)
    entries.set(utf8.decode(bytes.subarray(key.end, start)), bytes.subarray(start, end))
    at = end
  }
  return entries
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** Takes the known keys out of the entries. */
const known = (entries: Map<string, Uint8Array>): OpenExtensions | string => {
  const log = entries.get("log")
  if (log === undefined) return "`log` is missing"
  if (log.length !== 34 || log[0] !== 0x58) return "`log` is not a byte string of 32"
  const timestamp = uint64(entries.get("timestamp"))
  if (timestamp === null) return "`timestamp` is no unsigned integer"
  const prune = entries.get("prune")
  if (prune !== undefined && prune[0] !== 0xf4 && prune[0] !== 0xf5) return "`prune` is no boolean"
  const previous = hashes(entries.get("previous"))
  if (previous === undefined) return "`previous` is no array of byte strings of 32, each once"
  const deletes = hashes(entries.get("deletes"))
  if (deletes === undefined) return "`deletes` is no array of byte strings of 32, each once"
  entries.delete("log")
  entries.delete("timestamp")
  if (prune?.[0] === 0xf5) entries.delete("prune")
  if (previous.length > 0) entries.delete("previous")
  if (deletes.length > 0) entries.delete("deletes")
  return {
    _tag: "Open",
    logId: LogId.fromBytes(log.subarray(2)),
    timestamp,
    prune: prune?.[0] === 0xf5,
    previous,
    deletes,
    rest: entries
  }
}

/** `null` stands for what is there and wrong. */
const uint64 = (bytes: Uint8Array | undefined): bigint | undefined | null => {
  if (bytes === undefined) return undefined
  const head = CborHead.read(bytes, 0)
  if (head.major !== 0) return null
  return bytes.length < 9 ? BigInt(head.argument) : new DataView(bytes.buffer, bytes.byteOffset + 1).getBigUint64(0)
}

/** In the order they are written; `undefined` stands for what is wrong. */
const hashes = (bytes: Uint8Array | undefined): ReadonlyArray<Hash.Hash> | undefined => {
  if (bytes === undefined) return []
  const array = CborHead.read(bytes, 0)
  if (array.major !== 4 || bytes.length !== array.end + array.argument * 34) return undefined
  const found = new Set<Hash.Hash>()
  for (let at = array.end; at < bytes.length; at += 34) {
    if (bytes[at] !== 0x58 || bytes[at + 1] !== 32) return undefined
    found.add(Hash.fromBytes(bytes.subarray(at + 2, at + 34)))
  }
  return found.size === array.argument ? [...found] : undefined
}
