/** A connection with somebody between it and whoever sends statements. */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** What becomes of a statement; `run` sends it to the database. */
export type Around = <A>(sql: string, run: () => Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>

/** The connection, each of its statements by way of `at`, which is asked when the statement is run and not when it is made. */
export const around = (base: Connection, at: Around): Connection => {
  const by: Around = (sql, run) => Effect.suspend(() => at(sql, run))
  return {
    execute: (sql, params, transform) => by(sql, () => base.execute(sql, params, transform)),
    executeRaw: (sql, params) => by(sql, () => base.executeRaw(sql, params)),
    executeValues: (sql, params) => by(sql, () => base.executeValues(sql, params)),
    executeUnprepared: (sql, params, transform) => by(sql, () => base.executeUnprepared(sql, params, transform)),
    executeStream: (sql, params, transform) =>
      Stream.unwrap(by(sql, () => Effect.succeed(base.executeStream(sql, params, transform))))
  }
}
