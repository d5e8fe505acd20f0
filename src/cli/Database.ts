/** How the verbs open a database: to look at it, to record something in it, or to work on it through a stream controller. */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Application from "../pipeline/Application.ts"
import * as Pipeline from "../pipeline/Pipeline.ts"
import * as CausalOrder from "../processors/CausalOrder.ts"
import * as Deletion from "../processors/Deletion.ts"
import * as LogIntegrity from "../processors/LogIntegrity.ts"
import * as Pruning from "../processors/Pruning.ts"
import * as Inspect from "../store/Inspect.ts"
import * as Migrations from "../store/Migrations.ts"
import * as Tables from "../store/Tables.ts"
import * as Transaction from "../store/Transaction.ts"
import * as StreamController from "../stream/StreamController.ts"

/** There is no applecart database in this file. Nothing was written. */
export class NoDatabase extends Data.TaggedError("NoDatabase")<{ readonly file: string; readonly detail: string }> {
  override get message() {
    return `${this.file} is no applecart database: ${this.detail}`
  }
}

/** The file could not be opened as a database. */
export class CannotOpen extends Data.TaggedError("CannotOpen")<{
  readonly file: string
  readonly code: string | undefined
  readonly detail: string
}> {
  override get message() {
    return `${this.file} cannot be opened: ${this.detail}${this.code === undefined ? "" : ` (${this.code})`}. Check that its directory is there and may be written to, and that no other process holds it.`
  }
}

/** The tables are those of an older version. Nothing was written. */
export class OldDatabase extends Data.TaggedError("OldDatabase")<{ readonly file: string }> {
  override get message() {
    return `${this.file} has the tables of an older version of applecart. Open it once with the program that it belongs to, built with this version: that brings them up to date.`
  }
}

/** Why a database cannot be looked at. */
export type LookError = NoDatabase | CannotOpen | PlatformError | SqlError

/** Runs something that reads, on a file that may be damaged: nothing is asked of it before. Another process may be writing to it. */
export const examine = <A, E, R>(
  file: string,
  use: Effect.Effect<A, E, R>
): Effect.Effect<A, E | LookError, Exclude<R, SqlClient.SqlClient> | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    yield* mustExist(file)
    // Not opened read-only: SQLite would leave its -shm and -wal files behind, and could not recover after a crash.
    const client = yield* open(file, { filename: file, disableWAL: true })
    yield* client.unsafe("PRAGMA query_only = ON")
    return yield* Effect.provideService(use, SqlClient.SqlClient, client)
  }).pipe(Effect.scoped)

/** Runs something that reads, on a database that is there. */
export const look = <A, E, R>(
  file: string,
  use: Effect.Effect<A, E, R>
): Effect.Effect<A, E | LookError, Exclude<R, SqlClient.SqlClient> | FileSystem.FileSystem> =>
  examine(
    file,
    Effect.flatMap(
      Inspect.isStore,
      (found): Effect.Effect<A, E | NoDatabase, R> => (found ? use : new NoDatabase({ file, detail: noTables }))
    )
  )

/** Runs something that reads what is recorded of consumers. */
export const lookAtConsumers = <A, E, R>(
  file: string,
  use: Effect.Effect<A, E, R>
): Effect.Effect<A, E | LookError | OldDatabase, Exclude<R, SqlClient.SqlClient> | FileSystem.FileSystem> =>
  look(
    file,
    Effect.flatMap(
      Inspect.hasConsumers,
      (found): Effect.Effect<A, E | OldDatabase, R> => (found ? use : new OldDatabase({ file }))
    )
  )

/**
 * Runs something in one transaction that only records what the program of the database is to do: without a controller, since its
 * handlers are not known here, and so also on the database of an application. What it reports is on the disk.
 */
export const record = <A, E, R>(file: string, use: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    yield* mustExist(file)
    const client = yield* openToWrite(file)
    return yield* Effect.gen(function* () {
      if (!(yield* Inspect.isStore)) return yield* new NoDatabase({ file, detail: noTables })
      // Whoever opens the database with its handlers brings the tables up to date; they are not touched here.
      const own = [{ owner: Tables.owner, migrations: Tables.migrations }]
      if (!(yield* Migrations.areApplied(own))) return yield* new OldDatabase({ file })
      return yield* Transaction.run(use)
    }).pipe(Effect.provideService(SqlClient.SqlClient, client))
  }).pipe(Effect.scoped)

/** Runs something that mends what is in a file, whoever it belongs to: no handler is asked. */
export const mend = <A, E, R>(file: string, use: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    yield* mustExist(file)
    return yield* Effect.provideService(use, SqlClient.SqlClient, yield* openToWrite(file))
  }).pipe(Effect.scoped)

/** Hands over the client of a new file. */
export const fresh = <A, E, R>(file: string, use: (client: SqlClient.SqlClient) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(openToWrite(file), use))

