/** Statements that SQLite takes only outside a transaction, on a connection that is ours alone meanwhile. */
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Acquire from "./acquire.ts"
import { bystanders, setting } from "./begin.ts"
import * as Keys from "./keys.ts"
import * as Root from "./root.ts"

/**
 * Runs statements on the client's connection, which nobody else gets meanwhile; no transaction is open on it. SQLite's own
 * waiting, which stops the whole process, is off: whoever has to wait tries again. Not to be called inside a transaction of
 * the client, which it would wait for.
 */
export const alone = <A>(use: (root: Root.Root) => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError, SqlClient> =>
  Effect.flatMap(SqlClient, (client) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Scope.make(), (scope) =>
        Effect.matchCauseEffect(Acquire.reserve(Keys.of(client), scope, restore), {
          onFailure: (cause) => Effect.zipRight(Scope.close(scope, Exit.failCause(cause)), Effect.failCause(cause)),
          onSuccess: (connection) => {
            const fixed = { key: Keys.of(client), connection, sqlite: true, outer: undefined, outside: Context.empty() }
            const root = Root.make(fixed)
            return withoutWaiting(root, use(root)).pipe(
              Effect.onExit((exit) => Root.giveBack(root, Scope.close(scope, exit)))
            )
          }
        })
      )
    )
  )

// internal

const withoutWaiting = <A>(root: Root.Root, self: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.gen(function* () {
    yield* bystanders
    const before = yield* setting(root, "busy_timeout")
    const off = Root.control(root, "PRAGMA busy_timeout = 0")
    return yield* Effect.ensuring(Effect.zipRight(off, self), Root.setBack(root, "busy_timeout", before))
  }).pipe(Effect.catchAllCause(Root.failTyped))
