/**
 * Replays of accepted operations: a consumer is to be handed what it was handed before, as far as it is meant. Each stands
 * here with its own position until it is done, so that it goes on after a crash, and touches nobody's acknowledgements.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as LogId from "../core/LogId.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import type * as Filter from "./Filter.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** How far a replay is. */
export interface Replay {
  readonly replay: number
  /** The consumer's number, and its name. */
  readonly consumer: number
  readonly name: string
  readonly which: Filter.Accepted
  /** It has come up to here. */
  readonly position: number
  /** It ends here. */
  readonly until: number
  /** How many operations the consumer handled, and how many it rejected. */
  readonly handled: number
  readonly parked: number
  readonly state: "running" | "done" | "cancelled"
  /** Milliseconds since the epoch. */
  readonly begunAt: number
}

const insert = statement(
  `INSERT INTO applecart_replays (consumer, which, position, until, state, begun_at) VALUES (?, ?, ?, ?, 'running', ?)
   RETURNING replay`
)

/** Records a replay of what is meant after `position`, up to `until`; gives its number. */
export const begin = (
  consumer: number,
  which: Filter.Accepted,
  range: { readonly position: number; readonly until: number },
  now: number
): Effect.Effect<number, SqlError, Transaction> =>
  Effect.map(insert(consumer, encode(which), range.position, range.until, now), ([row = {}]) =>
    Rows.integer(row, "replay")
  )

const select = `SELECT r.replay, r.consumer, c.name, r.which, r.position, r.until, r.handled, r.parked, r.state, r.begun_at
   FROM applecart_replays AS r JOIN applecart_consumers AS c ON c.consumer = r.consumer`
const selectRunning = query(`${select} WHERE r.state = 'running' ORDER BY r.replay`)
const selectOne = query(`${select} WHERE r.replay = ?`)

/** The replays that are not done. */
export const running: Effect.Effect<ReadonlyArray<Replay>, SqlError, SqlClient> = Effect.map(selectRunning(), (rows) =>
  rows.map(replay)
)

/** The replay of this number, if there was one. */
export const find = (number: number): Effect.Effect<Replay | undefined, SqlError, SqlClient> =>
  Effect.map(selectOne(number), ([row]) => (row === undefined ? undefined : replay(row)))

const updateMoved = statement(
  `UPDATE applecart_replays SET position = ?, handled = handled + ?, parked = parked + ?,
     state = iif(? >= until, 'done', state) WHERE replay = ?`
)

/** A replay has come up to `position`; there it may be done. */
export const advance = (
  number: number,
  moved: { readonly position: number; readonly handled: number; readonly parked: number }
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateMoved(moved.position, moved.handled, moved.parked, moved.position, number))

const updateCancelled = statement(
  `UPDATE applecart_replays SET state = 'cancelled' WHERE replay = ? AND state = 'running' RETURNING 1`
)

/** Stops a replay; whether it was running. What it has done stays done. */
export const cancel = (number: number): Effect.Effect<boolean, SqlError, Transaction> =>
  Effect.map(updateCancelled(number), (rows) => rows.length > 0)

// internal

const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })

const Which = Schema.parseJson(
  Schema.Struct({
    author: optional(VerifyingKey.Schema),
    logId: optional(LogId.Schema),
    topic: optional(Schema.Struct({ topic: Topic.Schema, logId: LogId.Schema })),
    from: optional(Schema.Number),
    to: optional(Schema.Number),
    acceptedFrom: optional(Schema.Number),
    acceptedUntil: optional(Schema.Number),
    writtenFrom: optional(Schema.Number),
    writtenUntil: optional(Schema.Number)
  })
)
const encode = (which: Filter.Accepted): string => JSON.stringify(which)
const decode = Schema.decodeUnknownSync(Which)
const state = Schema.decodeUnknownSync(Schema.Literal("running", "done", "cancelled"))

const replay = (row: Row): Replay => ({
  replay: Rows.integer(row, "replay"),
  consumer: Rows.integer(row, "consumer"),
  name: Rows.text(row, "name"),
  which: decode(Rows.text(row, "which")),
  position: Rows.integer(row, "position"),
  until: Rows.integer(row, "until"),
  handled: Rows.integer(row, "handled"),
  parked: Rows.integer(row, "parked"),
  state: state(row["state"]),
  begunAt: Rows.integer(row, "begun_at")
})
