/** Two processes on one file at the same time: both take in the same, publish, drain, read and pull; one may be killed. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Line, Orders } from "../../../src/testing/internal/orders.ts"
import * as Processes from "../../../src/testing/internal/processes.ts"
import type { Told } from "../../../src/testing/Promises.ts"
import * as Check from "../crashes/Check.ts"
import * as Program from "../crashes/Program.ts"
import * as Work from "../crashes/Work.ts"
import type * as Row from "../Row.ts"

/** What each of the two is told. */
const options = (work: Work.Work, { below }: Row.Unit, who: number): Program.Options => {
  const batchSize = ([1, 10, 100] as const)[below(3)] ?? 100
  return {
    work: work.files[who] ?? "",
    topic: work.topic,
    part: 1,
    batchSize,
    synchronous: below(2) === 0 ? "NORMAL" : "FULL",
    crypto: "native",
    readers: true,
    runs: below(2) === 0,
    deeds: 15,
    strict: false,
    holds: who === 1,
    who
  }
}

/** One process, from its start to its end. */
const life = (orders: Orders) =>
  Effect.flatMap(Processes.start(Program.command, orders), ({ ended }) =>
    Effect.timeoutTo(ended, {
      duration: "1 minute",
      onTimeout: () => ({ broken: ["it does not come to an end"], lines: [] as ReadonlyArray<Line> }),
      onSuccess: ({ code, lines, signal, stderr }) => ({
        broken: code === 0 ? [] : [`it ended with ${signal ?? code}: ${stderr}`],
        lines
      })
    })
  ).pipe(Effect.scoped)

/** One that is killed after so many confirmations, and started again. */
const killed = (orders: Orders, confirmations: number) =>
  Effect.gen(function* () {
    const { ended, kill, said } = yield* Processes.start(Program.command, { ...orders, isLast: false })
    yield* said(confirmations)
    yield* kill
    const { lines, signal } = yield* ended
    const again = yield* life({ ...orders, nth: 1, seed: orders.seed + 1 })
    const broken = signal === "SIGKILL" ? again.broken : [`it ended with ${signal}`, ...again.broken]
    return { broken, lines: [...lines, ...again.lines] }
  }).pipe(Effect.scoped)

const told = (lines: ReadonlyArray<Line>): ReadonlyArray<Told> =>
  lines.flatMap((line) => ("told" in line ? line.told : []))

const unit = (directory: string, one: Row.Unit) =>
  Effect.gen(function* () {
    const work = yield* Work.make(directory, one.seed, { forks: false, processes: 2 })
    const check = yield* Check.make(work, 2)
    const made = fs.mkdtempSync(path.join(directory, "processes-"))
    const filename = path.join(made, "shared.db")
    const orders = (who: number): Orders => {
      return { filename, nth: 0, seed: one.seed + 10 * who, isLast: true, options: options(work, one, who) }
    }
    const isKilled = one.nth % 2 === 1
    const first = life(orders(0))
    const second = isKilled ? killed(orders(1), 4 + one.below(80)) : life(orders(1))
    const both = yield* Effect.all([first, second], { concurrency: 2 })
    const lines = both.flatMap(({ lines }) => lines)
    const notes = lines.flatMap((line) => ("note" in line ? [line.note] : []))
    const promises = check({ told: told(lines), notes, nth: 0, isOver: true })
    const broken = [
      ...both.flatMap(({ broken }, who) => broken.map((what) => `P3: process ${who}: ${what}`)),
      ...(yield* Effect.provide(promises, Program.database(filename)))
    ]
    if (broken.length === 0) {
      fs.rmSync(made, { recursive: true, force: true })
      Work.remove(work)
    }
    // What a process published it accepted; of the rest it is not known whose work it was.
    const own = both.filter(({ lines }) =>
      lines.some((line) => "note" in line && Predicate.hasProperty(line.note, "own"))
    )
    return {
      trials: 1,
      broken: broken.map((what) => `${what} (${filename})`),
      facts: {
        "with one killed": isKilled ? 1 : 0,
        "with both at work": own.length === 2 ? 1 : 0,
        told: told(lines).length
      }
    }
  })

export const processes: Row.Row = {
  name: "processes",
  fault: "two processes work on one file; one holds the lock now and then, or is killed",
  promises: "P1 P2 P3 P5 P6 P11 P12",
  units: { quick: 4, full: 40 },
  victim: true,
  prepare: Effect.map(
    Work.directory,
    (directory) => (one) =>
      Effect.catchAll(unit(directory, one), (error) =>
        Effect.succeed({ trials: 1, broken: [`${error._tag}: ${error.message}`] })
      )
  ),
  vacuous: (facts) =>
    ["with one killed", "with both at work"].flatMap((what) => (facts[what] === 0 ? [`there is none ${what}`] : []))
}
