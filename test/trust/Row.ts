/**
 * A row of the trust table (docs/reliability.md): one class of faults, tried many times, and what must hold after each.
 *
 * Trials come in units, numbered from 0. Everything random in a unit follows from the seed of the run and its number, so that
 * `npm run trust -- NAME --seed S --only N` repeats exactly one of them.
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { PCGRandom } from "effect/Utils"
import type { Crypto } from "../../src/core/Crypto.ts"

/** How thorough a run is: every change, or a release. */
export type Tier = "quick" | "full"

/** What one unit showed. */
export interface Result {
  /** How many trials it was: statements that were failed, files that were damaged. */
  readonly trials: number
  /** What does not hold, each as a sentence that begins with the promise: `P1: ...`. None where all is well. */
  readonly broken: ReadonlyArray<string>
  /** What was counted on the way, added up over all units: that faults really struck. */
  readonly facts?: Readonly<Record<string, number>>
}

/** A unit: its number, and the randomness that is its own. */
export interface Unit {
  readonly nth: number
  /** A seed of its own for what wants one, such as `FastCheck.sample`. */
  readonly seed: number
  /** When it has found so much broken, it need not go on. */
  readonly enough: number
  /** A whole number from 0 below `limit`. */
  readonly below: (limit: number) => number
}

export interface Row {
  /** How it is called on the command line. */
  readonly name: string
  /** The fault class, as the table says it. */
  readonly fault: string
  /** The promises that are checked after each trial, as the table says it. */
  readonly promises: string
  /** How many units each tier has. */
  readonly units: Readonly<Record<Tier, number>>
  /** Whether it starts `victim.ts`. */
  readonly victim?: boolean
  /** Makes what all units share, once in each process. */
  readonly prepare: Effect.Effect<(unit: Unit) => Effect.Effect<Result, never, Crypto>, never, Crypto | Scope.Scope>
  /** What is missing in the facts of a whole run for it to mean anything: a fault that never struck. */
  readonly vacuous?: (facts: Readonly<Record<string, number>>, tier: Tier) => ReadonlyArray<string>
}

/** The n-th unit of a run with a seed. */
export const unit = (seed: number, nth: number, enough: number): Unit => {
  const random = new PCGRandom(seed, nth)
  return { nth, enough, seed: random.integer(0x7fff_ffff), below: (limit) => random.integer(limit) }
}
