/** Databases of the trust tests: files that are copied from one template, with faults and sabotage around their client. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as App from "./ScenarioApp.ts"

/** Where trials put their files: memory where the system has it, since a killed process loses nothing in either. */
const base = fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir()

/** A directory that is gone when the scope closes. */
export const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(base, "applecart-trust-"))),
  (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
)

/** The client of a file, as everybody uses it. */
export const plain = (filename: string): Layer.Layer<SqlClient.SqlClient> =>
  Layer.orDie(SqliteClient.layer({ filename }))

/** Makes the template: a file with the application's tables and none of ours. */
export const template = (dir: string): Effect.Effect<string> => {
  const filename = path.join(dir, "template.db")
  const fill = Effect.gen(function* () {
    yield* App.tables
    const sql = yield* SqlClient.SqlClient
    yield* sql`PRAGMA wal_checkpoint(TRUNCATE)`
  })
  return Effect.as(Effect.orDie(Effect.provide(fill, plain(filename))), filename)
}

/**
 * All that is in a database: the schema and every row of every table, but for the times at which something was written, since
 * nothing depends on them. Of `not_before` it matters whether there is one; in the scenario it is over at once.
 */
export const rows: Effect.Effect<string, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const schema = yield* sql<{
    type: string
    name: string
    sql: string | null
  }>`SELECT type, name, sql FROM sqlite_schema`
  const names = schema.flatMap(({ name, type }) => (type === "table" ? [name] : []))
  const tables = yield* Effect.forEach(names, (name) => sql`SELECT * FROM ${sql(name)}`)
  const hash = crypto.createHash("sha256")
  return hash.update(JSON.stringify([schema, tables], withoutTimes)).digest("hex")
})

const times = new Set(["applied_at", "received_at", "accepted_at", "decided_at"])

const withoutTimes = (column: string, value: unknown) => {
  if (column === "not_before") return value !== null
  return times.has(column) ? undefined : value
}

let copies = 0

/** A copy of a database that is closed; gone after its use. */
export const withCopy = <A, E, R>(
  of: string,
  use: (filename: string) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const filename = `${of}.${process.pid}.${++copies}`
      fs.copyFileSync(of, filename)
      return filename
    }),
    use,
    (filename) =>
      Effect.sync(() => {
        for (const end of ["", "-wal", "-shm", "-own"]) fs.rmSync(filename + end, { force: true })
      })
  )

/** What happens at a statement instead of it; `run` sends a statement to the database. */
export type Meddler = (
  sql: string,
  run: Effect.Effect<ReadonlyArray<unknown>, SqlError>,
  also: (sql: string) => Effect.Effect<ReadonlyArray<unknown>, SqlError>
) => Effect.Effect<ReadonlyArray<unknown>, SqlError>

/** A client of a file with somebody between it and the database, and faults on top. */
export const meddled = (filename: string, meddler?: Meddler): Layer.Layer<SqlClient.SqlClient | SqlFaults.SqlFaults> =>
  SqlFaults.layer.pipe(
    Layer.provide(
      meddler === undefined
        ? plain(filename)
        : Layer.provide(
            Layer.effect(
              SqlClient.SqlClient,
              Effect.map(SqlClient.SqlClient, (sql) => between(sql, meddler))
            ),
            plain(filename)
          )
    )
  )

// internal

const between = (sql: SqlClient.SqlClient, meddler: Meddler): SqlClient.SqlClient => {
  const reserve = Effect.map(sql.reserve, (connection) => meddle(connection, meddler))
  // A function with properties; SqlFaults above takes `reserve` and makes everything else anew.
  return Object.assign(sql.bind(undefined), sql, { reserve })
}

const meddle = (connection: Connection, meddler: Meddler): Connection => {
  const also = (sql: string) => connection.execute(sql, [], undefined)
  return {
    ...connection,
    execute: (sql, params, transform) =>
      Effect.map(
        meddler(sql, connection.execute(sql, params, transform), also),
        // What a meddler hands on is what the connection gave it, or nothing.
        (rows) => rows as ReadonlyArray<never>
      ),
    executeUnprepared: (sql, params, transform) =>
      Effect.map(
        meddler(
          sql,
          Effect.suspend(() => connection.executeUnprepared(sql, params, transform)),
          also
        ),
        (rows) => rows as ReadonlyArray<never>
      )
  }
}
