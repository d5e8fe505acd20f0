/** The accepted operations, in the order of their acceptance. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import type * as Log from "../core/Log.ts"
import type * as Operation from "../core/Operation.ts"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Chunk from "effect/Chunk"
import * as Topic from "../core/Topic.ts"
import * as Filters from "./Filter.ts"
import * as Rows from "./internal/rows.ts"
import * as Logs from "./Logs.ts"
import * as Topics from "./Topics.ts"
import { query, type Transaction } from "./Transaction.ts"

/** An operation to be appended. `body` is what is kept: none for a skipped operation. */
export interface Accepted extends Logs.Moved {
  readonly position: number
  readonly operation: Operation.Operation
  /** The topic it came under, or that its log is known to belong to. */
  readonly topic: Topic.Topic | undefined
  readonly body: Uint8Array | undefined
  /** Milliseconds since the epoch. */
  readonly acceptedAt: number
}

const insert = Rows.insert(
  `INSERT INTO applecart_operations (position, id, log, seq_num, header, body, accepted_at)`,
  `(?, ?, ?, ?, ?, ?, ?)`
)

/** Appends operations, oldest first, moves the heads of their logs, and learns the topics they came under. */
export const append: (accepted: ReadonlyArray<Accepted>) => Effect.Effect<void, SqlError, Transaction> =
  Effect.fnUntraced(function* (accepted: ReadonlyArray<Accepted>) {
    if (accepted.length === 0) return
    yield* Topics.learn(accepted)
    const moved = new Map<Log.Key, Logs.Moved>()
    for (const one of accepted) moved.set(one.log, join(moved.get(one.log), one))
    const logs = yield* Logs.move(Array.from(moved.values()))
    yield* insert(
      accepted.map(({ acceptedAt, body, log, operation, position }) => [
        position,
        Hash.toBytes(operation.id),
        logs.get(log),
        operation.header.seqNum,
        operation.headerBytes,
        body ?? null,
        acceptedAt
      ])
    )
  })

// AUTOINCREMENT keeps the last position it gave even when the newest operation is gone.
const selectLast = query(`SELECT seq FROM sqlite_sequence WHERE name = 'applecart_operations'`)

/** The last position that was given; 0 before the first. */
export const lastPosition: Effect.Effect<number, SqlError, SqlClient> = Effect.map(selectLast(), ([row]) =>
  row === undefined ? 0 : Rows.integer(row, "seq")
)

const selectAccepted = query(
  `SELECT k.value AS id FROM json_each(?) AS k JOIN applecart_operations AS o ON o.id = unhex(k.value)`
)

/** Which of these operations were accepted. */
export const accepted = (ids: ReadonlyArray<Hash.Hash>): Effect.Effect<ReadonlySet<string>, SqlError, SqlClient> =>
  Effect.map(selectAccepted(Rows.list(ids)), (rows) => new Set(rows.map((row) => Rows.text(row, "id"))))

/** Which accepted operations to read. */
export interface Filter extends Filters.Filter {
  /** Only after this position. Default: from the beginning. */
  readonly after?: number | undefined
}

/** An accepted operation as it is stored. */
export interface Stored extends Operation.Raw {
  readonly position: number
  readonly id: Hash.Hash
  readonly acceptedAt: number
}

const selectPage = query(
  `SELECT o.position, o.id, o.header, o.body, o.accepted_at
   FROM applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log
   WHERE o.position > ? AND ${Filters.inLogs("l")}
   ORDER BY o.position LIMIT ?`
)

const pageSize = 256

/** Accepted operations in acceptance order, a page at a time, so that memory does not grow with the log. */
export const stream = (filter: Filter = {}): Stream.Stream<Stored, SqlError, SqlClient> => {
  const params = Filters.logParams(filter)
  return Stream.paginateChunkEffect(filter.after ?? 0, (after) =>
    Effect.map(selectPage(after, ...params, pageSize), (rows) => {
      const page = rows.map(stored)
      const last = page.at(-1)
      const next = last === undefined || page.length < pageSize ? Option.none() : Option.some(last.position)
      return [Chunk.unsafeFromArray(page), next]
    })
  )
}

