/** A processor with a table of its own, whose parts tests can replace by wrong ones. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Processor from "../../src/pipeline/Processor.ts"

export class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", {
  author: VerifyingKey.Schema
}) {}

/** How much an author has used. */
export interface Used {
  readonly used: number
}

export type Options = Processor.Options<
  VerifyingKey.VerifyingKey,
  Used,
  Event.Event,
  {},
  QuotaExceeded,
  SqlClient.SqlClient,
  SqlClient.SqlClient
>

const ask = <A>(use: (sql: SqlClient.SqlClient) => A) => Effect.map(SqlClient.SqlClient, use)

/** At most so many operations of an author. */
export const quota = (limit: number): Options => ({
  name: "quota",
  migrations: [{ name: "quota", up: ["CREATE TABLE quota (author TEXT PRIMARY KEY, used INTEGER NOT NULL)"] }],
  keys: ({ author }) => [author],
  load: (keys) =>
    Effect.flatten(
      ask((sql) =>
        Effect.map(
          sql<{ author: VerifyingKey.VerifyingKey; used: number }>`SELECT * FROM quota WHERE ${sql.in("author", keys)}`,
          (rows) => new Map(rows.map(({ author, used }) => [author, { used }]))
        )
      )
    ),
  decide: (state, { author }) => {
    const used = (state(author)?.used ?? 0) + 1
    return used > limit
      ? Either.left(new QuotaExceeded({ author }))
      : Either.right(Processor.accept({ state: [[author, { used }]] }))
  },
  save: (changed) =>
    Effect.flatten(
      ask((sql) =>
        Effect.forEach(
          changed,
          ([author, { used }]) =>
            sql`INSERT INTO quota VALUES (${author}, ${used}) ON CONFLICT DO UPDATE SET used = excluded.used`,
          { discard: true }
        )
      )
    ),
  reset: Effect.flatten(ask((sql) => sql`DELETE FROM quota`))
})

export const make = (options: Options) => Processor.make<VerifyingKey.VerifyingKey, Used>()(options)
