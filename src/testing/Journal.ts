/**
 * An application that writes down what it is handed: the yardstick of tests. Whatever happens, its table holds the operations that
 * were accepted, each once, in the order of acceptance; `Promises.broken` compares it with the log.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Application from "../pipeline/Application.ts"

/** The table. `id` takes a doubled operation, so that the comparison finds it and not a constraint. */
export const migrations = [
  {
    name: "journal",
    up: [`CREATE TABLE journal (id TEXT NOT NULL, position INTEGER NOT NULL, body BLOB)`]
  }
]

/** Handles every operation by writing a row; what is pruned or deleted goes from its table as well. */
export const application = Application.bytes({
  name: "journal",
  version: 1,
  migrations,
  handle: ({ event, message, position }) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`INSERT INTO journal (id, position, body) VALUES (${event.id}, ${position}, ${message ?? null})`
    ),
  forget: ({ how, operations }) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => {
      const which = sql.in(
        "id",
        operations.map(({ id }) => id)
      )
      return how === "pruned"
        ? sql`DELETE FROM journal WHERE ${which}`
        : sql`UPDATE journal SET body = NULL WHERE ${which}`
    }),
  reset: Application.emptying("journal")
})
