/** Reads databases past the library: what is stored, and whether it holds together. Shares no code with what it checks. */
import Sqlite from "better-sqlite3"
import * as crypto from "node:crypto"
import * as fs from "node:fs"

export type Row = Record<string, unknown>

/** An accepted operation as it stands in its table. */
export interface Stored {
  readonly position: number
  readonly id: string
  readonly place: string
  readonly header: string
  readonly body: string | null
}

export const with_ = <A>(file: string, use: (db: Sqlite.Database) => A): A => {
  const db = new Sqlite(file)
  try {
    return use(db)
  } finally {
    db.close()
  }
}

const sql = `SELECT o.position, lower(hex(o.id)) AS id, lower(hex(l.author)) || '/' || lower(hex(l.log_id)) || '/' || o.seq_num AS place,
  lower(hex(o.header)) AS header, CASE WHEN o.body IS NULL THEN NULL ELSE lower(hex(o.body)) END AS body
  FROM applecart_operations AS o LEFT JOIN applecart_logs AS l ON l.log = o.log`

export const operations = (file: string): ReadonlyArray<Stored> =>
  with_(file, (db) => db.prepare(`${sql} ORDER BY o.position`).all() as Array<Stored>)

/** The rows of these positions, each by itself; `undefined` where it is not there or cannot be read. */
export const singly = (file: string, positions: ReadonlyArray<number>): ReadonlyArray<Stored | undefined> =>
  with_(file, (db) => {
    const get = attempt(() => db.prepare(`${sql} WHERE o.position = ?`))
    return positions.map((position) => attempt(() => get?.get(position) as Stored | undefined))
  })

/** What lasts, whatever the order things came in. */
export const lasting = (file: string): string =>
  with_(file, (db) =>
    JSON.stringify([
      db.prepare(`SELECT id, place, header, body FROM (${sql}) ORDER BY id`).all(),
      db.prepare(`SELECT hex(id) AS id, status, hex(body) AS body FROM applecart_inbox ORDER BY id`).all(),
      db.prepare(`SELECT hex(id) AS id, what FROM applecart_decisions ORDER BY id`).all(),
      db.prepare(`SELECT hex(target) AS target, hex(author) AS author FROM applecart_tombstones ORDER BY 1, 2`).all(),
      db.prepare(`SELECT id, hex(text) AS text FROM texts ORDER BY id`).all(),
      db.prepare(`SELECT hex(id) AS id, time, counter, named FROM applecart_causal ORDER BY id`).all()
    ])
  )

/** Every row of every table. */
export const fingerprint = (file: string): string =>
  with_(file, (db) => {
    const tables = db.prepare(`SELECT name, sql FROM sqlite_schema ORDER BY name`).all() as ReadonlyArray<Row>
    const hash = crypto.createHash("sha256").update(JSON.stringify(tables))
    for (const { name, sql } of tables) {
      if (typeof sql === "string" && /^CREATE TABLE/.test(sql))
        hash.update(JSON.stringify(db.prepare(`SELECT * FROM "${name}"`).all()))
    }
    return hash.digest("hex")
  })

/** What of the promises does not hold in a database of {@link World}. */
export const broken = (file: string): ReadonlyArray<string> =>
  with_(file, (db) => {
    const found: Array<string> = []
    const none = (promise: string, text: string) => {
      const rows = db.prepare(text).all()
      if (rows.length > 0) found.push(`${promise}: ${JSON.stringify(rows.slice(0, 3), hexed)}`)
    }
    if (!has(db, "applecart_operations")) return found
    none("P1 SQLite complains", "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'")
    none("P1 a reference leads nowhere", "SELECT * FROM pragma_foreign_key_check")
    none(
      "P3 an operation is in two places",
      `SELECT id FROM applecart_inbox INTERSECT SELECT id FROM applecart_operations`
    )
    none(
      "P5 a log has a gap",
      `SELECT o.log, o.seq_num FROM applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log
       WHERE o.seq_num > l.pruned_below
         AND NOT EXISTS (SELECT 1 FROM applecart_operations AS p WHERE p.log = o.log AND p.seq_num = o.seq_num - 1)`
    )
    none(
      "P5 a head is not the last operation",
      `SELECT l.log FROM applecart_logs AS l LEFT JOIN applecart_operations AS o ON o.log = l.log AND o.seq_num = l.head_seq_num
       WHERE o.id IS NOT l.head_id OR EXISTS (SELECT 1 FROM applecart_operations AS p WHERE p.log = l.log AND p.seq_num > l.head_seq_num)`
    )
    if (has(db, "texts")) {
      none(
        "P1, P2 effects are not those of the accepted operations",
        `SELECT coalesce(o.position, t.position) AS position FROM texts AS t FULL JOIN
           (SELECT * FROM applecart_operations WHERE id NOT IN (SELECT id FROM applecart_decisions WHERE what = 'skipped')) AS o
           ON o.position = t.position
         WHERE t.id IS NOT lower(hex(o.id)) OR t.text IS NOT o.body`
      )
      none(
        "P1 the acknowledgement is not the last position",
        `SELECT position, seq FROM applecart_consumers, sqlite_sequence
         WHERE role = 'application' AND sqlite_sequence.name = 'applecart_operations' AND position <> seq`
      )
    }
    none(
      "P3 something waits for nothing",
      `SELECT id FROM applecart_inbox AS i WHERE status = 'waiting'
         AND NOT EXISTS (SELECT 1 FROM applecart_waiting AS w WHERE w.entry = i.entry)`
    )
    return found
  })

export const remove = (file: string): void => {
  for (const end of ["", "-wal", "-shm", "-journal"]) fs.rmSync(file + end, { force: true })
}

// internal

const has = (db: Sqlite.Database, name: string) =>
  db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = ?`).get(name) !== undefined

const hexed = (_: string, value: unknown) =>
  typeof value === "object" && value !== null && "type" in value && value.type === "Buffer" && "data" in value
    ? Buffer.from(value.data as Array<number>).toString("hex")
    : value

const attempt = <A>(self: () => A): A | undefined => {
  try {
    return self()
  } catch {
    return undefined
  }
}
