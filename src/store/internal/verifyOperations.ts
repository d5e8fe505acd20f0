/** Accepted operations, one by one: their bytes, ids and bodies, and that no position is missing. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Bytes from "../../core/Bytes.ts"
import { toBytes, type Hash } from "../../core/Hash.ts"
import * as LogId from "../../core/LogId.ts"
import * as VerifyingKey from "../../core/VerifyingKey.ts"
import { query } from "../Transaction.ts"
import type { Row } from "./capability.ts"
import * as Cells from "./cells.ts"
import * as Rows from "./rows.ts"
import { pageSize, scan, unlessDamaged, type Lost } from "./scan.ts"
import { examine, found, rowsOf, type Read, type Verifying } from "./verifying.ts"

const table = "applecart_operations"

/** Looks at every accepted operation; gives the largest position that there may be. */
export const verifyOperations = <E, R>(
  verifying: Verifying<E, R>
): Effect.Effect<number, SqlError | E, SqlClient | R> =>
  Effect.gen(function* () {
    const last = yield* lastPosition(verifying)
    const lost: Array<Lost> = []
    let there = 0
    let largest = 0
    yield* scan(
      { name: table, key: "position", select: "x.position, x.id, x.log, x.seq_num, x.header, x.body, x.accepted_at" },
      last,
      (rows) =>
        Effect.suspend(() => {
          there += rows.length
          for (const row of rows) largest = Math.max(largest, Cells.integer(row, "position") ?? 0)
          return page(verifying, rows)
        }),
      (one) => Effect.sync(() => void lost.push(one))
    )
    for (const { from, to, why } of lost) {
      const detail = `SQLite cannot read it: ${why}`
      yield* found(verifying, { kind: "Unreadable", mend: "copy", table, key: from, until: to, detail })
    }
    yield* indexed(verifying)
    yield* positions(verifying, { there, largest, last, lost: lost.length > 0 })
    return last === 0 ? largest : last
  })

// internal

const selectLast = query(`SELECT seq FROM sqlite_sequence WHERE name = '${table}'`)

const lastPosition = <E, R>(verifying: Verifying<E, R>) =>
  Effect.gen(function* () {
    const rows = yield* rowsOf(verifying, "sqlite_sequence", selectLast())
    const [row = {}] = rows
    const last = rows.length === 0 ? 0 : Cells.integer(row, "seq")
    if (rows.length <= 1 && last !== undefined && last >= 0) return last
    const detail = "the last position that was given is no longer said"
    yield* found(verifying, { kind: "Position", mend: "derived", table: "sqlite_sequence", key: table, detail })
    return 0
  })

const selectReasons = query(
  `SELECT k.value AS id, d.what FROM json_each(?) AS k JOIN applecart_decisions AS d ON d.id = unhex(k.value)
   WHERE d.what IN ('skipped', 'deleted')`
)
const selectTombstones = query(
  `SELECT k.value AS id FROM json_each(?) AS k JOIN applecart_tombstones AS t ON t.target = unhex(k.value)`
)

/** Why bodies are not there, by what was decided, and by tombstones. */
export const reasons = (
  verifying: Pick<Verifying<never, never>, "tables">,
  ids: ReadonlyArray<Hash>
): Effect.Effect<
  { readonly decided: ReadonlyMap<string, string>; readonly tombstones: ReadonlySet<string> },
  SqlError,
  SqlClient
> =>
  Effect.gen(function* () {
    const list = Rows.list(ids)
    // What cannot be read there is told where those tables are looked at.
    const decided = yield* unlessDamaged(selectReasons(list))
    const named = verifying.tables.has("applecart_tombstones") ? yield* unlessDamaged(selectTombstones(list)) : []
    return {
      decided: new Map(
        typeof decided === "string" ? [] : decided.map((row) => [Rows.text(row, "id"), Rows.text(row, "what")] as const)
      ),
      tombstones: new Set(typeof named === "string" ? [] : named.map((row) => Rows.text(row, "id")))
    }
  })

const selectLogs = query(`SELECT log, author, log_id FROM applecart_logs WHERE log IN (SELECT value FROM json_each(?))`)

/** The logs in which these operations stand, as far as they can be read. */
export const logsOf = (rows: ReadonlyArray<Row>): Effect.Effect<ReadonlyMap<unknown, Row>, SqlError, SqlClient> =>
  Effect.map(
    unlessDamaged(selectLogs(Rows.list(new Set(rows.flatMap((row) => Cells.integer(row, "log") ?? []))))),
    (logs) => new Map(typeof logs === "string" ? [] : logs.map((row) => [row["log"], row] as const))
  )

