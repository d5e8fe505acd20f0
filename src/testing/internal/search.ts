/** Looks for a history that breaks a law, and for the smallest one that breaks the same. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Scope from "effect/Scope"
import * as Delivery from "../Delivery.ts"
import type { History } from "../History.ts"

/** A law that is broken; ids stand in the detail as they are. */
export interface Breach<out Law extends string = string> {
  readonly law: Law
  readonly detail: string
  /** Whether the history breaks it in order, all at once: the delivery does not matter then. */
  readonly inOrder: boolean
}

/** What a smaller case has to break as well. */
export type Sought<Law extends string> = Pick<Breach<Law>, "law" | "inOrder">

/** What is tried. */
export interface Case {
  readonly history: History
  readonly plan: Delivery.Plan
}

/** What was found, and how it is found again. */
export interface Found<Law extends string> extends Case, Breach<Law> {
  readonly seed: number
  readonly path: string
}

/** How much is tried, and where it begins. */
export interface Options {
  readonly runs: number
  readonly seed: number | undefined
  readonly path: string | undefined
  readonly shrinkFor: Duration.DurationInput
}

/** Tries cases until one breaks a law, and then smaller ones for a while. */
export const search = <Law extends string, R>(
  cases: FastCheck.Arbitrary<Case>,
  trial: (one: Case, sought: Sought<Law> | undefined) => Effect.Effect<Breach<Law> | undefined, never, R>,
  asks: (law: Law) => boolean,
  { path, runs, seed, shrinkFor }: Options
): Effect.Effect<Found<Law> | undefined, never, R> =>
  Effect.contextWithEffect((context: Context.Context<R>) => {
    let found: (Breach<Law> & Case) | undefined
    let until = Infinity
    /** What smaller cases came to. */
    const known = new Map<string, Breach<Law> | undefined>()
    const attempt = (one: Case) =>
      Effect.gen(function* () {
        if ((yield* Clock.currentTimeMillis) > until) return true
        // Many smaller numbers mean the same operations.
        const key = keyOf(one, found?.inOrder === true)
        const breach = known.has(key) ? known.get(key) : yield* trial(one, found)
        if (found !== undefined) known.set(key, breach)
        if (breach === undefined || !asks(breach.law) || (found !== undefined && found.law !== breach.law)) return true
        if (found === undefined) until = (yield* Clock.currentTimeMillis) + Duration.toMillis(shrinkFor)
        found = { ...one, ...breach }
        known.set(keyOf(one, breach.inOrder), breach)
        return false
      })
    const check = (signal: AbortSignal) =>
      FastCheck.check(
        // fast-check shrinks, and it speaks promises; the scope of the caller is not the trial's.
        FastCheck.asyncProperty(cases, (one) =>
          Effect.runPromise(Effect.provide(attempt(one), Context.omit(Scope.Scope)(context) as Context.Context<R>), {
            signal
          })
        ),
        { numRuns: runs, ...(seed === undefined ? {} : { seed }), ...(path === undefined ? {} : { path }) }
      )
    return Effect.flatMap(Effect.promise(check), (details) => {
      if (!details.failed) return Effect.succeed(undefined)
      // It failed without saying what is broken: the trial itself is.
      if (found === undefined) return Effect.die(details.errorInstance)
      return Effect.succeed({ ...found, seed: details.seed, path: details.counterexamplePath ?? "" })
    })
  })

// internal

/** The same for cases in which the same operations are delivered in the same way; `inOrder`: the way does not matter. */
const keyOf = ({ history, plan }: Case, inOrder: boolean): string =>
  [history.operations.map(({ id }) => id), ...(inOrder ? [] : [Delivery.show(plan, history)])].join("\n")
