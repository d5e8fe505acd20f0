/**
 * Consumers: named, versioned readers of accepted operations, each with its own position. The application with the veto is
 * one of them, and so is each processor that can be rebuilt.
 *
 * Up to its `position` a consumer was handed everything; what of that it has not acknowledged stands in {@link Deliveries}. So
 * whoever acknowledges 5 has not acknowledged 3. The application and the processors move with the acceptance itself: they are
 * `live`, or else nothing is accepted until they have caught up.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Rows from "./internal/rows.ts"
import * as Operations from "./Operations.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/**
 * - `application`: the handler with the veto;
 * - `processor`: a system layer whose state can be rebuilt;
 * - `reader`: handles in transactions of its own;
 * - `puller`: takes operations out and acknowledges them one by one.
 */
export const Role = Schema.Literal("application", "processor", "reader", "puller")
export type Role = typeof Role.Type

/**
 * - `reset`: its tables are to be emptied;
 * - `building`: it is handed what was accepted before its version came;
 * - `live`: it has caught up once.
 */
export const State = Schema.Literal("reset", "building", "live")
export type State = typeof State.Type

/** A consumer as it is recorded. */
export interface Consumer {
  readonly consumer: number
  readonly name: string
  readonly role: Role
  readonly version: number
  readonly state: State
  /** It was handed everything up to here. */
  readonly position: number
  /** Some version of it was handed everything up to here. */
  readonly seen: number
  readonly paused: boolean
}

/** The name under which a processor is recorded. */
export const processorName = (name: string): string => `processor:${name}`

const columns = `consumer, name, role, version, state, position, seen, paused`
const selectByName = query(`SELECT ${columns} FROM applecart_consumers WHERE name = ?`)
const selectApplication = query(`SELECT ${columns} FROM applecart_consumers WHERE role = 'application'`)
const selectAll = query(`SELECT ${columns} FROM applecart_consumers ORDER BY consumer`)

/** The consumer of this name, if there is one. */
export const find = (name: string): Effect.Effect<Consumer | undefined, SqlError, SqlClient> =>
  Effect.map(selectByName(name), ([row]) => (row === undefined ? undefined : consumer(row)))

/** The application that this database belongs to, if one was ever opened on it. */
export const application: Effect.Effect<Consumer | undefined, SqlError, SqlClient> = Effect.map(
  selectApplication(),
  ([row]) => (row === undefined ? undefined : consumer(row))
)

/** All of them, in the order in which they were added. */
export const all: Effect.Effect<ReadonlyArray<Consumer>, SqlError, SqlClient> = Effect.map(selectAll(), (rows) =>
  rows.map(consumer)
)

const selectStanding = query(
  `SELECT ${columns}, (SELECT seq FROM sqlite_sequence WHERE name = 'applecart_operations') AS last,
     EXISTS (SELECT 1 FROM applecart_inbox WHERE status = 'waiting') AS waits
   FROM (SELECT 1) LEFT JOIN applecart_consumers ON role IN ('application', 'processor')`
)

/** How things stand where something is to be accepted: all that every transaction asks first, in one statement. */
export interface Standing {
  /** Those that decide about what is accepted next. */
  readonly deciding: ReadonlyArray<Consumer>
  /** The last position that was given; 0 before the first. */
  readonly last: number
  /** Whether anything waits in the inbox: almost never, and then there is nothing to wake. */
  readonly waits: boolean
}

export const standing: Effect.Effect<Standing, SqlError, SqlClient> = Effect.map(selectStanding(), (rows) => {
  const [first] = rows
  return {
    deciding: rows.flatMap((row) => (row["consumer"] === null ? [] : [consumer(row)])),
    last: first === undefined ? 0 : (Rows.optionalInteger(first, "last") ?? 0),
    waits: first !== undefined && Rows.integer(first, "waits") === 1
  }
})

/** A consumer, and when the first of what it has parked is due, in milliseconds since the epoch. */
export interface Backlog extends Consumer {
  readonly due: number | undefined
}

const selectBacklog = query(
  `SELECT ${columns}, (SELECT min(d.not_before) FROM applecart_deliveries AS d
     WHERE d.consumer = c.consumer AND d.not_before IS NOT NULL) AS due
   FROM applecart_consumers AS c WHERE role <> 'processor' ORDER BY consumer`
)

/** All but the processors, with what they have yet to do. */
export const backlog: Effect.Effect<ReadonlyArray<Backlog>, SqlError, SqlClient> = Effect.map(selectBacklog(), (rows) =>
  rows.map((row) => ({ ...consumer(row), due: Rows.optionalInteger(row, "due") }))
)

const insert = statement(
  `INSERT INTO applecart_consumers (name, role, version, state, position, seen) VALUES (?, ?, ?, ?, ?, 0)`
)

/** Records a consumer that is to be handed everything after `position`. */
export const add = ({
  name,
  position,
  role,
  state,
  version
}: Omit<Consumer, "consumer" | "seen" | "paused">): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(insert(name, role, version, state, position))

const updateStale = statement(
  `UPDATE applecart_consumers SET state = 'reset'
   WHERE role = 'processor' AND state = 'live' AND name NOT IN (SELECT value FROM json_each(?))`
)

