/** An application that keeps what was said, and every table as it stands, for tests of the system layers. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Application from "../../src/pipeline/Application.ts"
import { state } from "./Peer.ts"

/** Keeps bodies; forgets what goes. */
export const application = Application.bytes({
  name: "transcript",
  version: 1,
  migrations: [{ name: "said", up: [`CREATE TABLE said (id TEXT PRIMARY KEY, body BLOB, position INTEGER NOT NULL)`] }],
  handle: ({ event, message, position }) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      message === undefined
        ? Effect.void
        : sql`INSERT INTO said (id, body, position) VALUES (${event.id}, ${message}, ${position})`
    ),
  forget: ({ operations }) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) =>
        sql`DELETE FROM said WHERE ${sql.in(
          "id",
          operations.map(({ id }) => id)
        )}`
    )
})

const has = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(sql`SELECT 1 FROM sqlite_master WHERE name = ${table}`, (rows) => rows.length > 0)
  )

/** Every table, without what depends on when and in which order things arrived. */
export const dump = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* state
  const said = yield* sql`SELECT id, hex(body) AS body FROM said ORDER BY id`
  const wrong = yield* sql`
    SELECT s.id FROM said AS s LEFT JOIN applecart_operations AS o ON lower(hex(o.id)) = s.id
    WHERE o.position IS NOT s.position OR o.body IS NOT s.body`
  assert.deepStrictEqual(wrong, [], "the application keeps what the log keeps")
  return {
    ...tables,
    said,
    causal: (yield* has("applecart_causal"))
      ? yield* sql`SELECT hex(id) AS id, time, counter, named, unsettled FROM applecart_causal ORDER BY id`
      : [],
    edges: (yield* has("applecart_causal"))
      ? yield* sql`SELECT hex(e.parent) AS parent, hex(c.id) AS child
          FROM applecart_causal_edges AS e LEFT JOIN applecart_causal AS c ON c.vertex = e.child ORDER BY 1, 2`
      : [],
    tombstones: (yield* has("applecart_tombstones"))
      ? // What names a pruned operation is garbage.
        yield* sql`SELECT hex(target) AS target, hex(author) AS author FROM applecart_tombstones
          WHERE target NOT IN (SELECT id FROM applecart_decisions WHERE what = 'pruned') ORDER BY 1, 2`
      : []
  }
})
