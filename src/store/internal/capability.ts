/** The tag of the capability to write; apart from its module because the parts below that module need it too. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** A row as the database gives it: no name is transformed. */
export type Row = { readonly [column: string]: unknown }

/** What an open transaction offers. */
export interface Service {
  /**
   * Runs one statement on the transaction's own connection, past the client's templates: no span, no scope. Fails with the
   * statement's error, or with `TransactionClosed`, `TransactionLost` or `TransactionControl`.
   */
  readonly execute: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<Row>, SqlError>
  /**
   * Runs one statement with the parameters of each row, one after the other, and gives what all of them return: the quickest way to
   * write many rows where statements are prepared once.
   */
  readonly executeEach: (
    sql: string,
    rows: ReadonlyArray<ReadonlyArray<unknown>>
  ) => Effect.Effect<ReadonlyArray<Row>, SqlError>
  /** Whether statements are prepared once: SQLite's are, with a client that lets them. */
  readonly isPrepared: boolean
  /** Runs the effect in a part of its own; see `Transaction.savepoint`. */
  readonly savepoint: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, Exclude<R, Transaction>>
  /** Runs the effect in a part that is not undone by itself; see `Transaction.part`. */
  readonly part: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | SqlError, Exclude<R, Transaction>>
  /** Fails if nothing can be committed any more; see `Transaction.check`. */
  readonly check: Effect.Effect<void, SqlError>
  /** Keeps the effect for after the outermost commit; see `Transaction.afterCommit`. */
  readonly defer: <R>(effect: Effect.Effect<unknown, never, R>) => Effect.Effect<void, never, R>
}

/**
 * The capability to write. An effect that needs it can only be run by `Transaction.run`, so a write outside a transaction
 * does not compile.
 */
export class Transaction extends Context.Tag("applecart/Transaction")<Transaction, Service>() {}
