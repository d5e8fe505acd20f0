/** What tests of topics share: every row with its topic, databases in memory, and a format whose log ids say nothing. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Extensions from "../../src/core/Extensions.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Topic from "../../src/core/Topic.ts"
import { native } from "../core/support.ts"

/** Two topics, of which no log id of the other derives. */
export const [apples, pears] = [Topic.named(native, "apples"), Topic.named(native, "pears")]

/** p2panda's format, without what it says about topics. */
export const silent: Extensions.Codec<NodeExtensions.NodeExtensions> = { ...NodeExtensions.codec, ownsLog: undefined }

/** In a database of its own. */
export const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(self, SqliteClient.layer({ filename: ":memory:" })))

/** Every row, and the topic it is under, without what depends on when things arrived. */
export const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return {
    operations: yield* sql`
      SELECT lower(hex(o.id)) AS id, hex(l.author) AS author, nullif(lower(hex(t.hash)), '') AS topic, hex(o.header) AS header, hex(o.body) AS body
      FROM applecart_operations o JOIN applecart_logs l USING (log) LEFT JOIN applecart_topics t USING (topic) ORDER BY o.id`,
    logs: yield* sql`
      SELECT hex(l.author) AS author, hex(l.log_id) AS log_id, nullif(lower(hex(t.hash)), '') AS topic, l.head_seq_num, hex(l.head_id) AS head,
        l.pruned_below
      FROM applecart_logs l LEFT JOIN applecart_topics t USING (topic) ORDER BY l.author, l.log_id`,
    topics: yield* sql<{ topic: string; log_id: string }>`
      SELECT lower(hex(hash)) AS topic, lower(hex(log_id)) AS log_id FROM applecart_topics ORDER BY log_id`,
    inbox: yield* sql`
      SELECT lower(hex(id)) AS id, nullif(lower(hex(topic)), '') AS topic, status, processor, json_extract(reason, '$.tag') AS reason,
        hex(header) AS header, hex(body) AS body
      FROM applecart_inbox ORDER BY id`,
    decisions: yield* sql`SELECT lower(hex(id)) AS id, what FROM applecart_decisions ORDER BY id`
  }
})
