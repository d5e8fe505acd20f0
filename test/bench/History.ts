/** A database that holds many accepted operations, as an ingest would have left it, and what a reader makes of them. */
import type BetterSqlite3 from "better-sqlite3"
import * as Either from "effect/Either"
import * as Cbor from "../../src/core/Cbor.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Hash from "../../src/core/Hash.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import * as Tables from "../../src/store/Tables.ts"
import * as Migrations from "../../src/store/Migrations.ts"
import * as Data from "./Data.ts"
import { Database } from "./Rows.ts"

/** The one table that a reader fills. */
export const readerTable = `CREATE TABLE bench_read (
  position INTEGER PRIMARY KEY, owner TEXT NOT NULL, apples INTEGER NOT NULL, note TEXT NOT NULL)`

/** How many different bodies there are; making a million would take longer than reading them. */
const bodies = 1000

const message = (messages: ReadonlyArray<Data.Message>, index: number): Data.Message =>
  messages[index % bodies] ?? { apples: 0, note: "", owner: "" }

/** Fills a new file with `count` signed operations by ten authors. */
export const fill = (crypto: Crypto.Service, filename: string, count: number): void => {
  const db = new Database(filename)
  db.pragma("journal_mode = WAL")
  db.pragma("synchronous = NORMAL")
  db.exec(migrationsTable)
  for (const [index, migration] of Tables.migrations.entries()) {
    for (const statement of migration.up) db.exec(statement)
    db.prepare(`INSERT INTO applecart_migrations VALUES (?, ?, ?, ?, 0)`).run(
      Tables.owner,
      index + 1,
      migration.name,
      Migrations.checksum(migration)
    )
  }
  insert(db, crypto, count)
  db.pragma("wal_checkpoint(TRUNCATE)")
  db.close()
}

/** What is wrong with the reader's table after it was handed everything, once each. */
export const problems = (filename: string, count: number): ReadonlyArray<string> => {
  const db = new Database(filename, { readonly: true })
  const found = db
    .prepare<
      [],
      { rows: number; apples: number; last: number }
    >(`SELECT count(*) AS rows, coalesce(sum(apples), 0) AS apples, coalesce(max(position), 0) AS last FROM bench_read`)
    .get()
  db.close()
  const messages = Data.messages(bodies, 1)
  let apples = 0
  for (let index = 0; index < count; index++) apples += message(messages, index).apples
  return found?.rows === count && found.apples === apples && found.last === count
    ? []
    : [`the reader's table has ${JSON.stringify(found)} instead of ${count} rows with ${apples} apples`]
}

/** The limit: the same rows read in pages and inserted by hand, one prepared statement each. Gives how many a second. */
export const raw = (filename: string, count: number, page: number): number => {
  const db = new Database(filename)
  db.pragma("synchronous = NORMAL")
  db.exec(readerTable.replace("bench_read", "bench_raw"))
  const read = db.prepare<[number, number], { position: number; header: Uint8Array; body: Uint8Array }>(
    `SELECT position, id, header, body, accepted_at FROM applecart_operations WHERE position > ? ORDER BY position LIMIT ?`
  )
  const write = db.prepare(`INSERT INTO bench_raw (position, owner, apples, note) VALUES (?, ?, ?, ?)`)
  const note = message(Data.messages(1, 1), 0).note
  const start = performance.now()
  for (let position = 0; position < count; position += page) {
    db.exec("BEGIN IMMEDIATE")
    for (const row of read.all(position, page)) write.run(row.position, "owner-1", 5, note)
    db.exec("COMMIT")
  }
  const seconds = (performance.now() - start) / 1000
  db.exec("DROP TABLE bench_raw")
  db.close()
  return count / seconds
}

// internal

const migrationsTable = `CREATE TABLE applecart_migrations (owner TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL,
  checksum TEXT NOT NULL, applied_at BIGINT NOT NULL, PRIMARY KEY (owner, number))`

const insert = (db: BetterSqlite3.Database, crypto: Crypto.Service, count: number): void => {
  const topic = Topic.named(crypto, "bench")
  const logId = Topic.logId(crypto, topic)
  const messages = Data.messages(bodies, 1)
  const encoded = messages.map((one) => Either.getOrThrow(Cbor.encode(one)))
  const keys = Array.from({ length: Data.authors }, (_, author) => Data.signingKey(author))
  const heads: Array<Hash.Hash | undefined> = []
  db.prepare(`INSERT INTO applecart_topics (topic, log_id, hash) VALUES (1, ?, ?)`).run(
    LogId.toBytes(logId),
    Topic.toBytes(topic)
  )
  const log = db.prepare(
    `INSERT INTO applecart_logs (log, author, log_id, topic, head_seq_num, head_id) VALUES (?, ?, ?, 1, ?, ?)
     ON CONFLICT (log) DO UPDATE SET head_seq_num = excluded.head_seq_num, head_id = excluded.head_id`
  )
  const operation = db.prepare(
    `INSERT INTO applecart_operations (position, id, log, seq_num, header, body, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?)`
  )
  db.exec("BEGIN")
  for (const [author, key] of keys.entries()) {
    log.run(author + 1, VerifyingKey.toBytes(crypto.verifyingKey(key)), LogId.toBytes(logId), 0, new Uint8Array(32))
  }
  for (let index = 0; index < count; index++) {
    const author = index % Data.authors
    const draft = { logId, timestamp: 1_786_000_000_000_000n + BigInt(index), prune: false, previous: [] }
    const extensions = Either.getOrThrow(NodeExtensions.encode(NodeExtensions.draft(draft)))
    const seqNum = Math.floor(index / Data.authors)
    const key = keys[author] ?? Data.signingKey(author)
    const body = encoded[index % bodies]
    const one = Either.getOrThrow(
      Operation.signWith(crypto)(key, { seqNum, backlink: heads[author], extensions, body })
    )
    heads[author] = one.id
    operation.run(
      index + 1,
      Hash.toBytes(one.id),
      author + 1,
      seqNum,
      one.headerBytes,
      one.body,
      1_786_000_000_000 + index
    )
    if (index % 10_000 === 9_999) db.exec("COMMIT; BEGIN")
  }
  for (const [author, key] of keys.entries()) {
    const head = heads[author]
    const last = Math.floor((count - 1 - author) / Data.authors)
    const id = head === undefined ? new Uint8Array(32) : Hash.toBytes(head)
    log.run(author + 1, VerifyingKey.toBytes(crypto.verifyingKey(key)), LogId.toBytes(logId), last, id)
  }
  db.exec("COMMIT")
}
