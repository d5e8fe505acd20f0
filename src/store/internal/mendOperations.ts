/** Accepted operations whose bytes are whole and whose columns are not; and the bytes of one, had again from outside. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Hash from "../../core/Hash.ts"
import * as Operation from "../../core/Operation.ts"
import { query, statement, type Row, type Transaction } from "../Transaction.ts"
import * as Cells from "./cells.ts"
import { logOf } from "./mendLogs.ts"
import * as Rows from "./rows.ts"
import { examine, type Read, type Verifying } from "./verifying.ts"
import { logsOf, reasons } from "./verifyOperations.ts"

type Needs = Pick<Verifying<never, never>, "crypto" | "format" | "tables">

const columns = `position, id, log, seq_num, header, body, accepted_at`
const selectAt = query(`SELECT ${columns} FROM applecart_operations WHERE position = ?`)
const selectRivals = query(
  `SELECT ${columns} FROM applecart_operations WHERE (id = ? OR log = ? AND seq_num = ?) AND position <> ?`
)
/** Out of the way of what stands there by right. No operation has such an id or place. */
const step = `seq_num = -position - 1, id = CAST('at ' || position AS BLOB)`
const stepAside = statement(
  `UPDATE applecart_operations SET ${step} WHERE position IN (SELECT value FROM json_each(?))`
)
const makeRoom = statement(
  `UPDATE applecart_operations SET seq_num = iif(log = ? AND seq_num = ?, -position - 1, seq_num),
     id = iif(id = ?, CAST('at ' || position AS BLOB), id) WHERE position = ?`
)
const update = statement(`UPDATE applecart_operations SET id = ?, log = ?, seq_num = ?, body = ? WHERE position = ?`)
const write = statement(
  `INSERT INTO applecart_operations (position, id, log, seq_num, header, body, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?)
   ON CONFLICT (position) DO UPDATE SET id = excluded.id, log = excluded.log, seq_num = excluded.seq_num,
     header = excluded.header, body = excluded.body, accepted_at = excluded.accepted_at`
)

/** Writes the columns that follow from the headers at these positions, where those hold; gives how many it changed. */
export const mendColumns = (
  needs: Needs,
  positions: ReadonlyArray<number>
): Effect.Effect<number, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const whole: Array<{ readonly row: Row; readonly read: Read; readonly position: number }> = []
    for (const position of positions) {
      const [row] = yield* selectAt(position)
      const read = row === undefined ? undefined : yield* readOf(needs, row)
      if (row !== undefined && read !== undefined) whole.push({ row, read, position })
    }
    // All of them first: two may have changed places.
    yield* stepAside(Rows.list(whole.map(({ position }) => position)))
    let changed = 0
    for (const { position, read, row } of whole) {
      const log = (yield* logOf(read)) ?? Cells.integer(row, "log") ?? 0
      const { seqNum } = read.header
      const free = yield* clear(needs, read.id, log, seqNum, position)
      if (free) {
        const body = yield* bodyOf(needs, read, row)
        yield* update(Hash.toBytes(read.id), log, seqNum, body ?? null, position)
        changed += 1
      } else {
        // Another row is that operation; whose place this is only the operation behind it can say.
        yield* update(row["id"], row["log"], row["seq_num"], row["body"], position)
      }
    }
    return changed
  })

/** What a row says, unless its header is that of another operation. */
const readOf = (needs: Needs, row: Row) =>
  Effect.map(logsOf([row]), (logs) => examine(needs, row, logs.get(row["log"]) ?? {}).read)

/** Whether a place is free for an operation: rows that hold it without right step aside. */
const clear = (needs: Needs, id: Hash.Hash, log: number, seqNum: number, position: number) =>
  Effect.gen(function* () {
    const rivals = yield* selectRivals(Hash.toBytes(id), log, seqNum, position)
    if (rivals.some((row) => isSound(needs, row))) return false
    for (const row of rivals) yield* makeRoom(log, seqNum, Hash.toBytes(id), row["position"])
    return true
  })

const isSound = (needs: Needs, row: Row): boolean => {
  const { problems, read } = examine(needs, row)
  return read !== undefined && problems.length === 0
}

