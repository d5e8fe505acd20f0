/** Everything that reads bytes or text from outside, and what must hold of each answer. */
import * as cborg from "cborg"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { isDeepStrictEqual } from "node:util"
import * as Moment from "../../src/cli/Moment.ts"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Cbor from "../../src/core/Cbor.ts"
import * as CborWalk from "../../src/core/CborWalk.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as Hash from "../../src/core/Hash.ts"
import * as Header from "../../src/core/Header.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import type * as Operation from "../../src/core/Operation.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import * as Rejection from "../../src/pipeline/Rejection.ts"
import type { Random } from "../../src/testing/InputFaults.ts"
import type { Said, Target } from "./Campaign.ts"
import * as originals from "./originals.ts"
import * as Reference from "./reference.ts"

/** Roughly where: the exact place is another answer for every length. */
const roughly = (offset: number | undefined): string =>
  offset === undefined ? "" : ` at ${offset < 4 ? offset : `${2 ** Math.floor(Math.log2(offset))}+`}`

/** Collects what does not hold. */
const checking = () => {
  const broken: Array<string> = []
  return { broken, must: (holds: boolean, what: string) => void (holds || broken.push(what)) }
}

const hex = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Bytes.toHex(bytes)

const same = (a: Uint8Array, b: Uint8Array): boolean => Bytes.equals(a, b)

/** An error says where, in the bytes, and what to do. */
const isTold = (error: { readonly message: string; readonly offset?: number | undefined }, size: number): boolean =>
  error.message.length > 20 && (error.offset === undefined || (error.offset >= 0 && error.offset <= size))

const header = (native: Crypto.Service, portable: Crypto.Service): Target => ({
  name: "header",
  originals: originals.operations(native).map(({ headerBytes }) => headerBytes),
  attempt: (bytes) => {
    const { broken, must } = checking()
    const before = bytes.slice()
    const parsed = Header.parse(bytes)
    const decoded = Header.decode(native, bytes)
    const reference = Reference.header(bytes)
    must(same(before, bytes), "P8: reading has changed the bytes")
    // Where it cannot be parsed, no signature is looked at.
    const signed = Either.isLeft(parsed) || isDeepStrictEqual(decoded, Header.decode(portable, bytes))
    must(signed, "P8: the portable signatures say something else")
    must(Either.isRight(parsed) === (reference !== undefined), `P8: the reference says ${JSON.stringify(reference)}`)
    if (Either.isRight(parsed) && reference !== undefined) {
      const { extensions, signature, version, ...rest } = parsed.right
      const all = { ...rest, signature: hex(signature), extensions: hex(extensions) }
      must(version === 1 && isDeepStrictEqual({ ...all }, { ...reference }), "P8: the reference reads other fields")
      must(isDeepStrictEqual(rewritten(bytes, parsed.right), bytes), "P8: written again it has other bytes")
    }
    if (Either.isLeft(parsed)) must(Either.isLeft(decoded), "P8: decoded what cannot be parsed")
    if (Either.isLeft(decoded)) {
      const error = decoded.left
      must(error._tag === "InvalidHeader" && isTold(error, bytes.length), `typed: ${error.message}`)
      must(error.reason !== "DecodingHeader" || error.offset !== undefined, "typed: no place is told")
      must(error.cbor === undefined || error.cbor !== "AmbiguousKey", "P8: the walk makes no values")
      return { verdict: `${Header.verdict(error)} ${error.cbor ?? ""}${roughly(error.offset)}`, broken }
    }
    return { verdict: `ok ${reference?.payloadSize === 0} ${reference?.seqNum === 0}`, broken }
  }
})

/** The same header from its fields, with its own signature put in. */
const rewritten = (bytes: Uint8Array, header: Header.Header): Uint8Array => {
  const parts = [
    Uint8Array.of(bytes[0] ?? 0, 1),
    encode(VerifyingKey.toBytes(header.verifyingKey)),
    encode(header.signature),
    encode(header.payloadSize),
    ...(header.payloadHash === undefined ? [] : [encode(Hash.toBytes(header.payloadHash))]),
    encode(header.seqNum),
    ...(header.backlink === undefined ? [] : [encode(Hash.toBytes(header.backlink))]),
    ...(header.extensions === undefined ? [] : [header.extensions])
  ]
  return Bytes.concat(parts)
}
const encode = (value: unknown): Uint8Array => Either.getOrThrow(Cbor.encode(value))

