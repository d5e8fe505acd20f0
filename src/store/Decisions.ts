/** Decisions that took an operation out of the ordinary way, kept so that nobody asks again. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as Utf8 from "../core/internal/Utf8.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Transaction } from "./Transaction.ts"

/**
 * - `skipped`: its header is in the log, without body or effects;
 * - `deleted`: its header is in the log, its body was deleted and is not taken in again;
 * - `discarded`: everything but its hash is gone, and it is not taken in again;
 * - `pruned`: likewise, since its author made it unnecessary; whoever waits for it need not.
 */
export type What = "skipped" | "deleted" | "discarded" | "pruned"

const insert = statement(
  `INSERT INTO applecart_decisions (id, what, why, decided_at) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
)

/**
 * Records a decision. `at`: milliseconds since the epoch. An earlier decision stays: the operation may have been pruned
 * while it was in the hands of whoever decides.
 */
export const record = (
  id: Hash.Hash,
  what: What,
  why: string | undefined,
  at: number
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(insert(Hash.toBytes(id), what, why === undefined ? null : Utf8.wellFormed(why), at))

const insertAll = statement(
  `INSERT INTO applecart_decisions (id, what, decided_at) SELECT unhex(value), ?, ? FROM json_each(?) WHERE true
   ON CONFLICT (id) DO NOTHING`
)

const recordAll =
  (what: What) =>
  (ids: Iterable<Hash.Hash>, at: number): Effect.Effect<void, SqlError, Transaction> => {
    const all = Array.from(ids)
    return all.length === 0 ? Effect.void : Effect.asVoid(insertAll(what, at, Rows.list(all)))
  }

/** Records that these operations were pruned. */
export const pruned = recordAll("pruned")

/** Records that the bodies of these operations were deleted. */
export const deleted = recordAll("deleted")

const selectGone = query(
  `SELECT k.value AS id, d.what FROM json_each(?) AS k
   JOIN applecart_decisions AS d ON d.id = unhex(k.value) AND d.what IN ('discarded', 'pruned')`
)

/** Which of these operations were taken in and are gone, and how. */
export const gone = (
  ids: ReadonlyArray<Hash.Hash>
): Effect.Effect<ReadonlyMap<string, "discarded" | "pruned">, SqlError, SqlClient> =>
  Effect.map(
    selectGone(Rows.list(ids)),
    (rows) =>
      new Map(
        rows.map((row) => [Rows.text(row, "id"), Rows.text(row, "what") === "pruned" ? "pruned" : "discarded"] as const)
      )
  )

const selectSkipped = query(
  `SELECT k.value AS id FROM json_each(?) AS k JOIN applecart_decisions AS d ON d.id = unhex(k.value) AND d.what = 'skipped'`
)

/** Which of these operations were skipped. */
export const skipped = (ids: ReadonlyArray<Hash.Hash>): Effect.Effect<ReadonlySet<string>, SqlError, SqlClient> =>
  ids.length === 0
    ? Effect.succeed(new Set())
    : Effect.map(selectSkipped(Rows.list(ids)), (rows) => new Set(rows.map((row) => Rows.text(row, "id"))))
