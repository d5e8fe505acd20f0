/** What a consumer is handed: what comes next, what it was handed before and is to have once more, and what it has parked. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Consumer from "../../pipeline/Consumer.ts"
import * as Event from "../../pipeline/Event.ts"
import * as Policy from "../../pipeline/Policy.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Deliveries from "../../store/Deliveries.ts"
import * as Notices from "../../store/Notices.ts"
import * as Operations from "../../store/Operations.ts"
import * as Replays from "../../store/Replays.ts"
import type { Transaction } from "../../store/Transaction.ts"
import type { Progress } from "../Progress.ts"
import type * as Handover from "./handover.ts"
import * as Recall from "./recall.ts"
import type { Setup } from "./setup.ts"

/** A consumer as it is handed operations; the application is one while it catches up. */
export interface Reader<in Out, out R> extends Consumer.Consumer<Out, R> {
  /** Whether it handles operations whose bodies were deleted, as it does with those that come without. */
  readonly handlesDeleted: boolean
}

type Task<R> = Handover.Task<Progress, never, R>

/** What was accepted since, and what of that is gone. */
export const follow = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  reader: Reader<Out, R>
): Task<R> => ({
  ...limits(setup, reader),
  take: (limit) =>
    Effect.gen(function* () {
      const consumer = yield* recorded(reader)
      if (consumer === undefined) return undefined
      const { position, state } = consumer
      const last = yield* Operations.lastPosition
      if (position === last && state === "live") return undefined
      const rows = yield* Operations.page(position, last, limit)
      const read = rows.length < limit ? last : (rows.at(-1)?.position ?? last)
      const notices = yield* Notices.page(consumer.consumer, behind(position), read, limit)
      const end = notices.length < limit ? read : (notices.at(-1)?.at ?? read)
      const told = new Set(notices.map(({ at }) => at))
      const isReplay = (at: number) => at <= consumer.seen
      const found = { rows: rows.filter((row) => row.position <= end), told, isReplay }
      const units = yield* unitsOf(setup, reader, consumer.consumer, found)
      const followed = { told, isReplay, count: units.length, end, last }
      const leave = (refused: ReadonlyArray<Handover.Refused>) => leaveFollowed(reader, consumer, followed, refused)
      return { units, leave }
    })
})

/** What was followed, and what of it was handed over. */
interface Followed {
  readonly told: ReadonlySet<number>
  readonly isReplay: (position: number) => boolean
  readonly count: number
  readonly end: number
  readonly last: number
}

const leaveFollowed = Effect.fnUntraced(function* <Out, R>(
  reader: Reader<Out, R>,
  { consumer, state }: Consumers.Consumer,
  { count, end, isReplay, last, told }: Followed,
  refused: ReadonlyArray<Handover.Refused>
) {
  yield* park(reader, consumer, refused, { isReplay })
  const parked = new Set(refused.map((one) => one.position))
  yield* Notices.settle(
    consumer,
    Array.from(told).filter((at) => !parked.has(at))
  )
  yield* Consumers.advance(consumer, end)
  if (state === "building" && end === last) {
    yield* reader.ready
    yield* Consumers.ready(consumer)
  }
  const what = state === "building" ? ("build" as const) : ("follow" as const)
  const handled = count - refused.length
  return { consumer: reader.name, what, position: end, until: last, handled, parked: refused.length }
})

/** Parked ones whose time has come. */
export const retry = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  reader: Reader<Out, R>
): Task<R> => ({
  ...limits(setup, reader),
  take: (limit) =>
    Effect.gen(function* () {
      const consumer = yield* recorded(reader)
      if (consumer === undefined) return undefined
      const due = yield* Deliveries.due(consumer.consumer, yield* Clock.currentTimeMillis, limit)
      if (due.length === 0) return undefined
      const told = new Set(due.map(({ position }) => position))
      const rows = yield* Operations.at(Array.from(told))
      const known = new Map(due.map((one) => [one.position, one]))
      const isReplay = (at: number) => known.get(at)?.replay === true
      const units = yield* unitsOf(setup, reader, consumer.consumer, { rows, told, isReplay })
      const leave = (refused: ReadonlyArray<Handover.Refused>) =>
        Effect.gen(function* () {
          const positions = without(Array.from(told), refused)
          yield* Notices.settle(consumer.consumer, positions)
          yield* Deliveries.settle(consumer.consumer, positions)
          yield* park(reader, consumer.consumer, refused, { isReplay, attempts: (at) => known.get(at)?.attempts })
          return {
            consumer: reader.name,
            what: "retry" as const,
            position: consumer.position,
            until: consumer.position,
            handled: positions.length,
            parked: refused.length
          }
        })
      return { units, leave }
    })
})

/** What it was handed before, as far as it is meant. */
export const replay = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  reader: Reader<Out, R>,
  number: number
): Task<R> => ({
  ...limits(setup, reader),
  take: (limit) =>
    Effect.gen(function* () {
      const consumer = yield* recorded(reader)
      const job = yield* Replays.find(number)
      if (consumer === undefined || job === undefined || job.state !== "running") return undefined
      const { rows, end } = yield* Replays.page(setup.codec, job, limit)
      const attempts = yield* Deliveries.attempts(
        consumer.consumer,
        rows.map(({ position }) => position)
      )
      // What it has handled it was told of then; what is parked it was told nothing of.
      const told = new Set(attempts.keys())
      const found = { rows, told, isReplay: always, tells: (at: number) => told.has(at) }
      const units = yield* unitsOf(setup, reader, consumer.consumer, found)
      const leave = (refused: ReadonlyArray<Handover.Refused>) =>
        Effect.gen(function* () {
          const settled = without(Array.from(told), refused)
          yield* Notices.settle(consumer.consumer, settled)
          yield* Deliveries.settle(consumer.consumer, settled)
          yield* park(reader, consumer.consumer, refused, { isReplay: always, attempts: (at) => attempts.get(at) })
          const handled = units.length - refused.length
          yield* Replays.advance(number, { position: end, handled, parked: refused.length })
          const { until } = job
          return {
            consumer: reader.name,
            what: "replay" as const,
            position: end,
            until,
            handled,
            parked: refused.length
          }
        })
      return { units, leave }
    })
})

