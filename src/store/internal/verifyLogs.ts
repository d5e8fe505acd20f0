/** Logs: each operation behind the one before it, no gaps but at prune points, and what is kept about each log. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Hash } from "../../core/Hash.ts"
import * as Topic from "../../core/Topic.ts"
import { query } from "../Transaction.ts"
import type { Row } from "./capability.ts"
import * as Cells from "./cells.ts"
import { pageSize, unlessDamaged } from "./scan.ts"
import { examine, found, type Read, type Verifying } from "./verifying.ts"
import { claimed, isLogOf, reasons } from "./verifyOperations.ts"

const operations = "applecart_operations"
const table = "applecart_logs"

/** Walks every log from its beginning to its head. */
export const verifyLogs = <E, R>(verifying: Verifying<E, R>): Effect.Effect<void, SqlError | E, SqlClient | R> =>
  Effect.gen(function* () {
    let current: Walk | undefined
    let after: readonly [number, number] = [Number.MIN_SAFE_INTEGER, 0]
    for (;;) {
      const page = yield* unlessDamaged(selectPlaces(...after))
      if (typeof page === "string") {
        const detail = `the order of its logs cannot be read: ${page}`
        yield* found(verifying, { kind: "Unreadable", mend: "copy", table: operations, detail })
        return
      }
      const rows = yield* unlessDamaged(selectRows(JSON.stringify(page.map(({ position }) => position))))
      const known = new Map(typeof rows === "string" ? [] : rows.map((row) => [row["position"], row] as const))
      let moved = false
      for (const { log, position, seq_num } of page) {
        const [at, seqNum] = [Cells.integer({ log }, "log"), Cells.integer({ seq_num }, "seq_num")]
        if (at === undefined || seqNum === undefined) continue
        if (at < after[0] || (at === after[0] && seqNum <= after[1] && current !== undefined)) continue
        after = [at, seqNum]
        moved = true
        if (current?.log !== at) {
          if (current !== undefined) yield* end(verifying, current)
          current = yield* begin(at)
        }
        const row = known.get(position) ?? (yield* alone(position))
        yield* step(verifying, current, { seqNum, position: Cells.integer({ position }, "position") ?? 0, row })
      }
      if (page.length < pageSize || !moved) break
      yield* Effect.yieldNow()
    }
    if (current !== undefined) yield* end(verifying, current)
    yield* empty(verifying)
  })

// internal

/** Both from an index alone, so that a row that cannot be read does not end the walk. */
const selectPlaces = query(
  `SELECT log, seq_num, position FROM ${operations} WHERE (log, seq_num) > (?, ?) ORDER BY log, seq_num LIMIT ${pageSize}`
)
const selectRows = query(
  `SELECT position, id, seq_num, header, NULL AS body FROM ${operations} WHERE position IN (SELECT value FROM json_each(?))`
)
const selectRow = query(`SELECT position, id, seq_num, header, NULL AS body FROM ${operations} WHERE position = ?`)
const selectLog = query(`SELECT * FROM ${table} WHERE log = ?`)

/** A log that is being walked. */
interface Walk {
  readonly log: number
  /** Its row; none where it is not there or cannot be read. */
  readonly kept: Row | undefined
  /** Whether its row was told to be wrong, so that not every operation says it again. */
  told: boolean
  before: Step | undefined
  /** The last one that is what its place says. */
  top: Read | undefined
  prunedBelow: number
  /** Whether all of its operations could be read. */
  whole: boolean
  first: Read | undefined
  operations: number
}

interface Step {
  readonly seqNum: number
  readonly position: number
  readonly read: Read | undefined
  /** Whether its columns say the same. */
  readonly sound: boolean
}

const begin = (log: number): Effect.Effect<Walk, SqlError, SqlClient> =>
  Effect.map(unlessDamaged(selectLog(log)), (rows) => ({
    log,
    kept: typeof rows === "string" ? undefined : rows[0],
    told: false,
    before: undefined,
    top: undefined,
    prunedBelow: 0,
    whole: true,
    first: undefined,
    operations: 0
  }))

const alone = (position: unknown): Effect.Effect<Row | undefined, SqlError, SqlClient> =>
  Effect.map(unlessDamaged(selectRow(position)), (rows) => (typeof rows === "string" ? undefined : rows[0]))

