/**
 * Taking accepted operations out: a position is leased to whoever asks, and stays noted until it is acknowledged. What was done
 * with it outside is not in this transaction, so it may be handed out again: at least once.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Deliveries from "../../store/Deliveries.ts"
import * as Notices from "../../store/Notices.ts"
import * as Operations from "../../store/Operations.ts"
import * as Replays from "../../store/Replays.ts"
import * as Transaction from "../../store/Transaction.ts"
import * as Recall from "./recall.ts"
import type { Setup } from "./setup.ts"

/** What is taken out at one position. */
export interface Taken<out Out> extends Deliveries.Lease {
  /** None where there is only something to tell, or where the operation is gone. */
  readonly event: Out | undefined
}

/** How much is taken out at once, and for how long. */
export interface Options {
  readonly name: string
  /** How many may be in somebody's hands at a time. */
  readonly inFlight: number
  /** Milliseconds. */
  readonly lease: number
}

/** Takes out what is due and what comes next, as far as it may be. */
export const take = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  { inFlight, lease, name }: Options
): Effect.Effect<ReadonlyArray<Taken<Out>>, SqlError, SqlClient | R> =>
  Transaction.run(
    Effect.gen(function* () {
      const found = yield* Consumers.find(name)
      if (found === undefined || found.paused) return []
      const { consumer, position } = found
      const now = yield* Clock.currentTimeMillis
      const room = Math.min(setup.batchSize, inFlight - (yield* Deliveries.leased(consumer, now)))
      if (room <= 0) return []
      const due = yield* Deliveries.due(consumer, now, room)
      const rows = [...(yield* Operations.at(due.map((one) => one.position)))]
      const at = new Set(due.map((one) => one.position))
      const last = yield* Operations.lastPosition
      if (due.length < room && position < last) {
        const next = yield* ahead(consumer, position, last, room - due.length)
        rows.push(...next.rows)
        for (const one of next.at) at.add(one)
        yield* Consumers.advance(consumer, next.end)
      }
      yield* Deliveries.lease(consumer, Array.from(at), now + lease, now)
      const attempts = new Map(due.map((one) => [one.position, one.attempts]))
      const events = yield* recalled(setup, rows, found.seen)
      const taken: Array<Taken<Out>> = []
      for (const one of at) {
        const attempt = (attempts.get(one) ?? 0) + 1
        const event = events.get(one)
        if (event?._tag === "Left") {
          const reason = Rejection.encode(event.left)
          yield* Deliveries.park(
            consumer,
            { position: one, attempts: attempt, reason, notBefore: undefined, replay: false },
            now
          )
        } else taken.push({ consumer, position: one, attempt, event: event?.right })
      }
      return taken
    }),
    { busyLimit: setup.busyLimit }
  )

/** Makes what is meant due again, a page at a time; whether there was one. */
export const replay = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { batchSize, busyLimit, codec, progress }: Setup<X, Out, A, E, R>,
  { consumer, name, replay }: Replays.Replay
): Effect.Effect<boolean, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const moved = yield* Transaction.run(
      Effect.gen(function* () {
        const found = yield* Consumers.find(name)
        const job = yield* Replays.find(replay)
        // A reader is handed it by a controller that knows the reader.
        if (found?.role !== "puller" || job?.state !== "running") return undefined
        const { end, rows } = yield* Replays.page(codec, job, batchSize)
        const now = yield* Clock.currentTimeMillis
        // Whoever has it now loses it: acknowledging that would settle what is asked for here.
        yield* Deliveries.lease(
          consumer,
          rows.map((row) => row.position),
          now,
          now
        )
        yield* Replays.advance(replay, { position: end, handled: rows.length, parked: 0 })
        const { until } = job
        return { consumer: name, what: "replay" as const, position: end, until, handled: rows.length, parked: 0 }
      }),
      { busyLimit }
    )
    if (moved !== undefined) yield* progress(moved)
    return moved !== undefined
  })

// internal

/** What comes next: operations, and places at which there is something to tell. */
const ahead = (consumer: number, position: number, last: number, limit: number) =>
  Effect.gen(function* () {
    const rows = yield* Operations.page(position, last, limit)
    const read = rows.length < limit ? last : (rows.at(-1)?.position ?? last)
    const all = new Set(rows.map((row) => row.position))
    // One operation may remove thousands, so what is to be told is stepped over place by place.
    let at: number | undefined = position
    for (let places = 0; at !== undefined && places < limit; places++) {
      at = (yield* Notices.page(consumer, { at, position: Number.MAX_SAFE_INTEGER }, read, 1))[0]?.at
      if (at !== undefined) all.add(at)
    }
    const some = Array.from(all)
      .sort((a, b) => a - b)
      .slice(0, limit)
    const end = some.length < limit ? read : (some.at(-1) ?? read)
    return { rows: rows.filter((row) => row.position <= end), at: some, end }
  })

const recalled = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { codec, pipeline }: Setup<X, Out, A, E, R>,
  rows: ReadonlyArray<Operations.Handed>,
  seen: number
): Effect.Effect<
  ReadonlyMap<number, Either.Either<Out, Rejection.Damaged | Rejection.Defect>>,
  SqlError,
  SqlClient | R
> =>
  Effect.gen(function* () {
    const events = Recall.read(codec, rows, (at) => at <= seen)
    const session = pipeline.open()
    yield* session.preloadRecall(Recall.good(events))
    return new Map(
      rows.flatMap(({ position }, index) => {
        const event = events[index]
        if (event === undefined) return []
        const whole = Either.flatMap(event, (bare) =>
          Either.try({
            try: () => session.recall(bare),
            catch: (thrown) => new Rejection.Defect({ detail: String(thrown) })
          })
        )
        return [[position, whole] as const]
      })
    )
  })
