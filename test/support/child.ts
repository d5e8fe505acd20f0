/**
 * A process of its own for the trust tests, told what to do by its arguments:
 *
 * - `scenario DIR`: reads jobs `{ file, at, when }` from the file `jobs.json` in DIR, runs the scenario on each job's database
 *   until it stands at its statement (`before` or `after` it), and then kills itself with SIGKILL. What a job's calls
 *   confirmed goes to stdout as it is told, before the next call is made.
 * - `kill FILE N`: the scenario on one database; the harness of `applecart/testing` kills the process before statement N.
 * - `slow FILE`: the scenario, again and again on one database, for somebody else to kill.
 * - `ingest FILE SEED`: takes in everybody's shuffled operations once stdin has ended, and drains.
 * - `hold FILE`: holds the write lock until stdin ends.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as process from "node:process"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as Ingest from "./childIngest.ts"
import * as Scenario from "./Scenario.ts"
import * as Database from "./ScenarioDatabase.ts"
import * as Operations from "./ScenarioOperations.ts"
import { environment } from "./ScenarioTrial.ts"

/** A database and the statement at which the process is killed. */
export interface Job {
  readonly file: string
  readonly at: number
  readonly when: "before" | "after"
}

/** Synchronous, so that it is out before anything else happens. */
const say = (line: unknown) => fs.writeSync(1, JSON.stringify(line) + "\n")
const die = Effect.zipRight(
  Effect.sync(() => process.kill(process.pid, "SIGKILL")),
  Effect.never
)

const stdinEnds = Effect.promise(() => new Promise<void>((done) => process.stdin.once("end", done).resume()))

/** Runs the job's scenario to its statement, where it stands still for ever. */
const job = (universe: Operations.Universe, one: Job, index: number) =>
  Effect.gen(function* () {
    const there = yield* Deferred.make<void>()
    const stop = Effect.zipRight(Deferred.succeed(there, undefined), Effect.never)
    let count = 0
    const meddler: Database.Meddler = (_sql, run) => {
      if (++count !== one.at) return run
      // Also behind one that fails: a violated constraint, or the BEGIN that asks whether there still is a transaction.
      return one.when === "before" ? stop : Effect.zipRight(Effect.exit(run), stop)
    }
    const whole = Scenario.drive(Scenario.steps(universe), (report) => say({ job: index, report }))
    yield* Effect.forkDaemon(
      Effect.provide(
        Effect.zipRight(
          whole,
          // It never came there: the parent takes that for a failure.
          Effect.zipRight(
            Effect.sync(() => say({ job: index, missed: count })),
            Deferred.succeed(there, undefined)
          )
        ),
        Database.meddled(one.file, meddler)
      )
    )
    yield* Deferred.await(there)
  })

const scenario = (dir: string) =>
  Effect.gen(function* () {
    const universe = yield* Operations.universe
    const jobs: ReadonlyArray<Job> = JSON.parse(fs.readFileSync(path.join(dir, "jobs.json"), "utf8"))
    yield* Effect.forEach(jobs, (one, index) => job(universe, one, index), { discard: true })
    yield* die
  })

const killed = (file: string, at: number) =>
  Effect.gen(function* () {
    const universe = yield* Operations.universe
    const faults = yield* SqlFaults.SqlFaults
    yield* faults.arm({ at, fault: SqlFaults.kill })
    yield* Scenario.drive(Scenario.steps(universe), (report) => say({ job: 0, report }))
    say({ job: 0, missed: yield* faults.count })
  }).pipe(Effect.provide(Database.meddled(file)))

const slow = (file: string) =>
  Effect.gen(function* () {
    const universe = yield* Operations.universe
    say({ ready: true })
    for (;;) {
      yield* Scenario.drive(Scenario.steps(universe), (report) => say({ job: 0, report }))
      say({ round: true })
    }
  }).pipe(Effect.provide(Database.plain(file)))

const hold = (file: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const connection = yield* sql.reserve
    yield* connection.execute("BEGIN IMMEDIATE", [], undefined)
    say({ ready: true })
    yield* stdinEnds
    yield* connection.execute("ROLLBACK", [], undefined)
  }).pipe(Effect.scoped, Effect.provide(Database.plain(file)))

const [what, file = "", argument = ""] = process.argv.slice(2)
const main = Effect.gen(function* () {
  if (what === "scenario") yield* scenario(file)
  else if (what === "kill") yield* killed(file, Number(argument))
  else if (what === "slow") yield* slow(file)
  else if (what === "ingest")
    say(
      yield* Ingest.run(
        file,
        Number(argument),
        Effect.suspend(() => (say({ ready: true }), stdinEnds))
      )
    )
  else if (what === "hold") yield* hold(file)
  else yield* Effect.dieMessage(`unknown: ${what}`)
})
await Effect.runPromise(Effect.provide(main, environment))
