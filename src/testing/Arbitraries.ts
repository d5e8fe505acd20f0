/**
 * Arbitraries of what operations are made of: keys, hashes, topics, and operations that are valid by construction, in either format.
 * Whole logs, and graphs of several authors who know of each other, are histories: see `History`.
 *
 * @example
 * FastCheck.property(Arbitraries.operation(crypto), (operation) =>
 *   Either.isRight(Operation.decodeWith(crypto)(Operation.raw(operation))))
 */
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import type * as Crypto from "../core/Crypto.ts"
import * as Extensions from "../core/Extensions.ts"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as NodeExtensions from "../core/NodeExtensions.ts"
import * as OpenExtensions from "../core/OpenExtensions.ts"
import * as Operation from "../core/Operation.ts"
import * as SigningKey from "../core/SigningKey.ts"
import * as Topic from "../core/Topic.ts"
import type { VerifyingKey } from "../core/VerifyingKey.ts"

/** 32 bytes. */
export const bytes32 = FastCheck.uint8Array({ minLength: 32, maxLength: 32 })

/** Hashes of something. */
export const hash: FastCheck.Arbitrary<Hash.Hash> = bytes32.map(Hash.fromBytes)

/** Topics. */
export const topic: FastCheck.Arbitrary<Topic.Topic> = bytes32.map(Topic.fromBytes)

/** Log ids. */
export const logId: FastCheck.Arbitrary<LogId.LogId> = bytes32.map(LogId.fromBytes)

/** Signing keys: any 32 bytes are one. */
export const signingKey: FastCheck.Arbitrary<SigningKey.SigningKey> = bytes32.map((bytes) =>
  Either.getOrThrow(SigningKey.fromBytes(bytes))
)

/** Verifying keys that somebody can sign for. */
export const verifyingKey = (crypto: Crypto.Service): FastCheck.Arbitrary<VerifyingKey> =>
  signingKey.map(crypto.verifyingKey)

/** What an author says in the extensions, for a format that has room for it. */
export const extensions: FastCheck.Arbitrary<Extensions.Any> = FastCheck.record({
  logId,
  timestamp: FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  prune: FastCheck.boolean(),
  previous: FastCheck.uniqueArray(hash, { maxLength: 3 }),
  deletes: FastCheck.uniqueArray(hash, { maxLength: 3 }),
  open: FastCheck.boolean()
}).map(({ deletes, open, previous, ...rest }) =>
  open ? OpenExtensions.draft({ ...rest, previous, deletes }) : NodeExtensions.draft(rest)
)

/** What operations consist of. */
export interface Options {
  /** Default: any key. */
  readonly key?: FastCheck.Arbitrary<SigningKey.SigningKey> | undefined
  /** Default: either format. */
  readonly extensions?: FastCheck.Arbitrary<Extensions.Any> | undefined
  /** Default: up to 64 bytes, or none. */
  readonly body?: FastCheck.Arbitrary<Uint8Array | undefined> | undefined
}

/** Valid operations, each for itself: the first of a log, or one whose predecessor is nowhere. */
export const operation = (crypto: Crypto.Service, options: Options = {}): FastCheck.Arbitrary<Operation.Operation> =>
  FastCheck.record({
    key: options.key ?? signingKey,
    said: options.extensions ?? extensions,
    body: options.body ?? FastCheck.option(FastCheck.uint8Array({ maxLength: 64 }), { nil: undefined }),
    before: FastCheck.option(FastCheck.record({ id: hash, seqNum: FastCheck.nat({ max: 0xffff_fffe }) }), {
      nil: undefined
    })
  }).map(({ before, body, key, said }) =>
    Either.getOrThrow(
      Operation.signWith(crypto)(key, {
        seqNum: before === undefined ? 0 : before.seqNum + 1,
        backlink: before?.id,
        extensions: Either.getOrThrow(Extensions.any.encode(said)),
        body
      })
    )
  )