// internal

const limits = <R>(
  { busyLimit }: { readonly busyLimit: Duration.Duration },
  { timeLimit }: Consumer.Consumer<never, R>
) => ({ busyLimit, timeLimit })

const always = () => true

const behind = (position: number): Notices.Cursor => ({ at: position, position: Number.MAX_SAFE_INTEGER })

const without = (positions: ReadonlyArray<number>, refused: ReadonlyArray<Handover.Refused>) => {
  const parked = new Set(refused.map(({ position }) => position))
  return positions.filter((position) => !parked.has(position))
}

/** Its row, if it is ours to move: another program may have a newer version of it. */
const recorded = ({
  name,
  version
}: Consumer.Consumer<never, unknown>): Effect.Effect<Consumers.Consumer | undefined, SqlError, SqlClient> =>
  Effect.map(Consumers.find(name), (found) =>
    found === undefined || found.paused || found.state === "reset" || found.version !== version ? undefined : found
  )

interface Found {
  readonly rows: ReadonlyArray<Operations.Handed>
  /** The positions at which there is something to tell. */
  readonly told: ReadonlySet<number>
  readonly isReplay: (position: number) => boolean
  /** Whether it is told there that the operation itself is gone. Default: yes. */
  readonly tells?: (position: number) => boolean
}

/** Everything that is to be handed over, by position. */
const unitsOf = Effect.fnUntraced(function* <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { codec, pipeline }: Setup<X, Out, A, E, R>,
  reader: Reader<Out, R>,
  consumer: number,
  { isReplay, rows, tells = always, told }: Found
) {
  const events = Recall.read(codec, rows, isReplay)
  const skipped = yield* Recall.skipped(events)
  const session = pipeline.open()
  yield* session.preloadRecall(Recall.good(events))
  const silent = { ...reader, forget: () => Effect.void }
  const units = new Map<number, Effect.Effect<unknown, unknown, R | SqlClient>>()
  for (const [index, { position }] of rows.entries()) {
    const event = events[index]
    if (event === undefined) continue
    const to = tells(position) ? reader : silent
    const handle =
      event._tag === "Left"
        ? Effect.fail(event.left)
        : handOne(to, session.recall, event.right, position, skipped.has(event.right.id))
    units.set(position, handle)
  }
  for (const at of told) {
    const handle = units.get(at)
    const forgets = forgetAll(reader, consumer, at)
    units.set(at, handle === undefined ? forgets : Effect.zipRight(handle, forgets))
  }
  const all = Array.from(units, ([position, handle]) => ({ position, handle }))
  return told.size === 0 ? all : all.sort((a, b) => a.position - b.position)
})

const handOne = <In extends Event.Event, Out extends Event.Event, R>(
  reader: Reader<Out, R>,
  recall: (event: In) => Out,
  event: In,
  position: number,
  skipped: boolean
): Effect.Effect<unknown, unknown, R> => {
  if (!skipped && (reader.handlesDeleted || !Event.lacksBody(event))) {
    return Effect.suspend(() => reader.handle(recall(event), position))
  }
  const gone = { id: event.id, author: event.author, position, seqNum: event.operation.header.seqNum }
  return reader.forget({ how: skipped ? "skipped" : "deleted", missed: true, operations: [gone] })
}

/** How many operations a consumer is told of at once. */
const told = 256

/** Tells a consumer what it is to be told at a position. */
const forgetAll = <R>(reader: Consumer.Consumer<never, R>, consumer: number, at: number) =>
  Effect.gen(function* () {
    let cursor: Notices.Cursor = { at, position: -1 }
    for (;;) {
      const page = yield* Notices.page(consumer, cursor, at, told)
      for (const one of Notices.grouped(page)) yield* reader.forget(one)
      const last = page.at(-1)
      if (last === undefined || page.length < told) return
      cursor = last
    }
  })

/** What is known of operations that were rejected just now. */
interface Before {
  readonly isReplay: (position: number) => boolean
  /** How often they had been rejected. Default: never. */
  readonly attempts?: (position: number) => number | undefined
}

/** Parks what was rejected, as its policy says. */
export const park = (
  { policy }: { readonly policy: (error: unknown) => Policy.Parked },
  consumer: number,
  refused: ReadonlyArray<Handover.Refused>,
  before: Before
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    for (const { error, position } of refused) {
      const attempts = (before.attempts?.(position) ?? 0) + 1
      const chosen = policy(error)
      const delay = chosen._tag === "Retry" ? yield* Policy.delay(chosen.schedule, attempts, now) : Option.none()
      const notBefore = Option.isSome(delay) ? now + Duration.toMillis(delay.value) : undefined
      const reason = Rejection.encode(error)
      const parked = { position, attempts, reason, notBefore, replay: before.isReplay(position) }
      yield* Deliveries.park(consumer, parked, now)
    }
  })
