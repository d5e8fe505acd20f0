/** What all levels of one transaction share: the connection, whose turn it is on it, and whether the transaction still is. */
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type { Row } from "./capability.ts"
import type { Level } from "./level.ts"
import type { Prepared } from "./prepared.ts"
import { describe, TransactionLost } from "./transactionErrors.ts"

/** What tells clients apart. Their copies (`withoutTransforms`) differ, but reserve in the same way. */
export type Key = Connection.Acquirer

export interface Root {
  readonly key: Key
  readonly connection: Connection
  readonly sqlite: boolean
  /** The level of another client's transaction around this one. */
  readonly outer: Level | undefined
  /** The context that the transaction was started with. */
  readonly outside: Context.Context<never>
  /** Its statements, where they can be prepared once. */
  prepared: Prepared | undefined
  /** A statement is on the connection. */
  busy: boolean
  waiters: Array<() => void>
  /** Why nothing can be committed any more. */
  lost: TransactionLost | undefined
  /** The database has no open transaction any more. */
  gone: boolean
  /** Not on SQLite: the failure after which the database takes no statements until it is rolled back to a savepoint. */
  aborted: Cause.Cause<unknown> | undefined
  /** How many statements were run that may have written. */
  writes: number
  /** Part of savepoints' names; raised when one may have been left behind, so that it is not mistaken for another. */
  generation: number
  /** What is still to be done before the connection is given back, because it failed. */
  readonly chores: Array<string>
}

/** Each by its name: spread, they take V8 some 2 % of what a transaction of one operation costs. */
export const make = ({
  connection,
  key,
  outer,
  outside,
  sqlite
}: Pick<Root, "key" | "connection" | "sqlite" | "outer" | "outside">): Root => ({
  key,
  connection,
  sqlite,
  outer,
  outside,
  prepared: undefined,
  busy: false,
  waiters: [],
  lost: undefined,
  gone: false,
  aborted: undefined,
  writes: 0,
  generation: 0,
  chores: []
})

/** Waits until something ended that others may wait for; they look again then, so none can lose its turn by interruption. */
export const changed = (root: Root): Effect.Effect<void> =>
  Effect.async((resume) => {
    const wake = () => resume(Effect.void)
    root.waiters.push(wake)
    return Effect.sync(() => {
      root.waiters = root.waiters.filter((waiter) => waiter !== wake)
    })
  })

/** The connection is free again. */
export const free = (root: Root): void => {
  root.busy = false
  if (root.waiters.length === 0) return
  const waiters = root.waiters
  root.waiters = []
  for (const wake of waiters) wake()
}

/** Takes the connection, for a level's end. */
export const claim = (root: Root): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (root.busy) return Effect.zipRight(changed(root), claim(root))
    root.busy = true
    return Effect.void
  })

/**
 * A statement of our own. SQLite takes it prepared, which is faster; other drivers do not prepare such statements. Suspended,
 * since a PRAGMA does its work where it is prepared.
 */
export const control = (root: Root, sql: string): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  Effect.suspend(() =>
    attempt(() => (root.sqlite ? execute(root, sql, []) : root.connection.executeUnprepared(sql, [], undefined)))
  )