/** An accepted operation as it is handed over once more. */
export interface Handed extends Stored {
  readonly topic: Topic.Topic | undefined
}

// As text: a blob costs several times as much to hand out.
const handedColumns = `o.position, lower(hex(o.id)) AS id, o.header, o.body, o.accepted_at, lower(hex(t.hash)) AS topic`
const fromHanded = `FROM applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log
   LEFT JOIN applecart_topics AS t ON t.topic = l.topic`
const selectHanded = query(
  `SELECT ${handedColumns} ${fromHanded} WHERE o.position > ? AND o.position <= ? ORDER BY o.position LIMIT ?`
)
const selectWanted = query(
  `SELECT ${handedColumns} ${fromHanded}
   WHERE o.position > ? AND o.position <= ? AND ${Filters.inLogs("l")}
     AND (? IS NULL OR o.accepted_at >= ?) AND (? IS NULL OR o.accepted_at < ?)
   ORDER BY o.position LIMIT ?`
)
const selectAt = query(
  `SELECT ${handedColumns} ${fromHanded} WHERE o.position IN (SELECT value FROM json_each(?)) ORDER BY o.position`
)

/** Accepted operations after a position and up to another one, oldest first, so many at the most. */
export const page = (
  after: number,
  until: number,
  limit: number
): Effect.Effect<ReadonlyArray<Handed>, SqlError, SqlClient> =>
  Effect.map(selectHanded(after, until, limit), (rows) => rows.map(handed))

/** {@link page} of those that are meant; `until` bounds what is looked at. Does not look at authors' timestamps. */
export const pageOf = (
  which: Filters.Accepted,
  after: number,
  until: number,
  limit: number
): Effect.Effect<ReadonlyArray<Handed>, SqlError, SqlClient> => {
  const { acceptedFrom = null, acceptedUntil = null } = which
  const times = [acceptedFrom, acceptedFrom, acceptedUntil, acceptedUntil]
  return Effect.map(selectWanted(after, until, ...Filters.logParams(which), ...times, limit), (rows) =>
    rows.map(handed)
  )
}

/** The operations at these positions; those that are gone are missing. */
export const at = (positions: ReadonlyArray<number>): Effect.Effect<ReadonlyArray<Handed>, SqlError, SqlClient> =>
  Effect.map(selectAt(Rows.list(positions)), (rows) => rows.map(handed))

const selectIds = query(
  `SELECT o.position, o.id FROM json_each(?) AS k JOIN applecart_operations AS o ON o.position = k.value`
)

/** The ids of the operations at these positions; those that are gone are missing. */
export const idsAt = (
  positions: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, Hash.Hash>, SqlError, SqlClient> =>
  Effect.map(
    selectIds(Rows.list(positions)),
    (rows) => new Map(rows.map((row) => [Rows.integer(row, "position"), Rows.hash(row, "id")] as const))
  )

// internal

/** Where a log has moved to after two operations: the later one is its head, a prune point stays. */
const join = (earlier: Logs.Moved | undefined, later: Logs.Moved): Logs.Moved =>
  earlier === undefined
    ? later
    : {
        ...later,
        head: { ...later.head, prunedBelow: Math.max(earlier.head.prunedBelow, later.head.prunedBelow) }
      }

const stored = (row: Parameters<typeof Rows.blob>[0]): Stored => ({
  position: Rows.integer(row, "position"),
  id: Rows.hash(row, "id"),
  header: Rows.blob(row, "header"),
  body: Rows.optionalBlob(row, "body"),
  acceptedAt: Rows.integer(row, "accepted_at")
})

const handed = (row: Parameters<typeof Rows.blob>[0]): Handed => {
  const topic = Rows.text(row, "topic")
  return {
    position: Rows.integer(row, "position"),
    id: Hash.Schema.make(Rows.text(row, "id"), { disableValidation: true }),
    header: Rows.blob(row, "header"),
    body: Rows.optionalBlob(row, "body"),
    acceptedAt: Rows.integer(row, "accepted_at"),
    topic: topic === "" ? undefined : Topic.Schema.make(topic, { disableValidation: true })
  }
}
