/** Calls of generated scenarios are interrupted at any of their steps. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as Interruptions from "../../../src/testing/Interruptions.ts"
import type * as Row from "../Row.ts"
import * as Calls from "../scenario/Calls.ts"
import * as Layers from "../scenario/Layers.ts"
import * as Play from "../scenario/Play.ts"

/** Interruptions of each scenario. */
const each = 40

const unit = (crypto: Crypto.Service, unit: Row.Unit): Effect.Effect<Row.Result> =>
  Effect.scoped(
    Effect.gen(function* () {
      const scenario = Calls.scenario(crypto, unit, Layers.histories(crypto, 4 + unit.below(5)))
      const play = yield* Play.make(crypto, scenario)
      const broken = [...play.broken]
      const lengths: Array<number> = []
      let [interrupted, undone, trials] = [0, 0, 0]
      const run = (nth: number, step: number) =>
        play.trial(nth, (call) =>
          Effect.map(Interruptions.at(step, call), ({ exit, steps }) => {
            lengths[nth] = Math.max(lengths[nth] ?? 0, steps)
            if (steps >= step) interrupted += 1
            const flat = Exit.flatten(exit)
            if (Exit.isInterrupted(flat)) undone += 1
            return flat
          })
        )
      for (const nth of scenario.calls.keys()) broken.push(...(yield* run(nth, Infinity)))
      for (; trials < each && broken.length < unit.enough; trials++) {
        const nth = unit.below(scenario.calls.length)
        const step = 1 + unit.below(lengths[nth] ?? 1)
        const found = yield* run(nth, step)
        broken.push(...found.map((what) => `${what}: interrupted at step ${step} of "${scenario.calls[nth]?.name}"`))
      }
      const steps = lengths.reduce((a, b) => a + b, 0)
      return { trials, broken, facts: { steps, interrupted, "calls that ended with it": undone } }
    })
  )

export const row: Row.Row = {
  name: "interrupts",
  fault: "calls interrupted at any step",
  promises: "P1 P2 P3 P4 P5 P6",
  units: { quick: 8, full: 125 },
  prepare: Effect.map(Crypto.Crypto, (crypto) => (one: Row.Unit) => unit(crypto, one)),
  vacuous: (facts) =>
    ["interrupted", "calls that ended with it"].flatMap((name) =>
      (facts[name] ?? 0) === 0 ? [`none were ${name}`] : []
    )
}
