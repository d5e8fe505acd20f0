/**
 * Building: an application or a processor whose version is new is emptied and handed everything that was accepted, in that
 * order; likewise one that was not there when it was. Page after page, each with the position that it leaves, so that it goes
 * on where it was after a crash, and two processes do it together.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import * as Application from "../../pipeline/Application.ts"
import * as Consumer from "../../pipeline/Consumer.ts"
import type * as Event from "../../pipeline/Event.ts"
import type * as Pipeline from "../../pipeline/Pipeline.ts"
import * as Policy from "../../pipeline/Policy.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Operations from "../../store/Operations.ts"
import * as SqlReason from "../../store/SqlReason.ts"
import * as Transaction from "../../store/Transaction.ts"
import { Superseded } from "../Errors.ts"
import type { Progress } from "../Progress.ts"
import * as Mood from "./mood.ts"
import * as Handover from "./handover.ts"
import * as Readers from "./readers.ts"
import * as Recall from "./recall.ts"
import type { Setup } from "./setup.ts"
import { turn } from "../../store/internal/turn.ts"

/** Builds the processors, one after the other, and then the application. */
export const build = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>
): Effect.Effect<void, SqlError | Superseded, SqlClient | R> =>
  Effect.gen(function* () {
    for (const processor of setup.pipeline.processors) {
      const { reset, version } = processor
      if (reset === undefined) continue
      const name = Consumers.processorName(processor.name)
      yield* empty(setup, { name, version, reset })
      yield* whole(setup, decideAgain(setup, name, processor))
    }
    if (setup.application.name === Application.noneName) return
    yield* empty(setup, setup.application)
    const mood = Mood.calm()
    yield* whole(setup, Handover.step(Readers.follow(setup, ofApplication(setup)), setup.batchSize, mood))
  })

/** The application as it is handed what was accepted before. */
export const ofApplication = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>({
  application
}: Setup<X, Out, A, E, R>): Readers.Reader<Out, R> => ({
  ...Consumer.ofApplication(application),
  // Like one whose body was deleted before it came.
  handlesDeleted: true
})

/** Empties whoever is to be emptied. `name`: as it is recorded. */
export const empty = <X extends Extensions.Fields, Out extends Event.Event, A, E, R, R2>(
  { busyLimit }: Setup<X, Out, A, E, R>,
  {
    name,
    reset,
    version
  }: {
    readonly name: string
    readonly version: number
    readonly reset: Effect.Effect<unknown, SqlError, R2> | undefined
  }
): Effect.Effect<void, SqlError | Superseded, SqlClient | Exclude<R2, Transaction.Transaction>> =>
  Effect.gen(function* () {
    if ((yield* Consumers.find(name))?.state !== "reset") return
    yield* Transaction.run(
      Effect.gen(function* () {
        const found = yield* Consumers.find(name)
        if (found?.state !== "reset") return
        if (found.version !== version || reset === undefined) {
          return yield* new Superseded({ name, version, found: found.version })
        }
        yield* reset
        yield* Consumers.emptied(found.consumer)
      }),
      { busyLimit }
    )
  })

// internal

/** Until there is nothing left. */
const whole = <X extends Extensions.Fields, Out extends Event.Event, A, E, R, E2, R2>(
  { progress }: Setup<X, Out, A, E, R>,
  step: Effect.Effect<ReadonlyArray<Progress>, E2, R2>
): Effect.Effect<void, E2, R2> =>
  Effect.gen(function* () {
    for (;;) {
      const moved = yield* step
      if (moved.length === 0) return
      yield* Effect.forEach(moved, progress, { discard: true })
      yield* turn
    }
  })

/** A page of accepted operations, about which one processor decides again. */
const decideAgain = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { batchSize, busyLimit, codec }: Setup<X, Out, A, E, R>,
  name: string,
  processor: Pipeline.Layer<Event.Event<X>, unknown, R>
): Effect.Effect<ReadonlyArray<Progress>, SqlError, SqlClient | R> =>
  Transaction.run(
    Effect.gen(function* () {
      const found = yield* Consumers.find(name)
      if (found?.state !== "building") return []
      const { consumer, position } = found
      const last = yield* Operations.lastPosition
      const rows = yield* Operations.page(position, last, batchSize)
      // Whichever version it is: all of them were accepted before.
      const events = Recall.read(codec, rows, () => true)
      const session = processor.rebuild()
      yield* session.preload(Recall.good(events))
      // About them it was not asked.
      const skipped = yield* Recall.skipped(events)
      const refused: Array<Handover.Refused> = []
      for (const [index, event] of events.entries()) {
        if (event._tag === "Right" && skipped.has(event.right.id)) continue
        const error = event._tag === "Left" ? event.left : yield* decided(session, event.right)
        if (error !== undefined) refused.push({ position: rows[index]?.position ?? last, error })
      }
      yield* session.save
      yield* Readers.park({ policy: () => Policy.hold }, consumer, refused, { isReplay: () => true })
      const end = rows.length < batchSize ? last : (rows.at(-1)?.position ?? last)
      yield* Consumers.advance(consumer, end)
      if (end === last) yield* Consumers.ready(consumer)
      const handled = rows.length - refused.length
      return [{ consumer: name, what: "build" as const, position: end, until: last, handled, parked: refused.length }]
    }),
    { busyLimit }
  )

/** Why the processor does not accept an operation again, if it does not. */
const decided = <In, E, R>(
  session: Pipeline.Rebuild<In, E, R>,
  event: In
): Effect.Effect<unknown, SqlError, SqlClient | R> =>
  session.decide(event).pipe(
    Effect.map((step) => {
      if (step._tag === "Passed") {
        session.keep()
        return undefined
      }
      session.drop()
      return step._tag === "Rejected" ? step.error : new Rejection.NothingToWaitFor({ until: step.until })
    }),
    // An earlier processor did not know what it had added.
    Effect.catchAllCause((cause) =>
      Cause.isDie(cause) && SqlReason.inCause(cause)._tag === "None"
        ? Effect.succeed(Rejection.defect(cause))
        : Effect.failCause(cause)
    )
  )
