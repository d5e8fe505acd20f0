/** Whether a run left exactly the rows that it should have. A benchmark of something wrong is worth nothing. */
import * as Hash from "../../src/core/Hash.ts"
import type { Data, Item } from "./Data.ts"

/** A row as a driver gives it. */
export type Row = { readonly [column: string]: unknown }

/** The rows of the tables that a run writes, as {@link queries} reads them. */
export type Tables = Readonly<Record<keyof typeof queries, ReadonlyArray<Row>>>

/** What to read; every table is ordered. */
export const queries = {
  operations: `SELECT o.position, o.id, l.author, l.log_id, o.seq_num, o.header, o.body
    FROM applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log ORDER BY o.position`,
  logs: `SELECT author, log_id, head_seq_num, head_id FROM applecart_logs ORDER BY author`,
  application: `SELECT position, owner, apples, note FROM bench_apples ORDER BY position`
}

/** What should be there and is not, or is there and should not. Empty: all is well. */
export const problems = (tables: Tables, data: Data): ReadonlyArray<string> => [
  ...differences("operations", data.items.map(operationRow(data)), tables.operations),
  ...differences("logs", headRows(data), tables.logs),
  ...differences(
    "application",
    data.items.map(({ message }, index) => ({ position: index + 1, ...message })),
    tables.application
  )
]

// internal

const operationRow =
  (data: Data) =>
  ({ key, operation }: Item, index: number): Row => ({
    position: index + 1,
    id: Hash.toBytes(operation.id),
    author: key,
    log_id: data.logId,
    seq_num: operation.header.seqNum,
    header: operation.headerBytes,
    body: operation.body
  })

const headRows = (data: Data): ReadonlyArray<Row> => {
  const heads = new Map<string, Row>()
  for (const { key, operation } of data.items) {
    heads.set(operation.header.verifyingKey, {
      author: key,
      log_id: data.logId,
      head_seq_num: operation.header.seqNum,
      head_id: Hash.toBytes(operation.id)
    })
  }
  return Array.from(heads)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, row]) => row)
}

const differences = (table: string, wanted: ReadonlyArray<Row>, found: ReadonlyArray<Row>): ReadonlyArray<string> => {
  if (wanted.length !== found.length) return [`${table}: ${found.length} rows instead of ${wanted.length}`]
  const at = wanted.findIndex((row, index) => !sameRow(row, found[index] ?? {}))
  return at < 0 ? [] : [`${table}: row ${at + 1} differs`]
}

const sameRow = (wanted: Row, found: Row): boolean =>
  Object.entries(wanted).every(([column, value]) => same(value, found[column]))

const same = (a: unknown, b: unknown): boolean =>
  a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b
