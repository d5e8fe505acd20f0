/**
 * Handing accepted operations to whoever handles them, page after page, each page in one transaction with the position that it
 * leaves.
 *
 * A page is tried as a whole first, which costs nothing for each operation. Where one of it fails the page is undone and tried
 * with a part of the transaction for each, so that what is rejected leaves no trace and the others pass; and where even that
 * fails for the sake of one (a handler without end, a constraint that only the commit checks), one by one.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as SqlReason from "../../store/SqlReason.ts"
import * as Transaction from "../../store/Transaction.ts"
import { blame, isGuilt, watched, type Guilt, type Overdue } from "./guilt.ts"
import * as Mood from "./mood.ts"

/** What is handed over at one position. */
export interface Unit<R> {
  readonly position: number
  readonly handle: Effect.Effect<unknown, unknown, R>
}

/** What was said no to. */
export interface Refused {
  readonly position: number
  readonly error: unknown
}

/** What is handed over in one transaction, and what is written about it in the end. */
export interface Page<B, R> {
  readonly units: ReadonlyArray<Unit<R | SqlClient>>
  readonly leave: (
    refused: ReadonlyArray<Refused>
  ) => Effect.Effect<B, SqlError, SqlClient | Transaction.Transaction | R>
}

/** What there is to hand over. */
export interface Task<B, E, R> {
  readonly timeLimit: Duration.Duration
  readonly busyLimit: Duration.Duration
  /** Reads the next page, so many units at the most, inside the transaction. `undefined`: there is none. */
  readonly take: (
    limit: number
  ) => Effect.Effect<Page<B, R> | undefined, SqlError | E, SqlClient | Transaction.Transaction | R>
}

/** Hands over one page of `limit` units at the most; gives what it left, nothing where there was nothing to do. */
export const step = <B, E, R>(
  task: Task<B, E, R>,
  limit: number,
  mood: Mood.Mood
): Effect.Effect<ReadonlyArray<B>, SqlError | E, SqlClient | R> =>
  Effect.suspend(() => {
    const known = { units: 1 }
    const carefully = Effect.catchAll(page(task, limit, apart, known), (error) =>
      isGuilt(error) ? oneByOne(task, known.units) : Effect.fail(error)
    )
    return Mood.tried(mood, carefully, (spoilt) =>
      Effect.catchAll(page(task, limit, together, known), (error) =>
        error instanceof Spoilt || isGuilt(error) ? spoilt : Effect.fail(error)
      )
    )
  })

// internal

/** An operation of a page failed, which was tried as a whole. */
class Spoilt extends Data.TaggedError("Spoilt")<{}> {}

/** Handles the units of a page; gives those that were refused. */
type Handling<E> = <R>(
  units: ReadonlyArray<Unit<R>>,
  timeLimit: Duration.Duration
) => Effect.Effect<ReadonlyArray<Refused>, SqlError | E, R | Transaction.Transaction>

const page = <B, E, R, E2>(
  { busyLimit, take, timeLimit }: Task<B, E, R>,
  limit: number,
  handling: Handling<E2>,
  known: { units: number }
): Effect.Effect<ReadonlyArray<B>, SqlError | E | E2, SqlClient | R> =>
  Transaction.run(
    Effect.gen(function* () {
      const taken = yield* take(limit)
      if (taken === undefined) return []
      known.units = Math.max(1, taken.units.length)
      const refused = taken.units.length === 0 ? [] : yield* handling(taken.units, timeLimit)
      return [yield* taken.leave(refused)]
    }),
    { busyLimit }
  )

/** Hands over one after the other, under a watch that knows since when the current one has been running. */
const each = <R, E, R2>(
  units: ReadonlyArray<Unit<R>>,
  timeLimit: Duration.Duration,
  use: (unit: Unit<R>) => Effect.Effect<unknown, E, R2>
): Effect.Effect<void, E | Overdue, R2> =>
  Effect.clockWith((clock) => {
    let since: bigint | undefined = undefined
    const all = Effect.forEach(
      units,
      (unit) => {
        since = clock.unsafeCurrentTimeNanos()
        return use(unit)
      },
      { discard: true }
    )
    return watched({ timeLimit }, () => since, all)
  })

const together: Handling<Spoilt> = (units, timeLimit) =>
  Effect.matchCauseEffect(
    each(units, timeLimit, ({ handle }) => handle),
    { onSuccess: () => Effect.succeed([]), onFailure: spoilt }
  )

const spoilt = (cause: Cause.Cause<unknown>): Effect.Effect<never, SqlError | Spoilt> =>
  Option.match(SqlReason.inCause(cause), { onNone: () => new Spoilt(), onSome: Effect.fail })

const apart: Handling<Overdue> = (units, timeLimit) => {
  const refused: Array<Refused> = []
  return Effect.as(
    each(units, timeLimit, ({ handle, position }) =>
      Effect.catchAllCause(Transaction.savepoint(handle), (cause) =>
        Effect.map(Rejection.verdict(cause), (error) => void refused.push({ position, error }))
      )
    ),
    refused
  )
}

/** Every unit in a transaction of its own; one that fails even so is refused without being handled. */
const oneByOne = <B, E, R>(
  task: Task<B, E, R>,
  count: number
): Effect.Effect<ReadonlyArray<B>, SqlError | E, SqlClient | R> =>
  Effect.gen(function* () {
    const left: Array<B> = []
    for (let done = 0; done < count; done++) {
      const one = yield* Effect.catchAll(page(task, 1, apart, { units: 1 }), (error) =>
        isGuilt(error) ? accused(task, error) : Effect.fail(error)
      )
      left.push(...one)
      if (one.length === 0) break
    }
    return left
  })

/** The one to blame is refused without being handled once more. */
const accused = <B, E, R>(task: Task<B, E, R>, guilt: Guilt) => {
  const handling: Handling<never> = (units) =>
    Effect.succeed(units.map(({ position }) => ({ position, error: blame(guilt) })))
  return page(task, 1, handling, { units: 1 })
}
