/**
 * Consumers: named, versioned readers of accepted operations, each with the position it has acknowledged. The
 * application with the veto is one of them; it acknowledges in the transaction that accepts.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Transaction } from "./Transaction.ts"

/** A consumer as it is recorded. */
export interface Consumer {
  readonly name: string
  readonly version: number
  /** Everything up to this position is acknowledged. */
  readonly position: number
}

const selectApplication = query(`SELECT name, version, position FROM applecart_consumers WHERE role = 'application'`)

/** The application that this database belongs to, if one was ever opened on it. */
export const application: Effect.Effect<Consumer | undefined, SqlError, SqlClient> = Effect.map(
  selectApplication(),
  ([row]) =>
    row === undefined
      ? undefined
      : {
          name: Rows.text(row, "name"),
          version: Rows.integer(row, "version"),
          position: Rows.integer(row, "position")
        }
)

const insert = statement(
  `INSERT INTO applecart_consumers (name, version, role, position) VALUES (?, ?, 'application', ?)`
)

/** Records the application that this database belongs to from now on. */
export const register = (consumer: Consumer): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(insert(consumer.name, consumer.version, consumer.position))

const update = statement(`UPDATE applecart_consumers SET position = ? WHERE name = ?`)

/** Acknowledges everything up to a position. */
export const acknowledge = (name: string, position: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(update(position, name))
