/** What was received and is not accepted: its bytes, and that nobody is forgotten in it. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { query } from "../Transaction.ts"
import type { Row } from "./capability.ts"
import * as Cells from "./cells.ts"
import { scan } from "./scan.ts"
import { examine, found, rowsOf, type Problem, type Verifying } from "./verifying.ts"

const table = "applecart_inbox"

/** Looks at every operation in the inbox. */
export const verifyInbox = <E, R>(verifying: Verifying<E, R>): Effect.Effect<void, SqlError | E, SqlClient | R> =>
  Effect.gen(function* () {
    const [row = {}] = yield* rowsOf(verifying, table, selectLast())
    yield* scan(
      { name: table, key: "entry", select: `x.*` },
      Cells.integer(row, "seq") ?? 0,
      (rows) => Effect.forEach(rows, (one) => entry(verifying, one), { discard: true }),
      ({ from, to, why }) => {
        const detail = `SQLite cannot read it: ${why}`
        return found(verifying, { kind: "Unreadable", mend: "copy", table, key: from, until: to, detail })
      }
    )
  })

// internal

const selectLast = query(`SELECT seq FROM sqlite_sequence WHERE name = '${table}'`)

const entry = <E, R>(verifying: Verifying<E, R>, row: Row) =>
  Effect.gen(function* () {
    verifying.counts.inbox += 1
    const { problems, read } = examine(verifying, row)
    const where = {
      table,
      key: Cells.integer(row, "entry"),
      id: read?.id ?? Cells.hash(row, "id"),
      author: read?.header.verifyingKey,
      logId: read?.fields?.logId,
      seqNum: read?.header.seqNum
    }
    const all: Array<Problem> = [...problems, ...columns(row)]
    const column = (name: string): Problem => ({
      kind: "Column",
      mend: "derived",
      detail: `${name} is not what its header says`
    })
    if (read !== undefined && Cells.key(row, "author") !== read.header.verifyingKey) all.push(column("author"))
    if (read?.fields !== undefined && Cells.logId(row, "log_id") !== read.fields.logId) all.push(column("log_id"))
    for (const problem of all) yield* found(verifying, { ...where, ...problem })
  })

const states = new Set(["queued", "waiting", "rejected"])

/** What stands beside an operation of the inbox and can be seen to be wrong. */
const columns = (row: Row): ReadonlyArray<Problem> => {
  const status = Cells.text(row, "status")
  const wrong: Array<string> = []
  const isOptional = (name: string, read: (row: Row, column: string) => unknown) =>
    row[name] === null || read(row, name) !== undefined
  if (status === undefined || !states.has(status)) wrong.push("status")
  if (!isOptional("topic", Cells.hash)) wrong.push("topic")
  if (!isOptional("source", Cells.text)) wrong.push("source")
  if (!isOptional("processor", Cells.text)) wrong.push("processor")
  if (!isOptional("not_before", Cells.integer)) wrong.push("not_before")
  if (Cells.integer(row, "received_at") === undefined) wrong.push("received_at")
  if ((Cells.integer(row, "attempts") ?? -1) < 0) wrong.push("attempts")
  if (!isReason(row) || (status === "rejected" && row["reason"] === null)) wrong.push("reason")
  return wrong.map((name) => ({ kind: "Row", mend: "derived", detail: `${name} holds what cannot be` }))
}

const isReason = (row: Row): boolean => {
  const reason = row["reason"]
  if (reason === null) return true
  if (typeof reason !== "string") return false
  try {
    JSON.parse(reason)
    return true
  } catch {
    return false
  }
}
