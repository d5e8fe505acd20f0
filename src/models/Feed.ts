/**
 * Messages that are simply stored: a feed, a guest book, a list of notices. Each is a row that lives as long as its operation
 * does; it goes when that is pruned or its body deleted.
 *
 * The table is named after the application (`posts_messages`), so that SQL of one's own can join it:
 *
 * | column | holds |
 * |---|---|
 * | `position` | the place in the local order, which is what `applecart_operations` calls it too |
 * | `id`, `author`, `log_id` | of the operation, 32 bytes each |
 * | `timestamp` | its author's, in microseconds since the epoch, or NULL |
 * | `message` | the body as it came: canonical CBOR |
 *
 * @example
 * const posts = Feed.make({ name: "posts", version: 1, message: Schema.Struct({ text: Schema.String }) })
 *
 * class Posts extends StreamController.Tag<Posts>()("Posts", {
 *   pipeline: Pipeline.make(LogIntegrity.processor),
 *   application: posts
 * }) {}
 *
 * const newest = yield* posts.list({ limit: 10 })
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Cbor from "../core/Cbor.ts"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Application from "../pipeline/Application.ts"
import type { Event } from "../pipeline/Event.ts"
import * as Filters from "../store/Filter.ts"
import * as Rows from "../store/internal/rows.ts"
import * as Transaction from "../store/Transaction.ts"
import * as Tables from "./internal/tables.ts"

/** A message that is stored. */
export interface Entry<out A> {
  /** Its place in the local order; newer ones have larger places. */
  readonly position: number
  readonly id: Hash.Hash
  readonly author: VerifyingKey.VerifyingKey
  readonly logId: LogId.LogId
  /** When it was written, by its author's clock: microseconds since the epoch. */
  readonly timestamp: number | undefined
  readonly message: A
}

/**
 * Which messages to list. Everything that is said must hold.
 *
 * @example
 * const page: Feed.Page = { ...Filter.make(yield* Crypto.Crypto, { topic, author }), before: last.position, limit: 50 }
 */
export interface Page extends Filters.Filter {
  /** Only messages before this position: that of the last one on the page before. Default: from the newest on. */
  readonly before?: number | undefined
  /** How many at the most. Default: 20. */
  readonly limit?: number | undefined
}

/**
 * A stored message is none by the schema that reads it.
 *
 * @example
 * posts.list().pipe(Effect.catchTag("UnreadableMessage", ({ position }) => Effect.logError(`see position ${position}`)))
 */
export class UnreadableMessage extends Schema.TaggedError<UnreadableMessage>()("UnreadableMessage", {
  position: Schema.Int,
  detail: Schema.String
}) {
  override get message() {
    return `The message at position ${this.position} does not fit the schema: ${this.detail}. It was stored under another one: let the schema read both, or raise the application's version and rebuild.`
  }
}

/** An application that stores messages `A`, and lists them. */
export interface Feed<in In, in out A, out E, out R> extends Application.Application<In, A, E, R> {
  /** The messages that are stored, those that were accepted here last first. */
  readonly list: (page?: Page) => Effect.Effect<ReadonlyArray<Entry<A>>, SqlError | UnreadableMessage, SqlClient>
}

/**
 * What a feed is made of. `migrations` and `reset` are for tables that `handle` writes to; with such tables and no `reset` it
 * cannot be rebuilt.
 */
export interface Options<A, I, In extends Event, E, R, E2, R2> extends Application.Options {
  readonly message: Schema.Schema<A, I>
  /** Asked when a message has been stored, in the same transaction: a failure undoes that, and rejects the operation. */
  readonly handle?: ((input: Application.Input<A, In>) => Effect.Effect<unknown, E, R>) | undefined
  /** Told which operations go before their rows do; for what `handle` keeps. */
  readonly forget?: ((forgotten: Application.Forgotten<In>) => Effect.Effect<unknown, E2, R2>) | undefined
}

/**
 * Makes a feed. Its name names the table as well: letters, digits and underscores, or a `RangeError` is thrown.
 *
 * @example
 * const posts = Feed.make({
 *   name: "posts",
 *   version: 1,
 *   message: Schema.Struct({ text: Schema.String }),
 *   handle: ({ event, message }) => (message.text === "" ? new Empty({ author: event.author }) : Effect.void)
 * })
 */
