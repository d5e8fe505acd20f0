/**
 * Failures of a transaction that are the fault of an operation in it: a handler that does not end, a statement or a commit
 * that breaks a constraint.
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { handed, mask, type Restore } from "../../store/internal/mask.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as SqlReason from "../../store/SqlReason.ts"

/** A handler did not end in time. */
export class Overdue extends Data.TaggedError("Overdue")<{ readonly limit: Duration.Duration }> {}

/** What an operation can be blamed for. */
export type Guilt = SqlError | Overdue

/** Whether a failure of a transaction is the fault of an operation in it, rather than nobody's. */
export const isGuilt = (error: unknown): error is Guilt =>
  error instanceof Overdue || (error instanceof SqlError && !SqlReason.isInfrastructure(error))

/** The guilt as the rejection of the operation. */
export const blame = (guilt: Guilt): Rejection.TimeLimitExceeded | Rejection.StatementFailed =>
  guilt instanceof Overdue
    ? new Rejection.TimeLimitExceeded({ limitMillis: Duration.toMillis(guilt.limit) })
    : Rejection.statementFailed(guilt)

/**
 * Runs handlers and fails when one of them takes longer than it may. `handlingSince`: since when one has been running, in
 * nanoseconds of the clock that is never set: one that is must not cost an operation its place, or let a handler go on for ever.
 * One watch for them all: a timer for each operation would cost as much as all the rest of it.
 */
export const watched = <B, E2, R2>(
  { timeLimit }: { readonly timeLimit: Duration.Duration },
  handlingSince: () => bigint | undefined,
  body: Effect.Effect<B, E2, R2>
): Effect.Effect<B, E2 | Overdue, R2> => {
  return mask((restore) => beside(body, watch(timeLimit, handlingSince), restore))
}

// internal

/** Fails as soon as a handler has taken longer than it may. */
const watch = Effect.fnUntraced(function* (limit: Duration.Duration, handlingSince: () => bigint | undefined) {
  for (;;) {
    const now = yield* Clock.currentTimeNanos
    const left = Duration.toMillis(limit) - Number(now - (handlingSince() ?? now)) / 1_000_000
    if (left <= 0) return yield* new Overdue({ limit })
    yield* Effect.sleep(left)
  }
})

/** Not a race of the two: one that is interrupted while it begins has fibers that were never started, and waits for them for ever. */
const beside = Effect.fnUntraced(function* <B, E2, R2>(
  body: Effect.Effect<B, E2, R2>,
  watch: Effect.Effect<never, Overdue>,
  restore: Restore
) {
  // Interruptible also where the caller is not: the watch has to end with the batch, and a handler at its limit.
  const handling = yield* Effect.fork(Effect.interruptible(handed(body)))
  // What has not to wait for anything is done after its first turn, and needs no watch.
  yield* Effect.yieldNow()
  const done = yield* Fiber.poll(handling)
  if (done._tag === "Some") return yield* done.value
  let overdue: Overdue | undefined
  const stop = (late: Overdue) => {
    overdue = late
    return Fiber.interrupt(handling)
  }
  const watching = yield* Effect.fork(Effect.interruptible(handed(Effect.catchAll(watch, stop))))
  const exit = yield* Effect.onInterrupt(restore(Fiber.await(handling)), () => Fiber.interruptAll([handling, watching]))
  yield* Fiber.interrupt(watching)
  return yield* overdue !== undefined && Exit.isInterrupted(exit) ? overdue : exit
})
