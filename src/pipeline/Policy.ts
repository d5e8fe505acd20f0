/**
 * What happens to an operation after it was rejected. The application chooses per error; the operation's changes are
 * undone in any case.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"

/**
 * - `Hold`: it stays until it is replayed. Later operations of its log wait behind it; other logs go on.
 * - `Retry`: again later, as the schedule says; held when the schedule has ended.
 * - `Skip`: its header enters the log without body or effects, so that the log goes on. Recorded.
 * - `Discard`: hash and reason are remembered, everything else is deleted; the log stays blocked there.
 */
export type Policy =
  | { readonly _tag: "Hold" }
  | { readonly _tag: "Retry"; readonly schedule: Schedule.Schedule<unknown, number> }
  | { readonly _tag: "Skip" }
  | { readonly _tag: "Discard" }

/** It stays until it is replayed. The default. */
export const hold: Policy = { _tag: "Hold" }

/** The log goes on without it. */
export const skip: Policy = { _tag: "Skip" }

/** It is deleted and never taken in again. */
export const discard: Policy = { _tag: "Discard" }

/**
 * Again later: the delays are the schedule's, its input is the number of attempts so far. When it ends, the operation is
 * held. Delays survive a restart, the schedule itself is driven anew for each attempt.
 *
 * @example
 * Policy.retry(Schedule.exponential("1 second").pipe(Schedule.intersect(Schedule.recurs(5))))
 */
export const retry = (schedule: Schedule.Schedule<unknown, number>): Policy => ({ _tag: "Retry", schedule })

/** Bugs are often a matter of the moment (memory, a race): three attempts, then held. */
export const defects: Policy = retry(Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(2))))

/**
 * How long to wait after the given number of failed attempts (1: the first one failed), or none when the schedule has
 * ended. `now`: milliseconds since the epoch.
 */
export const delay = (
  schedule: Schedule.Schedule<unknown, number>,
  attempts: number,
  now: number
): Effect.Effect<Option.Option<Duration.Duration>> =>
  Effect.gen(function* () {
    let state: unknown = schedule.initial
    for (let attempt = 1; ; attempt++) {
      const [next, , decision] = yield* schedule.step(now, attempt, state)
      if (ScheduleDecision.isDone(decision)) return Option.none()
      const until = decision.intervals.intervals
      const start = Option.match(first(until), { onNone: () => now, onSome: (interval) => interval.startMillis })
      if (attempt === attempts) return Option.some(Duration.millis(Math.max(0, start - now)))
      state = next
    }
  })

// internal

const first = <A>(items: Iterable<A>): Option.Option<A> => {
  for (const item of items) return Option.some(item)
  return Option.none()
}
