/** Decisions that took an operation out of the ordinary way, kept so that nobody asks again. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Transaction } from "./Transaction.ts"

/**
 * - `skipped`: its header is in the log, without body or effects;
 * - `discarded`: everything but its hash is gone, and it is not taken in again.
 */
export type What = "skipped" | "discarded"

const insert = statement(`INSERT INTO applecart_decisions (id, what, why, decided_at) VALUES (?, ?, ?, ?)`)

/** Records a decision. `at`: milliseconds since the epoch. */
export const record = (
  id: Hash.Hash,
  what: What,
  why: string | undefined,
  at: number
): Effect.Effect<void, SqlError, Transaction> => Effect.asVoid(insert(Hash.toBytes(id), what, why ?? null, at))

const selectDiscarded = query(
  `SELECT k.value AS id FROM json_each(?) AS k
   JOIN applecart_decisions AS d ON d.id = unhex(k.value) AND d.what = 'discarded'`
)

/** Which of these operations were discarded. */
export const discarded = (ids: ReadonlyArray<Hash.Hash>): Effect.Effect<ReadonlySet<string>, SqlError, SqlClient> =>
  Effect.map(selectDiscarded(Rows.list(ids)), (rows) => new Set(rows.map((row) => Rows.text(row, "id"))))
