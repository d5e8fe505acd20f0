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

/** An operation that was accepted just now. */
export interface Accepted {
  readonly operation: Operation.Operation
  readonly logId: LogId.LogId
}

const selectWaiter = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_waiting WHERE until = ?)
       OR EXISTS (SELECT 1 FROM applecart_inbox
                  WHERE author = ? AND log_id = ? AND seq_num <= ? AND status = 'waiting') AS waits`
)

/** Whether anything waits for this operation, or stands at a place up to the one right behind it. */
export const existsFor = (accepted: Accepted): Effect.Effect<boolean, SqlError, SqlClient> => {
  const { header, id } = accepted.operation
  const author = VerifyingKey.toBytes(header.verifyingKey)
  return Effect.map(
    selectWaiter(Hash.toBytes(id), author, LogId.toBytes(accepted.logId), header.seqNum + 1),
    ([row]) => row !== undefined && Rows.integer(row, "waits") === 1
  )
}

const deleteMet = statement(`DELETE FROM applecart_waiting WHERE until = ? RETURNING entry`)
const wakeMet = statement(
  `UPDATE applecart_inbox SET status = 'queued'
   WHERE status = 'waiting' AND entry IN (SELECT value FROM json_each(?))
     AND NOT EXISTS (SELECT 1 FROM applecart_waiting AS w WHERE w.entry = applecart_inbox.entry)
   RETURNING entry`
)
const wakePlaces = statement(
  `UPDATE applecart_inbox SET status = 'queued'
   WHERE author = ? AND log_id = ? AND seq_num <= ? AND status = 'waiting' RETURNING entry`
)
const deleteWaits = statement(`DELETE FROM applecart_waiting WHERE entry IN (SELECT value FROM json_each(?))`)

/**
 * Queues what waited for an accepted operation and for nothing else, and what stands at a place up to the one right behind
 * it, whatever it waits for: it can be decided now. Gives the entries.
 */
export const wake = (accepted: Accepted): Effect.Effect<ReadonlyArray<number>, SqlError, Transaction> =>
  Effect.gen(function* () {
    const { header, id } = accepted.operation
    const met = (yield* deleteMet(Hash.toBytes(id))).map(entry)
    const byId = met.length === 0 ? [] : (yield* wakeMet(Rows.list(met))).map(entry)
    const author = VerifyingKey.toBytes(header.verifyingKey)
    const byPlace = (yield* wakePlaces(author, LogId.toBytes(accepted.logId), header.seqNum + 1)).map(entry)
    if (byPlace.length > 0) yield* deleteWaits(Rows.list(byPlace))
    return [...byId, ...byPlace]
  })

/** These will never be accepted any more, and count as met: queues what waits for them and for nothing else. */
export const meetAll = (ids: ReadonlyArray<Hash.Hash>): Effect.Effect<void, SqlError, Transaction> =>
  Effect.forEach(
    ids,
    (id) => Effect.flatMap(deleteMet(Hash.toBytes(id)), (rows) => wakeMet(Rows.list(rows.map(entry)))),
    { discard: true }
  )

// internal

const entry = (row: Row) => Rows.integer(row, "entry")
