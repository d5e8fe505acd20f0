/**
 * Waiting for the client's connection, so that whoever is interrupted meanwhile does not take it with him.
 *
 * Effect's semaphore, by which clients hand out their connection, loses a permit when the fiber is interrupted in one of the few
 * steps between taking it and being told so: the connection is then nobody's for ever, and whoever wants it waits for ever. A fiber
 * stands still there only if its turn ends just then, so it is rare, and it is the end of a program that has one connection. Here
 * a fiber that cannot be interrupted takes it, and the one that can be waits for that.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { Restore } from "./mask.ts"
import type { Key } from "./root.ts"

/** Reserves the connection until the scope is closed; that gives it back also where it has not come yet. */
export const reserve = (key: Key, scope: Scope.Scope, restore: Restore): Effect.Effect<Connection, SqlError> =>
  waiting(Scope.extend(key, scope), restore)

/** Runs a statement of a client outside any transaction. Interrupted, it may still be run; so it should change nothing. */
export const read = <A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
  Effect.uninterruptibleMask((restore) => waiting(statement, restore))

// internal

const waiting = <A, E>(self: Effect.Effect<A, E>, restore: Restore): Effect.Effect<A, E> =>
  Effect.flatMap(Effect.forkDaemon(Effect.uninterruptible(self)), (fiber) => restore(Fiber.join(fiber)))