/** A controller that accepts whatever the system layers allow. */
export type Controller = StreamController.StreamController<
  Uint8Array | undefined,
  | LogIntegrity.Fork
  | LogIntegrity.Outdated
  | LogIntegrity.LogFull
  | CausalOrder.MissingDependencies
  | Deletion.TooManyTombstones
>

/** Why a database cannot be worked on. */
export type WorkError = LookError | StreamController.OpenError | StreamController.Failure

/**
 * Runs something with a stream controller on the database. What a verb reports as done is on the disk. `create`: whether
 * to make the database if there is none.
 *
 * Whoever opens a database replays what was not accepted. That is done first, so that every operation has its answer when
 * the verb begins, also if the verb fails then; `use` is told what came of it. Without `replayOnStart` only what is queued
 * is processed first.
 */
export const work = <A, E, R>(
  file: string,
  create: boolean,
  use: (controller: Controller, replayed: StreamController.Counts) => Effect.Effect<A, E, R>,
  replayOnStart = true
): Effect.Effect<A, E | WorkError, Exclude<Exclude<R, SqlClient.SqlClient>, Scope.Scope> | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    yield* create ? mayBecome(file) : mustExist(file)
    const client = yield* openToWrite(file)
    const found = yield* Effect.provideService(Inspect.isStore, SqlClient.SqlClient, client)
    if (!found && !create) return yield* new NoDatabase({ file, detail: noTables })
    return yield* Effect.gen(function* () {
      const controller = yield* StreamController.make({
        // No application takes its time; and what is counted is the same on a slow machine.
        batchSize: 500,
        pipeline: Pipeline.make(LogIntegrity.processor).pipe(
          Pipeline.andThen(CausalOrder.processor),
          Pipeline.andThen(Pruning.processor),
          Pipeline.andThen(Deletion.processor)
        ),
        application: Application.none,
        replayOnStart
      })
      return yield* use(controller, yield* controller.drain)
    }).pipe(Effect.provideService(SqlClient.SqlClient, client))
  }).pipe(Effect.scoped)

// internal

/** The client throws where it cannot open the file; a file that others are just setting up is waited for. */
const open = (
  file: string,
  config: SqliteClient.SqliteClientConfig
): Effect.Effect<SqlClient.SqlClient, CannotOpen, Scope.Scope> =>
  Layer.build(Layer.orDie(SqliteClient.layer(config))).pipe(
    Effect.map((context) => Context.get(context, SqlClient.SqlClient)),
    Effect.catchAllDefect((defect) => {
      const detail = defect instanceof Error ? defect.message : String(defect)
      const code = defect instanceof Error && "code" in defect ? String(defect.code) : undefined
      return new CannotOpen({ file, code, detail })
    }),
    Effect.retry({ while: ({ code }) => code?.startsWith("SQLITE_BUSY") === true, schedule: patience })
  )

/** What is committed is on the disk. */
const openToWrite = (file: string): Effect.Effect<SqlClient.SqlClient, CannotOpen | SqlError, Scope.Scope> =>
  Effect.tap(open(file, { filename: file }), (client) => client.unsafe("PRAGMA synchronous = FULL"))

const patience = Schedule.spaced("100 millis").pipe(Schedule.intersect(Schedule.recurs(20)))

const mustExist = (file: string): Effect.Effect<void, NoDatabase | PlatformError, FileSystem.FileSystem> =>
  Effect.flatMap(kind(file), (found) => {
    if (found === "sqlite") return Effect.void
    return new NoDatabase({ file, detail: found === "missing" ? missing : found === "empty" ? empty : foreign })
  })

const mayBecome = (file: string): Effect.Effect<void, NoDatabase | PlatformError, FileSystem.FileSystem> =>
  Effect.flatMap(kind(file), (found) => (found === "other" ? new NoDatabase({ file, detail: foreign }) : Effect.void))

const noTables = "it has none of applecart's tables."
const missing = "there is no such file. Check the name; `ingest` and `publish` make one."
const empty = "the file is empty. `ingest` and `publish` make one of it."
const foreign = "it is something else. Give the name of an SQLite file."

const kind = (
  file: string
): Effect.Effect<"missing" | "empty" | "sqlite" | "other", PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fileSystem = yield* FileSystem.FileSystem
    if (!(yield* fileSystem.exists(file))) return "missing"
    const { type } = yield* fileSystem.stat(file)
    if (type !== "File") return "other"
    const opened = yield* fileSystem.open(file, { flag: "r" })
    const start = yield* opened.readAlloc(magic.length)
    if (Option.isNone(start)) return "empty"
    return new TextDecoder().decode(start.value) === magic ? "sqlite" : "other"
  }).pipe(Effect.scoped)

/** How every SQLite file begins (sqlite.org/fileformat.html). */
const magic = "SQLite format 3\u0000"
