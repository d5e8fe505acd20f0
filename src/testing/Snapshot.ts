/**
 * What is in a database, for comparisons: two peers that have taken in the same operations, a run with a fault and one without,
 * what was rebuilt and what was there.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

/** A row: blobs are lower-case hex. */
export type Row = Readonly<Record<string, string | number | null>>

/** Rows by table, in an order that follows from the rows. */
export type Snapshot = Readonly<Record<string, ReadonlyArray<Row>>>

/** Which tables and columns are left out. */
export interface Options {
  /** Tables that are not looked at. */
  readonly ignore?: ReadonlyArray<string> | undefined
  /** Columns of the application's and of processors' own tables that may differ. Default: `position`, which is local. */
  readonly columns?: ReadonlyArray<string> | undefined
}

/**
 * Everything that has to be the same wherever the same operations were accepted, whatever the order, the repetition and the
 * batching of their delivery (P6): every row of every table, without positions, times of arrival, the inbox's numbers and attempts.
 */
export const lasting = (options: Options = {}): Effect.Effect<Snapshot, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const there = new Set(yield* names)
    const found: Record<string, ReadonlyArray<Row>> = {}
    for (const [table, { needs, select }] of Object.entries(ours)) {
      if (needs.every((one) => there.has(one)) && !options.ignore?.includes(table))
        found[table] = yield* sql.unsafe<Row>(select)
    }
    return { ...found, ...(yield* own(options)) }
  })

/** The part of {@link lasting} that is not ours: the tables of the application, and of processors that are not built in. */
export const own = (options: Options = {}): Effect.Effect<Snapshot, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const found: Record<string, ReadonlyArray<Row>> = {}
    const local = new Set(options.columns ?? ["position"])
    for (const table of yield* names) {
      if (table.startsWith("applecart_") || options.ignore?.includes(table)) continue
      const columns = yield* sql<{ name: string }>`SELECT name FROM pragma_table_info(${table}) ORDER BY cid`
      found[table] = yield* rows(
        table,
        columns.map(({ name }) => name).filter((name) => !local.has(name))
      )
    }
    return found
  })

/** The tables in which two snapshots differ, each with the rows that only one of them has. */
export const different = (
  expected: Snapshot,
  found: Snapshot
): ReadonlyArray<{
  readonly table: string
  readonly missing: ReadonlyArray<Row>
  readonly extra: ReadonlyArray<Row>
}> =>
  Array.from(new Set([...Object.keys(expected), ...Object.keys(found)])).flatMap((table) => {
    const missing = without(expected[table] ?? [], found[table] ?? [])
    const extra = without(found[table] ?? [], expected[table] ?? [])
    return missing.length + extra.length === 0 ? [] : [{ table, missing, extra }]
  })

/** All rows of a table, blobs as hex, sorted. */
export const rows = (
  table: string,
  columns: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Row>, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => {
    const quoted = columns.map((name) => `"${name.replaceAll('"', '""')}"`)
    const shown = quoted.map((name) => `iif(typeof(${name}) = 'blob', lower(hex(${name})), ${name}) AS ${name}`)
    const order = columns.map((_, index) => index + 1).join(", ")
    return columns.length === 0
      ? Effect.succeed([])
      : sql.unsafe<Row>(`SELECT ${shown.join(", ")} FROM "${table.replaceAll('"', '""')}" ORDER BY ${order}`)
  })

// internal

const names = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ name: string }>`
      SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`,
    (found) => found.map(({ name }) => name)
  )
)

const hex = (column: string, name: string) => `lower(hex(${column})) AS ${name}`

/** The tables of ours that are a matter of the operations alone. Local numbers are replaced by what they stand for. */
const ours: Readonly<Record<string, { readonly needs: ReadonlyArray<string>; readonly select: string }>> = {
  applecart_operations: {
    needs: ["applecart_operations"],
    select: `SELECT ${hex("o.id", "id")}, ${hex("l.author", "author")}, ${hex("l.log_id", "log_id")}, o.seq_num,
        ${hex("o.header", "header")}, ${hex("o.body", "body")}
      FROM applecart_operations AS o LEFT JOIN applecart_logs AS l USING (log) ORDER BY o.id`
  },
  applecart_logs: {
    needs: ["applecart_logs"],
    select: `SELECT ${hex("author", "author")}, ${hex("log_id", "log_id")}, head_seq_num, ${hex("head_id", "head_id")}, pruned_below
      FROM applecart_logs ORDER BY author, log_id`
  },
  applecart_inbox: {
    needs: ["applecart_inbox"],
    select: `SELECT ${hex("id", "id")}, status, processor, json_extract(reason, '$.tag') AS reason, ${hex("header", "header")},
        ${hex("body", "body")}
      FROM applecart_inbox ORDER BY id`
  },
  applecart_waiting: {
    needs: ["applecart_waiting"],
    select: `SELECT ${hex("w.until", "until")}, ${hex("i.id", "id")}
      FROM applecart_waiting AS w LEFT JOIN applecart_inbox AS i USING (entry) ORDER BY 1, 2`
  },
  applecart_wakes: { needs: ["applecart_wakes"], select: `SELECT ${hex("id", "id")} FROM applecart_wakes ORDER BY 1` },
  applecart_decisions: {
    needs: ["applecart_decisions"],
    select: `SELECT ${hex("id", "id")}, what FROM applecart_decisions ORDER BY id`
  },
  applecart_causal: {
    needs: ["applecart_causal"],
    select: `SELECT ${hex("id", "id")}, time, counter, named, unsettled FROM applecart_causal ORDER BY id`
  },
  applecart_causal_edges: {
    needs: ["applecart_causal_edges"],
    select: `SELECT ${hex("e.parent", "parent")}, ${hex("c.id", "child")}
      FROM applecart_causal_edges AS e LEFT JOIN applecart_causal AS c ON c.vertex = e.child ORDER BY 1, 2`
  },
  applecart_tombstones: {
    needs: ["applecart_tombstones", "applecart_decisions"],
    // What names a pruned operation is garbage.
    select: `SELECT ${hex("target", "target")}, ${hex("author", "author")} FROM applecart_tombstones
      WHERE target NOT IN (SELECT id FROM applecart_decisions WHERE what = 'pruned') ORDER BY 1, 2`
  }
}

/** The rows of one that the other has not, as often as they stand there. */
const without = (rows: ReadonlyArray<Row>, others: ReadonlyArray<Row>): ReadonlyArray<Row> => {
  const left = new Map<string, number>()
  for (const row of others) {
    const text = JSON.stringify(row)
    left.set(text, (left.get(text) ?? 0) + 1)
  }
  return rows.filter((row) => {
    const text = JSON.stringify(row)
    const count = left.get(text) ?? 0
    if (count > 0) left.set(text, count - 1)
    return count === 0
  })
}
