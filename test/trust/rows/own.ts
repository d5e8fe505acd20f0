/**
 * Our own log, whatever is lost: histories in which it is published on, backups are taken at any moment, commits are dropped, an old
 * file is put back, the witness is lost, and the process dies between the commit and the note. What was published is kept by the
 * world outside; in the end no place has two operations there.
 */
import * as Effect from "effect/Effect"
import * as process from "node:process"
import type { Row, Unit } from "../Row.ts"
import * as History from "./own/History.ts"
import * as Killed from "./own/Killed.ts"

/** Every so manieth unit kills a real process. */
const killing = 20

export const own: Row = {
  name: "own",
  fault: "a database that is restored, loses its last commits or its witness, or dies between commit and note",
  promises: "P11",
  units: { quick: 60, full: 1000 },
  prepare: Effect.suspend(() => {
    const job = process.env[Killed.variable]
    return job === undefined ? Effect.map(History.bench, trial) : Killed.publishing(job)
  }),
  vacuous: (facts) =>
    [
      "published",
      "refused",
      "unwitnessed",
      "restored",
      "cut",
      "lost",
      "crashed",
      "confirmed",
      "contradicted",
      "goneOn",
      "killed"
    ].flatMap((name) => ((facts[name] ?? 0) > 0 ? [] : [`nothing was ${name}`]))
}

const trial = (bench: History.Bench) => (unit: Unit) =>
  unit.nth % killing === killing - 1 ? Killed.trial(bench, unit) : History.trial(bench, unit)
