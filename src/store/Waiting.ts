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
import { damaged } from "./internal/damaged.ts"
import { columns, entry, type Entry } from "./internal/entries.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"
import type * as Wakes from "./Wakes.ts"

/** An operation that is to wait, because `processor` said so. */
export interface Waits {
  readonly id: Hash.Hash
  readonly processor: string
  /** It waits until all of these were accepted. */
  readonly until: ReadonlyArray<Hash.Hash>
  /** When it is decided again even if they were not, in milliseconds since the epoch; none: never. */
  readonly notBefore?: number | undefined
  /** Its own entry, if it has been read. */
  readonly entry?: number | undefined
}

const updateWaiting = statement(
  `UPDATE applecart_inbox SET status = 'waiting', processor = k.value ->> 1, not_before = k.value ->> 2
   FROM json_each(?) AS k WHERE applecart_inbox.id = unhex(k.value ->> 0) RETURNING applecart_inbox.entry`
)
const insertWaiting = statement(
  `INSERT INTO applecart_waiting (until, entry)
   SELECT unhex(u.value), i.entry
   FROM json_each(?) AS k CROSS JOIN json_each(k.value, '$[3]') AS u JOIN applecart_inbox AS i ON i.id = unhex(k.value ->> 0)
   WHERE true ON CONFLICT DO NOTHING`
)

/** Lets operations of the inbox wait. */
export const waitAll = (waits: ReadonlyArray<Waits>): Effect.Effect<void, SqlError, Transaction> => {
  if (waits.length === 0) return Effect.void
  const list = JSON.stringify(
    waits.map(({ id, notBefore, processor, until }) => [id, processor, notBefore ?? null, until])
  )
  return Effect.flatMap(updateWaiting(list), (rows) => {
    const found = new Set(rows.map(number))
    const isWhole =
      found.size === new Set(waits.map(({ id }) => id)).size &&
      waits.every(({ entry }) => entry === undefined || found.has(entry))
    // One that is read and not found by its id would be decided for ever.
    return isWhole
      ? Effect.asVoid(insertWaiting(list))
      : Effect.fail(damaged("id of applecart_inbox", "operations that are to wait", "other rows, or none"))
  })
}

/** {@link waitAll} for one operation. */
export const wait = (
  id: Hash.Hash,
  processor: string,
  until: ReadonlyArray<Hash.Hash>,
  notBefore?: number
): Effect.Effect<void, SqlError, Transaction> => waitAll([{ id, processor, until, notBefore }])

const deleteWaits = statement(`DELETE FROM applecart_waiting WHERE entry IN (SELECT value FROM json_each(?))`)

/** These entries were decided: what they waited for until then counts no more. */
export const forget = (entries: ReadonlyArray<number>): Effect.Effect<void, SqlError, Transaction> =>
  entries.length === 0 ? Effect.void : Effect.asVoid(deleteWaits(Rows.list(entries)))

const selectWaiter = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_waiting WHERE until = ?)
       OR EXISTS (SELECT 1 FROM applecart_inbox INDEXED BY applecart_inbox_place
                  WHERE author = ? AND log_id = ? AND seq_num <= ? AND status = 'waiting'
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
  /** How many were looked at that wait for others as well. */
  readonly met: number
  /** Whether there may be more. */
  readonly more: boolean
}

const selectByPlace = query(
  `SELECT ${columns}, i.seq_num FROM applecart_inbox AS i INDEXED BY applecart_inbox_place
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
    if (byPlace.length === limit) return { woken: byPlace, at: byPlace.at(-1)?.at ?? after, met: 0, more: true }
    const id = Hash.toBytes(wake.id)
    const room = limit - byPlace.length
    const rows = yield* selectById(id, after.seqNum === undefined ? after.entry : 0, room)
    const [alone, met] = [rows.filter((row) => !waitsForOthers(row)), rows.filter(waitsForOthers)]
    if (met.length > 0) yield* deleteMet(id, Rows.list(met.map(number)))
    const already = new Set(byPlace.map(({ entry }) => entry.entry))
    const byId = alone.filter((row) => !already.has(number(row))).map((row) => found(row, undefined))
    const last = rows.at(-1)
    const end = last === undefined ? after : { seqNum: undefined, entry: number(last) }
    return { woken: [...byPlace, ...byId], at: end, met: met.length, more: rows.length === room }
  })

const selectBehind = query(
  `SELECT ${columns}, i.seq_num FROM applecart_inbox AS i INDEXED BY applecart_inbox_place
   WHERE author = ? AND log_id = ? AND seq_num > ? AND status = 'waiting' ORDER BY seq_num, entry LIMIT ?`
)
const selectWaiters = query(
  `SELECT lower(hex(w.until)) AS until, w.entry,
     EXISTS (SELECT 1 FROM applecart_waiting AS o WHERE o.entry = w.entry AND o.until <> w.until) AS others
   FROM applecart_waiting AS w WHERE w.until IN (SELECT unhex(value) FROM json_each(?)) LIMIT ?`
)

/**
 * What stands in a log behind a waiting operation (`id`, at `place`), at most `limit` of them, as far as each waits for the one
 * before it and for nothing else, and nothing but it waits for that one: when one is accepted, the next is all that wakes.
 */
export const chain = (
  id: Hash.Hash,
  { author, logId, seqNum }: Wakes.Place,
  limit: number
): Effect.Effect<ReadonlyArray<Entry>, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const rows = yield* selectBehind(VerifyingKey.toBytes(author), LogId.toBytes(logId), seqNum, limit + 1)
    const behind = rows.filter((row, index) => Rows.integer(row, "seq_num") === seqNum + 1 + index).map(entry)
    if (behind.length === 0) return []
    const ids = [id, ...behind.map(({ id }) => id)]
    const bound = 2 * ids.length + 1
    const waiters = yield* selectWaiters(Rows.list(ids), bound)
    if (waiters.length === bound) return []
    const only = onlyWaiters(waiters)
    const breaks = behind.findIndex((one, index) => only.get(ids[index] ?? "") !== one.entry)
    return behind.slice(0, breaks < 0 ? limit : Math.min(breaks, limit))
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

/** For each operation that exactly one entry waits for, which waits for nothing else: that entry. */
const onlyWaiters = (rows: ReadonlyArray<Row>): ReadonlyMap<string, number | undefined> => {
  const only = new Map<string, number | undefined>()
  for (const row of rows) {
    const until = Rows.text(row, "until")
    only.set(until, only.has(until) || waitsForOthers(row) ? undefined : number(row))
  }
  return only
}

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

const number = (row: Row) => Rows.integer(row, "entry")

const waitsForOthers = (row: Row) => Rows.integer(row, "others") === 1

const found = (row: Row, seqNum: number | undefined): Woken => {
  const one = entry(row)
  return { entry: one, at: { seqNum, entry: one.entry } }
}
