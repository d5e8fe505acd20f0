/**
 * Copies all that can be read of a damaged SQLite file into a new one, the application's tables as well: row by row, by its own
 * index where a table is broken. Of an accepted operation that cannot be read itself its id and its place are copied, from the
 * indexes; {@link Repair.repair} puts the operation there.
 *
 * The damaged file is only read.
 *
 * @example
 * const target = yield* SqliteClient.make({ filename: "new.db" })
 * const { lost } = yield* Salvage.copy(target)
 */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as CausalGraph from "./CausalGraph.ts"
import { Finding } from "./Finding.ts"
import * as Cells from "./internal/cells.ts"
import { copyDecisions } from "./internal/salvageDecisions.ts"
import { copyOperations } from "./internal/salvageOperations.ts"
import { pageSize, scan, unlessDamaged } from "./internal/scan.ts"
import * as Rates from "./Rates.ts"
import * as Tables from "./Tables.ts"
import * as Tombstones from "./Tombstones.ts"
import { query, run, statement, type Row } from "./Transaction.ts"

/** Which tables the file has cannot be read, so nothing of it can be. */
export class NothingToSalvage extends Schema.TaggedError<NothingToSalvage>()("NothingToSalvage", {
  detail: Schema.String
}) {
  override get message() {
    return `Which tables the file has cannot be read (${this.detail}), so nothing of it can be copied. Begin a new one from an export, or from other peers.`
  }
}

/** The new database has tables already. Nothing was written. */
export class TargetNotEmpty extends Schema.TaggedError<TargetNotEmpty>()("TargetNotEmpty", {}) {
  override get message() {
    return "Not copied: the new database has tables already. Name a file that is not there yet."
  }
}

/** What was copied. */
export interface Copied {
  readonly tables: number
  readonly rows: number
  /** What could not be. */
  readonly lost: ReadonlyArray<Finding>
}

/** Copies the database of the surrounding client into `target`, which is empty. Only SQLite. */
export const copy = (
  target: SqlClient
): Effect.Effect<Copied, SqlError | NothingToSalvage | TargetNotEmpty, SqlClient> =>
  Effect.gen(function* () {
    const into = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.provideService(self, SqlClient, target)
    const schema = yield* unlessDamaged(selectSchema())
    if (typeof schema === "string") return yield* new NothingToSalvage({ detail: schema })
    if ((yield* into(selectSchema())).length > 0) return yield* new TargetNotEmpty()
    // What refers to what could not be read is copied all the same.
    yield* into(foreignKeysOff())
    const lost: Array<Finding> = []
    const copying: Copying = { target, rows: 0, lost }
    const made = yield* Effect.filter(schema.flatMap(tableOf), (table) => create(copying, table))
    for (const table of made) {
      yield* copyRows(copying, table)
      if (table.name === "applecart_operations") yield* copyOperations(target)
    }
    const names = new Set(made.map(({ name }) => name))
    for (const { decision, what } of yield* copyDecisions(target, names)) {
      const detail = `what was decided could not be read; it is kept as ${what}`
      tell(copying, "applecart_decisions", detail, { from: decision, to: decision })
    }
    yield* copySequence(copying, made)
    for (const row of schema) {
      const [name, type] = [Cells.text(row, "name") ?? "", Cells.text(row, "type")]
      const sql = ours.get(name.toLowerCase()) ?? Cells.text(row, "sql")
      if (sql === undefined || type === "table") continue
      const done = yield* unlessDamaged(into(run(statement(sql)())))
      if (typeof done === "string") tell(copying, name, `it could not be made: ${done}`)
    }
    yield* into(foreignKeysOn())
    return { tables: made.length, rows: copying.rows, lost }
  })

// internal

interface Copying {
  readonly target: SqlClient
  rows: number
  readonly lost: Array<Finding>
}

interface Table {
  readonly name: string
  readonly sql: string
}

/** Our own tables, indexes and triggers as they are made, since what the file says of them may be damaged. */
const ours: ReadonlyMap<string, string> = new Map(
  [Tables.migrations, CausalGraph.migrations, Tombstones.migrations, Rates.migrations]
    .flat()
    .flatMap(({ up }) => up)
    .flatMap((sql) => {
      const name = /^\s*CREATE\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|TRIGGER)\s+(\w+)/i.exec(sql)?.[1]
      return name === undefined ? [] : [[name, sql] as const]
    })
)

// To SQLite the case of letters makes no difference, so one that a damaged bit has changed goes unnoticed.
const selectSchema = query(
  `SELECT lower(type) AS type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`
)
const foreignKeysOff = query("PRAGMA foreign_keys = OFF")
const foreignKeysOn = query("PRAGMA foreign_keys = ON")

const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

const tell = ({ lost }: Copying, table: string, detail: string, range?: { from: number; to: number }) =>
  void lost.push(new Finding({ kind: "Unreadable", mend: "none", table, key: range?.from, until: range?.to, detail }))

const tableOf = (row: Row): ReadonlyArray<Table> => {
  const [said, sql] = [Cells.text(row, "name"), Cells.text(row, "sql")]
  if (row["type"] !== "table" || said === undefined || sql === undefined) return []
  const name = ours.has(said.toLowerCase()) ? said.toLowerCase() : said
  return [{ name, sql: ours.get(name) ?? sql }]
}

