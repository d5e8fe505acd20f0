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
import type * as Witness from "../../store/Witness.ts"
import { MustWait, type Superseded } from "../Errors.ts"
import { PublishedUnwitnessed, type Unsafe, type WitnessFailed } from "../OwnErrors.ts"
import * as Live from "./live.ts"
import * as Own from "./own.ts"
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

/**
 * Why an operation of our own cannot be made, whatever the pipeline says. After {@link PublishedUnwitnessed}, and only after that,
 * it was made.
 */
export type PublishError =
  | InvalidHeader
  | Extensions.InvalidExtensions
  | MustWait
  | Unsafe
  | WitnessFailed
  | PublishedUnwitnessed

export const publish = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  crypto: Crypto.Service,
  work: Work<X, E, R>,
  draft: Draft<A>
): Effect.Effect<Published, E | Rejection.BuiltIn | PublishError | SqlError | Superseded, SqlClient | R> =>
  Effect.gen(function* () {
    const body = draft.message === undefined ? undefined : yield* setup.application.encode(draft.message)
    const note = noting(setup.witness, logOf(crypto, draft))
    // On the disk before anybody sees it, here and at the witness: a place in our log must never be given twice.
    const published = yield* Live.run(
      setup,
      (standing) => Effect.tap(append(setup, crypto, draft, body, standing), note.is),
      {
        durable: true,
        committed: note.down
      }
    )
    yield* work.announce([Outcome.accepted(published.id, published.position)])
    yield* work.signal
    const error = note.failed()
    if (error === undefined) return published
    const { id, position, seqNum } = published
    return yield* new PublishedUnwitnessed({ id, seqNum, position, error })
  }).pipe(Effect.catchIf(isGuilt, (guilt) => Effect.fail(blame(guilt))))

// internal

/** Tells the witness of what is committed, before anybody else sees it. */
const noting = (witness: Witness.Service | undefined, log: Log.Key) => {
  let place: Witness.Place | undefined
  let failed: WitnessFailed | undefined
  return {
    is: ({ id, seqNum }: Published) => Effect.sync(() => void (place = { id, seqNum })),
    down: Effect.suspend(() => {
      if (witness === undefined || place === undefined) return Effect.void
      return Effect.catchAll(witness.write({ _tag: "Published", log, place }), (error) =>
        Effect.sync(() => void (failed = error))
      )
    }),
    failed: () => failed
  }
}

const append = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  crypto: Crypto.Service,
  draft: Draft<A>,
  body: Uint8Array | undefined,
  { last, waits }: Consumers.Standing
) =>
  Effect.gen(function* () {
    const batch = yield* Batch.open(setup, last, "alone")
    const begun = yield* begin(crypto, draft, body)
    const safe = yield* Own.enter(setup.witness, begun)
    const event = yield* sign(setup, crypto, draft.key, yield* batch.complete(begun))
    const decided = yield* watched(setup.application, batch.handlingSince, batch.process(event))
    if (decided._tag === "Rejected") return yield* Effect.fail(decided.error)
    if (decided._tag === "Deferred") {
      return yield* new MustWait({ processor: decided.processor, until: decided.until })
    }
    yield* Consumers.acknowledge(yield* batch.finish)
    if (waits) yield* Settle.wakeLater(event, undefined)
    yield* safe.begin
    const { id, operation } = event
    return { id, seqNum: operation.header.seqNum, position: decided.position, operation }
  })

const logOf = <A>(crypto: Crypto.Service, { key, topic }: Draft<A>): Log.Key =>
  Log.key(crypto.verifyingKey(key), Topic.logId(crypto, topic))

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
