/** Makes the runs with these seeds, and writes what happened in them, for comparison with another process. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as process from "node:process"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Simulation from "../../src/testing/Simulation.ts"
import { options } from "../support/Simulated.ts"

const program = Effect.gen(function* () {
  const simulation = yield* Simulation.make(options())
  const reports = yield* Effect.forEach(process.argv.slice(2), (seed) => simulation.run({ seed: Number(seed) }))
  fs.writeSync(1, JSON.stringify(reports.map(({ log }) => log)))
})

await Effect.runPromise(Effect.provide(program, Crypto.layer))
