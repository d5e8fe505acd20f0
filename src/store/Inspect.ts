/**
 * Read-only looks into the store, for people and programs: lists of what is where, and one operation taken apart.
 *
 * Nothing here writes or migrates, so a database may be looked at while another process works on it. Lists are bounded and
 * give the newest last.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Hash from "../core/Hash.ts"
import type * as LogId from "../core/LogId.ts"
import type * as Topic from "../core/Topic.ts"
import type * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Filters from "./Filter.ts"
import * as Rows from "./internal/rows.ts"
import { query, type Row } from "./Transaction.ts"

/** Which operations to list. */
export interface Filter extends Filters.Filter {
  /** How many at the most: the newest ones. Default: 20. */
  readonly limit?: number | undefined
}

/** What every list tells of an operation. */
export interface Listed {
  readonly id: Hash.Hash
  readonly author: VerifyingKey.VerifyingKey
  readonly logId: LogId.LogId
  readonly seqNum: number
  /** The topic, where anybody has told it. */
  readonly topic: Topic.Topic | undefined
  /** The size of the body that is kept, in bytes; none where there is no body. */
  readonly bodySize: number | undefined
}

/** An accepted operation. `acceptedAt`: milliseconds since the epoch. */
export interface Accepted extends Listed {
  readonly position: number
  readonly acceptedAt: number
  /** Whether only its header was let in. */
  readonly skipped: boolean
  /** Whether its body was deleted. */
  readonly deleted: boolean
}

/** An operation in the inbox. `receivedAt`: milliseconds since the epoch. */
export interface Received extends Listed {
  readonly receivedAt: number
  /** What the sender was called when it came. */
  readonly source: string | undefined
  /** How often it was tried and rejected. */
  readonly attempts: number
}

/** An operation that waits until all of `until` were accepted, because `processor` said so. */
export interface Waiting extends Received {
  readonly processor: string
  readonly until: ReadonlyArray<Hash.Hash>
}

/** An operation that `processor` (or the application of that name) said no to. */
export interface Rejected extends Received {
  readonly processor: string
  /** The stored form of the error; `Rejection.decode` reads it. */
  readonly reason: string
  /** When it is tried again by itself, if it is; milliseconds since the epoch. */
  readonly notBefore: number | undefined
}

const selectStore = query(
  `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'applecart_operations') AS found`
)

/** Whether this database has a store in it. Fails on a file that is no database at all. */
export const isStore: Effect.Effect<boolean, SqlError, SqlClient> = Effect.map(
  selectStore(),
  ([row]) => row !== undefined && Rows.integer(row, "found") === 1
)

const selectConsumers = query(
  `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'applecart_replays') AS found`
)

/** Whether account is kept of consumers here: a store of an early version knows only the application. */
export const hasConsumers: Effect.Effect<boolean, SqlError, SqlClient> = Effect.map(
  selectConsumers(),
  ([row]) => row !== undefined && Rows.integer(row, "found") === 1
)

const selectOwn = query(
  `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'applecart_own') AS found`
)

/** Whether it is recorded which logs are our own: a store of an early version does not know. */
export const hasOwn: Effect.Effect<boolean, SqlError, SqlClient> = Effect.map(
  selectOwn(),
  ([row]) => row !== undefined && Rows.integer(row, "found") === 1
)

const fromLog = (more = "") => `
  SELECT o.position, o.id, l.author, l.log_id, o.seq_num, t.hash AS topic, length(o.body) AS body_size, o.accepted_at,
    EXISTS (SELECT 1 FROM applecart_decisions AS d WHERE d.id = o.id AND d.what = 'skipped') AS skipped,
    EXISTS (SELECT 1 FROM applecart_decisions AS d WHERE d.id = o.id AND d.what = 'deleted') AS deleted${more}
  FROM applecart_operations AS o
    JOIN applecart_logs AS l ON l.log = o.log
    LEFT JOIN applecart_topics AS t ON t.topic = l.topic`

const selectLog = query(`${fromLog()} WHERE ${Filters.inLogs("l")} ORDER BY o.position DESC LIMIT ?`)

/** The operations that were accepted last. */
export const log = (filter: Filter = {}): Effect.Effect<ReadonlyArray<Accepted>, SqlError, SqlClient> =>
  Effect.map(selectLog(...Filters.logParams(filter), limit(filter)), (rows) => rows.map(accepted).reverse())

const fromInbox = (more = "") => `
  SELECT i.id, i.author, i.log_id, i.seq_num, i.topic, length(i.body) AS body_size, i.received_at, i.source, i.attempts,
    i.status, coalesce(i.processor, '') AS processor, coalesce(i.reason, '') AS reason, i.not_before,
    (SELECT json_group_array(lower(hex(w.until))) FROM applecart_waiting AS w WHERE w.entry = i.entry) AS until${more}
  FROM applecart_inbox AS i`

const selectInbox = query(
  `${fromInbox()} WHERE i.status = ? AND ${Filters.inInbox("i")}
   ORDER BY i.entry DESC LIMIT ?`
)

/** The operations that wait for others; the last received ones. */
export const waiting = (filter: Filter = {}): Effect.Effect<ReadonlyArray<Waiting>, SqlError, SqlClient> =>
  Effect.map(selectInbox("waiting", ...Filters.inboxParams(filter), limit(filter)), (rows) => rows.map(waits).reverse())

