/** The logs that are kept here: who writes them, which topic they belong to, and their heads. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as Log from "../core/Log.ts"
import * as LogId from "../core/LogId.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import { query, type Transaction } from "./Transaction.ts"

const selectLogs = query(
  `SELECT k.value AS key, l.head_seq_num, l.head_id, l.pruned_below
   FROM json_each(?) AS k
   JOIN applecart_logs AS l
     ON l.author = unhex(substr(k.value, 1, 64)) AND l.log_id = unhex(substr(k.value, 66))`
)

/** The heads of these logs; logs without an operation are missing in the result. */
export const heads = (
  keys: ReadonlyArray<Log.Key>
): Effect.Effect<ReadonlyMap<Log.Key, Log.Head>, SqlError, SqlClient> =>
  Effect.map(selectLogs(Rows.list(keys)), (rows) => {
    const wanted = new Map<string, Log.Key>(keys.map((key) => [key, key]))
    const found = new Map<Log.Key, Log.Head>()
    for (const row of rows) {
      const key = wanted.get(Rows.text(row, "key"))
      if (key === undefined) continue
      found.set(key, {
        seqNum: Rows.integer(row, "head_seq_num"),
        id: Rows.hash(row, "head_id"),
        prunedBelow: Rows.integer(row, "pruned_below")
      })
    }
    return found
  })

/** A log whose head moved. */
export interface Moved {
  readonly log: Log.Key
  readonly author: VerifyingKey.VerifyingKey
  readonly logId: LogId.LogId
  readonly head: Log.Head
}

const upsert = Rows.insert(
  `INSERT INTO applecart_logs (author, log_id, topic, head_seq_num, head_id, pruned_below)`,
  `(?, ?, (SELECT topic FROM applecart_topics WHERE log_id = ?), ?, ?, ?)`,
  `ON CONFLICT (author, log_id) DO UPDATE SET
     topic = coalesce(topic, excluded.topic),
     head_seq_num = excluded.head_seq_num,
     head_id = excluded.head_id,
     pruned_below = max(pruned_below, excluded.pruned_below)
   RETURNING log, author, log_id`
)

/** Writes the new heads, and gives each log's integer key. A new log has the topic that was learnt for its log id. */
export const move: (moved: ReadonlyArray<Moved>) => Effect.Effect<ReadonlyMap<Log.Key, number>, SqlError, Transaction> =
  Effect.fnUntraced(function* (moved: ReadonlyArray<Moved>) {
    const rows = yield* upsert(
      moved.map(({ author, head, logId }) => [
        VerifyingKey.toBytes(author),
        LogId.toBytes(logId),
        LogId.toBytes(logId),
        head.seqNum,
        Hash.toBytes(head.id),
        head.prunedBelow
      ])
    )
    return new Map(
      rows.map((row) => [
        Log.key(Rows.verifyingKey(row, "author"), Rows.logId(row, "log_id")),
        Rows.integer(row, "log")
      ])
    )
  })
