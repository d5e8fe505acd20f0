/**
 * The topics that are known here: which log id belongs to which topic. A log id is a hash at best, so a topic has to be told;
 * until then a log stands without one.
 *
 * A topic is learnt from what was let in: an operation that is accepted under it, or one that was accepted before (or pruned
 * since) and comes again under it. What is only in the inbox carries what its sender said, and teaches it when it is accepted;
 * so nobody fills this table without getting operations in. The first topic that is learnt for a log id stays.
 *
 * Whatever has a learnt log id has its topic, in whichever order they came: logs and the inbox are adopted when it is learnt,
 * and later ones get it at once.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Hash from "../core/Hash.ts"
import type * as LogId from "../core/LogId.ts"
import type * as Topic from "../core/Topic.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Transaction } from "./Transaction.ts"

/** The name under which rejections for the sake of a topic stand in the inbox. */
export const processor = "topics"

/** What somebody said of an operation: it belongs to this topic. */
export interface Told {
  readonly logId: LogId.LogId
  readonly topic: Topic.Topic | undefined
}

const insert = statement(
  `INSERT INTO applecart_topics (log_id, hash)
   SELECT unhex(substr(value, 1, 64)), unhex(substr(value, 66)) FROM json_each(?) WHERE true
   ON CONFLICT (log_id) DO NOTHING RETURNING log_id`
)
const adoptLogs = statement(
  `UPDATE applecart_logs SET topic = (SELECT t.topic FROM applecart_topics AS t WHERE t.log_id = applecart_logs.log_id)
   WHERE log_id IN (SELECT unhex(value) FROM json_each(?))`
)
const adoptInbox = statement(
  `UPDATE applecart_inbox SET topic = (SELECT t.hash FROM applecart_topics AS t WHERE t.log_id = applecart_inbox.log_id)
   WHERE topic IS NULL AND log_id IN (SELECT unhex(value) FROM json_each(?))`
)

/** Learns topics from operations that were let in, in their order, and adopts all logs and the inbox. */
export const learn = (told: Iterable<Told>): Effect.Effect<void, SqlError, Transaction> => {
  const first = new Map<LogId.LogId, Topic.Topic>()
  for (const { logId, topic } of told) if (topic !== undefined && !first.has(logId)) first.set(logId, topic)
  if (first.size === 0) return Effect.void
  return Effect.flatMap(insert(Rows.list(Array.from(first, ([logId, topic]) => `${logId}/${topic}`))), (rows) => {
    if (rows.length === 0) return Effect.void
    const learnt = Rows.list(rows.map((row) => Rows.hex(row, "log_id")))
    return Effect.asVoid(Effect.zipRight(adoptLogs(learnt), adoptInbox(learnt)))
  })
}

const isRejectedForIt = `i.status = 'rejected' AND i.processor = '${processor}'`
const updateClaims = statement(
  `UPDATE applecart_inbox AS i SET
     topic = c.topic,
     status = CASE WHEN ${isRejectedForIt} THEN 'queued' ELSE i.status END,
     not_before = CASE WHEN ${isRejectedForIt} THEN NULL ELSE i.not_before END
   FROM (SELECT unhex(substr(value, 1, 64)) AS id, unhex(substr(value, 66)) AS topic FROM json_each(?)) AS c
   WHERE i.id = c.id AND (i.topic IS NULL OR i.topic <> c.topic AND (
     ${isRejectedForIt} OR c.topic = (SELECT t.hash FROM applecart_topics AS t WHERE t.log_id = i.log_id)))
   RETURNING id, status`
)

/**
 * Operations of the inbox came again under these topics. One that had none takes it; one that was rejected for the sake of
 * the topic it had is queued again under the new one, so that a wrong topic does not stand in the way of the right one. Gives
 * those that are queued now.
 */
export const claim = (
  claims: ReadonlyArray<{ readonly id: Hash.Hash; readonly topic: Topic.Topic | undefined }>
): Effect.Effect<ReadonlySet<Hash.Hash>, SqlError, Transaction> => {
  const list = claims.flatMap(({ id, topic }) => (topic === undefined ? [] : [`${id}/${topic}`]))
  if (list.length === 0) return Effect.succeed(new Set())
  return Effect.map(
    updateClaims(Rows.list(list)),
    (rows) => new Set(rows.flatMap((row) => (Rows.text(row, "status") === "queued" ? [Rows.hash(row, "id")] : [])))
  )
}

const selectTopics = query(
  `SELECT log_id, hash FROM applecart_topics WHERE log_id IN (SELECT unhex(value) FROM json_each(?))`
)

/** The topics of these log ids; those that are not known are missing. */
export const find = (
  logIds: ReadonlyArray<LogId.LogId>
): Effect.Effect<ReadonlyMap<LogId.LogId, Topic.Topic>, SqlError, SqlClient> =>
  Effect.map(
    selectTopics(Rows.list(logIds)),
    (rows) => new Map(rows.map((row) => [Rows.logId(row, "log_id"), Rows.topic(row, "hash")] as const))
  )

/** A topic, and how much of it is here. */
export interface Listed {
  readonly topic: Topic.Topic
  /** One for each author who writes about it, as a rule. */
  readonly logs: number
  /** The accepted operations. */
  readonly operations: number
  readonly queued: number
  readonly waiting: number
  readonly rejected: number
}

const held = (status: string) => `count(*) FILTER (WHERE status = '${status}') AS ${status}`
const total = (column: string) => `coalesce(sum(h.${column}), 0) AS ${column}`
const selectList = query(
  `WITH newest AS (SELECT hash, max(topic) AS latest FROM applecart_topics GROUP BY hash ORDER BY latest DESC LIMIT ?),
     held AS (SELECT log_id, ${held("queued")}, ${held("waiting")}, ${held("rejected")}
              FROM applecart_inbox GROUP BY log_id)
   SELECT n.hash, ${total("queued")}, ${total("waiting")}, ${total("rejected")},
     sum((SELECT count(*) FROM applecart_logs AS l WHERE l.log_id = t.log_id)) AS logs,
     sum((SELECT count(*) FROM applecart_logs AS l JOIN applecart_operations AS o ON o.log = l.log
          WHERE l.log_id = t.log_id)) AS operations
   FROM newest AS n JOIN applecart_topics AS t ON t.hash = n.hash LEFT JOIN held AS h ON h.log_id = t.log_id
   GROUP BY n.hash ORDER BY n.latest`
)

/** The topics that were learnt last, the newest last. `limit`: how many at the most; 20 unless told. */
export const list = (
  options: { readonly limit?: number | undefined } = {}
): Effect.Effect<ReadonlyArray<Listed>, SqlError, SqlClient> =>
  Effect.map(selectList(options.limit ?? 20), (rows) =>
    rows.map((row) => ({
      topic: Rows.topic(row, "hash"),
      logs: Rows.integer(row, "logs"),
      operations: Rows.integer(row, "operations"),
      queued: Rows.integer(row, "queued"),
      waiting: Rows.integer(row, "waiting"),
      rejected: Rows.integer(row, "rejected")
    }))
  )