const selectClaimed = query(`SELECT log FROM applecart_logs WHERE author = ? AND log_id = ?`)

/** The number of the log that an operation is of by its header, if there is such a log. */
export const claimed = ({ fields, header }: Read): Effect.Effect<number | undefined, SqlError, SqlClient> =>
  fields === undefined
    ? Effect.succeed(undefined)
    : Effect.map(
        unlessDamaged(selectClaimed(VerifyingKey.toBytes(header.verifyingKey), LogId.toBytes(fields.logId))),
        (rows) => (typeof rows === "string" ? undefined : Cells.integer(rows[0] ?? {}, "log"))
      )

/** Whether the row of a log is that of an operation, as far as its extensions can be read. */
export const isLogOf = (log: Row, { fields, header }: Read): boolean =>
  fields === undefined ||
  (Cells.key(log, "author") === header.verifyingKey && Cells.logId(log, "log_id") === fields.logId)

const page = <E, R>(verifying: Verifying<E, R>, rows: ReadonlyArray<Row>) =>
  Effect.gen(function* () {
    const logs = yield* logsOf(rows)
    const seen = rows.map((row) => ({ row, ...examine(verifying, row, logs.get(row["log"]) ?? {}) }))
    const ids = seen.flatMap(({ read }) => (read === undefined ? [] : [read.id]))
    const { decided, tombstones } = yield* reasons(verifying, ids)
    for (const { problems, read, row } of seen) {
      verifying.counts.operations += 1
      if (read !== undefined && read.fields === undefined) verifying.counts.unread += 1
      const where = place(row, read)
      for (const problem of problems) yield* found(verifying, { ...where, ...problem })
      if (read !== undefined) {
        const isKept = row["body"] !== null
        const why = decided.get(read.id)
        // As the row says, whatever an index says of it.
        const log = isLogOf(logs.get(row["log"]) ?? {}, read) ? undefined : yield* claimed(read)
        if (log !== undefined && log !== Cells.integer(row, "log")) {
          const detail = `it stands in log ${Cells.integer(row, "log")}, and its header says that it is of another`
          yield* found(verifying, { ...where, kind: "Column", mend: "derived", detail })
        }
        if (isKept && why !== undefined) {
          const detail = `its body is here although it was ${why}`
          yield* found(verifying, { ...where, kind: "BodyKept", mend: "derived", detail })
        }
        if (!isKept && read.header.payloadSize > 0 && why === undefined && !tombstones.has(read.id)) {
          const detail = "its body is not here, and nothing says why: it was lost, or came without one"
          yield* found(verifying, { ...where, kind: "BodyMissing", mend: "source", detail })
        }
      }
      const at = Cells.integer(row, "accepted_at")
      if (at === undefined || at < 0) {
        yield* found(verifying, { ...where, kind: "Row", mend: "none", detail: "accepted_at is no time" })
      }
    }
  })

/** What is said of an operation in a finding: by its header where that holds, else by what stands beside it. */
const place = (row: Row, read: Read | undefined) => ({
  table,
  key: Cells.integer(row, "position"),
  id: read?.id ?? Cells.hash(row, "id"),
  author: read?.header.verifyingKey,
  logId: read?.fields?.logId,
  seqNum: read?.header.seqNum ?? Cells.integer(row, "seq_num")
})

const selectById = query(
  `SELECT id, position FROM ${table} INDEXED BY sqlite_autoindex_applecart_operations_1
   WHERE id > ? ORDER BY id LIMIT ${pageSize}`
)
// In the order of the list: one behind the other they would be found by another way than one by itself.
const selectPresent = query(
  `SELECT o.position, o.id FROM json_each(?) AS k CROSS JOIN ${table} AS o ON o.position = k.value`
)

const selectElsewhere = query(
  `SELECT 1 FROM ${table} INDEXED BY sqlite_autoindex_applecart_operations_1 WHERE id IN (?, ?) AND position <> ? LIMIT 1`
)
const selectHeader = query(`SELECT header FROM ${table} WHERE position = ?`)

