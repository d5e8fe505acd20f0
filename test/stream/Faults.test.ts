/**
 * A fault at every statement of the trust scenario: busy, full disk, I/O error; before the statement or after it; once or
 * for ever. Every statement is tried in each run of the tests, with one of the twelve; `TRUST=full` tries all twelve.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as Trial from "../support/ScenarioTrial.ts"

const kinds = ["busy", "full", "io"] as const
const harms = kinds.flatMap((kind) =>
  [SqlFaults.failBefore(kind), SqlFaults.failAfter(kind)].flatMap((fault) =>
    [false, true].map((forever) => ({ fault, forever, label: `${fault._tag} ${kind}${forever ? " for ever" : ""}` }))
  )
)
const everything = process.env["TRUST"] === "full"

/** The harms of the n-th statement. Five and twelve have no common divisor, so all twelve are used along the scenario. */
const harmsAt = (at: number) => (everything ? harms : [harms[(at * 5) % harms.length]!])

describe("a fault at every statement", () => {
  it.live(
    "leaves what the model allows, and the scenario ends as if there had been none",
    () =>
      Effect.gen(function* () {
        const bench = yield* Trial.bench
        assert.deepStrictEqual(bench.broken, [])
        const broken: Array<string> = []
        let trials = 0
        for (const [index, statement] of bench.statements.entries()) {
          for (const { fault, forever, label } of harmsAt(index + 1)) {
            trials++
            const found = yield* Trial.run(bench, { plan: { at: index + 1, fault, forever } })
            for (const what of found) broken.push(`${label} at ${index + 1} (${statement.trim().slice(0, 60)}): ${what}`)
          }
        }
        console.log(`faults: ${bench.statements.length} statements, ${trials} trials, ${broken.length} violations`)
        assert.deepStrictEqual(broken.slice(0, 20), [])
        assert.strictEqual(trials, bench.statements.length * (everything ? harms.length : 1))
      }).pipe(Effect.scoped, Effect.provide(Trial.environment)),
    everything ? 3_600_000 : 300_000
  )
})
