/**
 * An operation on its way through the pipeline. Each processor may add to it; what it carries in the end is in its type.
 */
import type * as Extensions from "../core/Extensions.ts"
import type { Hash } from "../core/Hash.ts"
import * as Log from "../core/Log.ts"
import type { LogId } from "../core/LogId.ts"
import type * as Operation from "../core/Operation.ts"
import type { Topic } from "../core/Topic.ts"
import type { VerifyingKey } from "../core/VerifyingKey.ts"

/** What every operation carries before the first processor has seen it. `X`: what its extensions were read as. */
export interface Event<out X extends Extensions.Fields = Extensions.Fields> {
  readonly id: Hash
  /** Who signed it. */
  readonly author: VerifyingKey
  readonly operation: Operation.Operation
  readonly extensions: X
  /** The log that the operation belongs to. */
  readonly log: Log.Key
  /** What the application reads: the body, unless a processor put something else there (a decrypted text). */
  readonly payload: Uint8Array | undefined
  /** The topic it came under, where the sender said so. */
  readonly topic: Topic | undefined
  /** Who handed it over, in the words of whoever received it. */
  readonly source: string | undefined
  /** When it was received, in milliseconds since the epoch. */
  readonly receivedAt: number
  /**
   * When it is being decided, in milliseconds since the epoch; if it is accepted, the time of its acceptance. The only time
   * that a decision may depend on.
   */
  readonly decidedAt: number
  /**
   * Whether whoever reads it was handed it before, by this version or an earlier one. It is then read back from the store, as
   * is what a consumer is handed: `source` is not known any more, and `receivedAt` is the time of its acceptance.
   */
  readonly replay: boolean
}

/** Where an operation came from. */
export interface Origin {
  readonly topic: Topic | undefined
  readonly source: string | undefined
  readonly receivedAt: number
}

/** The event of an operation that was received. */
export const make = <X extends Extensions.Fields>(
  operation: Operation.Operation,
  extensions: X,
  origin: Origin
): Event<X> => build(operation, extensions, origin, false)

const build = <X extends Extensions.Fields>(
  operation: Operation.Operation,
  extensions: X,
  origin: Origin,
  replay: boolean
): Event<X> => ({
  id: operation.id,
  author: operation.header.verifyingKey,
  operation,
  extensions,
  log: Log.key(operation.header.verifyingKey, extensions.logId),
  payload: operation.body,
  topic: origin.topic,
  source: origin.source,
  receivedAt: origin.receivedAt,
  decidedAt: origin.receivedAt,
  replay
})

/** The event of an operation that was accepted at a time and is handed over again; `replay`: not for the first time. */
export const again = <X extends Extensions.Fields>(
  operation: Operation.Operation,
  extensions: X,
  { acceptedAt, topic }: { readonly acceptedAt: number; readonly topic: Topic | undefined },
  replay: boolean
): Event<X> => build(operation, extensions, { topic, source: undefined, receivedAt: acceptedAt }, replay)

/** The same event without its body: it was deleted, and is not there for anybody. */
export const withoutBody = <E extends Event>(event: E): E => ({
  ...event,
  operation: { ...event.operation, body: undefined },
  payload: undefined
})

/** Whether there is a body that is not here: it was deleted, or the operation was skipped. */
export const lacksBody = ({ operation: { body, header } }: Event): boolean =>
  header.payloadSize > 0 && body === undefined

/** What a log needs to know of an event to give it its place. */
export const claim = (event: Event): Log.Claim => ({
  seqNum: event.operation.header.seqNum,
  backlink: event.operation.header.backlink,
  prune: event.extensions.prune
})

/**
 * An operation of our own before it is signed. It begins with what the author said; the processors complete it: the
 * place in the log, tips, flags, a sealed payload.
 */
export interface Draft {
  readonly author: VerifyingKey
  readonly topic: Topic
  readonly logId: LogId
  readonly log: Log.Key
  readonly seqNum: number
  readonly backlink: Hash | undefined
  readonly timestamp: bigint
  readonly prune: boolean
  /** The operations it comes after; `undefined` where the author left that to the processors. */
  readonly previous: ReadonlyArray<Hash> | undefined
  /** The operations whose bodies are to be forgotten. */
  readonly deletes: ReadonlyArray<Hash>
  readonly body: Uint8Array | undefined
}
