/**
 * The limits: signatures checked one after the other by the library alone, and the same rows inserted by hand with
 * better-sqlite3, one prepared statement per table.
 */
import type BetterSqlite3 from "better-sqlite3"
import { createRequire } from "node:module"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Hash from "../../src/core/Hash.ts"
import * as Tables from "../../src/store/Tables.ts"
import * as Check from "./Check.ts"
import * as Data from "./Data.ts"
import * as Mode from "./Mode.ts"
import { type Measured, timed } from "./Timing.ts"

/** The table of the application that is measured. */
export const applicationTable = `CREATE TABLE bench_apples (
  position INTEGER PRIMARY KEY, owner TEXT NOT NULL, apples INTEGER NOT NULL, note TEXT NOT NULL)`

/** Checks the signature of every operation, on one thread, with everything prepared that can be. */
export const signatures = async (crypto: Crypto.Service, data: Data.Data): Promise<Measured> => {
  let good = 0
  const time = await timed(async () => {
    for (const { key, operation, signed } of data.items) {
      if (crypto.verify(key, signed, operation.header.signature)) good += 1
    }
  })
  const count = data.items.length
  return { count, ...time, problems: good === count ? [] : [`${count - good} good signatures were refused`] }
}

/** Signs every header again. */
export const signing = async (crypto: Crypto.Service, data: Data.Data): Promise<Measured> => {
  const keys = Array.from({ length: Data.authors }, (_, author) => Data.signingKey(author))
  const made: Array<Uint8Array> = []
  const time = await timed(async () => {
    for (const [index, { signed }] of data.items.entries()) {
      const key = keys[index % keys.length]
      if (key !== undefined) made.push(crypto.sign(key, signed))
    }
  })
  const wrong = data.items.filter(
    ({ operation }, index) => Buffer.compare(operation.header.signature, made[index] ?? new Uint8Array()) !== 0
  )
  return { count: made.length, ...time, problems: wrong.length === 0 ? [] : [`${wrong.length} signatures differ`] }
}

/** Inserts the rows that `ingest` leaves. */
export const inserts = (data: Data.Data, mode: Mode.Mode, batching: Mode.Batching): Promise<Measured> =>
  Mode.withFile(mode, async (filename) => {
    const db = new Database(filename)
    try {
      db.pragma("journal_mode = WAL")
      db.pragma(`synchronous = ${Mode.synchronous(mode)}`)
      for (const { up } of Tables.migrations) for (const statement of up) db.exec(statement)
      db.exec(applicationTable)
      const write = writer(db, data.logId)
      const size = Mode.batchSize(batching)
      const time = await timed(async () => {
        for (let at = 0; at < data.items.length; at += size) write(data.items.slice(at, at + size))
      })
      const tables = {
        operations: db.prepare<[], Check.Row>(Check.queries.operations).all(),
        logs: db.prepare<[], Check.Row>(Check.queries.logs).all(),
        application: db.prepare<[], Check.Row>(Check.queries.application).all()
      }
      return { count: data.items.length, ...time, problems: Check.problems(tables, data) }
    } finally {
      db.close()
    }
  })

// internal

// The copy that the client uses; it is no dependency of ours.
const require = createRequire(createRequire(import.meta.url).resolve("@effect/sql-sqlite-node"))
export const Database: typeof BetterSqlite3 = require("better-sqlite3")

/** Writes operations in one transaction: the heads of their logs once each, then two rows for each operation. */
const writer = (db: BetterSqlite3.Database, logId: Uint8Array) => {
  const begin = db.prepare("BEGIN IMMEDIATE")
  const commit = db.prepare("COMMIT")
  const head = db.prepare<Array<unknown>, { log: number }>(
    `INSERT INTO applecart_logs (author, log_id, head_seq_num, head_id) VALUES (?, ?, ?, ?)
     ON CONFLICT (author, log_id) DO UPDATE SET head_seq_num = excluded.head_seq_num, head_id = excluded.head_id
     RETURNING log`
  )
  const operation = db.prepare(
    `INSERT INTO applecart_operations (position, id, log, seq_num, header, body, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?)`
  )
  const row = db.prepare(`INSERT INTO bench_apples (position, owner, apples, note) VALUES (?, ?, ?, ?)`)
  let position = 0
  return (items: ReadonlyArray<Data.Item>) => {
    begin.run()
    const newest = new Map(items.map((item) => [item.operation.header.verifyingKey, item]))
    const logs = new Map<string, number | undefined>()
    for (const [author, { key, operation }] of newest) {
      logs.set(author, head.get(key, logId, operation.header.seqNum, Hash.toBytes(operation.id))?.log)
    }
    const now = Date.now()
    for (const { message, operation: one } of items) {
      const { seqNum, verifyingKey } = one.header
      position += 1
      operation.run(position, Hash.toBytes(one.id), logs.get(verifyingKey), seqNum, one.headerBytes, one.body, now)
      row.run(position, message.owner, message.apples, message.note)
    }
    commit.run()
  }
}
