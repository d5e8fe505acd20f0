/**
 * One level of a transaction: the outermost, a savepoint, or a part without one. It is the connection that its statements get, and guards it:
 *
 * - statements on the one connection run one after the other, so that nothing comes between a failure and finding out what
 *   it did to the transaction, or between the last statement and COMMIT;
 * - while a child (a savepoint) is open, statements from elsewhere on its parent wait: they would be undone with it;
 * - when it has ended, statements fail.
 *
 * All state changes are synchronous, so checking and claiming cannot be torn apart by another fiber.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { Row, Service, Transaction } from "./capability.ts"
import { leave, within } from "./context.ts"
import { isControl, isRead } from "./control.ts"
import { mask, type Restore } from "./mask.ts"
import * as Root from "./root.ts"
import { finish, settle } from "./settle.ts"
import { TransactionClosed, TransactionControl } from "./transactionErrors.ts"

type Transform = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/** Whether the database undoes it by itself. The outermost level is one that it does. */
export type Kind = "savepoint" | "part"

/** An open (or ended) level. A class, because one is made per savepoint and its methods are shared. */
export class Level implements Connection, Service {
  readonly root: Root.Root
  readonly parent: Level | undefined
  readonly depth: number
  readonly name: string
  /** For a part without a savepoint: how many statements may have written before it. */
  readonly writesBefore: number | undefined
  open = true
  child: Level | undefined = undefined
  hooks: Array<Effect.Effect<void>> | undefined = undefined

  constructor(root: Root.Root, parent: Level | undefined, kind: Kind) {
    this.root = root
    this.parent = parent
    this.depth = parent === undefined ? 0 : parent.depth + 1
    this.name = `applecart_${this.depth}_${root.generation}`
    this.writesBefore = kind === "part" ? root.writes : undefined
  }

  execute(
    sql: string,
    params: ReadonlyArray<unknown>,
    transform?: Transform
  ): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return guarded(this, sql, () =>
      transform === undefined
        ? Root.execute(this.root, sql, params)
        : this.root.connection.execute(sql, params, transform)
    )
  }
  executeEach(sql: string, rows: ReadonlyArray<ReadonlyArray<unknown>>): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return guarded(this, sql, () => each(this.root, sql, rows))
  }
  get isPrepared(): boolean {
    return this.root.prepared !== undefined
  }
  executeRaw(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError> {
    return guarded(this, sql, () => this.root.connection.executeRaw(sql, params))
  }
  executeValues(
    sql: string,
    params: ReadonlyArray<unknown>
  ): Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> {
    return guarded(this, sql, () => this.root.connection.executeValues(sql, params))
  }
  executeUnprepared(
    sql: string,
    params: ReadonlyArray<unknown>,
    transform: Transform
  ): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return guarded(this, sql, () => this.root.connection.executeUnprepared(sql, params, transform))
  }
  /** The rows of `execute`: the stock SQLite client has no streams, and a stream would hold the connection. */
  executeStream(sql: string, params: ReadonlyArray<unknown>, transform: Transform): Stream.Stream<Row, SqlError> {
    return Stream.fromIterableEffect(this.execute(sql, params, transform))
  }

  savepoint<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, Exclude<R, Transaction>> {
    return mask((restore) => begin(this, self, "savepoint", restore))
  }

  part<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, Exclude<R, Transaction>> {
    return mask((restore) => begin(this, self, this.root.sqlite ? "part" : "savepoint", restore))
  }

  get check(): Effect.Effect<void, SqlError> {
    return Effect.suspend(() => this.root.lost ?? Effect.void)
  }

  defer<R>(effect: Effect.Effect<unknown, never, R>): Effect.Effect<void, never, R> {
    return Effect.contextWith((context: Context.Context<R>) => {
      const hook = Effect.asVoid(Effect.provide(effect, leave(context, this.root.outside)))
      if (this.hooks === undefined) this.hooks = [hook]
      else this.hooks.push(hook)
    })
  }
}

/** The level that a context's statements run on: ours, none, or one that the stock client began. */
export const current = (context: Context.Context<never>): Level | "stock" | undefined => {
  const found = Context.getOption(context, SqlClient.TransactionConnection)
  if (found._tag === "None") return undefined
  return found.value[0] instanceof Level ? found.value[0] : "stock"
}

/** The innermost level of the client among the levels around. */
export const ofClient = (level: Level | "stock" | undefined, key: Root.Key): Level | undefined => {
  let at = level === "stock" ? undefined : level
  while (at !== undefined && at.root.key !== key) at = at.root.outer
  return at
}

