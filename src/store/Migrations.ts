/**
 * Brings a database's tables to the form that this version knows. Each owner (the store, a processor, an application) has
 * its own list, whose applied part never changes: what was applied is kept with a checksum and compared on every opening.
 *
 * The table `applecart_migrations` holds a row per applied migration: owner, number (from 1), name, checksum, applied_at.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { damaged } from "./internal/damaged.ts"
import * as Transaction from "./Transaction.ts"

/** A step from one form of an owner's tables to the next. Never edited, renamed, moved or removed after a release. */
export interface Migration {
  /** Says what it does. */
  readonly name: string
  /** Statements, one each, run in order. */
  readonly up: ReadonlyArray<string>
}

/** The migrations of one owner, oldest first. */
export interface Owned {
  readonly owner: string
  readonly migrations: ReadonlyArray<Migration>
}

/** A migration that the database has is not the one that this program has. Nothing was touched. */
export class MigrationChanged extends Schema.TaggedError<MigrationChanged>()("MigrationChanged", {
  owner: Schema.String,
  /** Its place in the owner's list, from 1. */
  number: Schema.Int,
  /** The name that this program has for it. */
  name: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Migration ${this.number} (${this.name}) of ${this.owner} does not match the database: ${this.detail}. Leave released migrations as they were and add a new one at the end of the list.`
  }
}

/** The database was opened by a newer version, which applied migrations that this one does not have. Nothing was touched. */
export class DatabaseNewer extends Schema.TaggedError<DatabaseNewer>()("DatabaseNewer", {
  owner: Schema.String,
  known: Schema.Int,
  applied: Schema.Int
}) {
  override get message() {
    return `The database has ${this.applied} migrations of ${this.owner}, this program knows ${this.known}. Open it with a version at least as new as the one that wrote it.`
  }
}

/** Why a database is refused. */
export const MigrationError = Schema.Union(MigrationChanged, DatabaseNewer)
export type MigrationError = typeof MigrationError.Type

/**
 * Applies what is missing, all of it in one transaction. A database that is up to date is only read, one that is refused is
 * not changed. When two processes open a database at once, the second waits and finds the work done.
 *
 * Fails with {@link MigrationError}, or with a `SqlError` that names the migration and its statement. Two sets of one owner
 * are a defect.
 *
 * @example
 * Migrations.run([{ owner: "apples", migrations: [{ name: "baskets", up: ["CREATE TABLE baskets (...)"] }] }])
 */
export const run = (sets: ReadonlyArray<Owned>): Effect.Effect<void, SqlError | MigrationError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const twice = sets.find((set, index) => sets.findIndex((other) => other.owner === set.owner) !== index)
    if (twice !== undefined) return yield* Effect.dieMessage(`Two sets of migrations have the owner ${twice.owner}`)
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    if ((yield* pending(sql, sets)).length === 0) return
    yield* Transaction.run(
      Effect.gen(function* () {
        yield* alone(sql)
        // Looked at again: it may have been somebody else's work that we waited for.
        const missing = yield* pending(sql, sets)
        if (missing.length === 0) return
        yield* create
        for (const one of missing) yield* apply(sql, one)
      })
    )
  })

/** Whether nothing is missing. Reads only, and refuses what {@link run} refuses. */
export const areApplied = (
  sets: ReadonlyArray<Owned>
): Effect.Effect<boolean, SqlError | MigrationError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    return (yield* pending(sql, sets)).length === 0
  })

/**
 * The checksum of a migration's statements: FNV-1a, 64 bits, over their UTF-16 code units as JSON. It is there to notice
 * mistakes; whoever could forge it can write the table too, so it need not be a cryptographic hash.
 */
export const checksum = (migration: Migration): string => {
  const text = JSON.stringify(migration.up)
  let hash = 0xcbf29ce484222325n
  for (let at = 0; at < text.length; at++) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(text.charCodeAt(at))) * 0x100000001b3n)
  }
  return hash.toString(16).padStart(16, "0")
}

// internal

interface Pending {
  readonly owner: string
  readonly number: number
  readonly migration: Migration
}

const AppliedRow = Schema.Struct({
  owner: Schema.String,
  number: Schema.Number,
  name: Schema.String,
  checksum: Schema.String
})
type Applied = typeof AppliedRow.Type

const create = Transaction.statement(`CREATE TABLE IF NOT EXISTS applecart_migrations (
  owner TEXT NOT NULL,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  applied_at BIGINT NOT NULL,
  PRIMARY KEY (owner, number)
)`)()

/** PostgreSQL has many writers; until the end of the transaction only one of them migrates. SQLite has one anyway. */
const alone = (sql: SqlClient.SqlClient): Effect.Effect<unknown, SqlError> =>
  sql.onDialectOrElse({
    pg: () => sql`SELECT pg_advisory_xact_lock(hashtext('applecart_migrations'))`,
    orElse: () => Effect.void
  })

/** What is to be applied. Reads only. */
const pending = (
  sql: SqlClient.SqlClient,
  sets: ReadonlyArray<Owned>
): Effect.Effect<ReadonlyArray<Pending>, SqlError | MigrationError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const applied = yield* readApplied(sql)
    const missing: Array<Pending> = []
    for (const { owner, migrations } of sets) {
      const mine = new Map(applied.filter((row) => row.owner === owner).map((row) => [row.number, row]))
      const newest = Math.max(0, ...mine.keys())
      if (newest > migrations.length) {
        return yield* new DatabaseNewer({ owner, known: migrations.length, applied: newest })
      }
      for (const [index, migration] of migrations.entries()) {
        const number = index + 1
        if (number > newest) missing.push({ owner, number, migration })
        else yield* compare(owner, number, migration, mine.get(number))
      }
    }
    return missing
  })

// Fixed texts and no templates: whoever is interrupted while it opens a database must not take the connection along.
const selectTableSqlite = Transaction.query(
  `SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'applecart_migrations'`
)
const selectTableOther = Transaction.query(
  `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'applecart_migrations'`
)
const selectApplied = Transaction.query(
  `SELECT owner, number, name, checksum FROM applecart_migrations ORDER BY owner, number`
)

const readApplied = (sql: SqlClient.SqlClient): Effect.Effect<ReadonlyArray<Applied>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const table = yield* sql.onDialectOrElse({ sqlite: selectTableSqlite, orElse: selectTableOther })
    if (table.length === 0) return []
    const rows = yield* selectApplied()
    // The table is ours: what does not fit it is damaged.
    return yield* Effect.mapError(Schema.decodeUnknown(Schema.Array(AppliedRow))(rows), ({ message }) =>
      damaged("of applecart_migrations", "what was applied", message)
    )
  })

const compare = (
  owner: string,
  number: number,
  migration: Migration,
  row: Applied | undefined
): Effect.Effect<void, MigrationChanged> => {
  const refuse = (detail: string) => Effect.fail(new MigrationChanged({ owner, number, name: migration.name, detail }))
  if (row === undefined) return refuse("it was never applied, though later ones were")
  if (row.name !== migration.name) return refuse(`there it is called ${row.name}`)
  if (row.checksum !== checksum(migration)) return refuse("its statements are others")
  return Effect.void
}

const apply = (
  sql: SqlClient.SqlClient,
  { migration, number, owner }: Pending
): Effect.Effect<void, SqlError, Transaction.Transaction> =>
  Effect.gen(function* () {
    for (const [index, text] of migration.up.entries()) {
      yield* Effect.mapError(
        Transaction.statement(text)(),
        (cause) =>
          new SqlError({
            cause,
            message: `Migration ${number} (${migration.name}) of ${owner}, statement ${index + 1} failed: ${detail(cause)}`
          })
      )
    }
    const row = { owner, number, name: migration.name, checksum: checksum(migration) }
    yield* sql`INSERT INTO applecart_migrations ${sql.insert({ ...row, applied_at: yield* Clock.currentTimeMillis })}`
  })

const detail = (error: SqlError) => (error.cause instanceof Error ? error.cause.message : error.message)
