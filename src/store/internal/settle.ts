/** How a level inside another one ends. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Level } from "./level.ts"
import * as Root from "./root.ts"
import { PartFailed, TransactionClosed } from "./transactionErrors.ts"

/** Keeps what the level did if its exit is a success, else undoes it; the exit is handed on. */
export const settle = <A, E>(level: Level, parent: Level, exit: Exit.Exit<A, E>): Effect.Effect<A, E | SqlError> => {
  const root = level.root
  if (root.busy)
    return Effect.zipRight(
      Root.changed(root),
      Effect.suspend(() => settle(level, parent, exit))
    )
  // What was around it ended first, and undid it.
  if (!level.open)
    return Exit.isSuccess(exit) ? Effect.fail(new TransactionClosed({ statement: release(level) })) : exit
  const abandoned = close(level)
  root.busy = true
  if (Exit.isFailure(exit)) return Effect.flatMap(undo(level, exit.cause), () => finish(parent, exit))
  if (root.lost !== undefined) return finish(parent, Effect.fail(root.lost))
  const kept = () => {
    if (level.hooks !== undefined) parent.hooks = (parent.hooks ?? []).concat(level.hooks)
    return finish(parent, exit)
  }
  if (isPart(level) && abandoned === undefined) return kept()
  const keep = isPart(level) ? Effect.void : Root.control(root, release(level))
  return Effect.matchCauseEffect(abandoned === undefined ? keep : Effect.zipRight(undoFirst(abandoned), keep), {
    onSuccess: kept,
    onFailure: (cause) =>
      Root.failed(root, cause).pipe(
        Effect.zipRight(undo(level, cause)),
        Effect.flatMap(() => finish(parent, Root.failTyped(cause)))
      )
  })
}

/** From now on statements of the level and of those inside it fail. Returns the level that somebody left open in it. */
export const close = (level: Level): Level | undefined => {
  for (let at: Level | undefined = level; at !== undefined; at = at.child) at.open = false
  return level.child
}

/** Undoes a level that somebody left open, so that what is around it can be kept without it. */
export const undoFirst = (abandoned: Level): Effect.Effect<void, SqlError> =>
  Effect.flatMap(undo(abandoned, Cause.empty), () => abandoned.root.lost ?? Effect.void)

/** The level is over: its parent and the connection are free. */
export const finish = <A, E>(parent: Level, result: Effect.Effect<A, E>): Effect.Effect<A, E> => {
  parent.child = undefined
  Root.free(parent.root)
  return result
}

// internal

const isPart = (level: Level): boolean => level.writesBefore !== undefined

const release = (level: Level) => `RELEASE ${level.name}`

/** Undoes a level. What cannot be undone must not be committed: the whole transaction is lost then. */
const undo = (level: Level, why: Cause.Cause<unknown>): Effect.Effect<void> => {
  const root = level.root
  if (root.lost !== undefined) return Effect.void
  if (isPart(level)) {
    if (root.writes !== level.writesBefore || level.child !== undefined)
      root.lost = new PartFailed({ original: Cause.squash(why) })
    return Effect.void
  }
  return Effect.matchCauseEffect(Root.control(root, `ROLLBACK TO ${level.name}`), {
    onFailure: (cause) => Effect.map(Root.failed(root, cause), () => Root.lose(root, cause)),
    onSuccess: () => {
      root.aborted = undefined
      // Left on the stack it would do no harm, unless the failure ended the transaction; that is found out.
      return Effect.catchAllCause(Effect.asVoid(Root.control(root, release(level))), (cause) =>
        Root.failed(root, cause)
      )
    }
  })
}
