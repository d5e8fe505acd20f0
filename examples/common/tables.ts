/** Looks into the tables, past everything that reads them in an orderly way. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"

/** The tables of the current database in which these words are found, as text or as bytes. */
export const holding = (text: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = yield* sql<{ name: string }>`SELECT name FROM sqlite_master WHERE type = 'table'`
    return yield* Effect.filter(
      tables.map(({ name }) => name),
      (name) => Effect.map(sql`SELECT * FROM ${sql(name)}`, (rows) => rows.some((row) => holds(row, text)))
    )
  })

// internal

const holds = (row: object, text: string) =>
  Object.values(row).some((value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).includes(text) : String(value).includes(text)
  )
