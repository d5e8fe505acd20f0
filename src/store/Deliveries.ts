/**
 * What was handed to a consumer and is not acknowledged: parked, because the consumer rejected it, or in somebody's hands
 * until a lease runs out. One row for each position, so that acknowledging one says nothing of another.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** A position that a consumer rejected. Times in milliseconds since the epoch. */
export interface Parked {
  readonly position: number
  /** How often it was rejected. */
  readonly attempts: number
  /** The encoded error; `Rejection.decode` reads it. */
  readonly reason: string
  /** When it is handed over again by itself, if it is. */
  readonly notBefore: number | undefined
  /** When it was handed over first. */
  readonly since: number
  /** Whether that was a replay: it had been handed over before. */
  readonly replay: boolean
}

const upsert = statement(
  `INSERT INTO applecart_deliveries (consumer, position, attempts, reason, not_before, since, replay) VALUES (?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (consumer, position) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason, not_before = excluded.not_before`
)

/** Parks a position, or parks it again. `at`: milliseconds since the epoch. */
export const park = (
  consumer: number,
  { attempts, notBefore, position, reason, replay }: Omit<Parked, "since">,
  at: number
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(upsert(consumer, position, attempts, reason, notBefore ?? null, at, replay ? 1 : 0))

const remove = statement(
  `DELETE FROM applecart_deliveries WHERE consumer = ? AND position IN (SELECT value FROM json_each(?))`
)

/** Acknowledges these positions. */
export const settle = (
  consumer: number,
  positions: ReadonlyArray<number>
): Effect.Effect<void, SqlError, Transaction> =>
  positions.length === 0 ? Effect.void : Effect.asVoid(remove(consumer, Rows.list(positions)))

const selectParked = query(
  `SELECT position, attempts, reason, not_before, since, replay FROM applecart_deliveries
   WHERE consumer = ? AND reason IS NOT NULL AND position > ? ORDER BY position LIMIT ?`
)

/** What a consumer has rejected, after a position, oldest first. */
export const parked = (
  consumer: number,
  after: number,
  limit: number
): Effect.Effect<ReadonlyArray<Parked>, SqlError, SqlClient> =>
  Effect.map(selectParked(consumer, after, limit), (rows) => rows.map(parkedRow))

const selectDue = query(
  `SELECT position, attempts, replay FROM applecart_deliveries
   WHERE consumer = ? AND not_before <= ? ORDER BY not_before, position LIMIT ?`
)

/** A position whose time has come, and how often it was handed over. */
export interface Due extends Pick<Parked, "position" | "attempts" | "replay"> {}

/** What is to be handed over again: its time has come, or whoever had it has let its lease run out. */
export const due = (
  consumer: number,
  now: number,
  limit: number
): Effect.Effect<ReadonlyArray<Due>, SqlError, SqlClient> =>
  Effect.map(selectDue(consumer, now, limit), (rows) =>
    rows.map((row) => ({
      position: Rows.integer(row, "position"),
      attempts: Rows.integer(row, "attempts"),
      replay: Rows.integer(row, "replay") === 1
    }))
  )

const selectNext = query(
  `SELECT min(not_before) AS due FROM applecart_deliveries WHERE consumer = ? AND not_before IS NOT NULL`
)

/** When the next of a consumer's positions is due. */
export const nextDue = (consumer: number): Effect.Effect<number | undefined, SqlError, SqlClient> =>
  Effect.map(selectNext(consumer), ([row]) => (row === undefined ? undefined : Rows.optionalInteger(row, "due")))

const selectAttempts = query(
  `SELECT d.position, d.attempts FROM json_each(?) AS k JOIN applecart_deliveries AS d ON d.consumer = ? AND d.position = k.value`
)

/** How often each of these positions was rejected; one that was not is missing. */
export const attempts = (
  consumer: number,
  positions: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, number>, SqlError, SqlClient> =>
  Effect.map(
    selectAttempts(Rows.list(positions), consumer),
    (rows) => new Map(rows.map((row) => [Rows.integer(row, "position"), Rows.integer(row, "attempts")] as const))
  )

const updateDue = statement(
  `UPDATE applecart_deliveries SET not_before = ? WHERE consumer = ? AND reason IS NOT NULL
     AND (? IS NULL OR position IN (SELECT value FROM json_each(?))) RETURNING 1`
)

/** Makes parked positions due: these, or all of them. Gives how many. */
export const retry = (
  consumer: number,
  positions: ReadonlyArray<number> | undefined,
  now: number
): Effect.Effect<number, SqlError, Transaction> => {
  const list = positions === undefined ? null : Rows.list(positions)
  return Effect.map(updateDue(now, consumer, list, list), (rows) => rows.length)
}

const lend = statement(
  `INSERT INTO applecart_deliveries (consumer, position, attempts, reason, not_before, since)
   SELECT ?, value, 1, NULL, ?, ? FROM json_each(?) WHERE true
   ON CONFLICT (consumer, position) DO UPDATE SET attempts = attempts + 1, reason = NULL, not_before = excluded.not_before`
)

/** Positions are in somebody's hands `until` then; their attempts go up by one. */
export const lease = (
  consumer: number,
  positions: ReadonlyArray<number>,
  until: number,
  now: number
): Effect.Effect<void, SqlError, Transaction> =>
  positions.length === 0 ? Effect.void : Effect.asVoid(lend(consumer, until, now, Rows.list(positions)))

const countLeased = query(
  `SELECT count(*) AS leased FROM applecart_deliveries WHERE consumer = ? AND reason IS NULL AND not_before > ?`
)

/** How many positions are in somebody's hands. */
export const leased = (consumer: number, now: number): Effect.Effect<number, SqlError, SqlClient> =>
  Effect.map(countLeased(consumer, now), ([row]) => (row === undefined ? 0 : Rows.integer(row, "leased")))

/** What somebody holds: a position, and the attempt by which it is told from a later one. */
export interface Lease {
  readonly consumer: number
  readonly position: number
  readonly attempt: number
}

const isHeld = `consumer = ? AND position = ? AND attempts = ? AND reason IS NULL`
const removeHeld = statement(`DELETE FROM applecart_deliveries WHERE ${isHeld} RETURNING 1`)
const parkHeld = statement(`UPDATE applecart_deliveries SET reason = ?, not_before = ? WHERE ${isHeld} RETURNING 1`)
const extendHeld = statement(`UPDATE applecart_deliveries SET not_before = ? WHERE ${isHeld} RETURNING 1`)

const done = (rows: ReadonlyArray<Row>) => rows.length > 0

/** Acknowledges what is held; whether it was still held. */
export const acknowledge = ({ attempt, consumer, position }: Lease): Effect.Effect<boolean, SqlError, Transaction> =>
  Effect.map(removeHeld(consumer, position, attempt), done)

/** Parks what is held; whether it was still held. */
export const refuse = (
  { attempt, consumer, position }: Lease,
  reason: string,
  notBefore: number | undefined
): Effect.Effect<boolean, SqlError, Transaction> =>
  Effect.map(parkHeld(reason, notBefore ?? null, consumer, position, attempt), done)

/** Holds it until then; whether it was still held. */
export const extend = (
  { attempt, consumer, position }: Lease,
  until: number
): Effect.Effect<boolean, SqlError, Transaction> => Effect.map(extendHeld(until, consumer, position, attempt), done)

// internal

const parkedRow = (row: Row): Parked => ({
  position: Rows.integer(row, "position"),
  attempts: Rows.integer(row, "attempts"),
  reason: Rows.text(row, "reason"),
  notBefore: Rows.optionalInteger(row, "not_before"),
  since: Rows.integer(row, "since"),
  replay: Rows.integer(row, "replay") === 1
})
