/**
 * A real process on a real file is killed with SIGKILL at the statements of the trust scenario: before every third of them
 * (`TRUST=full`: each), and after every eighth. What it had confirmed stands on its stdout. Then somebody else opens the file and finishes.
 *
 * A process dies once. So that thousands of deaths do not cost thousands of starts, one process runs the scenario on many
 * databases, one after the other; on each it stands still at that database's statement, with the transaction open and the
 * locks held, and dies when it stands at all of them. `TRUST=full` also gives every statement a process of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Job } from "../support/child.ts"
import * as Child from "../support/childProcess.ts"
import type { Report } from "../support/Scenario.ts"
import * as Database from "../support/ScenarioDatabase.ts"
import * as Trial from "../support/ScenarioTrial.ts"

const group = 28

interface Line {
  readonly job?: number
  readonly report?: Report
  readonly missed?: number
}

/** What the process had confirmed of its n-th database. */
const reports = (ended: Child.Ended, index: number): ReadonlyArray<Report> =>
  (ended.lines as ReadonlyArray<Line>).flatMap(({ job, report }) =>
    job === index && report !== undefined ? [report] : []
  )

/** What is broken after a kill, now and when the scenario was finished. */
const judge = (bench: Trial.Bench, file: string, confirmed: ReadonlyArray<Report>) =>
  Effect.gen(function* () {
    const before = yield* Trial.look(bench.universe, file, confirmed, false)
    const { broken, found } = yield* Trial.finish(bench.universe, file, confirmed)
    const left = yield* Effect.sync(() => {
      for (const end of ["", "-wal", "-shm"]) fs.rmSync(file + end, { force: true })
      return Trial.lasting(found)
    })
    return [...before.broken, ...broken, ...Trial.different(bench.expected, left)]
  })

const wasKilled = (ended: Child.Ended) => {
  const missed = (ended.lines as ReadonlyArray<Line>).filter((line) => line.missed !== undefined)
  assert.deepStrictEqual([ended.signal, ended.stderr, missed], ["SIGKILL", "", []])
}

/** One process, many databases: killed at all of these statements. */
const deaths = (bench: Trial.Bench, start: Child.Start, jobs: ReadonlyArray<Job>) =>
  Effect.gen(function* () {
    const dir = yield* Database.directory
    const own = jobs.map((job, index) => ({ ...job, file: path.join(dir, `${index}.db`) }))
    for (const { file } of own) fs.copyFileSync(bench.template, file)
    fs.writeFileSync(path.join(dir, "jobs.json"), JSON.stringify(own))
    const ended = yield* start("scenario", dir).ended
    wasKilled(ended)
    const broken: Array<string> = []
    for (const [index, { at, file, when }] of own.entries()) {
      for (const what of yield* judge(bench, file, reports(ended, index))) broken.push(`killed ${when} ${at}: ${what}`)
    }
    return broken
  }).pipe(Effect.scoped)

/** One process, one database, killed by the harness that users have. */
const death = (bench: Trial.Bench, start: Child.Start, at: number) =>
  Effect.gen(function* () {
    const file = path.join(yield* Database.directory, "one.db")
    fs.copyFileSync(bench.template, file)
    const ended = yield* start("kill", file, String(at)).ended
    wasKilled(ended)
    const broken = yield* judge(bench, file, reports(ended, 0))
    return broken.map((what) => `killed before ${at}: ${what}`)
  }).pipe(Effect.scoped)

const prepare = Effect.gen(function* () {
  const bench = yield* Trial.bench
  assert.deepStrictEqual(bench.broken, [])
  return { bench, start: yield* Child.build(yield* Database.directory) }
})

const chunks = <A>(items: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(items.length / size) }, (_, nth) => items.slice(nth * size, (nth + 1) * size))

describe("SIGKILL", () => {
  it.live(
    "at a statement: nothing confirmed is lost, nothing is half done, and the rest can be done",
    () =>
      Effect.gen(function* () {
        const { bench, start } = yield* prepare
        const numbers = bench.statements.map((_, index) => index + 1)
        const jobs: ReadonlyArray<Job> = [
          ...numbers
            .filter((at) => Trial.everything || at % 3 === 1)
            .map((at) => ({ file: "", at, when: "before" as const })),
          ...numbers.filter((at) => at % 8 === 0).map((at) => ({ file: "", at, when: "after" as const }))
        ]
        const broken = yield* Effect.forEach(chunks(jobs, group), (some) => deaths(bench, start, some), {
          concurrency: 2
        })
        console.log(
          `kills: ${numbers.length} statements, ${jobs.length} kills in ${broken.length} processes, with ${Trial.finishedOnce()} ends`
        )
        assert.deepStrictEqual(broken.flat().slice(0, 20), [])
      }).pipe(Effect.scoped, Effect.provide(Trial.environment)),
    3_600_000
  )

  it.live(
    "with a process for each statement",
    () =>
      Effect.gen(function* () {
        const { bench, start } = yield* prepare
        const numbers = bench.statements.map((_, index) => index + 1).filter((at) => Trial.everything || at % 120 === 7)
        const broken = yield* Effect.forEach(numbers, (at) => death(bench, start, at), { concurrency: 2 })
        console.log(`kills: ${numbers.length} processes of their own`)
        assert.deepStrictEqual(broken.flat().slice(0, 20), [])
      }).pipe(Effect.scoped, Effect.provide(Trial.environment)),
    3_600_000
  )

  it.live(
    "at eight random moments",
    () =>
      Effect.gen(function* () {
        const { bench, start } = yield* prepare
        // Some milliseconds after some calls, since a slow machine would not come far in milliseconds alone.
        const moment = Effect.all([Random.nextIntBetween(0, 22), Random.nextIntBetween(0, 12)])
        const moments = yield* Effect.withRandom(Effect.replicateEffect(moment, 8), Random.make("moments"))
        const one = ([calls, millis]: readonly [number, number]) =>
          Effect.gen(function* () {
            const file = path.join(yield* Database.directory, "one.db")
            fs.copyFileSync(bench.template, file)
            const child = start("slow", file)
            yield* Effect.promise(() => child.said("ready"))
            if (calls > 0) yield* Effect.promise(() => child.said("report", calls))
            yield* Effect.sleep(millis)
            child.process.kill("SIGKILL")
            const ended = yield* child.ended
            wasKilled(ended)
            const confirmed = reports(ended, 0)
            return { confirmed: confirmed.length, broken: yield* judge(bench, file, confirmed) }
          }).pipe(Effect.scoped)
        const all = yield* Effect.forEach(moments, one, { concurrency: 2 })
        console.log(`kills: ${all.length} at random, after ${all.map(({ confirmed }) => confirmed).join(" ")} calls`)
        assert.deepStrictEqual(
          all.flatMap(({ broken }) => broken),
          []
        )
        assert.lengthOf(all, 8)
      }).pipe(Effect.scoped, Effect.provide(Trial.environment)),
    3_600_000
  )
})