/** Virtual tables keep their rows in others, which only they can write. */
const create = (copying: Copying, { name, sql }: Table): Effect.Effect<boolean, SqlError> =>
  Effect.gen(function* () {
    if (/^\s*create\s+virtual/i.test(sql)) {
      tell(copying, name, "a virtual table is not copied; make and fill it anew")
      return false
    }
    const done = yield* unlessDamaged(Effect.provideService(run(statement(sql)()), SqlClient, copying.target))
    if (typeof done === "string") tell(copying, name, `it could not be made: ${done}`)
    return typeof done !== "string"
  })

/** Reads the columns from the new table, which is whole. */
const copyRows = (copying: Copying, { name, sql }: Table): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const info = yield* Effect.provideService(query(`PRAGMA table_info(${quoted(name)})`)(), SqlClient, copying.target)
    const columns = info.flatMap((row) => Cells.text(row, "name") ?? [])
    const hasRowid = !/\bwithout\s+rowid\b/i.test(sql)
    const isAlias = info.some((row) => row["pk"] === 1 && /^integer$/i.test(Cells.text(row, "type") ?? ""))
    const written = hasRowid && !isAlias ? ["rowid", ...columns] : columns
    const insert = statement(
      `INSERT INTO ${quoted(name)} (${written.map(quoted).join(", ")}) VALUES (${written.map(() => "?").join(", ")})`
    )
    // By their order: where the definition is damaged the names may be others.
    const values = (row: Row) => {
      const { rowid, ...cells } = row
      const all = hasRowid ? Object.values(cells) : Object.values(row)
      return hasRowid && !isAlias ? [rowid, ...all] : all
    }
    const put = (rows: ReadonlyArray<Row>) =>
      Effect.provideService(
        run(Effect.forEach(rows, (row) => putRow(copying, name, insert, row, values(row)), { discard: true })),
        SqlClient,
        copying.target
      )
    if (!hasRowid) return yield* copyByOffset(copying, name, put)
    const table = { name: quoted(name), key: "rowid", select: `x.rowid AS rowid, x.*` }
    yield* scan(table, yield* largest(name), put, ({ from, to, why }) =>
      Effect.sync(() => tell(copying, name, `SQLite cannot read it: ${why}`, { from, to }))
    )
  })

const putRow = (
  copying: Copying,
  name: string,
  insert: ReturnType<typeof statement>,
  row: Row,
  values: ReadonlyArray<unknown>
) =>
  Effect.gen(function* () {
    const done = yield* unlessDamaged(insert(...values))
    if (typeof done !== "string") copying.rows += 1
    else if (name !== "applecart_operations") {
      const key = Cells.integer(row, "rowid")
      tell(copying, name, `a row has no place: ${done}`, key === undefined ? undefined : { from: key, to: key })
    }
  })

/** The largest key that there may be, as far as anything says. */
const largest = (name: string): Effect.Effect<number, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const found = yield* unlessDamaged(
      query(`SELECT max(coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = ?), 0), 0) AS last`)(name)
    )
    const last = typeof found === "string" ? undefined : Cells.integer(found[0] ?? {}, "last")
    if (last !== undefined && last > 0) return last
    const max = yield* unlessDamaged(query(`SELECT max(rowid) AS last FROM ${quoted(name)}`)())
    return typeof max === "string" ? 0 : (Cells.integer(max[0] ?? {}, "last") ?? 0)
  })

/** Tables without a number for each row: page after page, up to one that cannot be read. */
const copyByOffset = <R>(
  copying: Copying,
  name: string,
  put: (rows: ReadonlyArray<Row>) => Effect.Effect<void, SqlError, R>
) =>
  Effect.gen(function* () {
    const page = query(`SELECT * FROM ${quoted(name)} AS x LIMIT ? OFFSET ?`)
    let size = pageSize
    for (let offset = 0; ; ) {
      const rows = yield* unlessDamaged(page(size, offset))
      if (typeof rows !== "string") {
        yield* put(rows)
        if (rows.length < size) return
        offset += rows.length
      } else if (size > 1) size = 1
      else return tell(copying, name, `SQLite cannot read all of it: ${rows}`)
    }
  })

const selectSequence = query("SELECT name, seq FROM sqlite_sequence")
const deleteSequence = statement("DELETE FROM sqlite_sequence WHERE name = ?")
const insertSequence = statement("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)")
const selectOwnSequence = query("SELECT max(seq) AS seq FROM sqlite_sequence WHERE name = ?")

/** Numbers that were given are not given again, also those of rows that are gone. */
const copySequence = (copying: Copying, made: ReadonlyArray<Table>): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.gen(function* () {
    if (!made.some(({ sql }) => /autoincrement/i.test(sql))) return
    const rows = yield* unlessDamaged(selectSequence())
    if (typeof rows === "string") return tell(copying, "sqlite_sequence", `SQLite cannot read it: ${rows}`)
    for (const row of rows) {
      const [name, seq] = [Cells.text(row, "name"), Cells.integer(row, "seq")]
      if (name === undefined || seq === undefined || !made.some((table) => table.name === name)) continue
      yield* Effect.provideService(
        Effect.gen(function* () {
          const [own = {}] = yield* selectOwnSequence(name)
          yield* run(
            Effect.zipRight(deleteSequence(name), insertSequence(name, Math.max(seq, Cells.integer(own, "seq") ?? 0)))
          )
        }),
        SqlClient,
        copying.target
      )
    }
  })
