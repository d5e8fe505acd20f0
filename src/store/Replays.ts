/**
 * Replays of accepted operations: a consumer is to be handed what it was handed before, as far as it is meant. Each stands
 * here with its own position until it is done, so that it goes on after a crash, and touches nobody's acknowledgements.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Crypto from "../core/Crypto.ts"
import type * as Extensions from "../core/Extensions.ts"
import * as Header from "../core/Header.ts"
import * as LogId from "../core/LogId.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Filter from "./Filter.ts"
import * as Rows from "./internal/rows.ts"
import * as Operations from "./Operations.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** Which accepted operations are asked for, of those that the consumer was handed before. */
export interface Asked extends Pick<Filter.Options, "topic" | "author">, Filter.Range {}

/** What is still to be handed over. */
export interface Job {
  readonly which: Filter.Accepted
  /** It has come up to here. */
  readonly position: number
  /** It ends here. */
  readonly until: number
}

/** How far a replay is. */
export interface Replay extends Job {
  readonly replay: number
  /** The consumer's number, and its name. */
  readonly consumer: number
  readonly name: string
  /** How many operations the consumer handled, and how many it rejected. */
  readonly handled: number
  readonly parked: number
  readonly state: "running" | "done" | "cancelled"
  /** Milliseconds since the epoch. */
  readonly begunAt: number
}

/**
 * What is asked of a consumer that was handed everything up to `position`. An infinite end is none; a range with an end that is
 * no number (an invalid date) is a mistake of the caller and throws a `RangeError`.
 */
export const job = (crypto: Crypto.Service, { author, topic, ...range }: Asked, position: number): Job => {
  const between: Filter.Range = Object.fromEntries(ends.flatMap((end) => said(end, range[end])))
  return {
    which: { ...Filter.make(crypto, { author, topic }), ...between },
    position: Math.max(0, Math.ceil(between.from ?? 1) - 1),
    until: Math.min(between.to ?? position, position)
  }
}

const insert = statement(
  `INSERT INTO applecart_replays (consumer, which, position, until, state, begun_at) VALUES (?, ?, ?, ?, 'running', ?)
   RETURNING replay`
)

/** Records a replay; gives its number. */
export const begin = (
  consumer: number,
  { position, until, which }: Job,
  now: number
): Effect.Effect<number, SqlError, Transaction> =>
  Effect.map(insert(consumer, encode(which), position, until, now), ([row = {}]) => Rows.integer(row, "replay"))

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

/** How many positions a page looks at; few of them may be meant. */
const window = 4096

/** The next page of what is meant, `limit` operations at the most, and up to where that reads. */
export const page = <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  { position, until, which }: Job,
  limit: number
): Effect.Effect<{ readonly rows: ReadonlyArray<Operations.Handed>; readonly end: number }, SqlError, SqlClient> => {
  const to = Math.min(until, position + window)
  return Effect.map(Operations.pageOf(which, position, to, limit), (found) => ({
    rows: wasWritten(codec, which, found),
    end: found.length < limit ? to : (found.at(-1)?.position ?? to)
  }))
}

/** What a replay would hand over. */
export interface Plan {
  readonly operations: number
  /** How many of them have no body any more, which a consumer is not handed again. */
  readonly withoutBody: number
  /** The first position, and the last. */
  readonly first: number | undefined
  readonly last: number | undefined
  readonly authors: number
  readonly topics: number
}

/** Looks through everything that is meant. `between` is run after each page, with the position up to which that read. */
export const plan = <X extends Extensions.Fields, R>(
  codec: Extensions.Codec<X>,
  job: Job,
  between: (position: number) => Effect.Effect<void, never, R>
): Effect.Effect<Plan, SqlError, SqlClient | R> =>
  Effect.gen(function* () {
    const authors = new Set<string>()
    const topics = new Set<string>()
    let { position } = job
    let operations = 0
    let withoutBody = 0
    let first: number | undefined
    let last: number | undefined
    while (position < job.until) {
      const { end, rows } = yield* page(codec, { ...job, position }, planned)
      for (const row of rows) {
        operations += 1
        first ??= row.position
        last = row.position
        const header = Header.parse(row.header)
        if (header._tag === "Right") authors.add(header.right.verifyingKey)
        if (header._tag === "Right" && header.right.payloadSize > 0 && row.body === undefined) withoutBody += 1
        if (row.topic !== undefined) topics.add(row.topic)
      }
      position = end
      yield* between(end)
    }
    return { operations, withoutBody, first, last, authors: authors.size, topics: topics.size }
  })

// internal

const ends = ["from", "to", "acceptedFrom", "acceptedUntil", "writtenFrom", "writtenUntil"] as const

/** An end of a range, if it is one. JSON would keep neither of what is not finite. */
const said = (end: keyof Filter.Range, value: number | undefined): ReadonlyArray<readonly [string, number]> => {
  if (Number.isNaN(value)) throw new RangeError(`A replay was asked for whose ${end} is not a number.`)
  return value === undefined || !Number.isFinite(value) ? [] : [[end, value]]
}

/** How many operations a plan looks at at once. */
const planned = 256

/** Those whose authors' timestamps are meant. One that cannot be read has none. */
const wasWritten = <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  { writtenFrom = -Infinity, writtenUntil = Infinity }: Filter.Range,
  rows: ReadonlyArray<Operations.Handed>
): ReadonlyArray<Operations.Handed> => {
  if (writtenFrom === -Infinity && writtenUntil === Infinity) return rows
  return rows.filter(({ header }) => {
    const read = Either.flatMap(Header.parse(header), ({ extensions }) => codec.decode(extensions))
    if (read._tag === "Left" || read.right.timestamp === undefined) return false
    const millis = Number(read.right.timestamp / 1000n)
    return millis >= writtenFrom && millis < writtenUntil
  })
}

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
const decode = Schema.decodeUnknownEither(Which)
const state = Schema.decodeUnknownEither(Schema.Literal("running", "done", "cancelled"))

const replay = (row: Row): Replay => ({
  replay: Rows.integer(row, "replay"),
  consumer: Rows.integer(row, "consumer"),
  name: Rows.text(row, "name"),
  which: Rows.decoded(row, "which", decode),
  position: Rows.integer(row, "position"),
  until: Rows.integer(row, "until"),
  handled: Rows.integer(row, "handled"),
  parked: Rows.integer(row, "parked"),
  state: Rows.decoded(row, "state", state),
  begunAt: Rows.integer(row, "begun_at")
})