const extensions = (crypto: Crypto.Service): Target => ({
  name: "extensions",
  originals: originals.extensions(crypto),
  attempt: (bytes) => {
    const { broken, must } = checking()
    const node = NodeExtensions.decode(bytes)
    const open = OpenExtensions.decode(bytes)
    const any = Extensions.any.decode(bytes)
    must(agrees(node, Reference.extensions(bytes, "Node")), "P8: the reference reads other node extensions")
    must(agrees(open, Reference.extensions(bytes, "Open")), "P8: the reference reads other open extensions")
    must(Either.isRight(any) === (Either.isRight(node) || Either.isRight(open)), "P8: neither, or one of them")
    must(!(Either.isRight(node) && Either.isRight(open)), "P8: both formats")
    if (Either.isRight(open)) {
      const again = Either.flatMap(OpenExtensions.encode(open.right), (made) => Either.right(same(made, bytes)))
      must(isDeepStrictEqual(again, Either.right(true)), "P8: open extensions have other bytes when written again")
    }
    if (Either.isRight(node) && node.right.variant === 0) {
      const again = Either.flatMap(NodeExtensions.encode(node.right), NodeExtensions.decode)
      must(isDeepStrictEqual(again, node), "P8: node extensions that are written read as something else")
    }
    const one = Either.isRight(any) ? any : Either.isRight(node) ? node : open
    if (Either.isLeft(any)) must(any.left._tag === "InvalidExtensions" && isTold(any.left, 0), "typed: not told")
    return { verdict: answer(one), broken }
  }
})

const answer = (read: Either.Either<Extensions.Any, Extensions.InvalidExtensions>): string => {
  if (Either.isLeft(read)) return read.left.detail.replace(/at byte \d+|[0-9]{3,}/g, "").slice(0, 80)
  const { _tag, deletes, previous, prune, timestamp } = read.right
  return `ok ${_tag} ${prune} ${timestamp !== undefined} ${Math.min(previous.length, 2)} ${Math.min(deletes.length, 2)}`
}

const agrees = (read: Either.Either<Extensions.Any, unknown>, reference: Reference.Extensions | undefined): boolean => {
  if (Either.isLeft(read) || reference === undefined) return Either.isLeft(read) && reference === undefined
  const { _tag, deletes, logId, previous, prune, timestamp } = read.right
  return isDeepStrictEqual({ format: _tag, logId, timestamp, prune, previous, deletes }, { ...reference })
}

const cbor: Target = {
  name: "cbor",
  originals: originals.values,
  attempt: (bytes) => {
    const { broken, must } = checking()
    const walked = CborWalk.walk(bytes)
    const decoded = Cbor.decode(bytes)
    const reference = Reference.first(bytes, Reference.valueLimits)
    must(
      isDeepStrictEqual(reference?.end, Option.getOrUndefined(Either.getRight(walked))),
      `P8: the reference ends at ${reference?.end}`
    )
    must(Either.isRight(Cbor.whole(bytes)) === (reference?.end === bytes.length), "P8: whole says something else")
    if (Either.isLeft(decoded)) {
      const { offset, reason } = decoded.left
      must(isTold(decoded.left, bytes.length), `typed: ${decoded.left.message}`)
      const ambiguous = reference !== undefined && Reference.isAmbiguous(reference.tree)
      must((reason === "AmbiguousKey") === ambiguous, "P8: refused, and the reference reads it")
      return { verdict: `${reason}${roughly(offset)}`, broken }
    }
    const value = reference && Reference.value(reference.tree)
    must(reference !== undefined && isDeepStrictEqual(decoded.right, value), "P8: the reference reads another value")
    must(cborgAgrees(bytes.subarray(0, reference?.end), decoded.right), "P8: cborg reads another value")
    const again = Cbor.encode(decoded.right)
    must(Either.isRight(again), "P8: what was read cannot be written")
    // Not the bytes: 3.0 is written as 3, a NaN as the plain one, and a property that is undefined not at all (Cbor says so).
    if (Either.isRight(again)) {
      const twice = Either.map(Cbor.decode(again.right), lasting)
      must(isDeepStrictEqual(twice, Either.right(lasting(decoded.right))), "P8: written and read it is another value")
    }
    return { verdict: `ok ${kind(decoded.right)}`, broken }
  }
}

/** Without the properties that are not written. */
const lasting = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(lasting)
  if (value instanceof Map) return new Map(Array.from(value, ([key, one]) => [lasting(key), lasting(one)]))
  if (value instanceof Cbor.Tagged) return new Cbor.Tagged({ tag: value.tag, value: lasting(value.value) })
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) => (one === undefined ? [] : [[key, lasting(one)]]))
  )
}

