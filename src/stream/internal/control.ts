/** What can be asked of the consumers, carried out. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import * as Header from "../../core/Header.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Store from "../../store/Consumers.ts"
import * as Deliveries from "../../store/Deliveries.ts"
import * as Filter from "../../store/Filter.ts"
import * as Replays from "../../store/Replays.ts"
import * as Transaction from "../../store/Transaction.ts"
import type { Consumers, Parked, Plan, Replay, Status } from "../Consumers.ts"
import { CannotRebuild, UnknownConsumer, type InsideTransaction } from "../Errors.ts"
import type { Progress } from "../Progress.ts"
import type { Backlog } from "./backlog.ts"
import type { Rates } from "./rates.ts"
import { meant } from "./readers.ts"
import type { Setup } from "./setup.ts"
import { turn } from "./turn.ts"

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
  ) => Effect.Effect<B, Err | InsideTransaction>
  /** Likewise a call that only reads, wherever it comes from. */
  readonly provide: <B, Err>(self: Effect.Effect<B, Err, SqlClient | R>) => Effect.Effect<B, Err>
}

export const make = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  { backlog, crypto, guarded, progress, provide, rates, signal }: Around<R>
): Consumers => {
  const run = <B, Err, R2>(self: Effect.Effect<B, Err, R2>) => Transaction.run(self, { busyLimit: setup.busyLimit })
  const paused = (name: string, isPaused: boolean) =>
    Effect.zipLeft(must(run(Store.pause(name, isPaused)), name, "reader", "puller"), signal)

  const resettable = (name: string): boolean =>
    [
      setup.application,
      ...setup.consumers,
      ...setup.pipeline.processors.map((one) => ({ ...one, name: Store.processorName(one.name) }))
    ].some((one) => one.name === name && one.reset !== undefined)

  const begin = (replay: Replay) =>
    Effect.gen(function* () {
      const { consumer, position } = yield* named(replay.consumer)
      return { consumer, job: job(crypto, replay, position) }
    })

  return {
    status: provide(Effect.flatMap(Clock.currentTimeMillis, (now) => status(rates, now))),
    progress,
    pause: (name) => guarded("pause", paused(name, true)),
    resume: (name) => guarded("resume", paused(name, false)),
    remove: (name) => guarded("remove", must(run(Store.remove(name)), name, "reader", "puller")),
    parked: (name, { after = 0, limit = 20 } = {}) =>
      provide(
        Effect.flatMap(named(name), ({ consumer }) =>
          Effect.map(Deliveries.parked(consumer, after, limit), (all) => all.map(parked))
        )
      ),
    retry: (name, positions) =>
      guarded(
        "retry",
        Effect.gen(function* () {
          const { consumer } = yield* named(name)
          const now = yield* Clock.currentTimeMillis
          return yield* Effect.zipLeft(run(Deliveries.retry(consumer, positions, now)), signal)
        })
      ),
    rebuild: (name) =>
      guarded(
        "rebuild",
        Effect.gen(function* () {
          yield* named(name)
          if (!resettable(name)) return yield* new CannotRebuild({ name })
          yield* must(run(Store.rebuild(name)), name, "application", "processor", "reader")
          yield* signal
        })
      ),
    plan: (replay) =>
      guarded(
        "plan",
        Effect.flatMap(begin(replay), (one) => plan(setup, one.job))
      ),
    replay: (replay) =>
      guarded(
        "replay",
        Effect.gen(function* () {
          const now = yield* Clock.currentTimeMillis
          const number = yield* run(
            Effect.flatMap(begin(replay), ({ consumer, job }) => Replays.begin(consumer, job.which, job, now))
          )
          while (yield* backlog.replay(number)) yield* turn
          return yield* found(number)
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

const named = (name: string): Effect.Effect<Store.Consumer, SqlError | UnknownConsumer, SqlClient> =>
  Effect.flatMap(Store.find(name), (consumer) =>
    consumer === undefined ? new UnknownConsumer({ name, wanted: Store.Role.literals }) : Effect.succeed(consumer)
  )

const must = <E, R>(
  self: Effect.Effect<boolean, E, R>,
  name: string,
  ...wanted: ReadonlyArray<Store.Role>
): Effect.Effect<void, E | UnknownConsumer, R> =>
  Effect.flatMap(self, (done) => (done ? Effect.void : new UnknownConsumer({ name, wanted })))

/** What of its past a consumer is to be handed. */
const job = (crypto: Crypto.Service, { author, topic, ...replay }: Replay, position: number) => {
  const { acceptedFrom, acceptedUntil, from, to, writtenFrom, writtenUntil } = replay
  return {
    which: {
      ...Filter.make(crypto, { author, topic }),
      from,
      to,
      acceptedFrom,
      acceptedUntil,
      writtenFrom,
      writtenUntil
    },
    position: Math.max(0, Math.ceil(from ?? 1) - 1),
    until: Math.min(to ?? position, position)
  }
}

/** Replays are never deleted, so it is there. */
const found = (number: number) =>
  Effect.flatMap(Replays.find(number), (replay) =>
    replay === undefined ? Effect.dieMessage(`replay ${number} is gone`) : Effect.succeed(replay)
  )

const plan = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { codec }: Setup<X, Out, A, E, R>,
  job: Pick<Replays.Replay, "which" | "position" | "until">
): Effect.Effect<Plan, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const authors = new Set<string>()
    const topics = new Set<string>()
    let { position } = job
    let operations = 0
    let withoutBody = 0
    let first: number | undefined
    let last: number | undefined
    while (position < job.until) {
      const { end, rows } = yield* meant(codec, { ...job, position }, 256)
      for (const row of rows) {
        operations += 1
        first ??= row.position
        last = row.position
        const header = Header.parse(row.header)
        if (header._tag === "Right") authors.add(header.right.verifyingKey)
        if (header._tag === "Right" && header.right.payloadSize > 0 && row.body === undefined) withoutBody += 1
        if (row.topic !== undefined) topics.add(row.topic)
      }
      position = end
      yield* turn
    }
    return { operations, withoutBody, first, last, authors: authors.size, topics: topics.size }
  })
