/**
 * The inbox: operations that were received and are not accepted. Each is in one of three states:
 *
 * - `queued`: to be processed, oldest first;
 * - `waiting`: decided, and to be decided again when the operations it waits for were accepted;
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

/** An operation in the inbox, still as bytes. */
export interface Entry extends Operation.Raw {
  readonly entry: number
  readonly id: Hash.Hash
  readonly topic: Topic.Topic | undefined
  readonly source: string | undefined
  readonly receivedAt: number
  readonly attempts: number
}

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

const columns = `entry, id, header, body, topic, source, received_at, attempts`

const selectQueued = query(`SELECT ${columns} FROM applecart_inbox WHERE status = 'queued' ORDER BY entry LIMIT ?`)

/** The oldest queued operations. */
export const queued = (limit: number): Effect.Effect<ReadonlyArray<Entry>, SqlError, SqlClient> =>
  Effect.map(selectQueued(limit), (rows) => rows.map(entry))

const selectEntries = query(
  `SELECT ${columns} FROM applecart_inbox WHERE entry IN (SELECT value FROM json_each(?)) ORDER BY entry`
)

/** These entries, oldest first; those that are gone are missing. */
export const entries = (numbers: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<Entry>, SqlError, SqlClient> =>
  Effect.map(selectEntries(Rows.list(numbers)), (rows) => rows.map(entry))

/** Where an operation in the inbox stands. */
export interface Whereabouts {
  readonly entry: number
  readonly id: Hash.Hash
  readonly status: Status
  readonly attempts: number
  readonly topic: Topic.Topic | undefined
}

const selectWhereabouts = query(
  `SELECT entry, id, status, attempts, topic FROM applecart_inbox WHERE id IN (SELECT unhex(value) FROM json_each(?))`
)

/** Where these operations stand; those that are not in the inbox are missing. */
export const whereabouts = (
  ids: ReadonlyArray<Hash.Hash>
): Effect.Effect<ReadonlyArray<Whereabouts>, SqlError, SqlClient> =>
  Effect.map(selectWhereabouts(Rows.list(ids)), (rows) =>
    rows.map((row) => ({
      entry: number(row),
      id: Hash.fromBytes(Rows.blob(row, "id")),
      status: status(row),
      attempts: Rows.integer(row, "attempts"),
      topic: topicOf(row)
    }))
  )

const selectById = query(`SELECT ${columns} FROM applecart_inbox WHERE id = ?`)

/** The entry of an operation, if it is in the inbox. */
export const byId = (id: Hash.Hash): Effect.Effect<Entry | undefined, SqlError, SqlClient> =>
  Effect.map(selectById(Hash.toBytes(id)), ([row]) => (row === undefined ? undefined : entry(row)))

const updateDue = statement(
  `UPDATE applecart_inbox SET status = 'queued', not_before = NULL WHERE not_before IS NOT NULL AND not_before <= ?`
)

/** Queues the rejected operations whose time for another attempt has come. `now`: milliseconds since the epoch. */
export const queueDue = (now: number): Effect.Effect<void, SqlError, Transaction> => Effect.asVoid(updateDue(now))

const selectNextDue = query(`SELECT min(not_before) AS due FROM applecart_inbox WHERE not_before IS NOT NULL`)

/** When the next attempt of a rejected operation is due, in milliseconds since the epoch. */
export const nextDue: Effect.Effect<number | undefined, SqlError, SqlClient> = Effect.map(selectNextDue(), ([row]) =>
  row === undefined ? undefined : Rows.optionalInteger(row, "due")
)

const selectAnyDue = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_inbox WHERE status = 'queued')
       OR EXISTS (SELECT 1 FROM applecart_inbox WHERE not_before IS NOT NULL AND not_before <= ?) AS due`
)

/** Whether anything is queued, or due for another attempt. `now`: milliseconds since the epoch. */
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
  `UPDATE applecart_inbox SET status = 'queued', not_before = NULL WHERE status IN ('waiting', 'rejected') RETURNING 1`
)
const deleteAllWaiting = statement(`DELETE FROM applecart_waiting`)

/** Queues everything that is waiting or rejected; gives how many that were. Attempts go on being counted. */
export const requeue: Effect.Effect<number, SqlError, Transaction> = Effect.zipRight(
  deleteAllWaiting(),
  Effect.map(updateAll(), (rows) => rows.length)
)

const remove = statement(`DELETE FROM applecart_inbox WHERE entry IN (SELECT value FROM json_each(?))`)

/** Takes operations off the inbox: they were accepted or discarded. */
export const take = (numbers: ReadonlyArray<number>): Effect.Effect<void, SqlError, Transaction> =>
  numbers.length === 0 ? Effect.void : Effect.asVoid(remove(Rows.list(numbers)))

const updateRejected = statement(
  `UPDATE applecart_inbox
   SET status = 'rejected', processor = ?, reason = ?, attempts = ?, not_before = ? WHERE id = ?`
)

/** Marks an operation as rejected. `reason`: the encoded error; `notBefore`: when it is tried again, if by itself. */
export const reject = (
  id: Hash.Hash,
  rejection: {
    readonly processor: string
    readonly reason: string
    readonly attempts: number
    readonly notBefore: number | undefined
  }
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(
    updateRejected(
      rejection.processor,
      rejection.reason,
      rejection.attempts,
      rejection.notBefore ?? null,
      Hash.toBytes(id)
    )
  )

const selectSpan = query(
  `SELECT coalesce((SELECT max(entry) FROM applecart_inbox), 0) - coalesce((SELECT min(entry) FROM applecart_inbox), 1) + 1 AS span`
)
const selectCount = query(`SELECT count(*) AS count FROM applecart_inbox`)

/** Whether so many more operations fit into an inbox of this capacity. Counts only where the numbers alone do not tell. */
export const hasRoom = (incoming: number, capacity: number): Effect.Effect<boolean, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const [span] = yield* selectSpan()
    if (span !== undefined && Rows.integer(span, "span") + incoming <= capacity) return true
    const [count] = yield* selectCount()
    return count !== undefined && Rows.integer(count, "count") + incoming <= capacity
  })

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

// internal

const topicOf = (row: Row): Topic.Topic | undefined => {
  const topic = Rows.optionalBlob(row, "topic")
  return topic === undefined ? undefined : Topic.fromBytes(topic)
}

const status = (row: Row): Status => {
  const found = Rows.text(row, "status")
  return found === "waiting" || found === "rejected" ? found : "queued"
}

const number = (row: Row) => Rows.integer(row, "entry")

const entry = (row: Row): Entry => {
  const topic = Rows.optionalBlob(row, "topic")
  return {
    entry: number(row),
    id: Hash.fromBytes(Rows.blob(row, "id")),
    header: Rows.blob(row, "header"),
    body: Rows.optionalBlob(row, "body"),
    topic: topic === undefined ? undefined : Topic.fromBytes(topic),
    source: Rows.optionalText(row, "source"),
    receivedAt: Rows.integer(row, "received_at"),
    attempts: Rows.integer(row, "attempts")
  }
}
