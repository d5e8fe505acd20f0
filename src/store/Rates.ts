/** How much of each author was accepted in the window of time that is running; the table of the processor `Limits`. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import type { Migration } from "./Migrations.ts"
import { query, statement, type Transaction } from "./Transaction.ts"

/** A window of an author, and what was accepted in it. */
export interface Used {
  /** When the window began, in milliseconds since the epoch. */
  readonly since: number
  readonly operations: number
  /** Headers and bodies. */
  readonly bytes: number
}

/** The table, one row to an author. */
export const migrations: ReadonlyArray<Migration> = [
  {
    name: "limits",
    up: [
      `CREATE TABLE applecart_limits (
        used INTEGER PRIMARY KEY,
        author BLOB NOT NULL UNIQUE,
        since INTEGER NOT NULL,
        operations INTEGER NOT NULL,
        bytes INTEGER NOT NULL
      )`,
      `CREATE INDEX applecart_limits_since ON applecart_limits (since)`
    ]
  }
]

const select = query(
  `SELECT author, since, operations, bytes FROM applecart_limits
   WHERE author IN (SELECT unhex(value) FROM json_each(?))`
)

/** The newest windows of these authors; authors without one are missing. */
export const load = (
  authors: ReadonlyArray<VerifyingKey.VerifyingKey>
): Effect.Effect<ReadonlyMap<VerifyingKey.VerifyingKey, Used>, SqlError, SqlClient> =>
  Effect.map(
    select(Rows.list(authors)),
    (rows) =>
      new Map(
        rows.map((row) => [
          Rows.verifyingKey(row, "author"),
          {
            since: Rows.integer(row, "since"),
            operations: Rows.integer(row, "operations"),
            bytes: Rows.integer(row, "bytes")
          }
        ])
      )
  )

const upsert = statement(
  `INSERT INTO applecart_limits (author, since, operations, bytes)
   SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true
   ON CONFLICT (author) DO UPDATE SET
     since = excluded.since, operations = excluded.operations, bytes = excluded.bytes`
)

/** Writes windows, each in place of the author's one before. */
export const save = (
  changed: ReadonlyMap<VerifyingKey.VerifyingKey, Used>
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(
    upsert(JSON.stringify(Array.from(changed, ([author, used]) => [author, used.since, used.operations, used.bytes])))
  )

/** Forgets everything, for a rebuild. */
export const reset: Effect.Effect<void, SqlError, Transaction> = Effect.asVoid(
  statement(`DELETE FROM applecart_limits`)()
)

const deletePast = statement(
  `DELETE FROM applecart_limits WHERE used IN (SELECT used FROM applecart_limits WHERE since <= ? ORDER BY since LIMIT ?)
   RETURNING 1`
)

/** Deletes windows that began at this time or before it, so many at the most; gives how many. */
export const collect = (since: number, limit: number): Effect.Effect<number, SqlError, Transaction> =>
  Effect.map(deletePast(since, limit), (rows) => rows.length)
