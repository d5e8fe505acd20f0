/**
 * The SQLite file beneath the tables: what becomes of the bytes of what was deleted, and of the room that it took.
 *
 * SQLite by itself only forgets where deleted bytes are. With `secure_delete` it writes zeros over them; in the write-ahead log
 * (`-wal`) they stay until it is emptied; and copies that SQLite made while it moved rows between pages only VACUUM removes.
 * docs/garbage.md has the measurements. Other databases look after their files themselves: nothing here touches them.
 */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { alone } from "./internal/alone.ts"
import * as Root from "./internal/root.ts"
import * as Rows from "./internal/rows.ts"
import * as SqlReason from "./SqlReason.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** How large the file is, without what still stands in its write-ahead log. */
export interface Size {
  readonly pages: number
  /** Pages that hold nothing: SQLite uses them before the file grows. */
  readonly freePages: number
  readonly bytes: number
}

/**
 * - `emptied`: nothing stands in the write-ahead log any more;
 * - `blocked`: somebody reads an older state of the database, and until then it has to stay;
 * - `none`: the database has no write-ahead log.
 */
export type Wal = "emptied" | "blocked" | "none"

const secureDelete = query("PRAGMA secure_delete = ON")

/**
 * From now on, whatever is deleted through this connection is overwritten with zeros. A setting of the connection, not of the
 * file: another process has its own.
 */
export const overwriteDeleted: Effect.Effect<void, SqlError, SqlClient> = onSqlite(
  Effect.asVoid(secureDelete()),
  undefined
)

const databaseList = query("PRAGMA database_list")

/** Where the file is, in full; none where the database is in memory, temporary, or not SQLite. */
export const path: Effect.Effect<string | undefined, SqlError, SqlClient> = onSqlite(
  Effect.map(databaseList(), (rows) => {
    const main = rows.find((row) => row["name"] === "main")
    const file = main === undefined ? null : main["file"]
    return typeof file === "string" && file !== "" ? file : undefined
  }),
  undefined
)

const pageCount = query("PRAGMA page_count")
const pageSize = query("PRAGMA page_size")
const freelistCount = query("PRAGMA freelist_count")
const autoVacuum = query("PRAGMA auto_vacuum")

/** How large the file is; none where the database is not SQLite. */
export const size: Effect.Effect<Size | undefined, SqlError, SqlClient> = onSqlite(
  Effect.gen(function* () {
    const pages = Rows.integer(first(yield* pageCount()), "page_count")
    const freePages = Rows.integer(first(yield* freelistCount()), "freelist_count")
    return { pages, freePages, bytes: pages * Rows.integer(first(yield* pageSize()), "page_size") }
  }),
  undefined
)

const incremental = 2
const freeOne = statement("PRAGMA incremental_vacuum(1)")

/** Gives free pages back to the file system, so many at the most, where the file is set up for it; gives how many. */
export const shrink = (limit: number): Effect.Effect<number, SqlError, SqlClient | Transaction> =>
  onSqlite(
    Effect.gen(function* () {
      if (Rows.integer(first(yield* autoVacuum()), "auto_vacuum") !== incremental) return 0
      const free = Rows.integer(first(yield* freelistCount()), "freelist_count")
      const pages = Math.min(limit, free)
      // The driver lets the statement take one step, which is one page, whatever number it is given.
      for (let page = 0; page < pages; page++) yield* freeOne()
      return pages
    }),
    0
  )

/**
 * Rewrites the whole file, so that nothing is in it but what the tables hold. Not in steps: the event loop stands still, other
 * writers wait, and for a while it needs the room twice. `busyLimit`: how long it waits for other writers.
 */
export const vacuum = (busyLimit: Duration.DurationInput): Effect.Effect<boolean, SqlError, SqlClient> =>
  onSqlite(
    alone((root) => Effect.as(Root.control(root, "VACUUM"), true)).pipe(
      Effect.retry({ while: isBusy, schedule: until(busyLimit) })
    ),
    false
  )

/** Writes the write-ahead log into the file and empties it. `busyLimit`: how long it waits for those who still need it. */
export const emptyWal = (busyLimit: Duration.DurationInput): Effect.Effect<Wal, SqlError, SqlClient> =>
  onSqlite(
    checkpoint.pipe(
      Effect.retry({ while: isBusy, schedule: until(busyLimit) }),
      Effect.catchAll((error) => (isBusy(error) ? Effect.succeed<Wal>("blocked") : Effect.fail(error)))
    ),
    "none"
  )

// internal

/** Somebody still needs what is in the write-ahead log. */
class Blocked extends Data.TaggedError("Blocked") {}

// Function declarations, since the constants above are made with them while the module loads.

function onSqlite<A, B, R>(
  self: Effect.Effect<A, SqlError, R>,
  otherwise: B
): Effect.Effect<A | B, SqlError, R | SqlClient> {
  return Effect.flatMap(SqlClient, (sql) =>
    sql.onDialectOrElse({
      sqlite: (): Effect.Effect<A | B, SqlError, R> => self,
      orElse: () => Effect.succeed(otherwise)
    })
  )
}

function first(rows: ReadonlyArray<Row>): Row {
  return rows[0] ?? {}
}

const isBusy = (error: SqlError | Blocked): error is Blocked =>
  error instanceof Blocked || SqlReason.of(error)._tag === "Busy"

const until = (busyLimit: Duration.DurationInput) => Schedule.spaced("25 millis").pipe(Schedule.upTo(busyLimit))

const checkpoint = Effect.flatMap(
  alone((root) => Root.control(root, "PRAGMA wal_checkpoint(TRUNCATE)")),
  (rows): Effect.Effect<Wal, Blocked> => {
    const row = first(rows)
    if (Rows.integer(row, "log") < 0) return Effect.succeed("none")
    return Rows.integer(row, "busy") === 0 ? Effect.succeed("emptied") : new Blocked()
  }
)