const kind = (value: unknown): string =>
  value === null || typeof value !== "object" ? typeof value : value.constructor.name

/** Whether cborg makes the same of it, where it can read it and means the same by it. */
const cborgAgrees = (bytes: Uint8Array, value: unknown): boolean => {
  if (!isCommon(value)) return true
  try {
    return isDeepStrictEqual(cborg.decode(bytes), value)
  } catch {
    return true
  }
}

const isCommon = (value: unknown): boolean => {
  if (typeof value === "string") return !value.startsWith("\ufeff")
  if (typeof value === "number") return Number.isSafeInteger(value) || !Number.isInteger(value)
  if (typeof value !== "object" || value === null) return typeof value === "boolean" || value === null
  if (value instanceof Uint8Array) return true
  if (Array.isArray(value)) return value.every(isCommon)
  const plain = Object.getPrototypeOf(value) === Object.prototype
  return plain && Object.entries(value).every(([key, one]) => isCommon(key) && key !== "__proto__" && isCommon(one))
}

const maxItemBytes = 2000

const sequence = (crypto: Crypto.Service): Target => ({
  name: "sequence",
  originals: originals.sequences(crypto),
  attempt: (bytes, random) => {
    const { broken, must } = checking()
    const read = sequenceIn(pieces(bytes, random))
    must(isDeepStrictEqual(read, sequenceIn([bytes])), "P8: cut in other pieces it says something else")
    const { end, items } = byReference(bytes)
    const written = Bytes.concat(read.items.map(OperationSequence.encode))
    must(same(written, bytes.subarray(0, written.length)), "P8: what was read has other bytes when it is written")
    must(read.items.length === items && written.length === end, `P8: the reference reads ${items} up to ${end}`)
    const { failure } = read
    must((failure === undefined) === (end === bytes.length), "P8: it ended without a word, or was refused in the end")
    if (failure === undefined) return { verdict: `ok ${Math.min(items, 4)}`, broken }
    must(failure.item === items && isTold(failure, bytes.length), `typed: ${failure.message}`)
    must(failure.offset >= end, "typed: told at a place that was read")
    return {
      verdict: `${failure.reason} ${Math.min(items, 1)}${roughly(failure.offset - end)} ${failure.detail.slice(0, 30)}`,
      broken
    }
  }
})

const sequenceIn = (chunks: ReadonlyArray<Uint8Array>) => {
  const items: Array<Operation.Raw> = []
  const failure = Stream.fromIterable(chunks).pipe(
    OperationSequence.decode({ maxItemBytes }),
    Stream.runForEach((raw) => Effect.sync(() => void items.push(raw))),
    Effect.either,
    Effect.runSync
  )
  return { items, failure: Either.isLeft(failure) ? failure.left : undefined }
}

/** Cut where it falls, empty pieces included; no more than forty, since each costs. */
const pieces = (bytes: Uint8Array, { below }: Random): ReadonlyArray<Uint8Array> => {
  const cut: Array<Uint8Array> = []
  const most = [1, 5, 60, 700][below(4)] ?? 1
  let at = 0
  for (; at < bytes.length && cut.length < 40; at += cut.at(-1)?.length ?? 0)
    cut.push(bytes.slice(at, at + below(most + 1)))
  return [...cut, bytes.slice(at)]
}

const byReference = (bytes: Uint8Array) => {
  let end = 0
  let items = 0
  for (; ; items++) {
    const found = end < bytes.length ? Reference.first(bytes.subarray(end), Reference.valueLimits) : undefined
    if (found?.tree.is !== "array" || found.tree.value.length !== 2 || found.end > maxItemBytes) return { end, items }
    const [header, body] = found.tree.value
    const isBody = body?.is === "bytes" || (body?.is === "simple" && body.value === 22)
    if (header?.is !== "bytes" || !isBody) return { end, items }
    end += found.end
  }
}

const encoder = new TextEncoder()

/** Text in both ways in which bytes become some: as UTF-8, and as half characters. */
const textsOf = (bytes: Uint8Array): readonly [string, string] => {
  const units = Array.from(
    { length: bytes.length >> 1 },
    (_, at) => (bytes[at * 2] ?? 0) * 256 + (bytes[at * 2 + 1] ?? 0)
  )
  return [new TextDecoder().decode(bytes), String.fromCharCode(...units)]
}

/** Checks both texts; the verdict is that on the first. */
const eachText =
  (attempt: (text: string, bytes: Uint8Array) => Said) =>
  (bytes: Uint8Array): Said => {
    const [first, second] = textsOf(bytes)
    const said = attempt(first, bytes)
    return { ...said, broken: [...said.broken, ...attempt(second, bytes).broken] }
  }

