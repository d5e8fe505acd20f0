/**
 * Which bodies were deleted, and by whom: a row for each operation that an accepted tombstone names, whether it has come or
 * not. The state of the processor `Deletion`.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import type * as Log from "../core/Log.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import type { Migration } from "./Migrations.ts"
import { query, statement, type Transaction } from "./Transaction.ts"

/** Who deleted the body of an operation: the authors of the tombstones that name it. */
export type By = ReadonlySet<VerifyingKey.VerifyingKey>

/** The tables. */
export const migrations: ReadonlyArray<Migration> = [
  {
    name: "tombstones",
    up: [
      `CREATE TABLE applecart_tombstones (
        target BLOB NOT NULL,
        author BLOB NOT NULL,
        PRIMARY KEY (target, author)
      ) WITHOUT ROWID`,
      `CREATE INDEX applecart_tombstones_author ON applecart_tombstones (author)`
    ]
  }
]

const select = query(
  `SELECT k.value AS target, t.author FROM json_each(?) AS k JOIN applecart_tombstones AS t ON t.target = unhex(k.value)`
)

/** Who deleted the bodies of these operations; those that nobody did are missing. */
export const load = (
  targets: ReadonlyArray<Hash.Hash>
): Effect.Effect<ReadonlyMap<Hash.Hash, By>, SqlError, SqlClient> =>
  Effect.map(select(Rows.list(targets)), (rows) => {
    const found = new Map<string, Set<VerifyingKey.VerifyingKey>>()
    for (const row of rows) {
      const target = Rows.text(row, "target")
      const author = Rows.verifyingKey(row, "author")
      const by = found.get(target)
      if (by === undefined) found.set(target, new Set([author]))
      else by.add(author)
    }
    return new Map(
      targets.flatMap((target) => {
        const by = found.get(target)
        return by === undefined ? [] : [[target, by] as const]
      })
    )
  })

const selectOf = query(
  `SELECT t.target FROM applecart_tombstones AS t
   WHERE t.author = unhex(?)
     AND NOT EXISTS (SELECT 1 FROM applecart_decisions AS d WHERE d.id = t.target AND d.what = 'pruned')
     AND NOT EXISTS (SELECT 1 FROM applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log
                     WHERE o.id = t.target AND l.author = t.author AND l.log_id = unhex(?))
   ORDER BY t.target LIMIT ?`
)

/**
 * What the author of a log has deleted, outside this log and not pruned, at most `limit` of it: what would be deleted no more
 * for whoever comes after the log was pruned.
 */
export const of = (log: Log.Key, limit: number): Effect.Effect<ReadonlyArray<Hash.Hash>, SqlError, SqlClient> =>
  Effect.map(selectOf(...log.split("/"), limit), (rows) => rows.map((row) => Rows.hash(row, "target")))

const insert = Rows.insert(
  `INSERT INTO applecart_tombstones (target, author)`,
  `(?, ?)`,
  `ON CONFLICT (target, author) DO NOTHING`
)

/** Writes who deleted the bodies of these operations. */
export const save = (changed: ReadonlyMap<Hash.Hash, By>): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(
    insert(
      Array.from(changed, ([target, by]) =>
        Array.from(by, (author) => [Hash.toBytes(target), VerifyingKey.toBytes(author)])
      ).flat()
    )
  )

const deletePruned = statement(
  `DELETE FROM applecart_tombstones WHERE (target, author) IN (
     SELECT t.target, t.author FROM applecart_tombstones AS t
       JOIN applecart_decisions AS d ON d.id = t.target AND d.what = 'pruned'
     LIMIT ?)
   RETURNING 1`
)

/** Deletes rows about operations that were pruned, so many at the most: those cannot come back. Gives how many it deleted. */
export const collect = (limit: number): Effect.Effect<number, SqlError, Transaction> =>
  Effect.map(deletePruned(limit), (rows) => rows.length)