/** Names the operations that an index knows and that are not where it says, or cannot be read there. */
const indexed = <E, R>(verifying: Verifying<E, R>) =>
  Effect.gen(function* () {
    let after = new Uint8Array(0)
    for (;;) {
      // What is wrong with the index itself SQLite has said.
      const rows = yield* unlessDamaged(selectById(after))
      if (typeof rows === "string") return
      const there = yield* present(rows.flatMap((row) => Cells.integer(row, "position") ?? []))
      for (const row of rows) {
        const key = Cells.integer(row, "position")
        const id = Cells.hash(row, "id")
        if (key === undefined || id === undefined || (yield* isThere(verifying, there, key, id))) continue
        const detail = "an index says that it is here, and it cannot be read"
        yield* found(verifying, { kind: "Unreadable", mend: "source", table, key, id, detail })
      }
      const next = rows.at(-1)
      const last = next === undefined ? undefined : Cells.blob(next, "id")
      // Out of order, an index would be read for ever.
      if (last === undefined || rows.length < pageSize || Bytes.compare(last, after) <= 0) return
      after = new Uint8Array(last)
    }
  })

/** What can be read at these positions, by what its row says that it is. */
const present = (positions: ReadonlyArray<number>): Effect.Effect<Present, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const rows = yield* unlessDamaged(selectPresent(Rows.list(positions)))
    const there = new Map<number, Hash | undefined>()
    const add = (row: Row) => there.set(Cells.integer(row, "position") ?? 0, Cells.hash(row, "id"))
    if (typeof rows !== "string") rows.forEach(add)
    else {
      for (const position of positions) {
        const one = yield* unlessDamaged(selectPresent(Rows.list([position])))
        if (typeof one !== "string") one.forEach(add)
      }
    }
    return there
  })

type Present = ReadonlyMap<number, Hash | undefined>

/**
 * Whether what stands at a position is what an index says. Where its id is another one that may be what is damaged; but what by
 * its id or its header is known at another position hides what stood here.
 */
const isThere = <E, R>({ crypto }: Verifying<E, R>, there: Present, key: number, id: Hash) =>
  Effect.gen(function* () {
    const other = there.get(key)
    if (!there.has(key) || other === id) return there.has(key)
    const rows = yield* unlessDamaged(selectHeader(key))
    const header = typeof rows === "string" ? undefined : Cells.blob(rows[0] ?? {}, "header")
    const ids = [other, header === undefined ? undefined : crypto.hash(header)]
    const known = ids.map((one) => (one === undefined ? null : toBytes(one)))
    const elsewhere = yield* unlessDamaged(selectElsewhere(...known, key))
    return typeof elsewhere === "string" || elsewhere.length === 0
  })

const selectPruned = query(
  `SELECT coalesce(sum(pruned_below), 0) AS pruned FROM applecart_logs WHERE typeof(pruned_below) = 'integer'`
)

const selectKnown = query(
  `SELECT coalesce(max(position), -1) AS known FROM applecart_consumers WHERE role = 'application'`
)
const selectBeyond = query(`SELECT position, id FROM ${table} WHERE position > ? ORDER BY position LIMIT 1000`)

/** Either the last position is wrong, or rows stand where they were never put; the application knows where it is. */
const beyond = <E, R>(verifying: Verifying<E, R>, last: number, largest: number) =>
  Effect.gen(function* () {
    const [row = {}] = yield* rowsOf(verifying, "applecart_consumers", selectKnown())
    const known = Cells.integer(row, "known") ?? -1
    const rows = known < 0 ? [] : yield* rowsOf(verifying, table, selectBeyond(Math.max(last, known)))
    for (const one of rows) {
      const where = { table, key: Cells.integer(one, "position"), id: Cells.hash(one, "id") }
      const detail = "it stands at a position that was never given"
      yield* found(verifying, { ...where, kind: "Position", mend: "derived", detail })
    }
    if (known >= 0 && known <= last) return
    const detail = `position ${Math.max(known, known < 0 ? largest : 0)} was given, and ${last} is said to be the last`
    yield* found(verifying, { kind: "Position", mend: "derived", table: "sqlite_sequence", key: table, detail })
  })

/** Every position was given once, so what is not here must have been pruned. */
const positions = <E, R>(
  verifying: Verifying<E, R>,
  { largest, last, lost, there }: { there: number; largest: number; last: number; lost: boolean }
) =>
  Effect.gen(function* () {
    if (largest > last) yield* beyond(verifying, last, largest)
    const [row = {}] = yield* rowsOf(verifying, "applecart_logs", selectPruned())
    const pruned = Cells.integer(row, "pruned") ?? 0
    const missing = last - there - pruned
    if (lost || missing <= 0) return
    const detail = `of ${last} positions that were given at least ${missing} are neither here nor pruned`
    yield* found(verifying, { kind: "Position", mend: "source", table, detail })
  })