/** Drivers prepare some statements before they return an effect, and throw from there. */
export const attempt = <A>(evaluate: () => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> => {
  try {
    return evaluate()
  } catch (cause) {
    return Effect.fail(new SqlError({ cause, message: "Failed to prepare statement" }))
  }
}

/** Any statement, in the quickest way there is; to be run at once. */
export const execute = (
  root: Root,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  root.prepared === undefined ? root.connection.execute(sql, params, undefined) : root.prepared.statement(sql, params)

/** After a statement of our own failed: finds out what became of the transaction. */
export const failed = (root: Root, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  root.generation++
  return examine(root, cause)
}

/**
 * After a failure: is the database still in the transaction? SQLite sometimes rolls back by itself, and what came next would
 * be committed piece by piece. It says so when asked to BEGIN: only outside a transaction that works.
 */
export const examine = (root: Root, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (root.lost !== undefined) return Effect.void
  if (!root.sqlite) {
    root.aborted ??= cause
    return Effect.void
  }
  // SQLite's calls are synchronous, what was interrupted had not begun.
  if (Cause.isInterruptedOnly(cause)) return Effect.void
  return Effect.flatMap(Effect.exit(control(root, "BEGIN")), (begin) => {
    if (Exit.isFailure(begin) && says(begin.cause, "within a transaction")) return Effect.void
    // Begun, or an answer that tells nothing: in doubt it is lost.
    root.lost = new TransactionLost({ original: Cause.squash(cause) })
    if (Exit.isFailure(begin)) return Effect.void
    return Effect.map(Effect.exit(control(root, "ROLLBACK")), (exit) => {
      root.gone = Exit.isSuccess(exit)
    })
  })
}

/** Nothing of the transaction may be committed. */
export const lose = (root: Root, cause: Cause.Cause<unknown>): void => {
  root.lost ??= new TransactionLost({ original: Cause.squash(cause) })
}

/** Rolls back. `none`: the database had done so by itself; `failed`: it is put off until the connection is given back. */
export const rollback = (root: Root): Effect.Effect<Undone> =>
  Effect.flatMap(Effect.exit(chore(root, "ROLLBACK")), (exit): Effect.Effect<Undone> => {
    if (Exit.isSuccess(exit)) return Effect.succeed(exit.value)
    root.chores.push("ROLLBACK")
    return Effect.succeed("failed")
  })

export type Undone = "done" | "none" | "failed"

/** Sets a setting of SQLite back; what fails is put off until the connection is given back. */
export const setBack = (root: Root, name: string, value: number): Effect.Effect<void> => {
  const sql = `PRAGMA ${name} = ${value}`
  return Effect.catchAllCause(Effect.asVoid(control(root, sql)), () => Effect.sync(() => root.chores.push(sql)))
}

/**
 * Does what was put off, and gives the connection back. Whoever gets a connection with an open transaction reads what is not
 * committed, and what he writes is lost; so until all is done nobody gets it, and those who wait for it go on waiting.
 */
export const giveBack = (root: Root, release: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.matchCauseEffect(tidy(root), {
    onSuccess: () => release,
    onFailure: (cause) => {
      const again = Effect.retry(Effect.sandbox(tidy(root)), tries)
      // The database does not know of a test's clock.
      const inTime = Effect.withClock(Effect.ensuring(Effect.ignore(again), release), Clock.make())
      return Effect.zipRight(
        Effect.logWarning(`${root.chores.join(", ")} failed; the connection is kept back until it works`, cause),
        Effect.asVoid(Effect.forkDaemon(inTime))
      )
    }
  })

const tries = Schedule.union(Schedule.exponential("1 millis"), Schedule.spaced("100 millis"))

const tidy = (root: Root): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    const sql = root.chores[0]
    if (sql === undefined) return Effect.void
    return Effect.flatMap(chore(root, sql), () => {
      root.chores.shift()
      return tidy(root)
    })
  })

/** A transaction that is not there is as good as rolled back, and a connection that was closed has none. */
const chore = (root: Root, sql: string): Effect.Effect<"done" | "none", SqlError> =>
  Effect.catchAllCause(Effect.as(control(root, sql), "done" as const), (cause) => {
    const nothing = ["no transaction is active", "connection is not open", "database is not open"]
    return !root.sqlite || nothing.some((words) => says(cause, words)) ? Effect.succeed("none") : failTyped(cause)
  })

/** True if the failure's text has the words: for these answers SQLite and its drivers have no code of their own. */
export const says = (cause: Cause.Cause<unknown>, words: string): boolean =>
  describe(Cause.squash(cause)).includes(words)

/** A driver that throws is a driver that failed: an error of ours is typed. */
export const failTyped = (cause: Cause.Cause<SqlError>): Effect.Effect<never, SqlError> => {
  if (Cause.isInterrupted(cause) || Cause.isFailure(cause)) return Effect.failCause(cause)
  return Effect.fail(new SqlError({ cause: Cause.squash(cause), message: "The database driver threw" }))
}
