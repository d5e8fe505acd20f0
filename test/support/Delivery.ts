/** How operations reach a peer: in any order, cut into any pieces, more than once, with restarts in between. */
import type * as Operation from "../../src/core/Operation.ts"
import { random } from "../core/support.ts"

/** A piece of a delivery. */
export type Step =
  | { readonly _tag: "Process" | "Receive" | "ReceiveAndDrain"; readonly raws: ReadonlyArray<Operation.Raw> }
  | { readonly _tag: "Restart" }

export const shuffled = <A>(items: ReadonlyArray<A>, seed: number): ReadonlyArray<A> => {
  const { below } = random(seed)
  const made = [...items]
  for (let at = made.length - 1; at > 0; at--) {
    const other = below(at + 1)
    const [a, b] = [made[at], made[other]]
    if (a !== undefined && b !== undefined) [made[at], made[other]] = [b, a]
  }
  return made
}

/** Cuts a delivery into pieces of random size, each delivered in a random way. */
export const cut = (
  raws: ReadonlyArray<Operation.Raw>,
  seed: number,
  most: number,
  ways: ReadonlyArray<Step["_tag"]>
): ReadonlyArray<Step> => {
  const { below } = random(seed)
  const steps: Array<Step> = []
  for (let at = 0; at < raws.length; ) {
    const way = ways[below(ways.length)] ?? "Process"
    if (way === "Restart") steps.push({ _tag: way })
    else {
      const size = 1 + below(most)
      steps.push({ _tag: way, raws: raws.slice(at, at + size) })
      at += size
    }
  }
  return steps
}
