/** Publishing: an operation of our own is built, signed, processed and appended in one transaction. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import type { InvalidHeader } from "../../core/Header.ts"
import * as Log from "../../core/Log.ts"
import * as Operation from "../../core/Operation.ts"
import type { SigningKey } from "../../core/SigningKey.ts"
import * as Topic from "../../core/Topic.ts"
import * as Batch from "../../pipeline/Batch.ts"
import * as Event from "../../pipeline/Event.ts"
import * as Outcome from "../../pipeline/Outcome.ts"
import type * as Rejection from "../../pipeline/Rejection.ts"
import * as Consumers from "../../store/Consumers.ts"
import { MustWait, type Superseded } from "../Errors.ts"
import * as Live from "./live.ts"
import { blame, isGuilt, watched } from "./guilt.ts"
import type { Setup } from "./setup.ts"
import * as Settle from "./settle.ts"
import type { Work } from "./work.ts"

/** An operation of our own to be published. */
export interface Draft<out Message> {
  /** Who says it. */
  readonly key: SigningKey
  /** The topic it belongs to; with p2panda's node extensions it names the log. */
  readonly topic: Topic.Topic
  /** Encoded as the body; none makes an operation without a body. */
  readonly message?: Message | undefined
  /** Whether it makes everything before it in its log unnecessary. Default: no. */
  readonly prune?: boolean | undefined
  /** The operations that it comes after. Default: what the processors say, and without them none. */
  readonly previous?: ReadonlyArray<Hash> | undefined
  /** The operations whose bodies it deletes: it is their tombstone. Default: none. */
  readonly deletes?: ReadonlyArray<Hash> | undefined
}

/** An operation of our own that was published. */
export interface Published {
  readonly id: Hash
  readonly seqNum: number
  readonly position: number
  readonly operation: Operation.Operation
}

/** Why an operation of our own cannot be made, whatever the pipeline says. */
export type PublishError = InvalidHeader | Extensions.InvalidExtensions | MustWait

export const publish = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  crypto: Crypto.Service,
  work: Work<X, E, R>,
  draft: Draft<A>
): Effect.Effect<Published, E | Rejection.BuiltIn | PublishError | SqlError | Superseded, SqlClient | R> =>
  Effect.gen(function* () {
    const body = draft.message === undefined ? undefined : yield* setup.application.encode(draft.message)
    // On the disk before anybody sees it: a place in our log must never be given twice.
    const published = yield* Live.run(setup, append(setup, crypto, draft, body), { durable: true })
    yield* work.announce([Outcome.accepted(published.id, published.position)])
    yield* work.signal
    return published
  }).pipe(Effect.catchIf(isGuilt, (guilt) => Effect.fail(blame(guilt))))

// internal

const append = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  crypto: Crypto.Service,
  draft: Draft<A>,
  body: Uint8Array | undefined
) =>
  Effect.gen(function* () {
    const batch = yield* Batch.open(setup)
    const event = yield* sign(setup, crypto, draft.key, yield* batch.complete(yield* begin(crypto, draft, body)))
    const decided = yield* watched(setup.application, batch.handlingSince, batch.process(event))
    if (decided._tag === "Rejected") return yield* Effect.fail(decided.error)
    if (decided._tag === "Deferred") {
      return yield* new MustWait({ processor: decided.processor, until: decided.until })
    }
    yield* Consumers.acknowledge(yield* batch.finish)
    yield* Settle.wakeLater(event, undefined)
    const { id, operation } = event
    return { id, seqNum: operation.header.seqNum, position: decided.position, operation }
  })

const begin = <A>(crypto: Crypto.Service, draft: Draft<A>, body: Uint8Array | undefined): Effect.Effect<Event.Draft> =>
  Effect.map(Clock.currentTimeMillis, (now) => {
    const author = crypto.verifyingKey(draft.key)
    const logId = Topic.logId(crypto, draft.topic)
    return {
      author,
      topic: draft.topic,
      logId,
      log: Log.key(author, logId),
      seqNum: 0,
      backlink: undefined,
      timestamp: BigInt(now) * 1000n,
      prune: draft.prune ?? false,
      previous: draft.previous,
      deletes: draft.deletes ?? [],
      body
    }
  })

const sign = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  crypto: Crypto.Service,
  key: SigningKey,
  draft: Event.Draft
): Effect.Effect<Event.Event<X>, InvalidHeader | Extensions.InvalidExtensions> =>
  Effect.gen(function* () {
    const extensions = setup.codec.draft({ ...draft, previous: draft.previous ?? [] })
    const bytes = yield* setup.codec.encode(extensions)
    const operation = yield* Operation.signWith(crypto)(key, { ...draft, extensions: bytes })
    const receivedAt = yield* Clock.currentTimeMillis
    return Event.make(operation, extensions, { topic: draft.topic, source: undefined, receivedAt })
  })