/** Why nothing can run on this level any more, if so. */
export const ended = (level: Level, sql: string): SqlError | undefined =>
  level.root.lost ?? (level.open ? undefined : new TransactionClosed({ statement: sql }))

/** True for a fiber that runs in the level or in one inside it. */
export const isInside = (context: Context.Context<never>, level: Level): boolean => {
  let at = current(context)
  while (at !== undefined && at !== "stock" && at !== level) at = at.parent ?? at.root.outer
  return at === level
}

// internal

const guarded = <A>(
  level: Level,
  sql: string,
  evaluate: () => Effect.Effect<A, SqlError>
): Effect.Effect<A, SqlError> =>
  mask((restore) => {
    const root = level.root
    const why = ended(level, sql)
    if (why !== undefined) return Effect.fail(why)
    if (isControl(sql)) return Effect.fail(new TransactionControl({ statement: sql }))
    if (!root.busy && level.child === undefined) return claimed(root, sql, evaluate, restore)
    return whenFree(level, sql, evaluate, restore)
  })

const each = (
  root: Root.Root,
  sql: string,
  rows: ReadonlyArray<ReadonlyArray<unknown>>
): Effect.Effect<ReadonlyArray<Row>, SqlError> => {
  const returned: Array<Row> = []
  const rest = rows.values()
  let next = rest.next()
  const loop = Effect.whileLoop({
    while: () => next.done !== true,
    body: () => {
      const params: ReadonlyArray<unknown> = next.value ?? []
      next = rest.next()
      return Root.attempt(() => Root.execute(root, sql, params))
    },
    step: (some) => {
      for (const row of some) returned.push(row)
    }
  })
  return Effect.as(loop, returned)
}

/** The slow way: another statement is on the connection, or a savepoint is open in this level. */
const whenFree = <A>(
  level: Level,
  sql: string,
  evaluate: () => Effect.Effect<A, SqlError>,
  restore: Restore
): Effect.Effect<A, SqlError> =>
  Effect.withFiberRuntime((fiber) => {
    const why = ended(level, sql)
    if (why !== undefined) return Effect.fail(why)
    const free = level.child === undefined || isInside(fiber.currentContext, level.child)
    if (free && !level.root.busy) return claimed(level.root, sql, evaluate, restore)
    return Effect.zipRight(restore(Root.changed(level.root)), whenFree(level, sql, evaluate, restore))
  })

const claimed = <A>(
  root: Root.Root,
  sql: string,
  evaluate: () => Effect.Effect<A, SqlError>,
  restore: Restore
): Effect.Effect<A, SqlError> => {
  root.busy = true
  if (!isRead(sql)) root.writes += 1
  // SQLite's calls are synchronous, so that there is nothing to wait for; and the cache of prepared statements of its client never
  // again answers for one whose first preparation was interrupted.
  const run = root.sqlite ? Root.attempt(evaluate) : restore(Root.attempt(evaluate))
  return Effect.matchCauseEffect(run, {
    onSuccess: (a) => {
      root.prepared?.forget()
      if (root.aborted !== undefined && /^\s*rollback\b/i.test(sql)) root.aborted = undefined
      Root.free(root)
      return Exit.succeed(a)
    },
    onFailure: (cause) => {
      root.prepared?.forget()
      return Effect.flatMap(Root.examine(root, cause), () => {
        Root.free(root)
        return Effect.failCause(cause)
      })
    }
  })
}

const begin = <A, E, R>(
  parent: Level,
  self: Effect.Effect<A, E, R>,
  kind: Kind,
  restore: Restore
): Effect.Effect<A, E | SqlError, Exclude<R, Transaction>> =>
  Effect.withFiberRuntime((fiber) => {
    const root = parent.root
    const why = ended(parent, "SAVEPOINT")
    if (why !== undefined) return Effect.fail(why)
    const child = parent.child
    // Somebody inside the child who holds on to its parent: waiting would be for itself.
    if (child !== undefined && isInside(fiber.currentContext, child)) return begin(child, self, kind, restore)
    if (root.busy || child !== undefined)
      return Effect.zipRight(restore(Root.changed(root)), begin(parent, self, kind, restore))
    const level = new Level(root, parent, kind)
    const outside = fiber.currentContext
    parent.child = level
    if (kind === "part") return within(level, self, outside, restore, (exit) => settle(level, parent, exit))
    root.busy = true
    return Effect.matchCauseEffect(Root.control(root, `SAVEPOINT ${level.name}`), {
      onSuccess: () => {
        Root.free(root)
        return within(level, self, outside, restore, (exit) => settle(level, parent, exit))
      },
      onFailure: (cause) => Effect.flatMap(Root.failed(root, cause), () => finish(parent, Root.failTyped(cause)))
    })
  })
