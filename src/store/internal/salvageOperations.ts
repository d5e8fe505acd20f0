/** Of accepted operations that cannot be read, what the indexes say: id and place, for whoever puts them back. */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Bytes from "../../core/Bytes.ts"
import { query, run, statement, type Row } from "../Transaction.ts"
import * as Cells from "./cells.ts"
import { pageSize, unlessDamaged } from "./scan.ts"

/** Writes a row without bytes for every operation that an index knows and that was not copied. */
export const copyOperations = (target: SqlClient): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const each = (rows: ReadonlyArray<Row>, write: (row: Row) => Effect.Effect<unknown, SqlError, never>) =>
      Effect.forEach(rows, write, { discard: true })
    const into = (self: ReturnType<typeof insert>) => unlessDamaged(Effect.provideService(run(self), SqlClient, target))
    // A damaged index must not make a position of its own.
    const sequence = yield* unlessDamaged(selectLast())
    const last = typeof sequence === "string" ? undefined : Cells.integer(sequence[0] ?? {}, "seq")
    const wasGiven = (position: number) => position > 0 && (last === undefined || position <= last)
    yield* byId((rows) =>
      each(rows, (row) => {
        const [position, id] = [Cells.integer(row, "position"), Cells.hash(row, "id")]
        if (position === undefined || id === undefined || !wasGiven(position)) return Effect.void
        return into(insert(position, row["id"], -position - 1))
      })
    )
    yield* byPlace((rows) =>
      each(rows, (row) => {
        const [position, log, seqNum] = ["position", "log", "seq_num"].map((name) => Cells.integer(row, name))
        if (position === undefined || log === undefined || seqNum === undefined || !wasGiven(position))
          return Effect.void
        return Effect.zipRight(
          into(insert(position, `at ${position}`, -position - 1)),
          into(place(log, seqNum, position))
        )
      })
    )
  })

// internal

const table = "applecart_operations"

const insert = statement(
  `INSERT INTO ${table} (position, id, log, seq_num, header, accepted_at) VALUES (?, CAST(? AS BLOB), 0, ?, x'', 0)
   ON CONFLICT DO NOTHING`
)
const place = statement(`UPDATE ${table} SET log = ?, seq_num = ? WHERE position = ? AND header = x''`)

const selectLast = query(`SELECT seq FROM sqlite_sequence WHERE name = '${table}'`)
const selectById = query(
  `SELECT id, position FROM ${table} INDEXED BY sqlite_autoindex_applecart_operations_1
   WHERE id > ? ORDER BY id LIMIT ${pageSize}`
)
const selectByPlace = query(
  `SELECT log, seq_num, position FROM ${table} INDEXED BY sqlite_autoindex_applecart_operations_2
   WHERE (log, seq_num) > (?, ?) ORDER BY log, seq_num LIMIT ${pageSize}`
)

type Use = (rows: ReadonlyArray<Row>) => Effect.Effect<void, SqlError>

const byId = (use: Use) =>
  Effect.gen(function* () {
    for (let after = new Uint8Array(0); ; ) {
      const rows = yield* unlessDamaged(selectById(after))
      if (typeof rows === "string") return
      yield* use(rows)
      const end = rows.at(-1)
      const next = end === undefined ? undefined : Cells.blob(end, "id")
      if (next === undefined || rows.length < pageSize || Bytes.compare(next, after) <= 0) return
      after = new Uint8Array(next)
    }
  })

const byPlace = (use: Use) =>
  Effect.gen(function* () {
    for (let [log, seqNum] = [Number.MIN_SAFE_INTEGER, 0]; ; ) {
      const rows = yield* unlessDamaged(selectByPlace(log, seqNum))
      if (typeof rows === "string") return
      yield* use(rows)
      const end = rows.at(-1)
      const [nextLog, nextSeqNum] = [Cells.integer(end ?? {}, "log"), Cells.integer(end ?? {}, "seq_num")]
      if (nextLog === undefined || nextSeqNum === undefined || rows.length < pageSize) return
      if (nextLog < log || (nextLog === log && nextSeqNum <= seqNum)) return
      ;[log, seqNum] = [nextLog, nextSeqNum]
    }
  })
