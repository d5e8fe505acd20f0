/** Bytes of every kind for everything that reads bytes, and through a whole controller. See test/fuzz. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as InputFaults from "../../../src/testing/InputFaults.ts"
import * as Campaign from "../../fuzz/Campaign.ts"
import * as EndToEnd from "../../fuzz/EndToEnd.ts"
import { targets } from "../../fuzz/targets.ts"
import type { Result, Row, Unit } from "../Row.ts"

/** Inputs of a unit: so many for each reader, in their order of `targets`, and so many through a controller. */
const shares = { header: 3000, extensions: 2000, cbor: 2000, sequence: 800, names: 700, reasons: 500 }
const rounds = 5
const size = 200

export const row: Row = {
  name: "fuzz",
  fault: "bytes from anywhere: headers, extensions, values, files, stored errors, names; damaged, crossed, invented",
  promises: "P3, P8, typed errors that name the place",
  units: { quick: 6, full: 100 },
  prepare: Effect.gen(function* () {
    const native = yield* Crypto.Crypto
    const portable = yield* Effect.provide(Crypto.Crypto, Crypto.layerPortable)
    // A hundred thousand errors are made here, and nobody reads their stacks.
    Error.stackTraceLimit = 0
    const all = targets(native, portable)
    return (unit) => one(all, native, unit)
  }),
  vacuous: (facts) =>
    ["header verdicts", "extensions verdicts", "cbor verdicts", "sequence verdicts", "accepted", "refused", "waiting"]
      .filter((name) => (facts[name] ?? 0) === 0)
      .map((name) => `nothing was counted of: ${name}`)
}

const one = (
  all: ReadonlyArray<Campaign.Target>,
  crypto: Crypto.Service,
  { seed }: Unit
): Effect.Effect<Result, never, Crypto.Crypto> =>
  Effect.gen(function* () {
    const facts: Record<string, number> = {}
    const broken: Array<string> = []
    let trials = 0
    for (const target of all) {
      const showed = Campaign.run(target, seed, shares[target.name])
      trials += showed.tried
      facts[`${target.name} verdicts`] = showed.verdicts.size
      broken.push(...showed.broken.map((found) => Campaign.tell(target, found)))
    }
    const showed = yield* EndToEnd.run(crypto, InputFaults.random(seed), rounds, size)
    broken.push(...showed.broken)
    for (const [answer, count] of showed.answers) {
      const name = counted[answer.split(" ")[0] ?? ""] ?? "refused"
      facts[name] = (facts[name] ?? 0) + count
    }
    return { trials: trials + showed.tried, broken, facts }
  }).pipe(
    Effect.scoped,
    Effect.provide(SqliteClient.layer({ filename: ":memory:" })),
    Effect.catchAll((error) =>
      Effect.succeed({ trials: 1, broken: [`typed: the controller failed: ${error._tag}: ${error.message}`] })
    )
  )

const counted: Readonly<Record<string, string>> = {
  Accepted: "accepted",
  Deferred: "waiting",
  Known: "known",
  Rejected: "rejected"
}
