/**
 * Operations with exactly one flaw. All else about them is right: where the flaw is not in the signature itself, they are signed
 * again, so that nothing but the flaw can be what they are refused for. Each says with what it must be refused.
 *
 * @example
 * FastCheck.asyncProperty(Flaws.arbitrary(crypto), ({ before, expected, raw }) =>
 *   Effect.gen(function* () {
 *     yield* controller.processAll(before.map(Operation.raw))
 *     const [answer] = yield* controller.processAll([raw])
 *     assert.isTrue(Flaws.isAsExpected(expected, answer))
 *   }).pipe(Effect.provide(database), Effect.runPromise))
 */
import * as FastCheck from "effect/FastCheck"
import * as Predicate from "effect/Predicate"
import * as Bytes from "../core/Bytes.ts"
import type * as Crypto from "../core/Crypto.ts"
import * as Hash from "../core/Hash.ts"
import type * as Header from "../core/Header.ts"
import * as CborHead from "../core/internal/CborHead.ts"
import type * as Operation from "../core/Operation.ts"
import type { SigningKey } from "../core/SigningKey.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as History from "./History.ts"

/** With what an operation must be refused: the error, and its reason where it has one. */
export interface Expected {
  readonly _tag: string
  readonly reason?: string | undefined
}

/** What is made of the operation; parts of its header are CBOR items. */
interface Parts {
  readonly version: Uint8Array
  readonly key: Uint8Array
  readonly size: Uint8Array
  readonly hash: Uint8Array | undefined
  readonly seqNum: Uint8Array
  readonly backlink: Uint8Array | undefined
  readonly extensions: Uint8Array | undefined
  /** What comes behind all that, where nothing may come. */
  readonly surplus?: Uint8Array
}

const headerError = (reason: string): Expected => ({ _tag: "InvalidHeader", reason })
const payloadError: Expected = { _tag: "InvalidPayload", reason: "PayloadMismatch" }
const extensionsError = (reason: string): Expected => ({ _tag: "InvalidExtensions", reason })

/** The flaws that there are, and what each is refused with. */
export const expected = {
  /** A bit of the signature is another. */
  signature: headerError("InvalidSignature"),
  /** It names somebody else as its author. */
  author: headerError("InvalidSignature"),
  /** Its key is no point of the curve. */
  key: headerError("InvalidVerifyingKey"),
  /** A bit of the body is another. */
  body: payloadError,
  /** The size of the body is not as it is said. */
  size: payloadError,
  /** The hash of the body is not as it is said. */
  hash: payloadError,
  /** It is of a version that does not exist. */
  version: headerError("UnsupportedVersion"),
  /** Its sequence number is a text. */
  type: headerError("UnexpectedFieldType"),
  /** Its sequence number has a tag. */
  tag: headerError("TaggedField"),
  /** There is an element too many. */
  surplus: headerError("ExcessiveFields"),
  /** Its sequence number takes more bytes than it needs. */
  form: headerError("DecodingHeader"),
  /** Its last byte is missing. */
  cut: headerError("DecodingHeader"),
  /** It has no extensions. */
  bare: extensionsError("MissingExtensions"),
  /** Its extensions are a text. */
  extensions: extensionsError("DecodingExtensions"),
  /** It comes after another one than the one before it in its log. */
  backlink: { _tag: "Fork" } as Expected,
  /** Its sequence number is one too large. */
  seqNum: { _tag: "NothingToWaitFor" } as Expected
} satisfies Record<string, Expected>

/** What is wrong with an operation. */
export type Flaw = keyof typeof expected

/** An operation with a flaw. */
export interface Flawed {
  readonly flaw: Flaw
  readonly expected: Expected
  readonly raw: Operation.Raw
  /** The same without the flaw. */
  readonly sound: Operation.Operation
  /** What comes before it. */
  readonly before: ReadonlyArray<Operation.Operation>
}

