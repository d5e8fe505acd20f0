/**
 * Histories of three to seven peers, simulated: all system layers, an application with a veto and a consumer, over a network that
 * loses, doubles, delays and damages, with crashes, disks in trouble and clocks that jump. One unit is one history.
 */
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as History from "../../../src/testing/History.ts"
import * as Simulation from "../../../src/testing/Simulation.ts"
import { options, unwanted } from "../../support/Simulated.ts"
import type { Row, Unit } from "../Row.ts"

/** The facts without which a run shows nothing. */
const needed = [
  "published",
  "delivered",
  "lost",
  "duplicated",
  "corrupted",
  "partitions",
  "crashes",
  "restarts",
  "clocks set",
  "statements failed",
  "slow",
  "busy",
  "rejected",
  "refused"
]

/** Authors who are no peers. Some of what they write is not wanted. */
const strangers = (crypto: Crypto.Service): ReadonlyArray<History.History> =>
  FastCheck.sample(
    History.deeds({
      authors: 2,
      topics: 2,
      most: 6,
      body: FastCheck.oneof(
        { weight: 6, arbitrary: FastCheck.uint8Array({ minLength: 1, maxLength: 5 }) },
        { weight: 1, arbitrary: FastCheck.constant(Uint8Array.of(unwanted)) }
      )
    }),
    { seed: 1, numRuns: 32 }
  ).map((deeds) =>
    History.write(
      crypto,
      deeds.map((deed) => ({ ...deed, author: deed.author + 23 }))
    )
  )

export const row: Row = {
  name: "simulation",
  fault: "histories of 3 to 7 peers: loss, duplication, reordering, corruption, partitions, crashes, bad disks, clocks",
  promises: "P1 to P6, P9, P11, P12, progress",
  units: { quick: 300, full: 10_000 },
  prepare: Effect.gen(function* () {
    const simulation = yield* Simulation.make({ ...options(strangers(yield* Crypto.Crypto)), steps: [1, 5] })
    return ({ seed }: Unit) =>
      Effect.map(simulation.run({ seed }), ({ broken, facts, log }) => ({
        trials: 1,
        broken: broken.length === 0 ? [] : [`${broken.join("\n  ")}\n  ${log.slice(-30).join("\n  ")}`],
        facts
      }))
  }).pipe(Effect.orDie),
  vacuous: (facts) => needed.flatMap((name) => ((facts[name] ?? 0) > 0 ? [] : [`nothing was ever ${name}`]))
}
