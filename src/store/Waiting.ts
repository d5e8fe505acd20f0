/**
 * Which operations in the inbox wait for which others.
 *
 * Who waits is read a page at a time, and nothing is written when an operation is woken: it goes on waiting until it is
 * decided again, in the transaction that does so. What no transaction has come to yet stands in `Wakes`.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import { columns, entry, type Entry } from "./internal/entries.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"
import type * as Wakes from "./Wakes.ts"

const updateWaiting = statement(
  `UPDATE applecart_inbox SET status = 'waiting', processor = ?, not_before = ? WHERE id = ?`
)
const insertWaiting = statement(
  `INSERT INTO applecart_waiting (until, entry)
   SELECT unhex(k.value), i.entry FROM json_each(?) AS k JOIN applecart_inbox AS i ON i.id = ?
   WHERE true ON CONFLICT DO NOTHING`
)

/**
 * Lets an operation wait until all of these were accepted. `notBefore`: when it is decided again even if they were not, in
 * milliseconds since the epoch; none: never.
 */
export const wait = (
  id: Hash.Hash,
  processor: string,
  until: ReadonlyArray<Hash.Hash>,
  notBefore?: number
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.zipRight(
    updateWaiting(processor, notBefore ?? null, Hash.toBytes(id)),
    Effect.asVoid(insertWaiting(Rows.list(until), Hash.toBytes(id)))
  )

const deleteWaits = statement(`DELETE FROM applecart_waiting WHERE entry IN (SELECT value FROM json_each(?))`)

/** These entries were decided: what they waited for until then counts no more. */
export const forget = (entries: ReadonlyArray<number>): Effect.Effect<void, SqlError, Transaction> =>
  entries.length === 0 ? Effect.void : Effect.asVoid(deleteWaits(Rows.list(entries)))

const selectWaits = query(`SELECT EXISTS (SELECT 1 FROM applecart_inbox WHERE status = 'waiting') AS waits`)

/** Whether anything waits at all: almost never, and then there is nothing to wake. */
export const exists: Effect.Effect<boolean, SqlError, SqlClient> = Effect.map(
  selectWaits(),
  ([row]) => row !== undefined && Rows.integer(row, "waits") === 1
)

const selectWaiter = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_waiting WHERE until = ?)
       OR EXISTS (SELECT 1 FROM applecart_inbox WHERE author = ? AND log_id = ? AND seq_num <= ? AND status = 'waiting'
                  AND entry <> ?) AS waits`
)

/**
 * Whether anything waits for an operation that was accepted just now, or stands at a place up to the one right behind it.
 * `own`: the operation's own entry, if it has one.
 */
export const existsFor = (wake: Wakes.Accepted, own: number | undefined): Effect.Effect<boolean, SqlError, SqlClient> =>
  Effect.map(
    selectWaiter(
      Hash.toBytes(wake.id),
      VerifyingKey.toBytes(wake.place.author),
      LogId.toBytes(wake.place.logId),
      wake.place.seqNum + 1,
      own ?? 0
    ),
    ([row]) => row !== undefined && Rows.integer(row, "waits") === 1
  )

/** An operation that was woken. `at`: where the wake-up goes on behind it. */
export interface Woken {
  readonly entry: Entry
  readonly at: Wakes.Cursor
}

/** Some of those that a wake-up wakes. */
export interface Page {
  readonly woken: ReadonlyArray<Woken>
  /** Where the wake-up goes on behind all of them. */
  readonly at: Wakes.Cursor
  /** How many rows were looked at. */
  readonly seen: number
  /** Whether there may be more. */
  readonly more: boolean
}

const selectByPlace = query(
  `SELECT ${columns}, i.seq_num FROM applecart_inbox AS i
   WHERE author = ? AND log_id = ? AND seq_num <= ? AND status = 'waiting' AND (seq_num, entry) > (?, ?)
   ORDER BY seq_num, entry LIMIT ?`
)
const selectById = query(
  `SELECT ${columns},
     EXISTS (SELECT 1 FROM applecart_waiting AS o WHERE o.entry = w.entry AND o.until <> w.until) AS others
   FROM applecart_waiting AS w JOIN applecart_inbox AS i ON i.entry = w.entry
   WHERE w.until = ? AND w.entry > ? ORDER BY w.entry LIMIT ?`
)
const deleteMet = statement(
  `DELETE FROM applecart_waiting WHERE until = ? AND entry IN (SELECT value FROM json_each(?))`
)

/**
 * At most `limit` of those that are woken, from `after` on: first what stands in the log at a place up to the one right
 * behind the accepted operation, whatever it waits for; then what waits for it and for nothing else, oldest first. What
 * waits for others as well no longer waits for this one.
 */
export const woken = (
  wake: Wakes.Wake,
  after: Wakes.Cursor,
  limit: number
): Effect.Effect<Page, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const byPlace = yield* atPlace(wake, after, limit)
    if (byPlace.length === limit) return page(byPlace, after, limit, true)
    const id = Hash.toBytes(wake.id)
    const room = limit - byPlace.length
    const rows = yield* selectById(id, after.seqNum === undefined ? after.entry : 0, room)
    const [alone, met] = [rows.filter((row) => !waitsForOthers(row)), rows.filter(waitsForOthers)]
    if (met.length > 0) yield* deleteMet(id, Rows.list(met.map(number)))
    const already = new Set(byPlace.map(({ entry }) => entry.entry))
    const byId = alone.filter((row) => !already.has(number(row))).map((row) => found(row, undefined))
    const last = rows.at(-1)
    const end = last === undefined ? after : { seqNum: undefined, entry: number(last) }
    return { woken: [...byPlace, ...byId], at: end, seen: byPlace.length + rows.length, more: rows.length === room }
  })

const insertWakes = statement(
  `INSERT INTO applecart_wakes (id, after_entry)
   SELECT DISTINCT unhex(k.value), 0 FROM json_each(?) AS k
   WHERE EXISTS (SELECT 1 FROM applecart_waiting WHERE until = unhex(k.value))`
)

/**
 * Counts these operations as met for whoever waits for them, though they will never come: wakes those. To be called for a
 * page of ids at a time; whatever processes next in this database, or this very transaction if it does, works it off.
 */
export const meetAll = (ids: ReadonlyArray<Hash.Hash>): Effect.Effect<void, SqlError, Transaction> =>
  ids.length === 0 ? Effect.void : Effect.asVoid(insertWakes(Rows.list(ids)))

// internal

const atPlace = ({ place }: Wakes.Wake, after: Wakes.Cursor, limit: number) =>
  place === undefined || after.seqNum === undefined
    ? Effect.succeed([])
    : Effect.map(
        selectByPlace(
          VerifyingKey.toBytes(place.author),
          LogId.toBytes(place.logId),
          place.seqNum + 1,
          after.seqNum,
          after.entry,
          limit
        ),
        (rows) => rows.map((row) => found(row, Rows.integer(row, "seq_num")))
      )

const page = (all: ReadonlyArray<Woken>, after: Wakes.Cursor, seen: number, more: boolean): Page => ({
  woken: all,
  at: all.at(-1)?.at ?? after,
  seen,
  more
})

const number = (row: Row) => Rows.integer(row, "entry")

const waitsForOthers = (row: Row) => Rows.integer(row, "others") === 1

const found = (row: Row, seqNum: number | undefined): Woken => {
  const one = entry(row)
  return { entry: one, at: { seqNum, entry: one.entry } }
}