export const make = <A, I, In extends Event = Event, E = never, R = never, E2 = never, R2 = never>(
  options: Options<A, I, In, E, R, E2, R2>
): Feed<In, A, Exclude<E | E2, SqlError>, R | R2 | Transaction.Transaction> => {
  const table = `${Tables.prefix(options.name)}_messages`
  const insert = Transaction.statement(
    `INSERT INTO ${table} (position, id, author, log_id, timestamp, message) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (position) DO NOTHING`
  )
  const remove = Transaction.statement(`DELETE FROM ${table} WHERE position IN (SELECT value FROM json_each(?))`)
  const empty = Transaction.statement(`DELETE FROM ${table}`)
  const application = Application.make({
    ...options,
    // Ours comes first and never changes, so that the list can grow behind it.
    migrations: [migration(table), ...(options.migrations ?? [])],
    handle: (input: Application.Input<A, In>) =>
      Effect.zipRight(insert(...row(input.event, input.position)), options.handle?.(input) ?? Effect.void),
    forget: (forgotten: Application.Forgotten<In>) =>
      Effect.zipRight(
        options.forget?.(forgotten) ?? Effect.void,
        remove(Rows.list(forgotten.operations.map(({ position }) => position)))
      ),
    reset: Tables.reset(options, empty())
  })
  return { ...application, list: list(table, options.message) }
}

// internal

const migration = (table: string) => ({
  name: table,
  up: [
    `CREATE TABLE ${table} (
      position INTEGER PRIMARY KEY,
      id BLOB NOT NULL,
      author BLOB NOT NULL,
      log_id BLOB NOT NULL,
      timestamp INTEGER,
      message BLOB NOT NULL
    )`,
    `CREATE INDEX ${table}_author ON ${table} (author, position)`,
    `CREATE INDEX ${table}_log_id ON ${table} (log_id, position)`
  ]
})

const row = ({ author, extensions: { logId, timestamp }, id, payload }: Event, position: number) => [
  position,
  Hash.toBytes(id),
  VerifyingKey.toBytes(author),
  LogId.toBytes(logId),
  // An author may claim any time below 2^64, which no INTEGER holds; that far off it means nothing.
  timestamp === undefined || timestamp > Number.MAX_SAFE_INTEGER ? null : timestamp,
  payload
]

/** The conditions that are asked for, and no others: each of the first two then has an index that gives the order too. */
const conditions = ({ author, before = Number.MAX_SAFE_INTEGER, logId, topic }: Page) => [
  { sql: "m.position < ?", params: [before] },
  ...(author === undefined ? [] : [{ sql: "m.author = ?", params: [VerifyingKey.toBytes(author)] }]),
  ...(logId === undefined ? [] : [{ sql: "m.log_id = ?", params: [LogId.toBytes(logId)] }]),
  ...(topic === undefined ? [] : [{ sql: Filters.inLogs("m"), params: Filters.logParams({ topic }) }])
]

const list = <A, I>(table: string, schema: Schema.Schema<A, I>) => {
  const decode = Schema.decodeUnknownEither(schema)
  const entry = (row: Transaction.Row): Either.Either<Entry<A>, UnreadableMessage> => {
    const position = Rows.integer(row, "position")
    return Either.mapBoth(Either.flatMap(Cbor.decode(Rows.blob(row, "message")), decode), {
      onLeft: ({ message }) => new UnreadableMessage({ position, detail: message }),
      onRight: (message) => ({
        position,
        id: Hash.fromBytes(Rows.blob(row, "id")),
        author: VerifyingKey.fromBytes(Rows.blob(row, "author")),
        logId: LogId.fromBytes(Rows.blob(row, "log_id")),
        timestamp: Rows.optionalInteger(row, "timestamp"),
        message
      })
    })
  }
  return (page: Page = {}) => {
    const asked = conditions(page)
    const select = Transaction.query(
      `SELECT * FROM ${table} AS m WHERE ${asked.map(({ sql }) => sql).join(" AND ")} ORDER BY m.position DESC LIMIT ?`
    )
    const params = asked.flatMap(({ params }): ReadonlyArray<unknown> => params)
    return Effect.flatMap(select(...params, page.limit ?? 20), (rows) => Either.all(rows.map(entry)))
  }
}