const step = <E, R>(
  verifying: Verifying<E, R>,
  walk: Walk,
  { position, row, seqNum }: { seqNum: number; position: number; row: Row | undefined }
) =>
  Effect.gen(function* () {
    const read = row === undefined ? undefined : examine(verifying, row, walk.kept ?? {}).read
    const own = read !== undefined && read.header.seqNum === seqNum ? read : undefined
    const { before } = walk
    walk.operations += 1
    walk.before = {
      seqNum,
      position,
      read,
      sound: own !== undefined && row !== undefined && Cells.hash(row, "id") === own.id
    }
    if (own === undefined) {
      walk.whole = false
      return
    }
    const prunes = own.fields?.prune === true && (yield* reasons(verifying, [own.id])).decided.get(own.id) !== "skipped"
    if (prunes) walk.prunedBelow = seqNum
    // Whether it prunes nobody can say.
    if (own.fields === undefined) walk.whole = false
    walk.first ??= own
    walk.top = own
    yield* ownLog(verifying, walk, own)
    if (own.fields === undefined || own.fields.prune) return
    yield* follows(verifying, before, own, position)
  })

/** Whether an operation follows the one before it, unless it prunes, and then needs none. */
const follows = <E, R>(verifying: Verifying<E, R>, before: Step | undefined, own: Read, position: number) =>
  Effect.gen(function* () {
    const { backlink, seqNum } = own.header
    if (backlink === undefined) return
    const expected = before === undefined ? 0 : before.seqNum + 1
    const where = { table: operations, author: own.header.verifyingKey, logId: own.fields?.logId }
    if (seqNum > expected) {
      const many = seqNum - expected === 1 ? `number ${expected} is` : `numbers ${expected} to ${seqNum - 1} are`
      const detail = `${many} missing in its log before number ${seqNum}, at position ${position}`
      const place = { ...where, id: backlink, seqNum: seqNum - 1 }
      yield* found(verifying, { ...place, kind: "Missing", mend: "source", detail })
      return
    }
    if (before === undefined) return
    if (before.read?.id !== backlink) {
      const detail = `number ${seqNum} of its log names another operation as the one before it`
      const place = { ...where, key: before.position, id: backlink, seqNum: before.seqNum }
      yield* found(verifying, { ...place, kind: "Chain", mend: "source", detail })
    } else if (before.position >= position) {
      const detail = `it was accepted before number ${before.seqNum} of its log, at position ${before.position}`
      yield* found(verifying, { ...where, kind: "Position", mend: "none", key: position, id: own.id, detail })
    }
  })

/** Whether the row of its log says that it is its log. An operation that stands in another's was told where it was looked at. */
const ownLog = <E, R>(verifying: Verifying<E, R>, walk: Walk, own: Read) =>
  Effect.gen(function* () {
    const { kept } = walk
    if (walk.told || isLogOf(kept ?? {}, own)) return
    const log = yield* claimed(own)
    if (log !== undefined && log !== walk.log) return
    walk.told = true
    const detail = kept === undefined ? "it is not there" : "its author or log id is not that of its operations"
    const place = { author: own.header.verifyingKey, logId: own.fields?.logId, mend: "derived" as const }
    yield* found(verifying, { ...place, kind: "Log", table, key: walk.log, detail })
  })

/** What is kept about a log, when all of its operations were seen. */
const end = <E, R>(verifying: Verifying<E, R>, walk: Walk): Effect.Effect<void, SqlError | E, SqlClient | R> =>
  Effect.gen(function* () {
    verifying.counts.logs += 1
    const { before, kept } = walk
    if (kept === undefined || before === undefined) {
      if (!walk.told) {
        const detail = "it cannot be read"
        yield* found(verifying, { kind: "Log", mend: "derived", table, key: walk.log, detail })
      }
      return
    }
    yield* aboutHead(verifying, walk, kept, before)
    const prunedBelow = Cells.integer(kept, "pruned_below")
    if (prunedBelow === undefined || (walk.whole && prunedBelow !== walk.prunedBelow)) {
      yield* wrong(verifying, walk, `it was pruned below ${walk.prunedBelow}, and not ${prunedBelow}`)
    }
    yield* aboutTopic(verifying, walk, kept)
  })

const wrong = <E, R>(verifying: Verifying<E, R>, walk: Walk, detail: string) =>
  found(verifying, { kind: "Log", mend: "derived", table, key: walk.log, ...placeOf(walk), detail })

