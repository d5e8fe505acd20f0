/** The tables of CRDT documents: the updates, and what came of those of a document up to a position. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as LogId from "../../core/LogId.ts"
import * as Rows from "../../store/internal/rows.ts"
import type { Migration } from "../../store/Migrations.ts"
import { query, statement, type Row, type Transaction } from "../../store/Transaction.ts"

/** An update at its position; or all of a document's updates up to it, as one. */
export interface Update {
  readonly position: number
  readonly bytes: Uint8Array
}

type Read<A> = Effect.Effect<A, SqlError, SqlClient>
type Write = Effect.Effect<unknown, SqlError, Transaction>

/** The tables of one application. */
export interface Updates {
  readonly insert: (document: LogId.LogId, update: Update) => Write
  /** A page of the updates after a position, oldest first. */
  readonly page: (document: LogId.LogId, after: number) => Read<ReadonlyArray<Update>>
  /** Whether at least so many updates are not in the state that is written down. */
  readonly hasUnmerged: (document: LogId.LogId, count: number) => Read<boolean>
  readonly state: (document: LogId.LogId) => Read<Update | undefined>
  readonly putState: (document: LogId.LogId, state: Update) => Write
  /** What goes is in the state that is written down as well, so that goes too, and comes again of what is left. */
  readonly forget: (positions: ReadonlyArray<number>) => Write
  readonly empty: Write
}

/** How many updates are in memory at once. */
export const pageSize = 256

/** The tables of the application of this name. */
export const migration = (name: string): Migration => ({
  name: `${name}_updates, ${name}_states`,
  up: [
    `CREATE TABLE ${name}_updates (position INTEGER PRIMARY KEY, document BLOB NOT NULL, bytes BLOB NOT NULL)`,
    `CREATE INDEX ${name}_updates_document ON ${name}_updates (document, position)`,
    `CREATE TABLE ${name}_states (document BLOB PRIMARY KEY, position INTEGER NOT NULL, bytes BLOB NOT NULL)`
  ]
})

/** What is read from and written to them. */
export const make = (name: string): Updates => ({ ...updates(name), ...states(name), ...both(name) })

// internal

const updates = (name: string): Pick<Updates, "insert" | "page"> => {
  const insert = statement(
    `INSERT INTO ${name}_updates (document, position, bytes) VALUES (?, ?, ?) ON CONFLICT (position) DO NOTHING`
  )
  const select = query(
    `SELECT position, bytes FROM ${name}_updates WHERE document = ? AND position > ? ORDER BY position LIMIT ${pageSize}`
  )
  return {
    insert: (document, { bytes, position }) => insert(LogId.toBytes(document), position, bytes),
    page: (document, after) => Effect.map(select(LogId.toBytes(document), after), (rows) => rows.map(update))
  }
}

const states = (name: string): Pick<Updates, "state" | "putState"> => {
  const select = query(`SELECT position, bytes FROM ${name}_states WHERE document = ?`)
  const upsert = statement(
    `INSERT INTO ${name}_states (document, position, bytes) VALUES (?, ?, ?)
     ON CONFLICT (document) DO UPDATE SET position = excluded.position, bytes = excluded.bytes`
  )
  return {
    state: (document) =>
      Effect.map(select(LogId.toBytes(document)), ([row]) => (row === undefined ? undefined : update(row))),
    putState: (document, { bytes, position }) => upsert(LogId.toBytes(document), position, bytes)
  }
}

const both = (name: string): Pick<Updates, "hasUnmerged" | "forget" | "empty"> => {
  const selectNth = query(
    `SELECT 1 FROM ${name}_updates WHERE document = ?
     AND position > coalesce((SELECT position FROM ${name}_states WHERE document = ?), 0) LIMIT 1 OFFSET ?`
  )
  const deleteUpdates = statement(
    `DELETE FROM ${name}_updates WHERE position IN (SELECT value FROM json_each(?)) RETURNING document`
  )
  const deleteStates = statement(`DELETE FROM ${name}_states WHERE document IN (SELECT unhex(value) FROM json_each(?))`)
  return {
    hasUnmerged: (document, count) => {
      const bytes = LogId.toBytes(document)
      return Effect.map(selectNth(bytes, bytes, Math.max(1, count) - 1), (rows) => rows.length > 0)
    },
    forget: (positions) =>
      Effect.flatMap(deleteUpdates(Rows.list(positions)), (rows) =>
        deleteStates(Rows.list(new Set(rows.map((row) => Rows.hex(row, "document")))))
      ),
    empty: Effect.zipRight(statement(`DELETE FROM ${name}_updates`)(), statement(`DELETE FROM ${name}_states`)())
  }
}

const update = (row: Row): Update => ({ position: Rows.integer(row, "position"), bytes: Rows.blob(row, "bytes") })
