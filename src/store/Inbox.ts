/**
 * The inbox: operations that were received and are not accepted. Each is in one of three states:
 *
 * - `queued`: to be processed, oldest first;
 * - `waiting`: decided, and to be decided again when the operations it waits for were accepted, or at `notBefore` where it
 *   has one;
 * - `rejected`: undone, with its reason; tried again when it is replayed, or at `notBefore` where it has one.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import type * as Operation from "../core/Operation.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Filter from "./Filter.ts"
import { damaged } from "./internal/damaged.ts"
import { columns, entry, type Entry } from "./internal/entries.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** The states of an operation in the inbox. */
export type Status = "queued" | "waiting" | "rejected"

/** An operation that goes into the inbox. */
export interface Incoming {
  readonly operation: Operation.Operation
  readonly logId: LogId.LogId
  readonly topic: Topic.Topic | undefined
  readonly source: string | undefined
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
}

export type { Entry } from "./internal/entries.ts"

const insert = Rows.insert(
  `INSERT INTO applecart_inbox (id, author, log_id, seq_num, header, body, topic, source, received_at, status)`,
  `(?, ?, ?, ?, ?, ?, coalesce(?, (SELECT hash FROM applecart_topics WHERE log_id = ?)), ?, ?, 'queued')`
)

/** Queues operations; one without a topic has the one that was learnt for its log id. That none of them is known is the caller's to see to, in the same transaction. */
export const put = (incoming: ReadonlyArray<Incoming>): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(
    insert(
      incoming.map(({ logId, operation, receivedAt, source, topic }) => [
        Hash.toBytes(operation.id),
        VerifyingKey.toBytes(operation.header.verifyingKey),
        LogId.toBytes(logId),
        operation.header.seqNum,
        operation.headerBytes,
        operation.body ?? null,
        topic === undefined ? null : Topic.toBytes(topic),
        LogId.toBytes(logId),
        source ?? null,
        receivedAt
      ])
    )
  )

const selectQueued = query(`SELECT ${columns} FROM applecart_inbox AS i WHERE status = 'queued' ORDER BY entry LIMIT ?`)

/** The oldest queued operations. */
export const queued = (limit: number): Effect.Effect<ReadonlyArray<Entry>, SqlError, SqlClient> =>
  Effect.map(selectQueued(limit), (rows) => rows.map(entry))

const selectById = query(`SELECT ${columns} FROM applecart_inbox AS i WHERE id = ?`)

/** The entry of an operation, if it is in the inbox. */
export const byId = (id: Hash.Hash): Effect.Effect<Entry | undefined, SqlError, SqlClient> =>
  Effect.map(selectById(Hash.toBytes(id)), ([row]) => (row === undefined ? undefined : entry(row)))

/** Operations that {@link queueDue} queues in one call. */
const dueAtOnce = 1000

const updateDue = statement(
  `UPDATE applecart_inbox SET status = 'queued', not_before = NULL WHERE entry IN (
     SELECT entry FROM applecart_inbox WHERE not_before IS NOT NULL AND not_before <= ?
     ORDER BY not_before, entry LIMIT ${dueAtOnce})
   RETURNING entry`
)
const deleteWaiting = statement(`DELETE FROM applecart_waiting WHERE entry IN (SELECT value FROM json_each(?))`)

/**
 * Queues the rejected operations whose time for another attempt has come, and the waiting ones that have waited long enough;
 * at most 1,000 in one call, those that were due first. `now`: milliseconds since the epoch.
 */
export const queueDue = (now: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.flatMap(updateDue(now), (due) =>
    due.length === 0 ? Effect.void : Effect.asVoid(deleteWaiting(Rows.list(due.map(number))))
  )

const selectNextDue = query(`SELECT min(not_before) AS due FROM applecart_inbox WHERE not_before IS NOT NULL`)

/** When the next operation is to be decided again by itself, in milliseconds since the epoch. */
export const nextDue: Effect.Effect<number | undefined, SqlError, SqlClient> = Effect.map(selectNextDue(), ([row]) =>
  row === undefined ? undefined : Rows.optionalInteger(row, "due")
)

const selectAnyDue = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_inbox WHERE status = 'queued')
       OR EXISTS (SELECT 1 FROM applecart_wakes)
       OR EXISTS (SELECT 1 FROM applecart_inbox WHERE not_before IS NOT NULL AND not_before <= ?) AS due`
)

/** Whether anything is queued, woken, or due to be decided again. `now`: milliseconds since the epoch. */
export const anyDue = (now: number): Effect.Effect<boolean, SqlError, SqlClient> =>
  Effect.map(selectAnyDue(now), ([row]) => row !== undefined && Rows.integer(row, "due") === 1)

const selectAnyHeld = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_inbox WHERE status IN ('waiting', 'rejected')) AS held`
)

