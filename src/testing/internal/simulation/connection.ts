/**
 * A `SqlClient` on a disk. Before each statement the world is asked what becomes of it: it runs, it fails, it runs and is reported as
 * failed, or it is the last one before a crash, and its fiber never hears of it.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Disk } from "./disk.ts"

/** A row as the driver hands it out. */
export type Row = Readonly<Record<string, unknown>>

/** What becomes of a statement. `run` runs it, and throws what the driver does. */
export type Around = <A>(sql: string, run: () => A) => Effect.Effect<A, SqlError>

/** Every statement runs. */
export const plain: Around = (_, run) =>
  Effect.try({ try: run, catch: (cause) => new SqlError({ cause, message: "Failed to execute statement" }) })

/** A client with a connection of its own. Whoever is outside a transaction waits until none is open. */
export const client = (disk: Disk, around: Around = plain): Effect.Effect<SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const one = yield* Effect.makeSemaphore(1)
    const inside = connection(disk, around)
    const outside = connection(disk, (sql, run) => one.withPermits(1)(around(sql, run)))
    return yield* SqlClient.make({
      acquirer: Effect.succeed(outside),
      transactionAcquirer: Effect.uninterruptibleMask((restore) =>
        Effect.zipRight(
          restore(one.take(1)),
          Effect.as(
            Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, one.release(1))),
            inside
          )
        )
      ),
      compiler: Statement.makeCompilerSqlite(),
      spanAttributes: []
    })
  }).pipe(Effect.provide(Reactivity.layer))

// internal

const connection = (disk: Disk, around: Around): Connection => {
  const rows = (sql: string, params: ReadonlyArray<unknown> = [], raw = false) =>
    Effect.withFiberRuntime<ReadonlyArray<Row>, SqlError>((fiber) => {
      const safe = Context.get(fiber.currentContext, SqlClient.SafeIntegers)
      return around(sql, () => disk.run(sql, params, { raw, safe }))
    })
  const all: Connection["execute"] = (sql, params, transform) =>
    transform === undefined ? rows(sql, params) : Effect.map(rows(sql, params), transform)
  return {
    execute: all,
    executeUnprepared: all,
    executeRaw: (sql, params) => rows(sql, params),
    executeValues: (sql, params) => Effect.map(rows(sql, params, true), (all) => all.map((row) => Object.values(row))),
    executeStream: (sql, params, transform) => Stream.fromIterableEffect(all(sql, params, transform))
  }
}