/** The body that may be kept: none that was deleted or skipped, and none that is not the header's. */
const bodyOf = (needs: Needs, read: Read, row: Row, given?: Uint8Array) =>
  Effect.map(reasons(needs, [read.id]), ({ decided, tombstones }) => {
    if (decided.has(read.id) || tombstones.has(read.id)) return undefined
    const stored = Cells.blob(row, "body")
    const isOwn = (body: Uint8Array) =>
      read.header.payloadSize > 0 && Either.isRight(Operation.checkBody(needs.crypto, read.header, body))
    if (given !== undefined && isOwn(given)) return given
    // What is there and wrong is all that is left of it, until the right one comes.
    return stored !== undefined && (isOwn(stored) || read.header.payloadSize > 0) ? stored : undefined
  })

/**
 * Puts an operation that is known to have stood at a position, or somewhere in its log, back into its place. Whether anything
 * came of it: its row may be whole, or its place not be known. `last`: nothing else can be put back any more, so that the only
 * damaged row where it may have stood is taken for its own.
 */
export const restore = (
  needs: Needs,
  operation: Operation.Operation,
  at: number | undefined,
  last = false
): Effect.Effect<boolean, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const raw = Operation.raw(operation)
    const { read } = examine(needs, {
      id: Hash.toBytes(operation.id),
      seq_num: operation.header.seqNum,
      header: raw.header,
      body: null
    })
    const log = read === undefined ? undefined : yield* logOf(read)
    if (read === undefined || log === undefined) return false
    const { seqNum } = read.header
    const isOthers = at !== undefined && (yield* isTaken(needs, at, log, seqNum))
    const position = at === undefined || isOthers ? yield* hole(needs, read, log, last) : at
    if (position === undefined) return false
    const [row = {}] = yield* selectAt(position)
    if ((yield* isUnsure(row)) && isSound(needs, row)) return false
    const body = yield* bodyOf(needs, read, row, raw.body)
    const isThere = isSound(needs, row) && Cells.hash(row, "id") === read.id
    if (isThere && (body === undefined) === (row["body"] === null)) return false
    if (!(yield* clear(needs, read.id, log, seqNum, position))) return false
    const acceptedAt = Cells.integer(row, "accepted_at") ?? (yield* timeBefore(position))
    yield* write(position, Hash.toBytes(read.id), log, seqNum, raw.header, body ?? null, acceptedAt)
    return true
  })

/** Whether a whole operation of another place stands there. */
const isTaken = (needs: Needs, position: number, log: number, seqNum: number) =>
  Effect.map(
    selectAt(position),
    ([row]) => row !== undefined && isSound(needs, row) && !(row["log"] === log && row["seq_num"] === seqNum)
  )

const selectOrphans = query(
  `SELECT EXISTS (SELECT 1 FROM applecart_decisions AS d WHERE d.what NOT IN ('discarded', 'pruned')
     AND NOT EXISTS (SELECT 1 FROM applecart_operations AS o WHERE o.id = d.id)) AS found`
)

/** Whether a body may be missing because of a decision that no longer says of which operation it was. Then it stays away. */
const isUnsure = (row: Row) =>
  row["body"] === null
    ? Effect.map(selectOrphans(), ([found = {}]) => Cells.integer(found, "found") === 1)
    : Effect.succeed(false)

const move = statement(`UPDATE applecart_operations SET position = ? WHERE position = ?`)

/** Puts a row that stands at a position that was never given where it may have stood; whether there is such a place. */
export const moveBack = (needs: Needs, at: number): Effect.Effect<boolean, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const [row] = yield* selectAt(at)
    const read = row === undefined ? undefined : yield* readOf(needs, row)
    const log = row === undefined ? undefined : Cells.integer(row, "log")
    if (read === undefined || log === undefined) return false
    const position = yield* hole(needs, read, log, false)
    if (position === undefined) return false
    yield* move(position, at)
    return true
  })

const selectTime = query(
  `SELECT accepted_at FROM applecart_operations WHERE position < ? ORDER BY position DESC LIMIT 1`
)

const timeBefore = (position: number) =>
  Effect.gen(function* () {
    const [row = {}] = yield* selectTime(position)
    return Cells.integer(row, "accepted_at") ?? (yield* Clock.currentTimeMillis)
  })

const selectBefore = query(
  `SELECT ${columns} FROM applecart_operations WHERE log = ? AND seq_num < ? AND seq_num >= 0 ORDER BY seq_num DESC LIMIT 1`
)
// What is no number is larger than every number.
const selectBehind = query(
  `SELECT ${columns} FROM applecart_operations
   WHERE log = ? AND seq_num > ? AND typeof(seq_num) = 'integer' ORDER BY seq_num LIMIT 1`
)

