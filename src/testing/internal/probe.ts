/**
 * The application behind a processor that is put to the test: it writes down what it is handed, with what the processor added, and
 * says no to some operations, always to the same ones.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Application from "../../pipeline/Application.ts"
import * as Event from "../../pipeline/Event.ts"
import * as Canonical from "./canonical.ts"
import type { Witness } from "./witness.ts"

/** The application said no. */
export class Vetoed extends Schema.TaggedError<Vetoed>()("Vetoed", {}) {
  override get message() {
    return "The application of the laws says no to some operations, so that it shows what they leave behind."
  }
}

/** Its table. */
export const table = "laws_handled"

/** The column with what the processor added; whoever compares peers leaves it out, since it may be a matter of time. */
export const adds = "adds"

/** One of sixteen operations is vetoed. */
const isVetoed = (id: string): boolean => id.startsWith("0")

export const make = (witness: Pick<Witness, "adds" | "accepted">, version: number) =>
  Application.bytes({
    name: "laws",
    version,
    migrations: [{ name: table, up: [`CREATE TABLE ${table} (id TEXT NOT NULL, ${adds} TEXT, body BLOB)`] }],
    handle: ({ event, message }): Effect.Effect<unknown, SqlError | Vetoed, SqlClient.SqlClient> =>
      isVetoed(event.id)
        ? Effect.fail(new Vetoed())
        : Effect.flatMap(SqlClient.SqlClient, (sql) => {
            const lacks = Event.lacksBody(event)
            const added = lacks ? null : addedTo(event, witness.adds)
            return sql`INSERT INTO ${sql(table)} (id, adds, body) VALUES (${event.id}, ${added}, ${lacks ? null : (message ?? null)})`
          }).pipe(Effect.tap(() => Effect.sync(() => witness.accepted?.add(event.id)))),
    forget: ({ how, operations }) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) => {
        const which = sql.in(
          "id",
          operations.map(({ id }) => id)
        )
        return how === "pruned"
          ? sql`DELETE FROM ${sql(table)} WHERE ${which}`
          : sql`UPDATE ${sql(table)} SET adds = NULL, body = NULL WHERE ${which}`
      }),
    reset: Application.emptying(table)
  })

// internal

const addedTo = (event: object, names: ReadonlySet<string>): string =>
  Canonical.text(Object.entries(event).filter(([name]) => names.has(name)))
