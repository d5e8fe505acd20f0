/** An application for tests: apples change hands, and nobody can give what they do not have. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"

export const Message = Schema.Union(
  Schema.Struct({ pick: Schema.Int, by: Schema.String }),
  Schema.Struct({ give: Schema.Int, from: Schema.String, to: Schema.String })
)
export type Message = typeof Message.Type

export class NotEnoughApples extends Schema.TaggedError<NotEnoughApples>()("NotEnoughApples", {
  owner: Schema.String,
  left: Schema.Int
}) {}

export const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS baskets (owner TEXT PRIMARY KEY, apples INTEGER NOT NULL)`
  yield* sql`CREATE TABLE IF NOT EXISTS handled (id TEXT NOT NULL, position INTEGER NOT NULL)`
})

const add = (owner: string, apples: number) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql<{ apples: number }>`
      INSERT INTO baskets (owner, apples) VALUES (${owner}, ${apples})
      ON CONFLICT (owner) DO UPDATE SET apples = apples + excluded.apples RETURNING apples`
  )

export const application = Application.make({
  name: "apples",
  version: 1,
  message: Message,
  handle: ({ event, message, position }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO handled (id, position) VALUES (${event.id}, ${position})`
      if ("pick" in message) {
        yield* add(message.by, message.pick)
        return
      }
      const [from] = yield* add(message.from, -message.give)
      yield* add(message.to, message.give)
      if (from !== undefined && from.apples < 0) {
        return yield* new NotEnoughApples({ owner: message.from, left: from.apples })
      }
    })
})

export const pipeline = Pipeline.make(LogIntegrity.processor)

export const body = (message: Message): Uint8Array => Either.getOrThrow(Cbor.encode(message))

/** Who has how many apples, and what was handled in which order. */
export const dump = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return {
    baskets: yield* sql`SELECT owner, apples FROM baskets WHERE apples <> 0 ORDER BY owner`,
    handled: yield* sql<{ id: string; position: number }>`SELECT id, position FROM handled ORDER BY position, id`
  }
})
