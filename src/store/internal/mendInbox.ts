/** Operations of the inbox: their columns made anew, or the whole operation taken in again. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Hash from "../../core/Hash.ts"
import * as LogId from "../../core/LogId.ts"
import type * as Operation from "../../core/Operation.ts"
import * as Topic from "../../core/Topic.ts"
import * as VerifyingKey from "../../core/VerifyingKey.ts"
import * as Decisions from "../Decisions.ts"
import * as Inbox from "../Inbox.ts"
import * as Operations from "../Operations.ts"
import { query, statement, type Row, type Transaction } from "../Transaction.ts"
import * as Cells from "./cells.ts"
import { examine, type Verifying } from "./verifying.ts"
import { reasons } from "./verifyOperations.ts"

type Needs = Pick<Verifying<never, never>, "crypto" | "format" | "tables">

const selectEntry = query(`SELECT * FROM applecart_inbox WHERE entry = ?`)
const update = statement(
  `UPDATE applecart_inbox SET id = ?, author = ?, log_id = ?, seq_num = ?, body = ?, topic = ?, source = ?, received_at = ?,
     status = 'queued', processor = NULL, reason = NULL, attempts = ?, not_before = NULL WHERE entry = ?`
)
const selectRival = query(`SELECT entry FROM applecart_inbox WHERE id = ? AND entry <> ?`)
const remove = statement(`DELETE FROM applecart_inbox WHERE entry = ?`)
const removeWaits = statement(`DELETE FROM applecart_waiting WHERE entry = ?`)

/**
 * Writes what follows from the header of an entry, and queues it: it is decided again. One that was accepted leaves. Whether
 * anything was done; where the bytes are damaged nothing is.
 */
export const mendEntry = (needs: Needs, entry: number): Effect.Effect<boolean, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const [row] = yield* selectEntry(entry)
    const { problems = [], read } = row === undefined ? {} : examine(needs, row)
    if (row === undefined || read === undefined || problems.some(({ mend }) => mend === "source")) return false
    const id = Hash.toBytes(read.id)
    yield* removeWaits(entry)
    if ((yield* Operations.accepted([read.id])).size > 0 || (yield* selectRival(id, entry)).length > 0) {
      yield* remove(entry)
      return true
    }
    const { source, topic } = beside(row)
    const logId = read.fields === undefined ? Cells.blob(row, "log_id") : LogId.toBytes(read.fields.logId)
    yield* update(
      id,
      VerifyingKey.toBytes(read.header.verifyingKey),
      logId,
      read.header.seqNum,
      read.header.payloadSize === 0 ? null : row["body"],
      topic === undefined ? null : Topic.toBytes(topic),
      source ?? null,
      Cells.integer(row, "received_at") ?? (yield* Clock.currentTimeMillis),
      Math.max(0, Cells.integer(row, "attempts") ?? 0),
      entry
    )
    return true
  })

/** Takes an operation in again in the place of an entry whose bytes are damaged, or that is not there. */
export const retake = (
  needs: Needs,
  operation: Operation.Operation,
  entry: number | undefined
): Effect.Effect<boolean, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const meant = needs.format(operation.header.extensions)
    if (meant === undefined) return false
    const [row = {}] = entry === undefined ? [] : yield* selectEntry(entry)
    const { id } = operation
    const rivals = yield* selectRival(Hash.toBytes(id), entry ?? 0)
    const isKnown =
      rivals.length > 0 || (yield* Operations.accepted([id])).size > 0 || (yield* Decisions.gone([id])).has(id)
    if (entry !== undefined) yield* remove(entry)
    if (isKnown) return entry !== undefined
    const { tombstones } = yield* reasons(needs, [id])
    const receivedAt = Cells.integer(row, "received_at") ?? (yield* Clock.currentTimeMillis)
    const kept = tombstones.has(id) ? { ...operation, body: undefined } : operation
    yield* Inbox.put([{ operation: kept, logId: meant.fields.logId, ...beside(row), receivedAt }])
    return true
  })

// internal

const beside = (row: Row) => {
  const topic = Cells.blob(row, "topic")
  return { topic: topic?.length === 32 ? Topic.fromBytes(topic) : undefined, source: Cells.text(row, "source") }
}
