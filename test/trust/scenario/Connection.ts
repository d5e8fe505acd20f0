/** The connection after a trial: nothing is open on it, and what was set for a transaction is set back. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type * as Sql from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

/** What is wrong with it; it is put right, so that the next trial does not suffer for it. */
export const wrong = (sql: SqlClient): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const on = yield* sql.reserve
      const begun = yield* Effect.either(on.execute("BEGIN", [], undefined))
      yield* on.execute("ROLLBACK", [], undefined)
      const settings = [
        ...(yield* on.executeValues("PRAGMA busy_timeout", [])),
        ...(yield* on.executeValues("PRAGMA synchronous", []))
      ].flat()
      yield* reset(on)
      return [
        ...(begun._tag === "Right" ? [] : ["P1: a transaction was left open"]),
        ...(settings.join() === "5000,2" ? [] : [`P1: the connection was left with other settings: ${settings.join()}`])
      ]
    })
  )

/** Gives it the settings of a new one: who has lost a connection has not its settings either. */
export const renew = (sql: SqlClient): Effect.Effect<void, SqlError> =>
  Effect.scoped(Effect.flatMap(sql.reserve, reset))

// internal

const reset = (on: Sql.Connection) =>
  Effect.asVoid(
    Effect.zipRight(
      on.execute("PRAGMA busy_timeout = 5000", [], undefined),
      on.execute("PRAGMA synchronous = FULL", [], undefined)
    )
  )
