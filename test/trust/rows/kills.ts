/** Real processes on real files, killed in the middle of generated work, again and again on the same database. */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Crashes from "../../../src/testing/Crashes.ts"
import * as Program from "../crashes/Program.ts"
import * as Check from "../crashes/Check.ts"
import * as Work from "../crashes/Work.ts"
import type * as Row from "../Row.ts"

const lives = 20

/** How a start differs from the others on the same file. */
const options = (work: Work.Work, nth: number): Effect.Effect<Program.Options> =>
  Effect.gen(function* () {
    const pick = <A>(...all: readonly [A, ...Array<A>]) =>
      Effect.map(Random.nextIntBetween(0, all.length), (at) => all[at] ?? all[0])
    const isLast = nth === lives
    return {
      work: work.files[0] ?? "",
      topic: work.topic,
      // Something new for each.
      part: isLast ? 1 : (nth + 1) / lives,
      batchSize: yield* pick<Program.Options["batchSize"]>(1, 10, 100),
      synchronous: yield* pick<Program.Options["synchronous"]>("NORMAL", "FULL"),
      crypto: yield* pick<Program.Options["crypto"]>("native", "native", "native", "native", "portable", "worker"),
      readers: isLast || (yield* pick(true, true, false)),
      runs: yield* pick(true, false),
      strict: !isLast && (yield* pick(true, true, false)),
      deeds: 0,
      holds: false,
      who: 0
    }
  })

const unit = (directory: string, { nth, seed }: Row.Unit) =>
  Effect.gen(function* () {
    const work = yield* Work.make(directory, seed, { forks: nth % 3 === 2, processes: 1 })
    const check = yield* Check.make(work)
    const chain = yield* Crashes.run({
      command: Program.command,
      open: Program.database,
      check,
      seed,
      lives,
      options: (at) => options(work, at),
      directory
    })
    Work.remove(work)
    return chain
  })

export const kills: Row.Row = {
  name: "kills",
  fault: "a real process is killed (SIGKILL), twenty times in a row on one file",
  promises: "P1 P2 P3 P4 P5 P6 P11 P12",
  units: { quick: 8, full: 100 },
  victim: true,
  prepare: Effect.gen(function* () {
    const directory = yield* Work.directory
    return (one) =>
      Effect.matchEffect(unit(directory, one), {
        onSuccess: ({ atStatement, deaths, survived, told }) =>
          Effect.succeed({ trials: deaths, broken: [], facts: { "at a statement": atStatement, survived, told } }),
        onFailure: (error) =>
          Effect.succeed({ trials: 1, broken: [`${error._tag}: ${error.message} ${String(error.cause ?? "")}`] })
      })
  }),
  vacuous: ({ "at a statement": at = 0, told = 0 }) => [
    ...(at === 0 ? ["none died at its statement"] : []),
    ...(told === 0 ? ["nothing was confirmed"] : [])
  ]
}
