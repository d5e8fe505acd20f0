/**
 * An operation: a signed header and, if it was not deleted or withheld, its body.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Crypto from "./Crypto.ts"
import * as Hash from "./Hash.ts"
import * as Header from "./Header.ts"
import type { SigningKey } from "./SigningKey.ts"

/** An operation as it is stored and sent: the header's bytes and the body's. No body is `undefined`, never an empty one. */
export interface Raw {
  readonly header: Uint8Array
  readonly body: Uint8Array | undefined
}

/** An operation that was read. Its bytes are those of the `Raw` it came from and must not be changed. */
export interface Operation {
  /** BLAKE3 of `headerBytes`. */
  readonly id: Hash.Hash
  readonly header: Header.Header
  readonly headerBytes: Uint8Array
  /** `undefined` is valid for every header: the body may have been deleted, or not been handed over. */
  readonly body: Uint8Array | undefined
}

/** The body is not the one that the author signed for (p2panda's `validate_operation`). Sizes in bytes. */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>()("InvalidPayload", {
  reason: Schema.Literal("PayloadMismatch"),
  expectedSize: Schema.Number,
  expectedHash: Schema.optional(Hash.Schema),
  foundSize: Schema.Number,
  /** Not there when the sizes differ already. */
  foundHash: Schema.optional(Hash.Schema)
}) {
  override get message() {
    const found = this.foundHash === undefined ? `${this.foundSize} bytes` : `the hash ${Hash.short(this.foundHash)}`
    return `The body is not the one of its header (${this.reason}): ${found} instead of ${this.expectedSize} bytes with the hash ${this.expectedHash === undefined ? "of no body" : Hash.short(this.expectedHash)}. Ask another peer for it.`
  }
}

/** Reads an operation and checks everything that needs no log: header, signature, size and hash of the body. */
export const decodeWith =
  (crypto: Crypto.Service) =>
  (raw: Raw): Either.Either<Operation, Header.InvalidHeader | InvalidPayload> =>
    Either.flatMap(Header.decode(crypto, raw.header), (header) => withHeader(crypto)(raw, header))

/** The rest of `decodeWith` for a header whose signature was checked elsewhere: id, size and hash of the body. */
export const withHeader =
  (crypto: Crypto.Service) =>
  (raw: Raw, header: Header.Header): Either.Either<Operation, InvalidPayload> =>
    Either.map(checkBody(crypto, header, raw.body), () => make(crypto.hash(raw.header), header, raw))

/** Whether a body is the one of its header; that there is none is right for every header. */
export const checkBody = (
  crypto: Crypto.Service,
  header: Header.Header,
  body: Uint8Array | undefined
): Either.Either<void, InvalidPayload> => {
  const wrong = body === undefined ? undefined : mismatch(crypto, header, body)
  return wrong === undefined ? Either.void : Either.left(wrong)
}

/** `decodeWith`, with the `Crypto` of the context. */
export const decode = (raw: Raw): Effect.Effect<Operation, Header.InvalidHeader | InvalidPayload, Crypto.Crypto> =>
  Effect.flatMap(Crypto.Crypto, (crypto) => decodeWith(crypto)(raw))

/**
 * An operation from our own store, where only checked ones are: no signature and no hash is checked, `id` is believed.
 * Never for bytes from outside.
 */
export const trusted = (id: Hash.Hash, raw: Raw): Either.Either<Operation, Header.InvalidHeader> =>
  Either.map(Header.parse(raw.header), (header) => make(id, header, raw))

/** What an own operation says. */
export interface Draft {
  readonly seqNum: number
  readonly backlink: Hash.Hash | undefined
  /** One canonical CBOR item, from an `Extensions.Codec`. */
  readonly extensions: Uint8Array | undefined
  /** An empty body is no body, as in p2panda's builder. */
  readonly body: Uint8Array | undefined
}

/** Makes and signs an operation. Fails where `decode` would: a contradiction, or extensions beyond the limits. */
export const signWith =
  (crypto: Crypto.Service) =>
  (key: SigningKey, draft: Draft): Either.Either<Operation, Header.InvalidHeader> => {
    const body = draft.body === undefined || draft.body.length === 0 ? undefined : draft.body
    const fields = {
      payloadSize: body === undefined ? 0 : body.length,
      payloadHash: body === undefined ? undefined : crypto.hash(body),
      seqNum: draft.seqNum,
      backlink: draft.backlink,
      extensions: draft.extensions
    }
    return Either.flatMap(Header.build(crypto, key, fields), (header) => trusted(crypto.hash(header), { header, body }))
  }

/** What a peer is sent and a file holds. */
export const raw = (operation: Operation): Raw => ({ header: operation.headerBytes, body: operation.body })

// internal

const make = (id: Hash.Hash, header: Header.Header, raw: Raw): Operation => ({
  id,
  header,
  headerBytes: raw.header,
  body: raw.body
})

/** The size first: it costs nothing, and a hash over megabytes does. */
const mismatch = (crypto: Crypto.Service, header: Header.Header, body: Uint8Array): InvalidPayload | undefined => {
  const expected = {
    reason: "PayloadMismatch" as const,
    expectedSize: header.payloadSize,
    expectedHash: header.payloadHash,
    foundSize: body.length
  }
  if (body.length !== header.payloadSize) return new InvalidPayload(expected)
  // an empty body where there is none has the right size, and is a mismatch all the same: no hash is no hash
  const foundHash = crypto.hash(body)
  return foundHash === header.payloadHash ? undefined : new InvalidPayload({ ...expected, foundHash })
}
