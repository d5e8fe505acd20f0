/** Every statement of generated scenarios fails: before it is run, after it, and for ever until it is mended. */
import * as Effect from "effect/Effect"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as SqlFaults from "../../../src/testing/SqlFaults.ts"
import type * as Row from "../Row.ts"
import * as Calls from "../scenario/Calls.ts"
import * as Connection from "../scenario/Connection.ts"
import * as Crowd from "../scenario/Crowd.ts"
import * as Layers from "../scenario/Layers.ts"
import * as Play from "../scenario/Play.ts"

/** What must have been answered somewhere in a run for it to mean anything. */
const happens = ["Accepted", "Queued", "known accepted"]

/** What is too rare for a quick run. */
const rare = [
  "Deferred",
  "Held",
  "Skipped",
  "Discarded",
  "Refused",
  "published",
  "rejected",
  "known pruned",
  "known queued"
]

const ways = (number: number): ReadonlyArray<SqlFaults.Plan> => {
  const kind = (["busy", "full", "io"] as const)[number % 3] ?? "io"
  const next = (["busy", "full", "io"] as const)[(number + 1) % 3] ?? "io"
  const lasting = [SqlFaults.failBefore(kind), SqlFaults.lose, SqlFaults.failAfter(next)][(number >> 2) % 3]
  return [
    { fault: SqlFaults.failBefore(kind) },
    { fault: SqlFaults.failAfter(next) },
    { fault: lasting ?? SqlFaults.lose, times: 8 }
  ]
}

/** One in so many ends with a crowd. */
const crowded = 50

export const generated = (crypto: Crypto.Service, unit: Row.Unit): Calls.Scenario =>
  unit.nth % crowded === 1
    ? Crowd.behind(crypto, Calls.scenario(crypto, unit, Layers.histories(crypto, 1)))
    : Calls.scenario(crypto, unit, Layers.histories(crypto, 1 + unit.below(4)))

const unit = (crypto: Crypto.Service, unit: Row.Unit): Effect.Effect<Row.Result> =>
  Effect.scoped(
    Effect.gen(function* () {
      const scenario = generated(crypto, unit)
      const play = yield* Play.make(crypto, scenario)
      const { faults } = play.stage
      const broken = [...play.broken]
      const facts: Record<string, number> = { statements: 0, "faults struck": 0 }
      let trials = 0
      for (const [nth, statements] of play.statements.entries()) {
        for (const [index, statement] of statements.entries()) {
          if (broken.length >= unit.enough) break
          for (const plan of ways(unit.seed + index)) {
            trials += 1
            const at = index + 1
            let struck = 0
            const found = yield* play.trial(nth, (call) =>
              Effect.zipRight(faults.arm({ ...plan, at }), call).pipe(
                Effect.tap(Effect.map(faults.struck, (count) => (struck = count))),
                // What is not the connection that was lost has not its settings either.
                Effect.zipLeft(
                  plan.fault._tag === "Lose" ? Effect.orDie(Connection.renew(play.stage.base)) : Effect.void
                )
              )
            )
            if (struck > 0) facts["faults struck"] = (facts["faults struck"] ?? 0) + 1
            const { fault, times } = plan
            const label = `${fault._tag}${"kind" in fault ? ` ${fault.kind}` : ""}${times === undefined ? "" : " for a while"}`
            const where = `statement ${at} of "${scenario.calls[nth]?.name}" (${statement.trim().slice(0, 50)})`
            broken.push(...found.map((what) => `${what}: ${label} at ${where}`))
          }
        }
        facts["statements"] = (facts["statements"] ?? 0) + statements.length
      }
      facts["ends"] = play.finished()
      for (const [word, count] of play.words) facts[word] = count
      return { trials, broken, facts }
    })
  )

export const row: Row.Row = {
  name: "statements",
  fault: "every statement of generated scenarios fails: before, after, for ever",
  promises: "P1 P2 P3 P4 P5 P6 P9 P12",
  units: { quick: 20, full: 200 },
  prepare: Effect.map(Crypto.Crypto, (crypto) => (one: Row.Unit) => unit(crypto, one)),
  vacuous: (facts, tier) => [
    ...[...happens, ...(tier === "full" ? rare : [])]
      .filter((word) => (facts[word] ?? 0) === 0)
      .map((word) => `nothing was ever answered with "${word}"`),
    ...((facts["faults struck"] ?? 0) === 0 ? ["no fault struck"] : [])
  ]
}
