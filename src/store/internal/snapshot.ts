/** Reads in one state of the database, whoever writes meanwhile. */
import { SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import { bystanders } from "./begin.ts"
import * as Keys from "./keys.ts"
import * as Root from "./root.ts"
import { isOpen } from "./clients.ts"

/**
 * Runs reads in a transaction that holds no lock against writers; nothing is ever committed. Inside an open transaction of the
 * client they are part of that.
 */
export const snapshot = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R | SqlClient> =>
  Effect.flatMap(SqlClient, (client) =>
    Effect.flatMap(
      isOpen(client),
      (open): Effect.Effect<A, E | SqlError, R> =>
        open
          ? self
          : Effect.scopedWith((scope) =>
              Effect.flatMap(Scope.extend(Keys.of(client), scope), (connection) => {
                const fixed = {
                  key: Keys.of(client),
                  connection,
                  sqlite: true,
                  outer: undefined,
                  outside: Context.empty()
                }
                const root = Root.make(fixed)
                return Effect.acquireUseRelease(
                  Effect.zipRight(bystanders, Root.control(root, "BEGIN")),
                  () => Effect.provideService(self, TransactionConnection, [connection, 0]),
                  () => Root.rollback(root)
                )
              })
            )
    )
  )
