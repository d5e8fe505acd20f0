/** Where scenarios are played: a database in memory with faults around its client, and a controller that comes and goes. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import type * as Crypto from "../../../src/core/Crypto.ts"
import * as SqlReason from "../../../src/store/SqlReason.ts"
import * as SqlFaults from "../../../src/testing/SqlFaults.ts"
import type { Answer, Call, Scenario } from "./Calls.ts"
import * as Layers from "./Layers.ts"

/** How a call ended: with answers, with a failure that it may have, or as no call may. */
export type Ended =
  | { readonly _tag: "Answered"; readonly answers: ReadonlyArray<Answer> }
  | { readonly _tag: "Failed"; readonly infrastructure: boolean }
  | { readonly _tag: "Interrupted" }
  | { readonly _tag: "Broken"; readonly why: string }

/** A database, and a controller on it. */
export interface Stage {
  readonly faults: SqlFaults.SqlFaults["Type"]
  /** The client below the faults. */
  readonly base: SqlClient.SqlClient
  /** Makes a call, opening the controller first where there is none. */
  readonly call: (call: Call) => Effect.Effect<Exit.Exit<ReadonlyArray<Answer>, unknown>>
  /** The controller; opened where there is none. */
  readonly controller: Effect.Effect<Layers.Controller, unknown>
}

export const make = (
  crypto: Crypto.Service,
  { batchSize }: Scenario,
  more?: Layers.More
): Effect.Effect<Stage, never, Scope.Scope> =>
  Effect.gen(function* () {
    const outer = yield* Effect.scope
    const built = yield* Layer.build(
      // In memory it never is anything but "in memory"; and nothing is prepared twice.
      Layer.orDie(SqliteClient.layer({ filename: ":memory:", disableWAL: true, prepareCacheSize: 1000 }))
    )
    const base = Context.get(built, SqlClient.SqlClient)
    const context = yield* Layer.build(SqlFaults.layer).pipe(Effect.provideService(SqlClient.SqlClient, base))
    const client = Context.make(SqlClient.SqlClient, Context.get(context, SqlClient.SqlClient))
    let current: { readonly controller: Layers.Controller; readonly scope: Scope.CloseableScope } | undefined
    const close = Effect.suspend(() => {
      const closing = current === undefined ? Effect.void : Scope.close(current.scope, Exit.void)
      current = undefined
      return closing
    })
    const controller: Effect.Effect<Layers.Controller, unknown> = Effect.suspend(() => {
      if (current !== undefined) return Effect.succeed(current.controller)
      return Effect.flatMap(Scope.fork(outer, outer.strategy), (scope) =>
        Layers.open(crypto, batchSize, more).pipe(
          Scope.extend(scope),
          Effect.provide(client),
          Effect.tap((controller) =>
            Effect.sync(() => {
              current = { controller, scope }
            })
          ),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause)))
        )
      )
    })
    const made = ({ run }: Call) =>
      run === undefined
        ? Effect.as(Effect.zipRight(close, controller), [])
        : Effect.flatMap(controller, (open) => Effect.provide(run(open), client))
    const stage: Stage = {
      faults: Context.get(context, SqlFaults.SqlFaults),
      base,
      call: (call) => Effect.exit(made(call)),
      controller
    }
    return stage
  })

/** What a call's exit means. */
export const ended = ({ errors = [], name }: Call, exit: Exit.Exit<ReadonlyArray<Answer>, unknown>): Ended => {
  if (Exit.isSuccess(exit)) return { _tag: "Answered", answers: exit.value }
  if (Cause.isInterruptedOnly(exit.cause)) return { _tag: "Interrupted" }
  const failure = Cause.failureOption(exit.cause)
  const broken = (why: string): Ended => ({ _tag: "Broken", why: `typed: ${name}: ${why}` })
  if (Option.isNone(failure)) return broken(`not a typed error: ${Cause.pretty(exit.cause)}`)
  const error = failure.value
  if (error instanceof SqlError) {
    return SqlReason.isInfrastructure(error)
      ? { _tag: "Failed", infrastructure: true }
      : broken(`a SqlError that blames the call: ${SqlReason.of(error)._tag} ${error.message}`)
  }
  const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : String(error)
  return errors.includes(tag)
    ? { _tag: "Failed", infrastructure: false }
    : broken(`an error that it does not deserve: ${tag} ${String(error)}`)
}
