/** What can be asked of the consumers, carried out. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Store from "../../store/Consumers.ts"
import * as Deliveries from "../../store/Deliveries.ts"
import * as Replays from "../../store/Replays.ts"
import * as Transaction from "../../store/Transaction.ts"
import type { Consumers, Parked, Status } from "../Consumers.ts"
import { CannotRebuild, UnknownConsumer, type InsideTransaction } from "../Errors.ts"
import type { Progress } from "../Progress.ts"
import * as Asked from "./asked.ts"
import type { Backlog } from "./backlog.ts"
import type { Rates } from "./rates.ts"
import type { Setup } from "./setup.ts"
import { turn } from "../../store/internal/turn.ts"

/** What the rest of the controller lends. */
export interface Around<R> {
  readonly crypto: Crypto.Service
  readonly backlog: Backlog<R>
  readonly rates: Rates
  readonly signal: Effect.Effect<void>
  readonly progress: Stream.Stream<Progress>
  /** Runs a call with the controller's services, unless it comes from inside a transaction. */
  readonly guarded: <B, Err>(
    call: string,
    self: Effect.Effect<B, Err, SqlClient | R>
  ) => Effect.Effect<B, Err | SqlError | InsideTransaction>
  /** Likewise a call that only reads, wherever it comes from. */
  readonly provide: <B, Err>(self: Effect.Effect<B, Err, SqlClient | R>) => Effect.Effect<B, Err | SqlError>
}

export const make = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  { backlog, crypto, guarded, progress, provide, rates, signal }: Around<R>
): Consumers => {
  const run = <B, Err, R2>(self: Effect.Effect<B, Err, R2>) => Transaction.run(self, { busyLimit: setup.busyLimit })
  /** Records what is asked for, and says that there is something to do. */
  const ask = <B, Err, R2>(self: Effect.Effect<B, Err, R2>) => Effect.zipLeft(run(self), signal)

  const resettable = (name: string): boolean =>
    [
      setup.application,
      ...setup.consumers,
      ...setup.pipeline.processors.map((one) => ({ ...one, name: Store.processorName(one.name) }))
    ].some((one) => one.name === name && one.reset !== undefined)

  return {
    status: provide(Effect.flatMap(Clock.currentTimeMillis, (now) => status(rates, now))),
    progress,
    pause: (name) => guarded("pause", ask(Asked.pause(name, true))),
    resume: (name) => guarded("resume", ask(Asked.pause(name, false))),
    remove: (name) => guarded("remove", run(Asked.remove(name))),
    parked: (name, { after = 0, limit = 20 } = {}) =>
      provide(
        Effect.flatMap(Asked.named(name), ({ consumer }) =>
          Effect.map(Deliveries.parked(consumer, after, limit), (all) => all.map(parked))
        )
      ),
    retry: (name, positions) => guarded("retry", ask(Asked.retry(name, positions))),
    rebuild: (name) =>
      guarded(
        "rebuild",
        Effect.gen(function* () {
          yield* Asked.named(name, "application", "processor", "reader")
          if (!resettable(name)) return yield* new CannotRebuild({ name })
          yield* ask(Store.rebuild(name))
        })
      ),
    plan: (replay) =>
      guarded(
        "plan",
        Effect.flatMap(Asked.job(crypto, replay), ({ job }) => Replays.plan(setup.codec, job, () => turn))
      ),
    replay: (replay) =>
      guarded(
        "replay",
        Effect.gen(function* () {
          const { number } = yield* run(Asked.replay(crypto, replay))
          while (yield* backlog.replay(number)) yield* turn
          return yield* found(replay.consumer, number)
        })
      ),
    replays: provide(Replays.running),
    cancel: (replay) => guarded("cancel", run(Replays.cancel(replay)))
  }
}

// internal

const status = (rates: Rates, now: number): Effect.Effect<ReadonlyArray<Status>, SqlError, SqlClient> =>
  Effect.map(Store.status, (all) => all.map((one) => ({ ...one, perSecond: rates.of(one.name, now) })))

const parked = ({ reason, ...rest }: Deliveries.Parked): Parked => ({ ...rest, reason: Rejection.decode(reason) })

/** How a replay has ended. It is gone only with its consumer. */
const found = (name: string, number: number): Effect.Effect<Replays.Replay, SqlError | UnknownConsumer, SqlClient> =>
  Effect.gen(function* () {
    const replay = yield* Replays.find(number)
    if (replay !== undefined) return replay
    return yield* new UnknownConsumer({ name, wanted: [], known: (yield* Store.all).map((one) => one.name) })
  })
