/**
 * States of a database to come back to: all rows of all tables, kept beside it. Putting them back costs a fraction of a new
 * database with its statements prepared anew, and leaves the connection and the controller as they are: they have to be as good as
 * new after every fault.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as crypto from "node:crypto"

/** Keeps states of one database under numbers. */
export interface Kept {
  readonly keep: (state: number) => Effect.Effect<void, SqlError>
  readonly restore: (state: number) => Effect.Effect<void, SqlError>
  /** All that is in the database but what nothing depends on: the times of writing, and the reasons that are kept for people. */
  readonly rows: Effect.Effect<string, SqlError>
}

/** For a database whose tables are all there. */
export const make = (sql: SqlClient): Effect.Effect<Kept, SqlError> =>
  Effect.gen(function* () {
    yield* sql`ATTACH ':memory:' AS kept`
    const found = yield* sql<Found>`
      SELECT t.name, t.wr, json_group_array(c.name) AS columns,
        count(*) FILTER (WHERE c.pk > 0) = 1 AND max(c.type = 'INTEGER' AND c.pk > 0) AS numbered
      FROM pragma_table_list AS t, pragma_table_info(t.name) AS c
      WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT IN ('sqlite_schema', 'applecart_migrations')
      GROUP BY t.name ORDER BY t.name`
    const tables = found.map(table)
    for (const { beside, columns, name } of tables)
      yield* sql.unsafe(`CREATE TABLE ${beside} AS SELECT 0 AS kept_state, ${as(columns)} FROM main.${name} WHERE 0`)
    const use = <A>(f: (on: Connection) => Effect.Effect<A, SqlError>) => Effect.scoped(Effect.flatMap(sql.reserve, f))
    const send = (texts: ReadonlyArray<string>, state: number) =>
      use((on) =>
        Effect.forEach(texts, (text) => on.execute(text, text.includes("?") ? [state] : [], undefined), {
          discard: true
        })
      )
    const keeping = tables.map(
      ({ beside, columns, name }) => `INSERT INTO ${beside} SELECT ?, ${columns.join(", ")} FROM main.${name}`
    )
    const restoring = ["BEGIN", "PRAGMA defer_foreign_keys = ON", ...filled(tables), "COMMIT"]
    const shown = tables.map(({ name, shown }) => `SELECT ${shown} FROM main.${name}`)
    return {
      keep: (state) => send(keeping, state),
      restore: (state) => send(restoring, state),
      rows: use((on) =>
        Effect.map(
          Effect.forEach(shown, (text) => on.executeValues(text, [])),
          (all) => crypto.createHash("sha256").update(JSON.stringify(all)).digest("hex")
        )
      )
    }
  })

// internal

interface Found {
  readonly name: string
  readonly wr: number
  readonly columns: string
  readonly numbered: number
}

interface Table {
  readonly name: string
  /** Where its rows are kept. */
  readonly beside: string
  readonly columns: ReadonlyArray<string>
  readonly shown: string
}

const times = new Set(["accepted_at", "received_at", "decided_at", "begun_at", "since"])

/** Of a reason and of `not_before` it matters whether there is one: the former is for people, and the latter over at once here. */
const table = ({ columns, name, numbered, wr }: Found): Table => {
  const names: ReadonlyArray<string> = JSON.parse(columns)
  const shown = names.filter((one) => !times.has(one))
  return {
    name: `"${name}"`,
    beside: `kept."kept_${name}"`,
    columns: [...(wr === 1 || numbered === 1 ? [] : ["rowid"]), ...names.map((one) => `"${one}"`)],
    shown: shown.map((one) => (one === "not_before" || one === "reason" ? `${one} IS NULL` : `"${one}"`)).join(", ")
  }
}

const as = (columns: ReadonlyArray<string>): string =>
  columns.map((one) => (one === "rowid" ? "rowid AS kept_row" : one)).join(", ")

/** What SQLite or a trigger keeps comes last, and is emptied once more, so that it ends as it was kept. */
const maintained = new Set([`"applecart_inbox_shares"`, `"sqlite_sequence"`])

const filled = (tables: ReadonlyArray<Table>): ReadonlyArray<string> => {
  const fill = ({ beside, columns, name }: Table) =>
    `INSERT INTO main.${name} (${columns.join(", ")})
      SELECT ${columns.map((one) => (one === "rowid" ? "kept_row" : one)).join(", ")} FROM ${beside} WHERE kept_state = ?`
  const empty = ({ name }: Table) => `DELETE FROM main.${name}`
  const plain = tables.filter(({ name }) => !maintained.has(name))
  const kept = tables.filter(({ name }) => maintained.has(name))
  return [...plain.map(empty), ...plain.map(fill), ...kept.map(empty), ...kept.map(fill)]
}
