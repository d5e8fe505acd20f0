/** Randomness that follows from a seed. What is drawn for one purpose does not disturb what is drawn for another. */
import * as PCG from "effect/Utils"

export class Random {
  private readonly source: PCG.PCGRandom

  constructor(seed: number, purpose: number) {
    this.source = new PCG.PCGRandom(seed, purpose)
  }

  /** A whole number from 0 below `limit`. */
  below(limit: number): number {
    return limit <= 1 ? 0 : this.source.integer(limit)
  }

  /** Whether something happens that is so likely. */
  chance(likely: number): boolean {
    return this.source.number() < likely
  }

  pick<A>(items: readonly [A, ...ReadonlyArray<A>]): A {
    return items[this.below(items.length)] ?? items[0]
  }

  /** One of several, none of none. */
  some<A>(items: ReadonlyArray<A>): A | undefined {
    return items[this.below(items.length)]
  }
}
