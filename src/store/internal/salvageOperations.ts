/** Of accepted operations that cannot be read, what the indexes say: id and place, for whoever puts them back. */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Bytes from "../../core/Bytes.ts"
import { query, run, statement, type Row } from "../Transaction.ts"
import * as Cells from "./cells.ts"
import * as Rows from "./rows.ts"
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
    const given = (rows: ReadonlyArray<Row>) => rows.filter((row) => wasGiven(Cells.integer(row, "position") ?? 0))
    yield* byId((rows) => moveBack(target, ids, given(rows)))
    yield* byPlace((rows) => moveBack(target, places, given(rows)))
    yield* byId((rows) => name(target, given(rows)))
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

/** An index: how a row of it is known again, and what reads it. */
interface Index {
  /** The cells of a row of the index, without the position. */
  readonly of: (row: Row) => ReadonlyArray<string | number | undefined>
  /** Rows of the table whose cells are those, but not at the position that the index says, where nothing is. */
  readonly elsewhere: ReturnType<typeof query>
  /** What the index says of some positions. */
  readonly at: ReturnType<typeof query>
}

const index = (number: 1 | 2, columns: string, on: string, of: Index["of"]): Index => ({
  of,
  elsewhere: query(
    `SELECT o.position, o.id, o.log, o.seq_num, k.value ->> 0 AS given FROM json_each(?) AS k JOIN ${table} AS o ON ${on}
     WHERE o.position <> k.value ->> 0 AND NOT EXISTS (SELECT 1 FROM ${table} AS x WHERE x.position = k.value ->> 0)`
  ),
  at: query(
    `SELECT position, ${columns} FROM ${table} INDEXED BY sqlite_autoindex_applecart_operations_${number}
     WHERE position IN (SELECT value FROM json_each(?))`
  )
})

const ids = index(1, "id", "o.id = unhex(k.value ->> 1)", (row) => [Cells.hash(row, "id")])
const places = index(2, "log, seq_num", "o.log = k.value ->> 1 AND o.seq_num = k.value ->> 2", (row) => [
  Cells.integer(row, "log"),
  Cells.integer(row, "seq_num")
])

const move = statement(`UPDATE ${table} SET position = ? WHERE position = ?`)

/**
 * A damaged position lets a row be read in the place of another one. Where an index says that it stood where nothing was read,
 * and that another stood where it was read, it is moved there.
 */
const moveBack = (target: SqlClient, { at, elsewhere, of }: Index, rows: ReadonlyArray<Row>) =>
  Effect.gen(function* () {
    const into = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provideService(self, SqlClient, target)
    const given = rows.map((row) => [Cells.integer(row, "position"), ...of(row)])
    const moved = yield* into(elsewhere(JSON.stringify(given.filter((cells) => !cells.includes(undefined)))))
    if (moved.length === 0) return
    const positions = moved.flatMap((row) => Cells.integer(row, "position") ?? [])
    const others = yield* unlessDamaged(at(Rows.list(positions)))
    const own = yield* unlessDamaged(ids.at(Rows.list(positions)))
    if (typeof others === "string" || typeof own === "string") return
    for (const row of moved) {
      const here = (some: ReadonlyArray<Row>) => some.filter((one) => one["position"] === row["position"])
      const isOthers = here(others).some((one) => of(one).join() !== of(row).join())
      // Its number in the log may be what is damaged.
      const isOwn = here(own).some((one) => ids.of(one).join() === ids.of(row).join())
      if (isOthers && !isOwn) yield* into(run(move(row["given"], row["position"])))
    }
  })

const selectUnnamed = query(
  `SELECT o.position, o.log, o.seq_num, k.value ->> 1 AS given FROM json_each(?) AS k
   JOIN ${table} AS o ON o.position = k.value ->> 0 WHERE o.id <> unhex(k.value ->> 1)`
)
const rename = statement(`UPDATE OR IGNORE ${table} SET id = unhex(?), log = ?, seq_num = ? WHERE position = ?`)

/**
 * Where both indexes say that a row is another operation, in another place, its cells are damaged, or it is a row of another
 * table whose page was read in the place of one of ours. Its bytes stay: they may be whole.
 */
const name = (target: SqlClient, rows: ReadonlyArray<Row>) =>
  Effect.gen(function* () {
    const into = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provideService(self, SqlClient, target)
    const known = rows.map((row) => [Cells.integer(row, "position"), Cells.hash(row, "id")])
    const unnamed = yield* into(selectUnnamed(JSON.stringify(known.filter((cells) => !cells.includes(undefined)))))
    if (unnamed.length === 0) return
    const positions = unnamed.flatMap((row) => Cells.integer(row, "position") ?? [])
    const said = yield* unlessDamaged(places.at(Rows.list(positions)))
    if (typeof said === "string") return
    for (const row of unnamed) {
      const [place, ...more] = said.filter((one) => one["position"] === row["position"])
      if (place === undefined || more.length > 0 || places.of(place).join() === places.of(row).join()) continue
      yield* into(run(rename(row["given"], ...places.of(place), row["position"])))
    }
  })

const selectLast = query(`SELECT seq FROM sqlite_sequence WHERE name = '${table}'`)
const selectById = query(
  `SELECT id, position FROM ${table} INDEXED BY sqlite_autoindex_applecart_operations_1
   WHERE id > ? ORDER BY id LIMIT ${pageSize}`
)
const selectByPlace = query(
  `SELECT log, seq_num, position FROM ${table} INDEXED BY sqlite_autoindex_applecart_operations_2
   WHERE (log, seq_num) > (?, ?) ORDER BY log, seq_num LIMIT ${pageSize}`
)

type Use = (rows: ReadonlyArray<Row>) => Effect.Effect<void, SqlError, SqlClient>

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
