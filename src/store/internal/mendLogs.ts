/** What is kept about a log, made anew from its operations. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../../core/Hash.ts"
import * as LogId from "../../core/LogId.ts"
import * as VerifyingKey from "../../core/VerifyingKey.ts"
import { query, statement, type Transaction } from "../Transaction.ts"
import * as Cells from "./cells.ts"
import { pageSize } from "./scan.ts"
import { examine, type Read, type Verifying } from "./verifying.ts"
import { reasons } from "./verifyOperations.ts"

type Needs = Pick<Verifying<never, never>, "crypto" | "format" | "tables">

const selectPage = query(
  `SELECT position, id, seq_num, header, NULL AS body FROM applecart_operations
   WHERE log = ? AND seq_num > ? ORDER BY seq_num LIMIT ${pageSize}`
)
const selectHead = query(`SELECT author, log_id, head_seq_num, head_id, pruned_below FROM applecart_logs WHERE log = ?`)
const upsert = statement(
  `INSERT INTO applecart_logs (log, author, log_id, head_seq_num, head_id, pruned_below) VALUES (?, ?, ?, ?, ?, ?)
   ON CONFLICT (log) DO UPDATE SET author = excluded.author, log_id = excluded.log_id, head_seq_num = excluded.head_seq_num,
     head_id = excluded.head_id, pruned_below = excluded.pruned_below`
)
const selectTaken = query(`SELECT log FROM applecart_logs WHERE author = ? AND log_id = ? AND log <> ?`)

/**
 * Writes what the operations of a log say of it. Its head never goes back while the operation that it names may only be
 * missing: whoever publishes goes on behind it.
 */
export const mendLog = (needs: Needs, log: number): Effect.Effect<boolean, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const { first, last, prunedBelow, top, whole } = yield* walk(needs, log)
    if (first?.fields === undefined || last === undefined) return false
    const { verifyingKey } = first.header
    const { logId } = first.fields
    const names = [VerifyingKey.toBytes(verifyingKey), LogId.toBytes(logId)]
    if ((yield* selectTaken(...names, log)).length > 0) return false
    const [kept = {}] = yield* selectHead(log)
    const headSeqNum = Cells.integer(kept, "head_seq_num")
    const headId = Cells.hash(kept, "head_id")
    const isAhead =
      headSeqNum !== undefined && headId !== undefined && headSeqNum > last.seqNum && headId !== last.read?.id
    // A damaged row may say a number that was never given, and whoever goes on behind that goes on behind nothing.
    const isWhole = last.read === undefined && top?.id === headId && top?.header.seqNum === headSeqNum
    const isOther = last.read === undefined && headId !== undefined && !isWhole
    const head =
      isAhead || isOther || last.read === undefined
        ? { seqNum: isOther ? last.seqNum : headSeqNum, id: headId }
        : { seqNum: last.seqNum, id: last.read.id }
    if (head.seqNum === undefined || head.id === undefined) return false
    const below = whole ? prunedBelow : (Cells.integer(kept, "pruned_below") ?? prunedBelow)
    yield* upsert(log, ...names, head.seqNum, Hash.toBytes(head.id), below)
    return true
  })

const walk = (needs: Needs, log: number) =>
  Effect.gen(function* () {
    let first: Read | undefined
    let top: Read | undefined
    let last: { readonly seqNum: number; readonly read: Read | undefined } | undefined
    let prunedBelow = 0
    let whole = true
    for (let after = -1; ; ) {
      const rows = yield* selectPage(log, after)
      for (const row of rows) {
        const seqNum = Cells.integer(row, "seq_num") ?? after
        const { read } = examine(needs, row)
        const own = read?.header.seqNum === seqNum ? read : undefined
        last = { seqNum, read: own }
        after = seqNum
        top = own ?? top
        if (own?.fields === undefined) whole = false
        else {
          first ??= own
          const skipped = own.fields.prune && (yield* reasons(needs, [own.id])).decided.get(own.id) === "skipped"
          if (own.fields.prune && !skipped) prunedBelow = seqNum
        }
      }
      if (rows.length < pageSize) return { first, last, prunedBelow, top, whole }
    }
  })

const selectLog = query(`SELECT log FROM applecart_logs WHERE author = ? AND log_id = ?`)
const insertLog = statement(
  `INSERT INTO applecart_logs (author, log_id, topic, head_seq_num, head_id)
   VALUES (?, ?, (SELECT topic FROM applecart_topics WHERE log_id = ?), ?, ?) RETURNING log`
)

/** The number of the log that an operation is of; a log that is not there is made, with it as its head. */
export const logOf = (read: Read): Effect.Effect<number | undefined, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    if (read.fields === undefined) return undefined
    const [author, logId] = [VerifyingKey.toBytes(read.header.verifyingKey), LogId.toBytes(read.fields.logId)]
    const [found] = yield* selectLog(author, logId)
    if (found !== undefined) return Cells.integer(found, "log")
    const [made = {}] = yield* insertLog(author, logId, logId, read.header.seqNum, Hash.toBytes(read.id))
    return Cells.integer(made, "log")
  })