/** The head of a log is its last operation. `before`: the last row. */
const aboutHead = <E, R>(
  verifying: Verifying<E, R>,
  walk: Walk,
  kept: Row,
  before: Step
): Effect.Effect<void, E, R> => {
  const headSeqNum = Cells.integer(kept, "head_seq_num")
  const headId = Cells.hash(kept, "head_id")
  const isHead = (read: Read | undefined) => read?.id === headId && read?.header.seqNum === headSeqNum
  // A damaged row may say a number that was never given: a head that is here and whole knows better.
  if (isHead(before.read) || (before.read?.header.seqNum !== before.seqNum && isHead(walk.top))) return Effect.void
  if (before.read !== undefined && headId === before.read.id) {
    return wrong(verifying, walk, `its head is number ${before.seqNum}, and not ${headSeqNum}`)
  }
  if (headSeqNum === undefined || headId === undefined || headSeqNum < before.seqNum) {
    return wrong(verifying, walk, `its head is not the operation number ${before.seqNum}`)
  }
  const isLast = headSeqNum === before.seqNum
  return isLast && before.sound
    ? wrong(verifying, walk, "the id of its head is not that of its last operation")
    : missingEnd(verifying, walk, { headId, headSeqNum, before, isLast })
}

/** The head names an operation that is not here, or is damaged. */
const missingEnd = <E, R>(
  verifying: Verifying<E, R>,
  walk: Walk,
  end: { headId: Hash; headSeqNum: number; before: Step; isLast: boolean }
) => {
  const { before, headId, headSeqNum, isLast } = end
  const place = { ...placeOf(walk), table: operations, id: headId, seqNum: headSeqNum, mend: "source" as const }
  return isLast
    ? found(verifying, {
        ...place,
        kind: "Chain",
        key: before.position,
        detail: "the head of its log is another operation"
      })
    : found(verifying, {
        ...place,
        kind: "Missing",
        detail: `the end of its log is missing: number ${before.seqNum} is here, its head is number ${headSeqNum}`
      })
}

const placeOf = ({ first }: Walk) => ({ author: first?.header.verifyingKey, logId: first?.fields?.logId })

const selectTopic = query(
  `SELECT t.topic, t.hash FROM applecart_logs AS l JOIN applecart_topics AS t ON t.log_id = l.log_id WHERE l.log = ?`
)

/** The topic of a log is the one that was learnt for its log id, and that is the one that its name is derived from. */
const aboutTopic = <E, R>(verifying: Verifying<E, R>, walk: Walk, kept: Row) =>
  Effect.gen(function* () {
    const rows = yield* unlessDamaged(selectTopic(walk.log))
    if (typeof rows === "string") return
    const [row] = rows
    const where = { mend: "derived" as const, ...placeOf(walk) }
    if ((row?.["topic"] ?? null) !== kept["topic"]) {
      const detail = "its topic is not the one that was learnt for its log id"
      yield* found(verifying, { ...where, kind: "Log", table, key: walk.log, detail })
    }
    const hash = row === undefined ? undefined : Cells.blob(row, "hash")
    const fields = walk.first?.fields
    if (row === undefined || fields === undefined) return
    const isOwn = hash?.length === 32 && walk.first?.ownsLog(Topic.fromBytes(hash))
    if (isOwn) return
    const detail = "the topic is not the one that this log id is derived from"
    const key = Cells.integer(row, "topic")
    yield* found(verifying, { ...where, kind: "Row", table: "applecart_topics", key, detail })
  })

const selectEmpty = query(
  `SELECT l.log, l.author, l.log_id, l.head_seq_num, l.head_id FROM applecart_logs AS l
   WHERE NOT EXISTS (SELECT 1 FROM ${operations} AS o WHERE o.log = l.log)`
)

/** There is a row for a log since an operation was accepted in it, and the newest one never goes. */
const empty = <E, R>(verifying: Verifying<E, R>) =>
  Effect.gen(function* () {
    const rows = yield* unlessDamaged(selectEmpty())
    if (typeof rows === "string") {
      yield* found(verifying, { kind: "Unreadable", mend: "copy", table, detail: `it cannot be read whole: ${rows}` })
      return
    }
    for (const row of rows) {
      const id = Cells.hash(row, "head_id")
      yield* found(verifying, {
        kind: "Missing",
        mend: id === undefined ? "none" : "source",
        table: operations,
        id,
        author: Cells.key(row, "author"),
        logId: Cells.logId(row, "log_id"),
        seqNum: Cells.integer(row, "head_seq_num"),
        detail: `nothing of log ${Cells.integer(row, "log")} is here, whose head this operation is`
      })
    }
  })
