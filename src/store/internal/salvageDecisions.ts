/**
 * Of decisions that cannot be read, what the index says: of which operation they were. Without them, whoever repairs the copy
 * would bring a body back that was skipped or deleted, and take in again what is gone.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Bytes from "../../core/Bytes.ts"
import { query, run, statement, type Row } from "../Transaction.ts"
import * as Cells from "./cells.ts"
import { pageSize, unlessDamaged } from "./scan.ts"

/** A decision of which only the operation was known. */
export interface Assumed {
  readonly decision: number
  readonly what: string
}

/** Writes a decision for every operation that the index knows one of and that none was copied of; gives those. */
export const copyDecisions = (
  target: SqlClient,
  tables: ReadonlySet<string>
): Effect.Effect<ReadonlyArray<Assumed>, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const assumed: Array<Assumed> = []
    const put = tables.has("applecart_tombstones") ? insert : insertPlain
    for (let after = new Uint8Array(0); ; ) {
      const rows = yield* unlessDamaged(selectById(after))
      if (typeof rows === "string") return assumed
      const known = rows.filter((row) => Cells.hash(row, "id") !== undefined)
      const write = Effect.forEach(known, ({ decision, id }) => put(decision, id))
      const made = yield* unlessDamaged(Effect.provideService(run(write), SqlClient, target))
      if (typeof made !== "string") assumed.push(...made.flat().flatMap(told))
      const last = Cells.blob(rows.at(-1) ?? {}, "id")
      // Out of order, an index would be read for ever.
      if (last === undefined || rows.length < pageSize || Bytes.compare(last, after) <= 0) return assumed
      after = new Uint8Array(last)
    }
  })

// internal

const table = "applecart_decisions"

const selectById = query(
  `SELECT id, decision FROM ${table} INDEXED BY sqlite_autoindex_applecart_decisions_1
   WHERE id > ? ORDER BY id LIMIT ${pageSize}`
)

const why = "what was decided could not be read"

/**
 * An operation that is here is here without its body, and whose author has deleted it was not skipped. Of one that is not here
 * nothing says whether it was discarded or pruned; whoever waits for it waits on. Its number may be another's by now.
 */
const inserting = (isDeleted: string) =>
  statement(
    `INSERT INTO ${table} (decision, id, what, why, decided_at)
     SELECT iif(EXISTS (SELECT 1 FROM ${table} AS d WHERE d.decision = k.decision), NULL, k.decision), k.id,
       CASE WHEN NOT EXISTS (SELECT 1 FROM applecart_operations AS o WHERE o.id = k.id) THEN 'discarded'
         WHEN ${isDeleted} THEN 'deleted' ELSE 'skipped' END, '${why}', 0
     FROM (SELECT ? AS decision, ? AS id) AS k WHERE true
     ON CONFLICT (id) DO NOTHING RETURNING decision, what`
  )
const insert = inserting("EXISTS (SELECT 1 FROM applecart_tombstones AS t WHERE t.target = k.id)")
const insertPlain = inserting("false")

const told = (row: Row): ReadonlyArray<Assumed> => {
  const [decision, what] = [Cells.integer(row, "decision"), Cells.text(row, "what")]
  return decision === undefined || what === undefined ? [] : [{ decision, what }]
}
