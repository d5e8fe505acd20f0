/**
 * The whole controller against a model: random sequences of everything that can be asked of it, with crashes and a second
 * process. After each call every table, and what handlers have left, is what the model says.
 *
 * `npm test` tries a fixed number in CI, the same in every run, and others elsewhere. `TRUST=full` tries many more. `SEED` and
 * `PATH_OF` repeat a failure; they are printed with it.
 */
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as path from "node:path"
import * as Sequences from "../support/ControllerSequences.ts"

const place = await Sequences.place()
afterAll(place.close)

const numRuns = Number(process.env["RUNS"] ?? (process.env["TRUST"] === "full" ? 50_000 : 2000))

describe("a controller", () => {
  it("does what the model does", { timeout: 3_600_000 }, async () => {
    let [calls, crashes, together] = [0, 0, 0]
    const before = process.cpuUsage()
    const property = FastCheck.asyncProperty(Sequences.sequence(12), async (one) => {
      for (const line of await place.carryOut(one)) {
        calls += /^[01]: /.test(line) ? 1 : 0
        crashes += line.startsWith("   stopped") || line.startsWith("   failed") ? 1 : 0
        together += line.includes(", while 1: ") ? 1 : 0
      }
    })
    const result = await FastCheck.check(property, {
      numRuns,
      endOnFailure: process.env["NOSHRINK"] !== undefined,
      ...(process.env["CI"] === undefined ? {} : { seed: 20_261_124 }),
      ...(process.env["SEED"] === undefined ? {} : { seed: Number(process.env["SEED"]) }),
      ...(process.env["PATH_OF"] === undefined ? {} : { path: process.env["PATH_OF"] })
    })
    const seconds = Math.round(process.cpuUsage(before).user / 1e6)
    const counts = `${calls} calls, ${crashes} of them with a fault, ${together} of two programs at once`
    console.log(`${result.numRuns} sequences (${counts}) in ${seconds} s of CPU time, seed ${result.seed}`)
    if (!result.failed) return
    const again = `SEED=${result.seed} PATH_OF=${result.counterexamplePath} npm test -- ${path.basename(import.meta.filename)}`
    const { errorInstance } = result
    assert.fail(`${errorInstance instanceof Error ? errorInstance.message : String(errorInstance)}\n\nAgain: ${again}`)
  })
})
