/** The outermost level: takes the connection, begins, ends, and gives the connection back. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Acquire from "./acquire.ts"
import { begin, full, number, type BeginOptions } from "./begin.ts"
import { within } from "./context.ts"
import * as Keys from "./keys.ts"
import type { Transaction } from "./capability.ts"
import { current, Level, ofClient } from "./level.ts"
import { mask, type Restore } from "./mask.ts"
import * as Root from "./root.ts"
import { close, undoFirst } from "./settle.ts"
import { CommitFailed } from "./transactionErrors.ts"

/** Runs the effect in a transaction of the client, or in a savepoint of the one that is open. */
export const transact = <A, E, R>(
  client: SqlClient,
  self: Effect.Effect<A, E, R>,
  options: BeginOptions = {}
): Effect.Effect<A, E | SqlError, Exclude<R, Transaction>> =>
  mask((restore) =>
    Effect.withFiberRuntime((fiber) => {
      const around = current(fiber.currentContext)
      const own = ofClient(around, Keys.of(client))
      if (own !== undefined) return restore(inside(own, self, options))
      if (around === "stock" && !Keys.isIsolated(client)) return Effect.fail(notOurs())
      return Effect.flatMap(Scope.make(), (scope) =>
        Effect.matchCauseEffect(Acquire.reserve(Keys.of(client), scope, restore), {
          onFailure: (cause) => Effect.zipRight(Scope.close(scope, Exit.failCause(cause)), Effect.failCause(cause)),
          onSuccess: (connection) => {
            const root = rootOf(client, connection, fiber.currentContext)
            const done = outermost(new Level(root, undefined, "savepoint"), self, options, restore)
            return Effect.flatMap(Effect.exit(done), (exit) =>
              // The connection first: what comes after the commit may need it.
              Effect.flatMap(Root.giveBack(root, Scope.close(scope, exit)), () => Effect.flatMap(exit, announce))
            )
          }
        })
      )
    })
  )

// internal

interface Ended<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly hooks: ReadonlyArray<Effect.Effect<void>>
}

const notOurs = () =>
  new SqlError({
    message:
      "This runs inside a transaction that sql.withTransaction began, which Transaction.run cannot join. Begin that one with Transaction.run, or with the withTransaction of Transaction.client(sql)."
  })

const inside = <A, E, R>(
  own: Level,
  self: Effect.Effect<A, E, R>,
  options: BeginOptions
): Effect.Effect<A, E | SqlError, Exclude<R, Transaction>> => {
  const { committed } = options
  const part = committed === undefined ? own.savepoint(self) : Effect.zipLeft(own.savepoint(self), own.defer(committed))
  return options.durable === true && own.root.sqlite ? Effect.zipRight(mustBeDurable(own), part) : part
}

/** Inside a transaction SQLite does not let `synchronous` be changed; a promise that cannot be kept is not made. */
const mustBeDurable = (own: Level): Effect.Effect<void, SqlError> =>
  Effect.flatMap(own.execute("PRAGMA synchronous", []), (rows) =>
    number(rows) >= full
      ? Effect.void
      : Effect.fail(
          new SqlError({
            message:
              "A durable transaction was asked for inside one that is not. Pass { durable: true } to the outermost Transaction.run."
          })
        )
  )

const rootOf = (client: SqlClient, connection: Connection, outside: Context.Context<never>): Root.Root => {
  const around = current(outside)
  return Root.make({
    key: Keys.of(client),
    connection,
    sqlite: client.onDialectOrElse({ sqlite: () => true, orElse: () => false }),
    outer: around === "stock" ? undefined : around,
    outside
  })
}

const outermost = <A, E, R>(
  level: Level,
  self: Effect.Effect<A, E, R>,
  options: BeginOptions,
  restore: Restore
): Effect.Effect<Ended<A, E | SqlError>, SqlError, Exclude<R, Transaction>> =>
  Effect.flatMap(begin(level.root, options, restore), (setBack) =>
    within(level, self, level.root.outside, restore, (exit) =>
      Effect.flatMap(Effect.zipRight(Root.claim(level.root), end(level, exit, options)), (ended) => {
        // Whoever still waits for the connection is told that it is too late.
        Root.free(level.root)
        return Effect.as(setBack, ended)
      })
    )
  )

/** Commits or rolls back; the connection is claimed. */
const end = <A, E>(
  level: Level,
  exit: Exit.Exit<A, E>,
  { committed }: BeginOptions
): Effect.Effect<Ended<A, E | SqlError>> =>
  Effect.suspend((): Effect.Effect<Ended<A, E | SqlError>> => {
    const root = level.root
    const abandoned = close(level)
    if (Exit.isFailure(exit)) return Effect.as(rollback(root), { exit, hooks: [] })
    const ready = root.lost ?? (abandoned === undefined ? Effect.void : undoFirst(abandoned))
    const commit = Effect.zipRight(Effect.zipRight(ready, stillThere(root)), Root.control(root, "COMMIT"))
    return Effect.matchCauseEffect(commit, {
      onSuccess: () => {
        const ended = { exit, hooks: level.hooks ?? [] }
        return committed === undefined ? Effect.succeed(ended) : Effect.as(logged(committed), ended)
      },
      onFailure: (cause) =>
        Effect.map(rollback(root), (undone) => ({
          exit: Exit.fail(root.lost ?? new CommitFailed({ cause: Cause.squash(cause), rolledBack: undone === "done" })),
          hooks: []
        }))
    })
  })

/** PostgreSQL answers COMMIT with success, and rolls back, when a statement had failed; so it is asked before. */
const stillThere = (root: Root.Root): Effect.Effect<void, SqlError> => {
  const aborted = root.aborted
  if (aborted === undefined) return Effect.void
  return Effect.catchAllCause(Effect.asVoid(Root.control(root, "SELECT 1")), (cause) => {
    Root.lose(root, aborted)
    return Root.failTyped(cause)
  })
}

const rollback = (root: Root.Root): Effect.Effect<Root.Undone> =>
  root.gone ? Effect.succeed("done") : Root.rollback(root)

const announce = <A, E>(ended: Ended<A, E>): Effect.Effect<A, E> =>
  ended.hooks.length === 0
    ? ended.exit
    : Effect.zipRight(Effect.forEach(ended.hooks, logged, { discard: true }), ended.exit)

/** The commit stands, whatever becomes of what comes after it. */
const logged = (hook: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.catchAllCause(hook, (cause) => Effect.logError("An afterCommit effect failed", cause))
