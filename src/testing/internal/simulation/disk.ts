/**
 * A disk with a database on it. It is kept in memory, and holds what a file would: what was committed is there after a crash, and
 * what was not is gone. A disk that lies about its writes loses the last commits as well.
 */
import Sqlite from "better-sqlite3"
import type { Row } from "./connection.ts"

/** The bytes of a database. */
export type Image = Uint8Array

export class Disk {
  private database: Sqlite.Database
  private readonly statements = new Map<string, Sqlite.Statement<Array<unknown>>>()
  /** What was there after the last commits, oldest first, as far as they may be lost. */
  private readonly commits: Array<Buffer> = []
  private readonly keeps: number

  /** `keeps`: how many commits a crash may take with it. */
  constructor(image: Image | undefined, keeps = 0) {
    this.keeps = keeps
    this.database = image === undefined ? open(":memory:") : open(Buffer.from(image))
  }

  /** Runs a statement; throws what SQLite says. */
  run(sql: string, params: ReadonlyArray<unknown>, { raw = false, safe = false } = {}): ReadonlyArray<Row> {
    const statement = this.prepare(sql)
    statement.safeIntegers(safe)
    if (!statement.reader) {
      statement.run(...params)
      if (this.keeps > 0 && /^\s*commit\b/i.test(sql)) this.remember()
      return []
    }
    // What a driver gives for a row is its word; nobody can check it here.
    if (!raw) return statement.all(...params) as ReadonlyArray<Row>
    try {
      return statement.raw(true).all(...params) as ReadonlyArray<Row>
    } finally {
      statement.raw(false)
    }
  }

  /** What is committed. */
  image(): Image {
    if (this.database.inTransaction) this.database.exec("ROLLBACK")
    return this.database.serialize()
  }

  /** The machine stops. What was not committed is lost, and `lost` commits with it, as far as they are remembered. */
  crash(lost = 0): void {
    const image = this.commits.at(-1 - lost) ?? this.commits[0] ?? Buffer.from(this.image())
    this.close()
    this.database = open(image)
    this.commits.length = 0
    if (this.keeps > 0) this.commits.push(image)
  }

  close(): void {
    this.statements.clear()
    this.database.close()
  }

  private prepare(sql: string): Sqlite.Statement<Array<unknown>> {
    const known = this.statements.get(sql)
    if (known !== undefined) return known
    const statement = this.database.prepare<Array<unknown>>(sql)
    this.statements.set(sql, statement)
    return statement
  }

  private remember(): void {
    this.commits.push(this.database.serialize())
    if (this.commits.length > this.keeps + 1) this.commits.shift()
  }
}

// internal

/** Nobody else has it, so there is nothing to be waited for. */
const open = (what: string | Buffer): Sqlite.Database => new Sqlite(what, { timeout: 0 })