/** The operations that were rejected; the last received ones. */
export const rejected = (filter: Filter = {}): Effect.Effect<ReadonlyArray<Rejected>, SqlError, SqlClient> =>
  Effect.map(selectInbox("rejected", ...Filters.inboxParams(filter), limit(filter)), (rows) =>
    rows.map(rejection).reverse()
  )

/** Where an operation is, with what is known about it there. Times are milliseconds since the epoch. */
export type Found =
  | ({ readonly _tag: "Accepted"; readonly why: string | undefined } & Accepted & Content)
  | ({ readonly _tag: "Queued" } & Received & Content)
  | ({ readonly _tag: "Waiting" } & Waiting & Content)
  | ({ readonly _tag: "Rejected" } & Rejected & Content)
  | ({ readonly _tag: "Discarded" } & Gone)
  | ({ readonly _tag: "Pruned" } & Gone)

/** On somebody's decision, or since its author made it unnecessary. `goneAt`: milliseconds since the epoch. */
interface Gone {
  readonly id: Hash.Hash
  readonly why: string | undefined
  readonly goneAt: number
}

interface Content {
  /** The header as it was received, for `Header.parse`. */
  readonly header: Uint8Array
  /** The first 1,024 bytes of the body that is kept. */
  readonly bodyStart: Uint8Array | undefined
}

const selectReceived = query(`${fromInbox(", i.header, substr(i.body, 1, 1024) AS body_start")} WHERE i.id = ?`)
const selectAccepted = query(`${fromLog(", o.header, substr(o.body, 1, 1024) AS body_start")} WHERE o.id = ?`)
const selectDecision = query(`SELECT what, why, decided_at FROM applecart_decisions WHERE id = ?`)

/** Everything about one operation, or none where it is not known. */
export const show = (id: Hash.Hash): Effect.Effect<Found | undefined, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const bytes = Hash.toBytes(id)
    // In the order in which operations move on, so that one that another process is just accepting is not missed.
    const [inInbox] = yield* selectReceived(bytes)
    if (inInbox !== undefined) return { ...received(inInbox), ...content(inInbox) }
    const [inLog] = yield* selectAccepted(bytes)
    const [decision] = yield* selectDecision(bytes)
    const why = decision === undefined ? undefined : Rows.optionalText(decision, "why")
    if (inLog !== undefined) return { _tag: "Accepted", ...accepted(inLog), why, ...content(inLog) }
    if (decision === undefined) return undefined
    const gone = { id, why, goneAt: Rows.integer(decision, "decided_at") }
    return Rows.text(decision, "what") === "pruned" ? { _tag: "Pruned", ...gone } : { _tag: "Discarded", ...gone }
  })

const selectIds = query(
  `WITH wanted (low, high) AS (VALUES (?, ?))
   SELECT id FROM applecart_operations, wanted WHERE id BETWEEN low AND high
   UNION SELECT id FROM applecart_inbox, wanted WHERE id BETWEEN low AND high
   UNION SELECT id FROM applecart_decisions, wanted WHERE id BETWEEN low AND high
   ORDER BY id LIMIT ?`
)

/** The ids that begin with these hex characters (64 at the most), wherever the operations are. */
export const find = (prefix: string, limit: number): Effect.Effect<ReadonlyArray<Hash.Hash>, SqlError, SqlClient> =>
  Effect.map(selectIds(bound(prefix, "0"), bound(prefix, "f"), limit), (rows) =>
    rows.map((row) => Rows.hash(row, "id"))
  )

// internal

const bound = (prefix: string, fill: string) => Hash.toBytes(Hash.Schema.make(prefix.padEnd(64, fill)))

const limit = (filter: Filter) => filter.limit ?? 20

const content = (row: Row): Content => ({
  header: Rows.blob(row, "header"),
  bodyStart: Rows.optionalBlob(row, "body_start")
})

const listed = (row: Row): Listed => {
  return {
    id: Rows.hash(row, "id"),
    author: Rows.verifyingKey(row, "author"),
    logId: Rows.logId(row, "log_id"),
    seqNum: Rows.integer(row, "seq_num"),
    topic: Rows.optionalTopic(row, "topic"),
    bodySize: Rows.optionalInteger(row, "body_size")
  }
}

const accepted = (row: Row): Accepted => ({
  ...listed(row),
  position: Rows.integer(row, "position"),
  acceptedAt: Rows.integer(row, "accepted_at"),
  skipped: Rows.integer(row, "skipped") === 1,
  deleted: Rows.integer(row, "deleted") === 1
})

const inInbox = (row: Row): Received => ({
  ...listed(row),
  receivedAt: Rows.integer(row, "received_at"),
  source: Rows.optionalText(row, "source"),
  attempts: Rows.integer(row, "attempts")
})

const waits = (row: Row): Waiting => ({
  ...inInbox(row),
  processor: Rows.text(row, "processor"),
  until: Rows.decoded(row, "until", hashes)
})

const rejection = (row: Row): Rejected => ({
  ...inInbox(row),
  processor: Rows.text(row, "processor"),
  reason: Rows.text(row, "reason"),
  notBefore: Rows.optionalInteger(row, "not_before")
})

const received = (row: Row) => {
  switch (Rows.text(row, "status")) {
    case "waiting":
      return { _tag: "Waiting" as const, ...waits(row) }
    case "rejected":
      return { _tag: "Rejected" as const, ...rejection(row) }
    default:
      return { _tag: "Queued" as const, ...inInbox(row) }
  }
}

/** Our own JSON: an array of hashes as hex. */
const hashes = Schema.decodeUnknownEither(Schema.parseJson(Schema.Array(Hash.Schema)))