/** The row next to a place of a log. `whole`: that holds; the columns of one that does not may say what is not so, the place that is looked for among it. */
const beside = (needs: Needs, select: typeof selectBefore, log: number, place: number, whole: boolean) =>
  Effect.gen(function* () {
    for (let at = place; ; ) {
      const [row] = yield* select(log, at)
      const seqNum = row === undefined ? undefined : Cells.integer(row, "seq_num")
      if (row === undefined || seqNum === undefined) return undefined
      if (!whole || (yield* readOf(needs, row))?.header.seqNum === seqNum) return row
      at = seqNum
    }
  })

const selectPrevious = query(
  `SELECT coalesce((SELECT max(position) FROM applecart_operations WHERE id IN (SELECT unhex(value) FROM json_each(?))), 0) AS low,
     (SELECT max(seq) + 1 FROM sqlite_sequence WHERE name = 'applecart_operations') AS high`
)
// What the causal graph numbers it numbers in the order of acceptance.
const selectNeighbours = query(
  `SELECT (SELECT o.position FROM applecart_causal AS c JOIN applecart_operations AS o ON o.id = c.id
      WHERE c.vertex < x.vertex ORDER BY c.vertex DESC LIMIT 1) AS low,
     (SELECT o.position FROM applecart_causal AS c JOIN applecart_operations AS o ON o.id = c.id
      WHERE c.vertex > x.vertex ORDER BY c.vertex LIMIT 1) AS high
   FROM applecart_causal AS x WHERE x.id = ?`
)
/** A row without an id is as good as none. */
const selectHole = query(
  `WITH RECURSIVE bounds (low, high) AS (VALUES (?, ?)),
     each (position) AS (SELECT low + 1 FROM bounds UNION ALL SELECT position + 1 FROM each, bounds WHERE position + 1 < high)
   SELECT position AS hole FROM each, bounds
   WHERE position < high
     AND NOT EXISTS (SELECT 1 FROM applecart_operations AS o WHERE o.position = each.position AND length(o.id) = 32)
   LIMIT 1 OFFSET ?`
)

/** Between which positions an operation stood: behind all that it comes after and before what comes after it; as far as rows that are `whole` say it, or any. */
const boundsOf = (needs: Needs, read: Read, log: number, whole: boolean) =>
  Effect.gen(function* () {
    const { seqNum } = read.header
    const before = yield* beside(needs, selectBefore, log, seqNum, whole)
    const behind = yield* beside(needs, selectBehind, log, seqNum, whole)
    const [all = {}] = yield* selectPrevious(Rows.list(read.fields?.previous ?? []))
    const [near = {}] = needs.tables.has("applecart_causal") ? yield* selectNeighbours(Hash.toBytes(read.id)) : []
    const at = (row: Row = {}, column = "position") => Cells.integer(row, column)
    const low = Math.max(at(before) ?? 0, at(all, "low") ?? 0, at(near, "low") ?? 0)
    const high = Math.min(at(behind) ?? at(all, "high") ?? 0, at(near, "high") ?? Infinity)
    // Those before it in its log that are missing as well have the first ones.
    const missing = Math.max(0, seqNum - (at(before, "seq_num") ?? -1) - 1)
    return { low, high, skip: read.fields?.prune === true || low === at(near, "low") ? 0 : missing }
  })

/** A position that was given and is not taken (`last`: by anything that is whole), where the operation may have stood. */
const hole = (needs: Needs, read: Read, log: number, last: boolean) =>
  Effect.gen(function* () {
    const { high, low, skip } = yield* boundsOf(needs, read, log, false)
    const [row] = yield* selectHole(low, high, skip)
    if (row !== undefined || !last) return Cells.integer(row ?? {}, "hole")
    const wide = yield* boundsOf(needs, read, log, true)
    const [free] = yield* selectHole(wide.low, wide.high, skip)
    if (free !== undefined) return Cells.integer(free, "hole")
    const damaged: Array<number> = []
    for (const one of yield* selectBetween(wide.low, wide.high)) {
      const position = Cells.integer(one, "position")
      if (position !== undefined && (yield* readOf(needs, one)) === undefined) damaged.push(position)
    }
    return damaged.length === 1 ? damaged[0] : undefined
  })

const selectBetween = query(
  `SELECT ${columns} FROM applecart_operations WHERE position > ? AND position < ? ORDER BY position LIMIT 1000`
)
