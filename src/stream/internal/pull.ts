/** Deliveries as a stream, with what is to be done about each. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type * as Extensions from "../../core/Extensions.ts"
import type { Forgotten } from "../../pipeline/Consumer.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Deliveries from "../../store/Deliveries.ts"
import * as Notices from "../../store/Notices.ts"
import * as Operations from "../../store/Operations.ts"
import * as Transaction from "../../store/Transaction.ts"
import { LeaseLost, NameTaken, type InsideTransaction } from "../Errors.ts"
import type { Delivery, Options } from "../Pull.ts"
import * as Pulls from "./pulls.ts"
import type { Around } from "./control.ts"
import type { Setup } from "./setup.ts"

/** Says that something was accepted or acknowledged. */
export interface News {
  readonly news: PubSub.PubSub<void>
  /** How often is looked for what another process has done. */
  readonly poll: Duration.Duration
}

export const pull = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  { guarded, provide }: Pick<Around<R>, "guarded" | "provide">,
  { news, poll }: News,
  name: string,
  { from = "beginning", inFlight = 100, lease = "30 seconds" }: Options
): Stream.Stream<Delivery<Out>, SqlError | InsideTransaction | NameTaken> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      yield* guarded("pull", register(setup, name, from))
      const heard = yield* PubSub.subscribe(news)
      const millis = Duration.toMillis(lease)
      const take = guarded("pull", Pulls.take(setup, { name, inFlight, lease: millis }))
      const next: Effect.Effect<Chunk.Chunk<Delivery<Out>>, SqlError | InsideTransaction> = Effect.gen(function* () {
        for (;;) {
          yield* Queue.takeAll(heard)
          const taken = yield* take
          if (taken.length > 0) {
            return Chunk.unsafeFromArray(
              taken.map((one) => delivery(setup, { guarded, provide }, news, name, millis, one))
            )
          }
          const due = yield* provide(nextDue(name))
          const pause = Math.max(0, Math.min(Duration.toMillis(poll), due ?? Infinity))
          yield* Effect.raceFirst(Queue.take(heard), Effect.sleep(pause))
        }
      })
      return Stream.repeatEffectChunk(next)
    })
  )

// internal

const register = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { busyLimit }: Setup<X, Out, A, E, R>,
  name: string,
  from: NonNullable<Options["from"]>
): Effect.Effect<void, SqlError | NameTaken, SqlClient> =>
  Transaction.run(
    Effect.gen(function* () {
      const found = yield* Consumers.find(name)
      if (found?.role === "puller") return
      if (found !== undefined) return yield* new NameTaken({ name, role: found.role })
      const last = yield* Operations.lastPosition
      const position = from === "beginning" ? 0 : from === "now" ? last : Math.min(last, Math.max(0, from))
      yield* Consumers.add({ name, role: "puller", version: 1, state: "live", position })
    }),
    { busyLimit }
  )

/** In how many milliseconds something is due by itself. */
const nextDue = (name: string): Effect.Effect<number | undefined, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const found = yield* Consumers.find(name)
    const due = found === undefined ? undefined : yield* Deliveries.nextDue(found.consumer)
    return due === undefined ? undefined : due - (yield* Clock.currentTimeMillis)
  })

const delivery = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { busyLimit }: Setup<X, Out, A, E, R>,
  { guarded, provide }: Pick<Around<R>, "guarded" | "provide">,
  news: PubSub.PubSub<void>,
  name: string,
  millis: number,
  taken: Pulls.Taken<Out>
): Delivery<Out> => {
  const { attempt, consumer, event, position } = taken
  const held = (
    call: string,
    self: (now: number) => Effect.Effect<boolean, SqlError, Transaction.Transaction>
  ): Effect.Effect<void, LeaseLost | SqlError | InsideTransaction> =>
    guarded(
      call,
      Effect.gen(function* () {
        const done = yield* Transaction.run(Effect.flatMap(Clock.currentTimeMillis, self), { busyLimit })
        if (!done) return yield* new LeaseLost({ name, position })
        yield* PubSub.publish(news, undefined)
      })
    )
  return {
    position,
    attempt,
    event,
    forgotten: forgotten(consumer, position, provide),
    ack: held("ack", () =>
      Effect.tap(Deliveries.acknowledge(taken), (done) => (done ? Notices.settle(consumer, [position]) : Effect.void))
    ),
    nack: (reason, retryAfter) =>
      held("nack", (now) => {
        const notBefore = retryAfter === undefined ? undefined : now + Duration.toMillis(retryAfter)
        return Deliveries.refuse(taken, Rejection.encode(reason), notBefore)
      }),
    extend: (lease) =>
      held("extend", (now) => Deliveries.extend(taken, now + (lease === undefined ? millis : Duration.toMillis(lease))))
  }
}

const pageSize = 256

/** What is to be told at a position; a page holds what went in the same way. */
const forgotten = <R>(
  consumer: number,
  at: number,
  provide: Around<R>["provide"]
): Stream.Stream<Forgotten, SqlError> => {
  const first: Notices.Cursor = { at, position: -1 }
  return Stream.paginateChunkEffect(first, (cursor) =>
    Effect.map(provide(Notices.page(consumer, cursor, at, pageSize)), (page) => {
      const last = page.at(-1)
      const next = last === undefined || page.length < pageSize ? Option.none() : Option.some<Notices.Cursor>(last)
      return [Chunk.unsafeFromArray(Notices.grouped(page)), next]
    })
  )
}
