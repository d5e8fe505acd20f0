/** From findings to what mends them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Hash } from "../../core/Hash.ts"
import * as Operation from "../../core/Operation.ts"
import type { Finding } from "../Finding.ts"
import * as SqlReason from "../SqlReason.ts"
import * as Transaction from "../Transaction.ts"
import * as Cells from "./cells.ts"
import { mendEntry, retake } from "./mendInbox.ts"
import { mendLog } from "./mendLogs.ts"
import { mendColumns, moveBack, restore as putBack } from "./mendOperations.ts"
import * as Rows from "./rows.ts"
import type { Verifying } from "./verifying.ts"

const { query, statement } = Transaction

export type Needs = Pick<Verifying<never, never>, "crypto" | "format" | "tables">

const selectTables = query(`SELECT lower(name) AS name FROM sqlite_schema WHERE lower(type) = 'table'`)

/** The tables that there are. */
export const tables: Effect.Effect<ReadonlySet<string>, SqlError, SqlClient> = Effect.map(
  selectTables(),
  (rows) => new Set(rows.flatMap((row) => Cells.text(row, "name") ?? []))
)

/** Where an operation from outside belongs. */
export interface Want {
  readonly table: string
  /** The position, or the entry of the inbox, if anything says it. */
  readonly key: number | undefined
}

/** The operations that somebody else may have. */
export const wanted = (findings: ReadonlyArray<Finding>): ReadonlyMap<Hash, ReadonlyArray<Want>> => {
  const all = new Map<Hash, Array<Want>>()
  for (const { id, key, mend, table } of findings) {
    if (mend !== "source" || id === undefined) continue
    const wants = all.get(id) ?? []
    const number = typeof key === "number" ? key : undefined
    if (!wants.some((one) => one.table === table && one.key === number)) wants.push({ table, key: number })
    all.set(id, wants)
  }
  return all
}

/** An operation from outside, if it is one that is wanted, and valid. */
export const isWanted = (
  { crypto }: Needs,
  all: ReadonlyMap<Hash, ReadonlyArray<Want>>,
  raw: Operation.Raw
): Option.Option<{ readonly operation: Operation.Operation; readonly wants: ReadonlyArray<Want> }> => {
  const wants = all.get(crypto.hash(raw.header))
  if (wants === undefined) return Option.none()
  const operation = Operation.decodeWith(crypto)(raw)
  return operation._tag === "Left" ? Option.none() : Option.some({ operation: operation.right, wants })
}

/** Puts an operation back where it is wanted; whether it was. `last`: nothing else can be any more. */
export const restore = (
  needs: Needs,
  operation: Operation.Operation,
  wants: ReadonlyArray<Want>,
  last: boolean
): Effect.Effect<boolean, SqlError, SqlClient | Transaction.Transaction> =>
  Effect.gen(function* () {
    let done = false
    // With its position first, where anything says it.
    for (const { key, table } of [...wants].sort((a, b) => (a.key ?? Infinity) - (b.key ?? Infinity))) {
      if (done) break
      done = yield* table === inbox ? retake(needs, operation, key) : putBack(needs, operation, key, last)
    }
    return done
  })

/** Makes anew what follows from what is here; gives how many rows. */
export const derived = (needs: Needs, findings: ReadonlyArray<Finding>): Effect.Effect<number, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const all = findings.filter(({ mend }) => mend === "derived")
    if (all.length === 0) return 0
    if (all.some(({ kind, table }) => kind === "File" && table === "")) yield* reindexAll
    return yield* Transaction.run(rows(needs, all), { durable: true })
  })

// internal

const operations = "applecart_operations"
const inbox = "applecart_inbox"

/** Tables whose rows are mended one by one, and may not be. Of the others all is made anew. */
const counted = new Set([operations, inbox, "applecart_logs"])

/** Two rows that claim one place let it fail: those are mended first, and it is tried again in the next round. */
const reindexAll = Transaction.run(statement("REINDEX")(), { durable: true }).pipe(
  Effect.catchIf(
    (error) => SqlReason.of(error)._tag === "Constraint",
    () => Effect.void
  )
)

