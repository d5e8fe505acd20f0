/** One trial: the scenario with a fault, then without one to the end, with the model asked after each. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Crypto from "../../src/core/Crypto.ts"
import { remembering } from "../../src/testing/internal/remembering.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as Model from "./Model.ts"
import * as Scenario from "./Scenario.ts"
import * as Database from "./ScenarioDatabase.ts"
import * as Operations from "./ScenarioOperations.ts"

/** Asked for by `TRUST=full`: every kind of harm at every statement, and nothing remembered. */
export const everything = process.env["TRUST"] === "full"

/** What all trials share. */
export interface Bench {
  readonly universe: Operations.Universe
  /** A database with the application's tables. */
  readonly template: string
  /** What lasts of a run without faults. */
  readonly expected: ReturnType<typeof Model.lasting>
  /** The statements of a run without faults. */
  readonly statements: ReadonlyArray<string>
}

/** The same few signatures are checked in every trial; remembered, they are not most of its time. Without logs and spans. */
export const environment = Layer.mergeAll(
  Layer.provide(
    Layer.effect(
      Crypto.Crypto,
      Effect.map(Crypto.Crypto, (crypto) => remembering(crypto))
    ),
    Crypto.layer
  ),
  Logger.remove(Logger.defaultLogger),
  Layer.setTracerEnabled(false)
)

/** Makes the template, and the run that all others are compared with; so many operations to a transaction, or as many as there are. */
export const benchOf = (batchSize: number | undefined) =>
  Effect.gen(function* () {
    const universe = yield* Operations.universe
    const template = yield* Database.template(yield* Database.directory)
    return yield* Database.withCopy(template, (filename) =>
      Effect.gen(function* () {
        const { reports, statements } = yield* faulty(universe, filename, { batchSize })
        const expected = yield* finish(universe, filename, reports)
        return { universe, template, expected: Model.lasting(expected.found), statements, broken: expected.broken }
      })
    )
  })
export const bench = benchOf(undefined)

/** What is done to a trial. */
export interface Harm {
  readonly plan?: SqlFaults.Plan | undefined
  readonly meddler?: Database.Meddler | undefined
  readonly batchSize?: number | undefined
}

/** Runs a trial on a new database; gives what is broken afterwards. */
export const run = (bench: Bench, harm: Harm): Effect.Effect<ReadonlyArray<string>, never, Crypto.Crypto> =>
  Database.withCopy(bench.template, (filename) =>
    Effect.gen(function* () {
      const ended = yield* Effect.timeoutOption(Effect.disconnect(faulty(bench.universe, filename, harm)), "20 seconds")
      if (Option.isNone(ended)) return ["typed: a call did not end"]
      const { reports } = ended.value
      const before = yield* look(bench.universe, filename, reports, false)
      const { broken, found } = yield* finish(bench.universe, filename, reports)
      return [...before.broken, ...broken, ...different(bench.expected, Model.lasting(found))]
    })
  )

/** What the model says of a database now. */
export const look = (
  universe: Operations.Universe,
  filename: string,
  reports: ReadonlyArray<Scenario.Report>,
  finished: boolean
) =>
  Effect.map(orDie(Model.snapshot, Database.plain(filename)), (found) => ({
    found,
    broken: judge(universe, found, reports, finished)
  }))

/** Makes all calls again on a database that works, and says what is broken then. */
export const finish = (universe: Operations.Universe, filename: string, before: ReadonlyArray<Scenario.Report>) =>
  Effect.gen(function* () {
    const { found, reports } = yield* finished(universe, filename)
    const broken = judge(universe, found, [...before, ...reports], true)
    const trouble = reports.flatMap((one) =>
      one._tag === "Failed" && one.infrastructure ? [`after the restart, "${one.step}" failed with ${one.error}`] : []
    )
    return { found, broken: [...broken, ...trouble] }
  })

/** What a finished run is compared by. */
export const lasting = Model.lasting

/** The parts in which a finished run differs from what is expected. */
export const different = (expected: Bench["expected"], actual: Bench["expected"]): ReadonlyArray<string> =>
  Object.entries(expected).flatMap(([table, rows]) => {
    const found = Object.entries(actual).find(([name]) => name === table)?.[1]
    return JSON.stringify(rows) === JSON.stringify(found)
      ? []
      : [`P6: ${table} ends as ${JSON.stringify(found)} instead of ${JSON.stringify(rows)}`]
  })

// internal

const judge = (
  universe: Operations.Universe,
  found: Model.Snapshot,
  reports: ReadonlyArray<Scenario.Report>,
  finished: boolean
) =>
  Model.violations(universe, found, reports, finished).map(
    (what) => `${finished ? "after" : "before"} the restart, ${what}`
  )

/** What became of a database when all calls were made again, and what they were told. */
interface Finished {
  readonly found: Model.Snapshot
  readonly reports: ReadonlyArray<Scenario.Report>
}

const ends = new Map<string, Finished>()

/** How many databases were finished; the others had the rows of one of them. */
export const finishedOnce = (): number => ends.size

/**
 * The calls are the same in every trial, and who makes them again knows nothing but the rows: from equal rows they come to
 * equal ends. Most trials leave the rows that an earlier one left, since whatever struck in a transaction undid it; these are
 * finished once. `TRUST=full` finishes all.
 */
const finished = (universe: Operations.Universe, filename: string) =>
  Effect.gen(function* () {
    const begin = yield* orDie(Database.rows, Database.plain(filename))
    const known = everything ? undefined : ends.get(begin)
    if (known !== undefined) return known
    const reports: Array<Scenario.Report> = []
    yield* orDie(
      Scenario.drive(Scenario.again(universe), (one) => reports.push(one), { busyLimit: 5000 }),
      Database.plain(filename)
    )
    const found = yield* orDie(Model.snapshot, Database.plain(filename))
    const end = { found, reports }
    ends.set(begin, end)
    return end
  })

const orDie = <A, E, R>(self: Effect.Effect<A, E, R | SqlClient>, client: Layer.Layer<SqlClient>) =>
  Effect.orDie(Effect.provide(self, client))

const faulty = (universe: Operations.Universe, filename: string, { batchSize, meddler, plan }: Harm) => {
  const reports: Array<Scenario.Report> = []
  let mend: Effect.Effect<void> = Effect.void
  const run = Effect.gen(function* () {
    const faults = yield* SqlFaults.SqlFaults
    mend = faults.disarm
    if (plan !== undefined) yield* faults.arm(plan)
    const patience = plan?.forever === true ? { limit: impatient(faults, plan.at ?? 1) } : {}
    yield* Scenario.drive(Scenario.steps(universe), (one) => reports.push(one), { ...patience, batchSize })
    return { reports, statements: yield* faults.statements }
  })
  // A ROLLBACK that fails for ever is tried again for ever. On the closed connection it may come to an end.
  return Effect.ensuring(
    Effect.provide(run, Database.meddled(filename, meddler)),
    Effect.suspend(() => mend)
  )
}

/**
 * Where the database fails for ever, and with it ROLLBACK, the connection is kept back until that works, so that calls
 * wait; they can be interrupted, which is done here a while after the database has begun to fail.
 */
const impatient =
  (faults: SqlFaults.SqlFaults["Type"], at: number) =>
  <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E | Scenario.Stuck, R> => {
    const failing = Effect.repeat(faults.count, {
      until: (count) => count >= at,
      schedule: Schedule.spaced("10 millis")
    })
    return Effect.raceFirst(call, failing.pipe(Effect.delay("100 millis"), Effect.zipRight(new Scenario.Stuck())))
  }
