/**
 * Pending wake-ups: operations that were accepted (or will never come), and whose waiters were not all decided again yet.
 *
 * A transaction decides what an operation wakes right behind it, as far as it has room. What is left is noted here in the same
 * transaction, so that a crash loses no wake-up, and is worked off a transaction at a time. It is a stack: what was woken last
 * is decided first, before anything that is queued, so that the order does not depend on where a transaction had to end.
 *
 * A `root` ties together all that one call has woken: it works off its own and does not wait for that of others.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** A place in a log. */
export interface Place {
  readonly author: VerifyingKey.VerifyingKey
  readonly logId: LogId.LogId
  readonly seqNum: number
}

/** What wakes: an operation. `place`: its place, if it was accepted; what stands there or right behind it is woken too. */
export interface Wake {
  readonly id: Hash.Hash
  readonly place: Place | undefined
}

/** An operation that was accepted just now. */
export interface Accepted extends Wake {
  readonly place: Place
}

/**
 * How far a wake-up has come. With `seqNum`: through what stands in the log, up to that place and that entry; without: through
 * what waits for the operation, up to that entry.
 */
export interface Cursor {
  readonly seqNum: number | undefined
  readonly entry: number
}

/** Nobody was decided again yet. */
export const begin = (wake: Wake): Cursor => ({ seqNum: wake.place === undefined ? undefined : -1, entry: 0 })

/** A wake-up that is pending, with its number. */
export interface Pending {
  readonly wake: number
  readonly root: number | undefined
  readonly of: Wake
  readonly after: Cursor
}

const insert = statement(
  `INSERT INTO applecart_wakes (root, id, author, log_id, seq_num, after_seq_num, after_entry) VALUES (?, ?, ?, ?, ?, ?, ?)
   RETURNING wake`
)
const updateRoot = statement(`UPDATE applecart_wakes SET root = wake WHERE wake = ?`)

/** Notes a wake-up on top of the others. Without a root it becomes one; gives the root. */
export const push = (
  { id, place }: Wake,
  after: Cursor,
  root: number | undefined
): Effect.Effect<number, SqlError, Transaction> =>
  Effect.gen(function* () {
    const [row] = yield* insert(
      root ?? null,
      Hash.toBytes(id),
      place === undefined ? null : VerifyingKey.toBytes(place.author),
      place === undefined ? null : LogId.toBytes(place.logId),
      place?.seqNum ?? null,
      after.seqNum ?? null,
      after.entry
    )
    if (root !== undefined) return root
    const own = row === undefined ? 0 : Rows.integer(row, "wake")
    yield* updateRoot(own)
    return own
  })

const updateAfter = statement(`UPDATE applecart_wakes SET after_seq_num = ?, after_entry = ? WHERE wake = ?`)

/** A wake-up has come so far. */
export const move = (wake: number, after: Cursor): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateAfter(after.seqNum ?? null, after.entry, wake))

const remove = statement(`DELETE FROM applecart_wakes WHERE wake = ?`)

/** Everybody whom it wakes was decided again. */
export const done = (wake: number): Effect.Effect<void, SqlError, Transaction> => Effect.asVoid(remove(wake))

const columns = `wake, root, id, author, log_id, seq_num, after_seq_num, after_entry`
const selectOwn = query(`SELECT ${columns} FROM applecart_wakes WHERE root = ? ORDER BY wake DESC LIMIT 1`)
const selectUnowned = query(`SELECT ${columns} FROM applecart_wakes WHERE root IS NULL ORDER BY wake DESC LIMIT 1`)
const selectNewest = query(`SELECT ${columns} FROM applecart_wakes ORDER BY wake DESC LIMIT 1`)

/** The newest wake-up of this root, or, of no root, one that belongs to nobody yet. */
export const next = (root: number | undefined): Effect.Effect<Pending | undefined, SqlError, SqlClient> =>
  Effect.map(root === undefined ? selectUnowned() : selectOwn(root), ([row]) => optional(row))

/** The newest wake-up of all. */
export const newest: Effect.Effect<Pending | undefined, SqlError, SqlClient> = Effect.map(selectNewest(), ([row]) =>
  optional(row)
)

const own = statement(`UPDATE applecart_wakes SET root = ? WHERE wake = ?`)

/** Makes a wake-up one of this root. */
export const claim = (wake: number, root: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(own(root, wake))

// internal

const optional = (row: Row | undefined): Pending | undefined => (row === undefined ? undefined : pending(row))

const pending = (row: Row): Pending => {
  const seqNum = Rows.optionalInteger(row, "seq_num")
  const place =
    seqNum === undefined
      ? undefined
      : {
          author: Rows.verifyingKey(row, "author"),
          logId: Rows.logId(row, "log_id"),
          seqNum
        }
  return {
    wake: Rows.integer(row, "wake"),
    root: Rows.optionalInteger(row, "root"),
    of: { id: Rows.hash(row, "id"), place },
    after: { seqNum: Rows.optionalInteger(row, "after_seq_num"), entry: Rows.integer(row, "after_entry") }
  }
}
