/**
 * Runs transactions, and is the capability that writes need.
 *
 * Built on the public parts of `SqlClient`, for any client. It sets `SqlClient.TransactionConnection`, so every `sql`
 * template joins, also those of services that took the client earlier. What the stock `withTransaction` gets wrong is put
 * right here: BEGIN IMMEDIATE on SQLite; typed errors for BEGIN and COMMIT; a rollback after a failed COMMIT; savepoints
 * that are released and serialised; a statement that comes too late fails instead of writing into the next transaction.
 *
 * @example
 * const give = Transaction.statement("UPDATE baskets SET apples = apples - ? WHERE owner = ?")
 * const program = Transaction.run(
 *   Effect.gen(function* () {
 *     yield* give(1, "Parrot")
 *     yield* Transaction.afterCommit(Effect.log("gave an apple"))
 *   })
 * )
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Transaction, type Row, type Service } from "./internal/capability.ts"
import * as clients from "./internal/clients.ts"
import { typed } from "./internal/damaged.ts"
import { transact } from "./internal/transact.ts"

export { Transaction, type Row, type Service } from "./internal/capability.ts"
export {
  CommitFailed,
  PartFailed,
  TransactionClosed,
  TransactionControl,
  TransactionLost
} from "./internal/transactionErrors.ts"

/** How a transaction is run. */
export interface Options {
  /**
   * On SQLite: what it commits is on the disk when it returns (`PRAGMA synchronous` is raised to FULL for it, and set back).
   * Other databases decide that themselves.
   */
  readonly durable?: boolean | undefined
  /** How long BEGIN is tried while another process writes. Default: 5 seconds. */
  readonly busyLimit?: Duration.DurationInput | undefined
  /**
   * Runs right after the commit, before anybody else gets the connection: nobody who uses this client has seen yet what was committed.
   * It is not interrupted, and may not use the database. Inside another transaction it runs as {@link afterCommit} does.
   */
  readonly committed?: Effect.Effect<void> | undefined
}

/**
 * Runs the effect in a transaction: all of it is committed when it succeeds; nothing when it fails, dies or is interrupted,
 * and its exit is handed on whole. Inside a transaction of the same client it is a {@link savepoint}; inside one of another
 * client it is a transaction of its own, not tied to the other.
 *
 * Fails with the `SqlError` of BEGIN (busy: after `busyLimit`), with {@link CommitFailed}, or with {@link TransactionLost}.
 * Inside a transaction that the stock `sql.withTransaction` began it fails: start it with `Transaction.run` instead.
 * The database is the client's alone until it ends: no network, no waiting inside.
 */
export const run = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  options?: Options
): Effect.Effect<A, E | SqlError, Exclude<R, Transaction> | SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => transact(sql, typed(self), options))

/**
 * Runs the effect in a part of the transaction that is undone as a whole when it fails, dies or is interrupted. Two at once
 * on one level wait for each other, and so do statements of the level around it, unless they come from inside. So do not
 * wait, inside, for a fiber that was forked outside and still has statements to run.
 */
export const savepoint = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R | Transaction> =>
  withTransaction((transaction) => transaction.savepoint(self))

/**
 * Runs the effect in a part of the transaction that ends with it, as a {@link savepoint} does: a statement that comes later, from a
 * fiber that it left behind, fails. But it cannot be undone by itself, which makes it cheaper by two statements. Its failure is
 * handed on; where it has written before, the whole transaction is lost: whatever comes next, COMMIT too, fails with
 * {@link PartFailed}. Databases other than SQLite get a savepoint.
 */
export const part = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R | Transaction> =>
  withTransaction((transaction) => transaction.part(self))

/** Fails with {@link TransactionLost} if nothing of the transaction can be committed any more. */
export const check: Effect.Effect<void, SqlError, Transaction> = Effect.flatMap(
  Transaction,
  (transaction) => transaction.check
)

/**
 * Runs the effect after the outermost commit, when the connection is free again; in order, and not interrupted, so that
 * what waits for the news gets it. Dropped with the part that is rolled back. What it has to wait long for, it should fork.
 * A defect in it is logged and does not disturb the others: the commit stands.
 */
export const afterCommit = <R>(effect: Effect.Effect<unknown, never, R>): Effect.Effect<void, never, Transaction | R> =>
  Effect.flatMap(Transaction, (transaction) => transaction.defer(effect))

/**
 * A write with a fixed text, run on the transaction's connection. A quarter of the time that a template takes.
 *
 * @example
 * const insert = Transaction.statement("INSERT INTO baskets (owner, apples) VALUES (?, ?)")
 * insert("Horse", 1) // Effect<ReadonlyArray<Row>, SqlError, Transaction>
 */
export const statement =
  (text: string) =>
  (...params: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<Row>, SqlError, Transaction> =>
    withTransaction((transaction) => transaction.execute(text, params))

/** A read with a fixed text: in the open transaction of the client if there is one, else on the client. */
export const query =
  (text: string) =>
  (...params: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<Row>, SqlError, SqlClient.SqlClient> =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => clients.read(sql, text, params))

/**
 * The same client for handlers: its `withTransaction` is ours, and its `reserve` joins the open transaction instead of
 * waiting for it for ever. Make it once.
 */
export const client: (base: SqlClient.SqlClient) => SqlClient.SqlClient = clients.joining

/**
 * A client of another database that may be used inside a transaction of this one. The tag with which statements find
 * their transaction is one for all clients, so without this they would run on this database.
 */
export const isolated: (client: SqlClient.SqlClient) => SqlClient.SqlClient = clients.isolated

/**
 * Whether the effect runs inside an open transaction of the client: what would wait for the client's next one would then
 * wait for ever.
 */
export const isOpen = (client: SqlClient.SqlClient): Effect.Effect<boolean> => clients.isOpen(client)

// internal

/** `Effect.flatMap(Transaction, f)` in one step instead of three; a tenth of a statement's time. */
const withTransaction = <A, E, R>(
  f: (transaction: Service) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R | Transaction> =>
  Effect.withFiberRuntime((fiber) => f(Context.unsafeGet(fiber.currentContext, Transaction)))
