/** Ways to damage a database file. */
import type Sqlite from "better-sqlite3"
import * as fs from "node:fs"
import type { Unit } from "../Row.ts"
import * as Look from "./Look.ts"

/** Damages a file in one of these ways; says how. */
export const damages = (file: string, unit: Unit): string => {
  const way = unit.below(3)
  if (way === 0) return byHand(file, unit)
  const bits = 1 << unit.below(7)
  if (way === 1) {
    flip(file, unit, bits, 0, fs.statSync(file).size)
    return `${bits} bits`
  }
  // Where the operations are, page by page, so that a few bits hit something.
  const pages = pagesOf(file, "applecart_operations")
  const page = pages[unit.below(pages.length)] ?? 1
  flip(file, unit, bits, (page - 1) * 4096, page * 4096)
  return `${bits} bits in page ${page}`
}

/** Flips bits of a file, in a part of it. */
export const flip = (file: string, { below }: Unit, bits: number, from: number, to: number): void => {
  if (to <= from) return
  const bytes = fs.readFileSync(file)
  for (let n = 0; n < bits; n++) {
    const at = from + below(to - from)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
  }
  fs.writeFileSync(file, bytes)
}

// internal

const pagesOf = (file: string, table: string): ReadonlyArray<number> =>
  Look.with_(file, (db) =>
    (db.prepare(`SELECT pageno FROM dbstat WHERE name = ?`).all(table) as Array<{ pageno: number }>).map(
      ({ pageno }) => pageno
    )
  )

type Edit = (db: Sqlite.Database, unit: Unit) => string

const byHand = (file: string, unit: Unit): string =>
  Look.with_(file, (db) => {
    db.pragma("foreign_keys = OFF")
    const said: Array<string> = []
    for (let n = 1 + unit.below(3); n > 0; n--) {
      const edit = edits[unit.below(edits.length)]
      try {
        if (edit !== undefined) said.push(edit(db, unit))
      } catch (error) {
        // A constraint was in the way; another edit then.
        if (!(error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_CONSTRAINT")))
          throw error
      }
    }
    return said.join(", ")
  })

const any = (db: Sqlite.Database, { below }: Unit, table: string, key: string): unknown => {
  const all = db.prepare(`SELECT ${key} AS key FROM ${table} ORDER BY 1`).pluck().all()
  return all[below(Math.max(1, all.length))]
}

const one =
  (table: string, key: string, set: string): Edit =>
  (db, unit) => {
    const at = any(db, unit, table, key)
    db.prepare(`UPDATE ${table} SET ${set} WHERE ${key} = ?`).run(at)
    return `${table} ${String(at)}: ${set}`
  }

const operation = (set: string) => one("applecart_operations", "position", set)
const log = (set: string) => one("applecart_logs", "log", set)
const entry = (set: string) => one("applecart_inbox", "entry", set)

/** A byte in the middle becomes another one. */
const other = (column: string) => `${column} = CAST(substr(${column}, 1, 20) || x'5a' || substr(${column}, 22) AS BLOB)`

const edits: ReadonlyArray<Edit> = [
  operation(other("id")),
  operation(other("header")),
  operation(other("body")),
  operation("body = NULL"),
  operation("header = x''"),
  operation("header = substr(header, 1, 90)"),
  operation("seq_num = seq_num + 7"),
  operation("log = log + 1"),
  operation("log = 77"),
  operation("position = position + 1000"),
  (db, unit) => {
    const at = any(db, unit, "applecart_operations", "position")
    db.prepare(`DELETE FROM applecart_operations WHERE position = ?`).run(at)
    return `deleted ${String(at)}`
  },
  (db, unit) => {
    const [a, b] = [1, 2].map(() => any(db, unit, "applecart_operations", "position"))
    const row = db.prepare(`SELECT header, body FROM applecart_operations WHERE position = ?`)
    const [first, second] = [row.get(a), row.get(b)] as Array<{ header: unknown; body: unknown }>
    const set = db.prepare(`UPDATE applecart_operations SET header = ?, body = ? WHERE position = ?`)
    set.run(second?.header, second?.body, a)
    set.run(first?.header, first?.body, b)
    return `swapped ${String(a)} and ${String(b)}`
  },
  log("head_seq_num = head_seq_num + 1"),
  log("head_seq_num = 0"),
  log(other("head_id")),
  log(other("author")),
  log(other("log_id")),
  log("pruned_below = pruned_below + 1"),
  log("topic = NULL"),
  entry(other("id")),
  entry(other("header")),
  entry(other("author")),
  entry("status = 'waiting'"),
  entry("topic = x'00'"),
  (db) => {
    db.prepare(`UPDATE sqlite_sequence SET seq = seq - 3 WHERE name = 'applecart_operations'`).run()
    return "sequence"
  },
  (db) => {
    db.prepare(`DELETE FROM applecart_waiting`).run()
    return "nobody waits"
  },
  (db) => {
    db.prepare(`UPDATE applecart_inbox_shares SET operations = operations + 1`).run()
    return "shares"
  }
]
