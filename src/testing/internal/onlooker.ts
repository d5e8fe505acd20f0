/** Looks on while an application handles operations: in which order, with which statements, and whether it leaves work behind. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberStatus from "effect/FiberStatus"
import * as Supervisor from "effect/Supervisor"
import type * as Application from "../../pipeline/Application.ts"
import type { Event } from "../../pipeline/Event.ts"
import type * as SqlFaults from "../SqlFaults.ts"

/** What was seen of an application since it was made. */
export interface Notes {
  /** What it has handled, by position: the last time that the position was given. */
  readonly handled: Map<number, string>
  /** What it was handed when it left a fiber behind, by id. */
  readonly detached: Set<string>
  /** The first and the last statement during which it was at work, since the faults' last reset. */
  at: { readonly from: number; readonly to: number } | undefined
}

export const notes = (): Notes => ({ handled: new Map(), detached: new Set(), at: undefined })

/** A handler that does not end is stopped after this time at the latest, so that a test ends. */
const most = Duration.seconds(3)

/** The application, with the onlooker. */
export const over = <In, A, E, R>(
  application: Application.Application<In, A, E, R>,
  seen: Notes,
  faults: SqlFaults.SqlFaults["Type"]
): Application.Application<In, A, E, R> => ({
  ...application,
  timeLimit: Duration.min(application.timeLimit, most),
  handle: (event, position) =>
    Effect.tap(looking(seen, faults, event, application.handle(event, position)), () =>
      Effect.sync(() => seen.handled.set(position, event.id))
    ),
  forget: (forgotten) => looking(seen, faults, forgotten.event, application.forget(forgotten))
})

// internal

const looking = <B, E, R>(
  seen: Notes,
  faults: SqlFaults.SqlFaults["Type"],
  { id }: Event,
  work: Effect.Effect<B, E, R>
) =>
  Effect.gen(function* () {
    const from = (yield* faults.count) + 1
    const children = yield* Supervisor.track
    const result = yield* Effect.supervised(work, children).pipe(
      Effect.ensuring(
        Effect.gen(function* () {
          seen.at = { from: seen.at?.from ?? from, to: yield* faults.count }
        })
      )
    )
    for (const child of yield* children.value) {
      if (!FiberStatus.isDone(yield* Fiber.status(child))) seen.detached.add(id)
    }
    return result
  })