const rows = (needs: Needs, findings: ReadonlyArray<Finding>) =>
  Effect.gen(function* () {
    const of = (table: string) => findings.filter((one) => one.table === table)
    const keys = (some: ReadonlyArray<Finding>) =>
      Array.from(new Set(some.flatMap(({ key }) => (typeof key === "number" ? [key] : []))))
    if (of("sqlite_sequence").length > 0) yield* sequence
    for (const topic of keys(of("applecart_topics"))) yield* deleteTopic(topic)
    const logs = keys(of("applecart_logs"))
    let changed = 0
    for (const log of logs) if (yield* mendLog(needs, log)) changed += 1
    const moved = keys(of(operations).filter(({ kind }) => kind !== "Position"))
    for (const at of keys(of(operations).filter(({ kind }) => kind === "Position"))) {
      if (yield* moveBack(needs, at)) changed += 1
    }
    changed += yield* mendColumns(needs, moved)
    // Again, since an operation may have come into its log only now.
    for (const log of yield* logsAt(moved, logs)) yield* mendLog(needs, log)
    yield* topics
    for (const entry of keys(of(inbox))) if (yield* mendEntry(needs, entry)) changed += 1
    if ([inbox, "applecart_waiting", "applecart_wakes"].some((table) => of(table).length > 0)) yield* decideAgain
    yield* shares
    return changed + findings.filter(({ table }) => !counted.has(table)).length
  })

const selectLargest = query(
  `SELECT max(coalesce((SELECT max(position) FROM applecart_consumers WHERE role = 'application'),
       (SELECT max(position) FROM ${operations}), 0),
     (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = '${operations}' AND typeof(seq) = 'integer')) AS last`
)
const deleteSequence = statement(`DELETE FROM sqlite_sequence WHERE name = '${operations}'`)
const insertSequence = statement(`INSERT INTO sqlite_sequence (name, seq) VALUES ('${operations}', ?)`)

/** A position is never given twice, so it goes on behind every one that anybody knows of. */
const sequence = Effect.flatMap(selectLargest(), ([row = {}]) =>
  Effect.zipRight(deleteSequence(), insertSequence(Cells.integer(row, "last") ?? 0))
)

const deleteTopic = statement(`DELETE FROM applecart_topics WHERE topic = ?`)
const adoptLogs = statement(
  `UPDATE applecart_logs SET topic = (SELECT t.topic FROM applecart_topics AS t WHERE t.log_id = applecart_logs.log_id)
   WHERE topic IS NOT (SELECT t.topic FROM applecart_topics AS t WHERE t.log_id = applecart_logs.log_id)`
)
const adoptInbox = statement(
  `UPDATE applecart_inbox SET topic = (SELECT t.hash FROM applecart_topics AS t WHERE t.log_id = applecart_inbox.log_id)
   WHERE topic IS NULL AND log_id IN (SELECT log_id FROM applecart_topics)`
)

const topics = Effect.zipRight(adoptLogs(), adoptInbox())

const selectLogs = query(
  `SELECT DISTINCT log FROM ${operations} WHERE position IN (SELECT value FROM json_each(?))
   UNION SELECT value FROM json_each(?)`
)

const logsAt = (positions: ReadonlyArray<number>, also: ReadonlyArray<number>) =>
  Effect.map(selectLogs(Rows.list(positions), Rows.list(also)), (all) =>
    all.flatMap((row) => Cells.integer(row, "log") ?? [])
  )

const queueWaiting = statement(
  `UPDATE applecart_inbox SET status = 'queued', not_before = NULL WHERE status = 'waiting'`
)
const deleteWaiting = statement(`DELETE FROM applecart_waiting`)
const deleteWakes = statement(`DELETE FROM applecart_wakes`)

/** Whoever waits is decided again; that is always right, and needs no wake-up. */
const decideAgain = Effect.zipRight(Effect.zipRight(queueWaiting(), deleteWaiting()), deleteWakes())

const deleteShares = statement(`DELETE FROM applecart_inbox_shares`)
const countShares = statement(
  `INSERT INTO applecart_inbox_shares (author, operations, bytes)
   SELECT author, count(*), sum(length(header) + coalesce(length(body), 0)) FROM applecart_inbox GROUP BY author
   UNION ALL SELECT x'', count(*), sum(length(header) + coalesce(length(body), 0)) FROM applecart_inbox HAVING count(*) > 0`
)

const shares = Effect.zipRight(deleteShares(), countShares())