/** Makes an operation that was signed with `key` and has a body and extensions flawed. `at`: which bit or byte, where that is open. */
export const make = (
  crypto: Crypto.Service,
  key: SigningKey,
  { body = new Uint8Array(), header, headerBytes }: Operation.Operation,
  flaw: Flaw,
  at: number
): Operation.Raw => {
  const parts = partsOf(header)
  const sealed = (changed: Partial<Parts>) => ({ header: seal(crypto, key, { ...parts, ...changed }), body })
  switch (flaw) {
    case "signature":
      return { header: flipped(headerBytes, signatureStart * 8 + (at % 512)), body }
    case "author":
      return sealed({ key: CborHead.bytes(VerifyingKey.toBytes(crypto.verifyingKey(History.signingKey(200)))) })
    case "key":
      return sealed({ key: CborHead.bytes(noPoint(crypto)) })
    case "body":
      return { header: headerBytes, body: flipped(body, at % (body.length * 8)) }
    case "size":
      return sealed({ size: CborHead.unsigned(header.payloadSize + 1) })
    case "hash":
      return sealed({ hash: CborHead.bytes(flipped(crypto.hash(body), at % 256)) })
    case "version":
      return sealed({ version: CborHead.unsigned(2) })
    case "type":
      return sealed({ seqNum: CborHead.text("0") })
    case "tag":
      return sealed({ seqNum: Bytes.concat([CborHead.head(6, 1), parts.seqNum]) })
    case "surplus":
      return sealed({ surplus: CborHead.unsigned(0) })
    case "form":
      return sealed({ seqNum: Uint8Array.of(0x1a, 0, 0, 0, header.seqNum) })
    case "cut":
      return { header: headerBytes.slice(0, -1), body }
    case "bare":
      return sealed({ extensions: undefined })
    case "extensions":
      return sealed({ extensions: CborHead.text("none") })
    case "backlink":
      return sealed({ backlink: CborHead.bytes(flipped(header.backlink ?? crypto.hash(body), at % 256)) })
    case "seqNum":
      return sealed({ seqNum: CborHead.unsigned(header.seqNum + 1) })
  }
}

/** Operations of small histories with one flaw each, after what comes before them. They shrink to smaller histories. */
export const arbitrary = (
  crypto: Crypto.Service,
  flaws: ReadonlyArray<Flaw> = Object.keys(expected).filter(isFlaw)
): FastCheck.Arbitrary<Flawed> =>
  FastCheck.record({
    history: History.arbitrary(crypto, {
      most: 6,
      authors: 2,
      kinds: ["say"],
      body: FastCheck.uint8Array({ minLength: 1, maxLength: 12 })
    }),
    which: FastCheck.nat(),
    flaw: FastCheck.constantFrom(...flaws),
    at: FastCheck.nat()
  }).map(({ at, flaw, history: { entries, operations }, which }) => {
    const place = which % entries.length
    const entry = entries[place]
    if (entry === undefined) throw new RangeError("A history has at least one operation")
    const sound = entry.operation
    // What comes first in its log has no place that could be wrong.
    const fits = sound.header.seqNum > 0 || (flaw !== "backlink" && flaw !== "seqNum") ? flaw : "signature"
    const raw = make(crypto, History.signingKey(entry.author), sound, fits, at)
    return { flaw: fits, expected: expected[fits], raw, sound, before: operations.slice(0, place) }
  })

/** Whether an answer of a controller, or an error, is what a flaw must be refused with. */
export const isAsExpected = ({ _tag, reason }: Expected, answer: unknown): boolean => {
  const error = Predicate.isTagged(answer, "Rejected") && "error" in answer ? answer.error : answer
  if (!Predicate.isTagged(error, _tag)) return false
  return reason === undefined || ("reason" in error && error.reason === reason)
}

// internal

const isFlaw = (name: string): name is Flaw => name in expected

/** Where the 64 bytes begin: behind the array's head, the version, the key and two bytes of their own. */
const signatureStart = 38

const partsOf = (header: Header.Header): Parts => ({
  version: CborHead.unsigned(header.version),
  key: CborHead.bytes(VerifyingKey.toBytes(header.verifyingKey)),
  size: CborHead.unsigned(header.payloadSize),
  hash: header.payloadHash && CborHead.bytes(Hash.toBytes(header.payloadHash)),
  seqNum: CborHead.unsigned(header.seqNum),
  backlink: header.backlink && CborHead.bytes(Hash.toBytes(header.backlink)),
  extensions: header.extensions
})

/** The header of these parts, signed. */
const seal = (crypto: Crypto.Service, key: SigningKey, parts: Parts): Uint8Array => {
  const front = [parts.version, parts.key]
  const back = [parts.size, parts.hash, parts.seqNum, parts.backlink, parts.extensions, parts.surplus].filter(
    Predicate.isNotUndefined
  )
  const head = (more: number) => CborHead.head(4, front.length + back.length + more)
  const signature = crypto.sign(key, Bytes.concat([head(0), ...front, ...back]))
  return Bytes.concat([head(1), ...front, CborHead.bytes(signature), ...back])
}

const flipped = (bytes: Uint8Array | Hash.Hash, bit: number): Uint8Array => {
  const made = typeof bytes === "string" ? Hash.toBytes(bytes) : bytes.slice()
  made[bit >> 3] = (made[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return made
}

const noPoint = (crypto: Crypto.Service): Uint8Array => {
  const bytes = new Uint8Array(32).fill(1)
  for (let first = 0; first < 256; first++) {
    bytes[0] = first
    if (!crypto.isPoint(bytes)) return bytes
  }
  throw new RangeError("One of 256 keys is no point of the curve")
}
