/**
 * Nothing is accepted unless the application and the processors have all that was accepted before: they decide about what comes
 * next. So every transaction that may accept something asks first, and what is behind is built before it is tried again.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import * as Application from "../../pipeline/Application.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Transaction from "../../store/Transaction.ts"
import { Superseded } from "../Errors.ts"
import { build } from "./building.ts"
import type { Setup } from "./setup.ts"

/** Something is to be built first. */
export class NotLive extends Data.TaggedError("NotLive")<{}> {}

/** Who has to be live: everybody who decides, or only the processors, where nothing is handed to the application. */
export type Who = "all" | "processors"

/**
 * Runs something in a transaction where everybody who decides is up to date; builds whoever is not. Everything of it may be run
 * again then, its first statement included.
 */
export const run = <X extends Extensions.Fields, Out extends Event.Event, A, E, R, B, E2, R2>(
  setup: Setup<X, Out, A, E, R>,
  self: (standing: Consumers.Standing) => Effect.Effect<B, E2, R2>,
  { committed, durable, who = "all" }: Pick<Transaction.Options, "committed" | "durable"> & { readonly who?: Who } = {}
): Effect.Effect<B, E2 | SqlError | Superseded, SqlClient | R | Exclude<R2, Transaction.Transaction>> => {
  const { busyLimit } = setup
  const tried = Transaction.run(Effect.flatMap(check(setup, who), self), { durable, busyLimit, committed })
  const again: Effect.Effect<B, E2 | SqlError | Superseded, SqlClient | R | Exclude<R2, Transaction.Transaction>> =
    Effect.catchIf(tried, isNotLive, () => Effect.zipRight(build(setup), again))
  return again
}

/** Builds whoever is behind, if anybody is. */
export const ensure = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>
): Effect.Effect<void, SqlError | Superseded, SqlClient | R> =>
  Effect.catchIf(Effect.asVoid(check(setup, "all")), isNotLive, () => build(setup))

// internal

const isNotLive = (error: unknown): error is NotLive => error instanceof NotLive

const check = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { application, pipeline }: Setup<X, Out, A, E, R>,
  who: Who
): Effect.Effect<Consumers.Standing, SqlError | NotLive | Superseded, SqlClient> =>
  Effect.gen(function* () {
    const standing = yield* Consumers.standing
    const { deciding, last } = standing
    const mustBe = (name: string, version: number, isLive: (found: Consumers.Consumer) => boolean) => {
      const found = deciding.find((one) => one.name === name)
      if (found === undefined) return new NotLive()
      if (found.version !== version) return new Superseded({ name, version, found: found.version })
      return isLive(found) ? Effect.void : new NotLive()
    }
    for (const { name, reset, version } of pipeline.processors) {
      if (reset === undefined) continue
      yield* mustBe(Consumers.processorName(name), version, ({ state }) => state === "live")
    }
    if (who === "processors" || application.name === Application.noneName) return standing
    const { name, version } = application
    yield* mustBe(name, version, ({ position, state }) => state === "live" && position === last)
    return standing
  })