/** Only these processors see what is accepted from now on: any other has to be rebuilt when it is back. */
export const only = (processors: ReadonlyArray<string>): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateStale(Rows.list(processors)))

const updateVersion = statement(`UPDATE applecart_consumers SET version = ?, state = 'reset' WHERE name = ?`)

/** Another version: its tables are to be emptied, and it is handed everything again. */
export const upgrade = (name: string, version: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateVersion(version, name))

const updateReset = statement(
  `UPDATE applecart_consumers SET state = 'reset' WHERE name = ? AND role <> 'puller' RETURNING 1`
)

/** Asks for it to be emptied and handed everything again; whether there is such a consumer. */
export const rebuild = (name: string): Effect.Effect<boolean, SqlError, Transaction> =>
  Effect.map(updateReset(name), (rows) => rows.length > 0)

const updatePaused = statement(
  `UPDATE applecart_consumers SET paused = ? WHERE name = ? AND role IN ('reader', 'puller') RETURNING 1`
)

/** Says whether a reader or puller is handed anything; whether there is such a one. */
export const pause = (name: string, paused: boolean): Effect.Effect<boolean, SqlError, Transaction> =>
  Effect.map(updatePaused(paused ? 1 : 0, name), (rows) => rows.length > 0)

const removeOne = statement(
  `DELETE FROM applecart_consumers WHERE name = ? AND role IN ('reader', 'puller') RETURNING consumer`
)

/** Forgets a reader or puller, with all that was kept for it; whether there was such a one. */
export const remove = (name: string): Effect.Effect<boolean, SqlError, Transaction> =>
  Effect.map(removeOne(name), (rows) => rows.length > 0)

const updateEmptied = statement(`UPDATE applecart_consumers SET state = 'building', position = 0 WHERE consumer = ?`)
const deleteNotices = statement(`DELETE FROM applecart_notices WHERE consumer = ?`)
const deleteDeliveries = statement(`DELETE FROM applecart_deliveries WHERE consumer = ?`)
const cancelReplays = statement(
  `UPDATE applecart_replays SET state = 'cancelled' WHERE consumer = ? AND state = 'running'`
)

/** Its tables were emptied: it begins anew. */
export const emptied = (consumer: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(
    Effect.all([updateEmptied(consumer), deleteNotices(consumer), deleteDeliveries(consumer), cancelReplays(consumer)])
  )

const updatePosition = statement(`UPDATE applecart_consumers SET position = ?, seen = max(seen, ?) WHERE consumer = ?`)

/** It was handed everything up to this position. */
export const advance = (consumer: number, position: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updatePosition(position, position, consumer))

const updateLive = statement(`UPDATE applecart_consumers SET state = 'live' WHERE consumer = ?`)

/** It has caught up. */
export const ready = (consumer: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateLive(consumer))

const updateApplication = statement(
  `UPDATE applecart_consumers SET position = ?, seen = max(seen, ?) WHERE role = 'application'`
)

/** The application has handled everything up to this position, in the transaction that made it so. */
export const acknowledge = (position: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateApplication(position, position))

/** How far a consumer is, for people and programs. */
export interface Status extends Omit<Consumer, "consumer" | "seen"> {
  /** Positions that it was not handed yet. */
  readonly lag: number
  /** Operations that it has rejected. */
  readonly parked: number
  /** Operations that were taken out and not acknowledged yet. */
  readonly inFlight: number
}

const selectStatus = query(
  `SELECT ${columns},
     (SELECT count(*) FROM applecart_deliveries AS d WHERE d.consumer = c.consumer AND d.reason IS NOT NULL) AS parked,
     (SELECT count(*) FROM applecart_deliveries AS d WHERE d.consumer = c.consumer AND d.reason IS NULL) AS in_flight
   FROM applecart_consumers AS c ORDER BY consumer`
)

/** How far all consumers are. */
export const status: Effect.Effect<ReadonlyArray<Status>, SqlError, SqlClient> = Effect.gen(function* () {
  const last = yield* Operations.lastPosition
  return (yield* selectStatus()).map((row) => {
    const { name, paused, position, role, state, version } = consumer(row)
    // A live processor moves with the acceptance itself; where it was rebuilt last is of no interest.
    const at = role === "processor" && state === "live" ? last : position
    return {
      name,
      role,
      version,
      state,
      position: at,
      paused,
      lag: last - at,
      parked: Rows.integer(row, "parked"),
      inFlight: Rows.integer(row, "in_flight")
    }
  })
})

// internal

const role = Schema.decodeUnknownEither(Role)
const state = Schema.decodeUnknownEither(State)

const consumer = (row: Row): Consumer => ({
  consumer: Rows.integer(row, "consumer"),
  name: Rows.text(row, "name"),
  role: Rows.decoded(row, "role", role),
  version: Rows.integer(row, "version"),
  state: Rows.decoded(row, "state", state),
  position: Rows.integer(row, "position"),
  seen: Rows.integer(row, "seen"),
  paused: Rows.integer(row, "paused") === 1
})