/** Whether anything is waiting or rejected. */
export const anyHeld: Effect.Effect<boolean, SqlError, SqlClient> = Effect.map(
  selectAnyHeld(),
  ([row]) => row !== undefined && Rows.integer(row, "held") === 1
)

const updateAll = statement(
  `UPDATE applecart_inbox SET status = 'queued', not_before = NULL WHERE status IN ('waiting', 'rejected')`
)
const deleteAllWaiting = statement(`DELETE FROM applecart_waiting`)
const deleteAllWakes = statement(`DELETE FROM applecart_wakes`)

/** Queues everything that is waiting or rejected. Attempts go on being counted. */
export const requeue: Effect.Effect<void, SqlError, Transaction> = deleteAllWaiting().pipe(
  Effect.zipRight(deleteAllWakes()),
  Effect.zipRight(updateAll()),
  Effect.asVoid
)

const selectHeld = query(
  `SELECT (SELECT count(*) FROM applecart_inbox WHERE status = 'waiting') AS waiting,
          (SELECT count(*) FROM applecart_inbox WHERE status = 'rejected') AS rejected`
)

/** How many operations wait, and how many stand rejected. */
export const held: Effect.Effect<{ readonly waiting: number; readonly rejected: number }, SqlError, SqlClient> =
  Effect.map(selectHeld(), ([row]) => ({
    waiting: row === undefined ? 0 : Rows.integer(row, "waiting"),
    rejected: row === undefined ? 0 : Rows.integer(row, "rejected")
  }))

const remove = statement(`DELETE FROM applecart_inbox WHERE entry IN (SELECT value FROM json_each(?))`)

/** Takes operations off the inbox: they were accepted or discarded. */
export const take = (numbers: ReadonlyArray<number>): Effect.Effect<void, SqlError, Transaction> =>
  numbers.length === 0 ? Effect.void : Effect.asVoid(remove(Rows.list(numbers)))

const updateRejected = statement(
  `UPDATE applecart_inbox
   SET status = 'rejected', processor = ?, reason = ?, attempts = ?, not_before = ? WHERE id = ? RETURNING entry`
)

/** Marks an operation as rejected. `entry`: its own, if it has been read; `reason`: the encoded error; `notBefore`: when it is tried again, if by itself. */
export const reject = (
  id: Hash.Hash,
  rejection: {
    readonly processor: string
    readonly reason: string
    readonly attempts: number
    readonly notBefore: number | undefined
    readonly entry?: number | undefined
  }
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.flatMap(
    updateRejected(
      rejection.processor,
      rejection.reason,
      rejection.attempts,
      rejection.notBefore ?? null,
      Hash.toBytes(id)
    ),
    // One that is read and not found by its id would be decided for ever.
    ([row]) =>
      row === undefined || (rejection.entry !== undefined && number(row) !== rejection.entry)
        ? Effect.fail(damaged("id of applecart_inbox", id, "another row, or none"))
        : Effect.void
  )

const deleteWaitingOf = statement(
  `DELETE FROM applecart_waiting
   WHERE entry IN (SELECT i.entry FROM applecart_inbox AS i WHERE i.status = 'waiting' AND ${Filter.inInbox("i")})`
)
const updateOnly = statement(
  `UPDATE applecart_inbox AS i SET status = 'queued', not_before = NULL
   WHERE i.status IN ('waiting', 'rejected') AND ${Filter.inInbox("i")}`
)

/** Queues what is waiting or rejected and fits the filter; the rest stays as it is. */
export const requeueOnly = (filter: Filter.Filter): Effect.Effect<void, SqlError, Transaction> => {
  const params = Filter.inboxParams(filter)
  return Effect.asVoid(Effect.zipRight(deleteWaitingOf(...params), updateOnly(...params)))
}

const selectHeldOnly = query(
  `SELECT count(*) FILTER (WHERE i.status = 'waiting') AS waiting, count(*) FILTER (WHERE i.status = 'rejected') AS rejected
   FROM applecart_inbox AS i WHERE ${Filter.inInbox("i")}`
)

/** {@link held} of what fits the filter. */
export const heldOnly = (
  filter: Filter.Filter
): Effect.Effect<{ readonly waiting: number; readonly rejected: number }, SqlError, SqlClient> =>
  Effect.map(selectHeldOnly(...Filter.inboxParams(filter)), ([row]) => ({
    waiting: row === undefined ? 0 : Rows.integer(row, "waiting"),
    rejected: row === undefined ? 0 : Rows.integer(row, "rejected")
  }))

// internal

const number = (row: Row) => Rows.integer(row, "entry")
