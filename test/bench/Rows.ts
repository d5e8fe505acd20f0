/** The rows that an ingest leaves, written by hand with better-sqlite3, one prepared statement for each table. */
import type BetterSqlite3 from "better-sqlite3"
import { createRequire } from "node:module"
import * as Hash from "../../src/core/Hash.ts"
import * as Log from "../../src/core/Log.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import * as Tables from "../../src/store/Tables.ts"
import type * as Check from "./Check.ts"
import type * as Data from "./Data.ts"
import * as Mode from "./Mode.ts"

// The copy that the client uses; it is no dependency of ours.
const require = createRequire(createRequire(import.meta.url).resolve("@effect/sql-sqlite-node"))
export const Database: typeof BetterSqlite3 = require("better-sqlite3")

/** The table of the application that is measured. */
export const applicationTable = `CREATE TABLE bench_apples (
  position INTEGER PRIMARY KEY, owner TEXT NOT NULL, apples INTEGER NOT NULL, note TEXT NOT NULL)`

/** An operation that is to be written, of a log, with what the application makes of it. */
export type Entry = Pick<Data.Item, "operation" | "message" | "logId">

/** Writes operations in one transaction: the heads of their logs once each, two rows for each operation, the acknowledgement. */
export type Writer = (entries: ReadonlyArray<Entry>) => void

/** An empty database with the tables of an ingest. */
export const open = (filename: string, mode: Mode.Mode): BetterSqlite3.Database => {
  const db = new Database(filename)
  db.pragma("journal_mode = WAL")
  db.pragma(`synchronous = ${Mode.synchronous(mode)}`)
  for (const { up } of Tables.migrations) for (const statement of up) db.exec(statement)
  db.exec(applicationTable)
  db.exec(`INSERT INTO applecart_consumers (name, role, version, state, position, seen)
    VALUES ('bench', 'application', 1, 'live', 0, 0)`)
  return db
}

/** Whatever is said about their places. */
export const believing = (db: BetterSqlite3.Database): Writer => {
  const head = db.prepare<Array<unknown>, { log: number }>(
    `INSERT INTO applecart_logs (author, log_id, head_seq_num, head_id) VALUES (?, ?, ?, ?)
     ON CONFLICT (author, log_id) DO UPDATE SET head_seq_num = excluded.head_seq_num, head_id = excluded.head_id
     RETURNING log`
  )
  const write = rows(db)
  return (entries) => {
    write.begin()
    const newest = new Map(entries.map((entry) => [logOf(entry), entry]))
    const logs = new Map<string, number>()
    for (const [log, entry] of newest) {
      const { header, id } = entry.operation
      const row = head.get(...named(entry), header.seqNum, Hash.toBytes(id))
      if (row !== undefined) logs.set(log, row.log)
    }
    for (const entry of entries) write.operation(entry, logs.get(logOf(entry)))
    write.commit()
  }
}

/** After a look at the heads, which each operation has to follow. */
export const checking = (db: BetterSqlite3.Database): Writer => {
  const read = db.prepare<Array<unknown>, { log: number; head_seq_num: number; head_id: Uint8Array }>(
    `SELECT log, head_seq_num, head_id FROM applecart_logs WHERE author = ? AND log_id = ?`
  )
  const insert = db.prepare<Array<unknown>, { log: number }>(
    `INSERT INTO applecart_logs (author, log_id, head_seq_num, head_id) VALUES (?, ?, -1, x'') RETURNING log`
  )
  const update = db.prepare(`UPDATE applecart_logs SET head_seq_num = ?, head_id = ? WHERE log = ?`)
  const write = rows(db)
  /** The place of a log's head, as it is or as it begins. */
  const headOf = (entry: Entry): Head => {
    const row = read.get(...named(entry))
    if (row !== undefined) return { log: row.log, seqNum: row.head_seq_num, id: Hash.fromBytes(row.head_id) }
    return { log: insert.get(...named(entry))?.log ?? 0, seqNum: -1, id: undefined }
  }
  return (entries) => {
    write.begin()
    const heads = new Map<string, Head>()
    for (const entry of entries) {
      const name = logOf(entry)
      const head = heads.get(name) ?? headOf(entry)
      const { header, id } = entry.operation
      if (header.seqNum !== head.seqNum + 1 || header.backlink !== head.id) throw new Error(`${id} is not the next one`)
      write.operation(entry, head.log)
      heads.set(name, { log: head.log, seqNum: header.seqNum, id })
    }
    for (const { id, log, seqNum } of heads.values()) if (id !== undefined) update.run(seqNum, Hash.toBytes(id), log)
    write.commit()
  }
}

/** What is there, to be compared with what should be. */
export const read = (db: BetterSqlite3.Database, queries: typeof Check.queries): Check.Tables => ({
  operations: db.prepare<[], Check.Row>(queries.operations).all(),
  logs: db.prepare<[], Check.Row>(queries.logs).all(),
  application: db.prepare<[], Check.Row>(queries.application).all()
})

// internal

interface Head {
  readonly log: number
  readonly seqNum: number
  readonly id: Hash.Hash | undefined
}

const logOf = ({ logId, operation }: Entry): Log.Key => Log.key(operation.header.verifyingKey, logId)

/** The author and the log id, as the tables have them. */
const named = ({ logId, operation }: Entry): [Uint8Array, Uint8Array] => [
  VerifyingKey.toBytes(operation.header.verifyingKey),
  LogId.toBytes(logId)
]

const rows = (db: BetterSqlite3.Database) => {
  const begin = db.prepare("BEGIN IMMEDIATE")
  const commit = db.prepare("COMMIT")
  const operations = db.prepare(
    `INSERT INTO applecart_operations (position, id, log, seq_num, header, body, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?)`
  )
  const apples = db.prepare(`INSERT INTO bench_apples (position, owner, apples, note) VALUES (?, ?, ?, ?)`)
  const acknowledge = db.prepare(`UPDATE applecart_consumers SET position = ?, seen = ? WHERE role = 'application'`)
  let position = 0
  let now = 0
  return {
    begin: () => {
      now = Date.now()
      begin.run()
    },
    operation: ({ message, operation: one }: Entry, log: number | undefined) => {
      position += 1
      operations.run(position, Hash.toBytes(one.id), log, one.header.seqNum, one.headerBytes, one.body, now)
      apples.run(position, message.owner, message.apples, message.note)
    },
    commit: () => {
      acknowledge.run(position, position)
      commit.run()
    }
  }
}
