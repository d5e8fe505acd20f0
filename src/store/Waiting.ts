/** Which operations in the inbox wait for which others, and waking them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import type * as Operation from "../core/Operation.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

const updateWaiting = statement(`UPDATE applecart_inbox SET status = 'waiting', processor = ? WHERE id = ?`)
const insertWaiting = statement(
  `INSERT INTO applecart_waiting (until, entry)
   SELECT unhex(k.value), i.entry FROM json_each(?) AS k JOIN applecart_inbox AS i ON i.id = ?
   WHERE true ON CONFLICT DO NOTHING`
)

/** Lets an operation wait until all of these were accepted. */
export const wait = (
  id: Hash.Hash,
  processor: string,
  until: ReadonlyArray<Hash.Hash>
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.zipRight(
    updateWaiting(processor, Hash.toBytes(id)),
    Effect.asVoid(insertWaiting(Rows.list(until), Hash.toBytes(id)))
  )

const selectWaits = query(`SELECT EXISTS (SELECT 1 FROM applecart_inbox WHERE status = 'waiting') AS waits`)

/** Whether anything waits at all: almost never, and then there is nothing to wake. */
export const exists: Effect.Effect<boolean, SqlError, SqlClient> = Effect.map(
  selectWaits(),
  ([row]) => row !== undefined && Rows.integer(row, "waits") === 1
)

const selectWaiter = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_waiting WHERE until = ?)
       OR EXISTS (SELECT 1 FROM applecart_inbox
                  WHERE author = ? AND log_id = ? AND seq_num <= ? AND status = 'waiting') AS waits`
)

/** Whether anything waits for this operation, or stands at a place up to the one right behind it. */
export const existsFor = (incoming: {
  readonly operation: Operation.Operation
  readonly logId: LogId.LogId
}): Effect.Effect<boolean, SqlError, SqlClient> => {
  const { header, id } = incoming.operation
  const author = VerifyingKey.toBytes(header.verifyingKey)
  return Effect.map(
    selectWaiter(Hash.toBytes(id), author, LogId.toBytes(incoming.logId), header.seqNum + 1),
    ([row]) => row !== undefined && Rows.integer(row, "waits") === 1
  )
}

/** A log that grew: whatever waits at a place up to `seqNum` can be decided now, also if it waits for something else. */
export interface Grown {
  readonly log: string
  readonly seqNum: number
}

const deleteMet = statement(
  `DELETE FROM applecart_waiting WHERE until IN (SELECT unhex(value) FROM json_each(?)) RETURNING entry`
)
const wakeMet = statement(
  `UPDATE applecart_inbox SET status = 'queued'
   WHERE status = 'waiting' AND entry IN (SELECT value FROM json_each(?))
     AND NOT EXISTS (SELECT 1 FROM applecart_waiting AS w WHERE w.entry = applecart_inbox.entry)
   RETURNING entry`
)
const wakePlaces = statement(
  `UPDATE applecart_inbox SET status = 'queued'
   WHERE status = 'waiting' AND entry IN (
     SELECT i.entry FROM json_each(?) AS k JOIN applecart_inbox AS i
       ON i.author = unhex(substr(k.value->>0, 1, 64)) AND i.log_id = unhex(substr(k.value->>0, 66))
      AND i.seq_num <= k.value->>1)
   RETURNING entry`
)
const deleteWaits = statement(`DELETE FROM applecart_waiting WHERE entry IN (SELECT value FROM json_each(?))`)

/** Queues what waited for these operations only, or stands at a place that these logs have reached; gives the entries. */
export const wake = (
  accepted: ReadonlyArray<Hash.Hash>,
  grown: ReadonlyArray<Grown>
): Effect.Effect<ReadonlyArray<number>, SqlError, Transaction> =>
  Effect.gen(function* () {
    const met = new Set((yield* deleteMet(Rows.list(accepted))).map(entry))
    const byHash = met.size === 0 ? [] : yield* wakeMet(Rows.list(met))
    const places = JSON.stringify(grown.map(({ log, seqNum }) => [log, seqNum]))
    const byPlace = (yield* wakePlaces(places)).map(entry)
    if (byPlace.length > 0) yield* deleteWaits(Rows.list(byPlace))
    return [...byHash.map(entry), ...byPlace]
  })

// internal

const entry = (row: Row) => Rows.integer(row, "entry")
