/**
 * What consumers are to be told about operations that are gone: that they have handled them and keep something about them,
 * or that they will not see them. Written in the transaction in which the operations go, read when the consumer gets there.
 *
 * What a consumer has handled it is told at the position of the prune operation or tombstone; what it will not see, at the
 * place where that stood.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Hash from "../core/Hash.ts"
import type * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import * as Removal from "./Removal.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** An operation that is gone. */
export interface Gone {
  readonly id: Hash.Hash
  readonly author: VerifyingKey.VerifyingKey
  /** The place that it had in the local order. */
  readonly position: number
  readonly seqNum: number
}

/** Something that a consumer is to be told `at` a position. `missed`: it was never handled and will not be seen. */
export interface Notice extends Gone {
  readonly at: number
  readonly how: "pruned" | "deleted"
  readonly missed: boolean
}

// A body that was not seen yet is found missing when its turn comes, so that only pruned ones are told as missed.
const insert = (which: string, how: "pruned" | "deleted") =>
  statement(
    `INSERT INTO applecart_notices (consumer, at, position, id, author, seq_num, how, missed)
     SELECT c.consumer, iif(o.position > c.position, o.position, ?), o.position, o.id, l.author, o.seq_num, '${how}',
       o.position > c.position OR d.position IS NOT NULL
     FROM applecart_consumers AS c CROSS JOIN applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log
       LEFT JOIN applecart_deliveries AS d ON d.consumer = c.consumer AND d.position = o.position AND d.reason IS NOT NULL
     WHERE c.role IN ('reader', 'puller') AND c.state <> 'reset' AND ${which}
     ON CONFLICT DO NOTHING`
  )
const insertPruned = insert(
  `o.log = (SELECT log FROM applecart_logs WHERE author = unhex(?) AND log_id = unhex(?)) AND o.seq_num < ?`,
  "pruned"
)
const insertDeleted = insert(
  `o.id IN (SELECT unhex(value) FROM json_each(?)) AND o.body IS NOT NULL AND o.position <= c.position AND d.position IS NULL`,
  "deleted"
)
const selectReaders = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_consumers WHERE role IN ('reader', 'puller')) AS any`
)
const deleteParked = statement(
  `DELETE FROM applecart_deliveries WHERE reason IS NOT NULL AND position IN (
     SELECT o.position FROM applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log
     WHERE l.author = unhex(?) AND l.log_id = unhex(?) AND o.seq_num < ?)`
)

/** Tells every consumer of a removal that is about to be carried out, by the operation that gets the position `at`. */
export const write = (removal: Removal.Removal, at: number): Effect.Effect<void, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    if (removal._tag === "Prefix") {
      const where = Removal.place(removal)
      yield* insertPruned(at, ...where)
      yield* deleteParked(...where)
      return
    }
    const [row] = yield* selectReaders()
    if (row === undefined || Rows.integer(row, "any") === 0) return
    yield* Removal.each(removal, (page) => insertDeleted(at, Rows.list(page.map(({ id }) => id))))
  })

const selectAfter = query(
  `SELECT at, position, id, author, seq_num, how, missed FROM applecart_notices
   WHERE consumer = ? AND (at, position) > (?, ?) AND at <= ? ORDER BY at, position LIMIT ?`
)

/** Where the reading of notices goes on. */
export interface Cursor {
  readonly at: number
  readonly position: number
}

/** What a consumer is to be told after a place and up to a position, in order. */
export const page = (
  consumer: number,
  { at, position }: Cursor,
  until: number,
  limit: number
): Effect.Effect<ReadonlyArray<Notice>, SqlError, SqlClient> =>
  Effect.map(selectAfter(consumer, at, position, until, limit), (rows) => rows.map(notice))

/** What went in the same way, together. */
export const grouped = (
  notices: ReadonlyArray<Notice>
): ReadonlyArray<Pick<Notice, "how" | "missed"> & { readonly operations: ReadonlyArray<Gone> }> =>
  (["pruned", "deleted"] as const).flatMap((how) =>
    [true, false].flatMap((missed) => {
      const operations = notices.filter((notice) => notice.how === how && notice.missed === missed)
      return operations.length === 0 ? [] : [{ how, missed, operations }]
    })
  )

const removeAt = statement(
  `DELETE FROM applecart_notices WHERE consumer = ? AND at IN (SELECT value FROM json_each(?))`
)

/** The consumer was told what it was to be told at these positions. */
export const settle = (consumer: number, at: ReadonlyArray<number>): Effect.Effect<void, SqlError, Transaction> =>
  at.length === 0 ? Effect.void : Effect.asVoid(removeAt(consumer, Rows.list(at)))

// internal

const notice = (row: Row): Notice => ({
  at: Rows.integer(row, "at"),
  position: Rows.integer(row, "position"),
  id: Rows.hash(row, "id"),
  author: Rows.verifyingKey(row, "author"),
  seqNum: Rows.integer(row, "seq_num"),
  how: Rows.text(row, "how") === "pruned" ? "pruned" : "deleted",
  missed: Rows.integer(row, "missed") === 1
})
