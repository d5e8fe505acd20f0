/** What a level's body finds in its context. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import { Transaction } from "./capability.ts"
import type { Level } from "./level.ts"
import type { Restore } from "./mask.ts"

/** The context of a level's body. One copy of the map instead of two: this is on the way of every operation. */
export const enter = <R>(context: Context.Context<R>, level: Level): Context.Context<R> => {
  const map = new Map(context.unsafeMap)
  map.set(SqlClient.TransactionConnection.key, [level, level.depth])
  map.set(Transaction.key, level)
  return Context.unsafeMake(map)
}

/**
 * The context with the transaction that was around, if any. Without one the capability stays: what asks for it is told that
 * its transaction has ended.
 */
export const leave = <R>(context: Context.Context<R>, around: Context.Context<never>): Context.Context<R> => {
  const map = new Map(context.unsafeMap)
  map.delete(SqlClient.TransactionConnection.key)
  for (const key of [SqlClient.TransactionConnection.key, Transaction.key]) {
    if (around.unsafeMap.has(key)) map.set(key, around.unsafeMap.get(key))
  }
  return Context.unsafeMake(map)
}

/** Runs a level's body with its context and, whatever its exit, goes on with that outside of it. */
export const within = <A, E, R, B, F>(
  level: Level,
  self: Effect.Effect<A, E, R>,
  outside: Context.Context<never>,
  restore: Restore,
  then: (exit: Exit.Exit<A, E>) => Effect.Effect<B, F>
): Effect.Effect<B, F, Exclude<R, Transaction>> => {
  const back = (exit: Exit.Exit<A, E>) =>
    Effect.flatMap(FiberRef.set(FiberRef.currentContext, outside), () => then(exit))
  return Effect.flatMap(FiberRef.set(FiberRef.currentContext, enter(outside, level)), () =>
    // Its context holds the capability from here on.
    Effect.matchCauseEffect(restore(self as Effect.Effect<A, E, Exclude<R, Transaction>>), {
      onSuccess: (a) => back(Exit.succeed(a)),
      onFailure: (cause) => back(Exit.failCause(cause))
    })
  )
}