const named: ReadonlyArray<readonly [string, (text: string) => boolean, (text: string) => boolean]> = [
  ["Hash", Hash.is, Schema.is(Hash.Schema)],
  ["LogId", LogId.is, Schema.is(LogId.Schema)],
  ["Topic", Topic.is, Schema.is(Topic.Schema)],
  ["VerifyingKey", VerifyingKey.is, Schema.is(VerifyingKey.Schema)]
]

const names = (crypto: Crypto.Service): Target => ({
  name: "names",
  originals: [
    "ab".repeat(32),
    "AB".repeat(32),
    "apples",
    "",
    "2026-01-31",
    "2026-01-31T12:00:00.5+01:00",
    "0".repeat(63)
  ].map((text) => encoder.encode(text)),
  attempt: eachText((text) => {
    const { broken, must } = checking()
    const is = /^[0-9a-f]{64}$/.test(text) && text.length === 64
    for (const [name, isOne, fits] of named) must(isOne(text) === is && fits(text) === is, name)
    if (Hash.is(text)) must(Hash.fromBytes(Hash.toBytes(text)) === text, "P8: a hash reads back as another")
    must(Bytes.isHex(text) === (/^([0-9a-f]{2})*$/i.test(text) && text.length % 2 === 0), "Bytes.isHex")
    if (Bytes.isHex(text)) must(Bytes.toHex(Bytes.fromHex(text)) === text.toLowerCase(), "Bytes.fromHex")
    const key = SigningKey.fromHex(text)
    must(Either.isRight(key) === (Bytes.isHex(text) && text.length === 64), "SigningKey.fromHex")
    if (Either.isLeft(key) && text.length > 20) must(!JSON.stringify(key.left).includes(text), "a key is told")
    must(Topic.is(Topic.named(crypto, text)), "Topic.named")
    const moment = Moment.parse(text)
    if (Option.isSome(moment)) {
      must(
        Number.isSafeInteger(moment.value) && !Number.isNaN(new Date(moment.value).getTime()),
        "Moment.parse: no time"
      )
      must(
        text.includes(String(new Date(moment.value).getUTCFullYear()).padStart(4, "0").slice(0, 3)) ||
          /[+-]/.test(text),
        "Moment.parse"
      )
    }
    return { verdict: `${is} ${Either.isRight(key)} ${Option.isSome(moment)} ${Bytes.isHex(text)}`, broken }
  })
})

class Told extends Schema.TaggedError<Told>()("Told", { text: Schema.String, bytes: Schema.Uint8ArrayFromSelf }) {
  override get message() {
    return `Told: ${this.text}`
  }
}

/** Errors are stored as text and read back, whatever they hold; text that was not stored by us is kept as it is. */
const reasons: Target = {
  name: "reasons",
  originals: [
    '{"tag":"A","message":"b","data":{"c":[1]}}',
    '{"tag":"A"}',
    "[]",
    '"',
    "null",
    "",
    '{"tag":1,"message":{},"data":0}'
  ].map((text) => encoder.encode(text)),
  attempt: eachText((text, bytes) => {
    const { broken, must } = checking()
    const read = Rejection.decode(text)
    must(typeof read.tag === "string" && typeof read.message === "string", "P3: a reason is no text")
    must(read.tag !== "Unknown" || read.message === text || text.includes("Unknown"), "P3: a reason is hidden")
    const stored = Rejection.encode(new Told({ text, bytes }))
    must(isDeepStrictEqual(Rejection.encode(new Told({ text, bytes })), stored), "P6: two texts of one error")
    const again = Rejection.decode(stored)
    must(again.tag === "Told" && again.message === `Told: ${text}`, "P3: an error is stored as another")
    for (const odd of [text, { _tag: text, text }, { _tag: 5, [text]: bytes }, [text], new Error(text), nested(text)]) {
      const found = Rejection.decode(Rejection.encode(odd))
      must(typeof found.message === "string" && found.tag !== "Unknown", `P3: ${kind(odd)} is not stored as an error`)
    }
    return { verdict: `${read.tag === "Unknown"} ${Math.min(text.length >> 6, 8)}`, broken }
  })
}

const nested = (text: string): unknown => Array.from({ length: 50 }).reduce<unknown>((inner) => ({ inner }), text)

/** All of them. */
export const targets = (native: Crypto.Service, portable: Crypto.Service): ReadonlyArray<Target> => [
  header(native, portable),
  extensions(native),
  cbor,
  sequence(native),
  names(native),
  reasons
]
