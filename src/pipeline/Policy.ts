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
 * - `Discard`: hash and reason are remembered, everything else is deleted; the log stays blocked there. As `pruned` it needs no
 *   reason: its author made it unnecessary, and whoever waits for it goes on.
 * - `Refuse`: one that is not in the inbox is not taken in, and its sender may send it again; what becomes of one that is
 *   stored already, `stored` says.
 */
export type Policy =
  | { readonly _tag: "Hold" }
  | { readonly _tag: "Retry"; readonly schedule: Schedule.Schedule<unknown, number> }
  | { readonly _tag: "Skip" }
  | { readonly _tag: "Discard"; readonly as: "discarded" | "pruned" }
  | { readonly _tag: "Refuse"; readonly stored: Stored }

/** What can happen to an operation that is in the inbox. */
export type Stored = Exclude<Policy, { readonly _tag: "Refuse" }>

/** What can happen to an operation that is to stay, whether it was accepted or not: until it is asked for, or tried again later. */
export type Parked = Extract<Policy, { readonly _tag: "Hold" | "Retry" }>

/** It stays until it is replayed. The default. */
export const hold: Parked = { _tag: "Hold" }

/** The log goes on without it. */
export const skip: Stored = { _tag: "Skip" }

/** It is deleted and never taken in again. */
export const discard: Stored = { _tag: "Discard", as: "discarded" }

/** Its log was pruned past it: nothing of it is needed, by nobody. */
export const pruned: Stored = { _tag: "Discard", as: "pruned" }

/**
 * Nothing of it is kept, so that whoever floods us does not fill the disk; the sender may send it again. One that stands
 * in the inbox already (it was received first and processed later) is dealt with as `stored` says.
 *
 * @example
 * Policy.refuse(Policy.retry(Schedule.spaced("1 minute")))
 */
export const refuse = (stored: Stored = hold): Policy => ({ _tag: "Refuse", stored })

/** What a policy says of an operation that is in the inbox. */
export const stored = (policy: Policy): Stored => (policy._tag === "Refuse" ? policy.stored : policy)

/**
 * Again later: the delays are the schedule's, its input is the number of attempts so far. When it ends, the operation is
 * held. Delays survive a restart, the schedule itself is driven anew for each attempt.
 *
 * @example
 * Policy.retry(Schedule.exponential("1 second").pipe(Schedule.intersect(Schedule.recurs(5))))
 */
export const retry = (schedule: Schedule.Schedule<unknown, number>): Parked => ({ _tag: "Retry", schedule })

/** Bugs are often a matter of the moment (memory, a race): three attempts, then held. */
export const defects: Parked = retry(Schedule.exponential("100 millis").pipe(Schedule.intersect(Schedule.recurs(2))))

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
