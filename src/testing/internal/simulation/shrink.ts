/** Looks for a smaller run that shows something broken as well: fewer steps, fewer faults. */
import * as Effect from "effect/Effect"
import type { Fault, Report, Simulation } from "../../Simulation.ts"
import { ordinary } from "./prepare.ts"

/** A smaller failing run, or the one that was given. Makes some thirty runs at the most. */
export const shrink = ({ run }: Simulation, report: Report): Effect.Effect<Report> =>
  Effect.gen(function* () {
    let best = report
    // Steps: the smallest number of a few that still fails; a run ends after them as it would have ended anyway.
    for (let low = 0, high = best.replay.steps ?? most; high - low > 1; ) {
      const steps = (low + high) >> 1
      const found = yield* run({ ...best.replay, steps })
      if (found.broken.length > 0) {
        best = found
        high = steps
      } else low = steps
    }
    for (const fault of faults) {
      const found = yield* run({ ...best.replay, without: [...(best.replay.without ?? []), fault] })
      if (found.broken.length > 0) best = found
    }
    return best
  })

// internal

const most = 64

const faults: ReadonlyArray<Fault> = [...ordinary, "lies"]
