/** BEGIN, with what has to be set before it and set back after it. */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Schedule from "effect/Schedule"
import * as SqlReason from "../SqlReason.ts"
import type { Row } from "./capability.ts"
import type { Restore } from "./mask.ts"
import * as Prepared from "./prepared.ts"
import * as Root from "./root.ts"

export interface BeginOptions {
  readonly durable?: boolean | undefined
  readonly busyLimit?: Duration.DurationInput | undefined
  readonly committed?: Effect.Effect<void> | undefined
}

/**
 * Begins the transaction. Returns what sets the connection's settings back, to be run after the transaction; when it fails
 * it has set them back and left no transaction open.
 */
export const begin = (
  root: Root.Root,
  options: BeginOptions,
  restore: Restore
): Effect.Effect<Effect.Effect<void>, SqlError> =>
  Effect.zipRight(
    bystanders,
    root.sqlite ? beginSqlite(root, options, restore) : Effect.catchAllCause(beginOther(root), Root.failTyped)
  )

/** The value of `PRAGMA synchronous` from which on a commit is on the disk. */
export const full = 2

/** The answer of a PRAGMA whose value is a number; the column's name is not always the setting's. */
export const number = (rows: ReadonlyArray<Row>): number => {
  for (const value of Object.values(rows[0] ?? {})) return Number(value)
  return 0
}

/**
 * The stock client gives a plain statement the connection and only then runs it. A fiber that was made to yield in between
 * is not noticed by the semaphore, and its write would land in our transaction and share its fate. It is ahead of us in the
 * scheduler's queue: yielding lets it finish, once unless fibers yield after very few steps (there are about 60 in between).
 */
export const bystanders: Effect.Effect<void> = Effect.flatMap(
  FiberRef.get(FiberRef.currentMaxOpsBeforeYield),
  (steps) => {
    const turns = Math.max(1, Math.ceil(128 / steps))
    return turns === 1 ? Effect.yieldNow() : Effect.repeatN(Effect.yieldNow(), turns - 1)
  }
)

/** The value of a setting of the connection. */
export const setting = (root: Root.Root, name: string): Effect.Effect<number, SqlError> =>
  Effect.map(Root.control(root, `PRAGMA ${name}`), number)

// internal

const beginOther = (root: Root.Root) => Effect.as(Root.control(root, "BEGIN"), Effect.void)

const beginSqlite = (
  root: Root.Root,
  options: BeginOptions,
  restore: Restore
): Effect.Effect<Effect.Effect<void>, SqlError> => {
  let setBack: Effect.Effect<void> = Effect.void
  const ready = Effect.map(Prepared.of(root.connection), (prepared) => {
    root.prepared = prepared
  })
  const durable = Effect.flatMap(setting(root, "synchronous"), (before) => {
    if (before >= full) return Effect.void
    setBack = Root.setBack(root, "synchronous", before)
    return Effect.asVoid(Root.control(root, "PRAGMA synchronous = FULL"))
  })
  const begun = patiently(root, options.busyLimit ?? "5 seconds", restore)
  const whole = Effect.zipRight(ready, options.durable === true ? Effect.zipRight(durable, begun) : begun)
  return Effect.matchCauseEffect(whole, {
    onSuccess: () => Effect.succeed(setBack),
    // Some failures are reported after it was begun, and an interruption may come just then.
    onFailure: (cause) =>
      Root.rollback(root).pipe(
        Effect.flatMap(() => setBack),
        Effect.flatMap(() => Root.failTyped(cause))
      )
  })
}

/**
 * SQLite's own waiting (`busy_timeout`) stops the whole process, so it is off while we wait in a way that lets others work.
 */
const patiently = (root: Root.Root, limit: Duration.DurationInput, restore: Restore): Effect.Effect<void, SqlError> =>
  Effect.flatMap(setting(root, "busy_timeout"), (before) => {
    const attempts = Effect.catchAll(immediate(root), (first) =>
      SqlReason.of(first)._tag === "Busy" ? restore(again(root, Duration.decode(limit))) : Effect.fail(first)
    )
    if (before === 0) return attempts
    const setBack = Root.setBack(root, "busy_timeout", before)
    return Effect.matchCauseEffect(Effect.zipRight(Root.control(root, "PRAGMA busy_timeout = 0"), attempts), {
      onSuccess: () => setBack,
      onFailure: (cause) => Effect.flatMap(setBack, () => Effect.failCause(cause))
    })
  })

/** Attempts cannot be interrupted, the waiting between them can. */
const again = (root: Root.Root, limit: Duration.Duration): Effect.Effect<void, SqlError> =>
  Effect.retry(
    Effect.uninterruptible(immediate(root)),
    Schedule.exponential("1 millis", 1.5).pipe(
      Schedule.union(Schedule.spaced("25 millis")),
      Schedule.jittered,
      Schedule.upTo(limit),
      Schedule.whileInput((error: SqlError) => SqlReason.of(error)._tag === "Busy")
    )
  )

const immediate = (root: Root.Root): Effect.Effect<void, SqlError> =>
  Effect.matchCauseEffect(Root.control(root, "BEGIN IMMEDIATE"), {
    onSuccess: () => Effect.void,
    onFailure: (cause) =>
      Effect.flatMap(Root.rollback(root), () =>
        Root.says(cause, "within a transaction") ? Effect.fail(leftOpen(cause)) : Root.failTyped(cause)
      )
  })

const leftOpen = (cause: Cause.Cause<unknown>) =>
  new SqlError({
    cause: Cause.squash(cause),
    message:
      "A transaction was open on the connection that Transaction.run had not begun; it was rolled back. Begin all of them with Transaction.run, not with BEGIN or sql.withTransaction."
  })
