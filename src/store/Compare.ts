/**
 * Whether tables hold the same rows before and after something, inside one transaction: they are copied into temporary tables,
 * which go with it when it is rolled back. Rows are compared as they are, in any order.
 *
 * Numbers that SQLite gives by itself are left out, since who is handed everything anew may get others: AUTOINCREMENT keys, and
 * in our own tables all integer keys and what refers to them.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Bytes from "../core/Bytes.ts"
import { Finding } from "./Finding.ts"
import * as Cells from "./internal/cells.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** A table, and what of it is compared. */
export interface Table {
  readonly name: string
  readonly columns: ReadonlyArray<string>
}

/** What is compared. */
export interface Options {
  /** Tables of ours that are compared as well as those of the application. */
  readonly also: ReadonlyArray<string>
  /** Tables and columns (`table.column`) that are not. */
  readonly ignore: ReadonlyArray<string>
}

/** The tables that are compared: all but ours and those of SQLite itself. */
export const tables = ({ also, ignore }: Options): Effect.Effect<ReadonlyArray<Table>, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const left = new Set(ignore)
    const found: Array<Table> = []
    for (const row of yield* selectTables()) {
      const [name, sql] = [Cells.text(row, "name") ?? "", Cells.text(row, "sql") ?? ""]
      if (left.has(name) || (name.startsWith("applecart_") && !also.includes(name))) continue
      const columns = (yield* columnsOf(name, sql)).filter((column) => !left.has(`${name}.${column}`))
      if (columns.length > 0) found.push({ name, columns })
    }
    return found
  })

/** Remembers what the tables hold now. */
export const remember = (all: ReadonlyArray<Table>): Effect.Effect<void, SqlError, Transaction> =>
  Effect.forEach(
    all,
    ({ name }, index) => statement(`CREATE TEMP TABLE ${before(index)} AS SELECT * FROM main.${quoted(name)}`)(),
    { discard: true }
  )

/** Findings of one table in one direction; whoever has so many has seen enough. */
const most = 100

/** What the tables held, and hold no more, or the other way round. */
export const differences = (all: ReadonlyArray<Table>): Effect.Effect<ReadonlyArray<Finding>, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const findings: Array<Finding> = []
    for (const [index, table] of all.entries()) {
      const columns = table.columns.map(quoted).join(", ")
      const counted = (from: string) => `SELECT ${columns}, count(*) AS times FROM ${from} GROUP BY ${columns}`
      const [then, now] = [counted(`temp.${before(index)}`), counted(`main.${quoted(table.name)}`)]
      const tell = (detail: string) => (row: Row) =>
        void findings.push(
          new Finding({ kind: "Projection", mend: "rebuild", table: table.name, key: keyOf(table, row), detail })
        )
      const only = (a: string, b: string) => query(`SELECT * FROM (${a} EXCEPT ${b}) LIMIT ${most}`)()
      for (const row of yield* only(then, now)) tell("this row is here, and a rebuild does not make it")(row)
      for (const row of yield* only(now, then)) tell("a rebuild makes this row, and it is not here")(row)
    }
    return findings
  })

// internal

const selectTables = query(
  `SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
     AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name`
)

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
const before = (index: number) => `applecart_before_${index}`

/** The column that is the row's own number, where SQLite gives it. */
const ownNumber = (name: string, sql: string, info: ReadonlyArray<Row>): string | undefined => {
  if (!name.startsWith("applecart_") && !/\bautoincrement\b/i.test(sql)) return undefined
  const key = info.filter((row) => Cells.integer(row, "pk") !== 0)
  const [only] = key
  const isNumber = key.length === 1 && only !== undefined && /^integer$/i.test(Cells.text(only, "type") ?? "")
  return isNumber ? Cells.text(only, "name") : undefined
}

const columnsOf = (name: string, sql: string): Effect.Effect<ReadonlyArray<string>, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const info = yield* query(`PRAGMA table_info(${quoted(name)})`)()
    const references = name.startsWith("applecart_") ? yield* query(`PRAGMA foreign_key_list(${quoted(name)})`)() : []
    const left = new Set([ownNumber(name, sql, info), ...references.map((row) => Cells.text(row, "from"))])
    return info.flatMap((row) => Cells.text(row, "name") ?? []).filter((column) => !left.has(column))
  })

/** Its first columns, so that it can be found. */
const keyOf = ({ columns }: Table, row: Row): string =>
  JSON.stringify(
    columns.slice(0, 3).map((column) => {
      const cell = row[column]
      return cell instanceof Uint8Array ? Bytes.toHex(cell.subarray(0, 32)) : cell
    })
  ).slice(0, 200)
