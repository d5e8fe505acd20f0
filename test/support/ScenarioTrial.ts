/** One trial: the scenario with a fault, then without one to the end, with the model asked after each. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Crypto from "../../src/core/Crypto.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as Model from "./Model.ts"
import * as Scenario from "./Scenario.ts"
import * as Database from "./ScenarioDatabase.ts"
import * as Operations from "./ScenarioOperations.ts"

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

/** Makes the template, and the run that all others are compared with. */
export const bench = Effect.gen(function* () {
  const universe = yield* Operations.universe
  const template = yield* Database.template(yield* Database.directory)
  return yield* Database.withCopy(template, (filename) =>
    Effect.gen(function* () {
      const { reports, statements } = yield* faulty(universe, filename, {})
      const expected = yield* finish(universe, filename, reports)
      return { universe, template, expected: Model.lasting(expected.found), statements, broken: expected.broken }
    })
  )
})

/** What is done to a trial. */
export interface Harm {
  readonly plan?: SqlFaults.Plan | undefined
  readonly meddler?: Database.Meddler | undefined
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
    broken: Model.violations(universe, found, reports, finished).map(
      (what) => `${finished ? "after" : "before"} the restart, ${what}`
    )
  }))

/** Makes all calls again on a database that works, and says what is broken then. */
export const finish = (universe: Operations.Universe, filename: string, before: ReadonlyArray<Scenario.Report>) =>
  Effect.gen(function* () {
    const reports: Array<Scenario.Report> = []
    yield* orDie(
      Scenario.drive(Scenario.again(universe), (one) => reports.push(one), { busyLimit: 5000 }),
      Database.plain(filename)
    )
    const { broken, found } = yield* look(universe, filename, [...before, ...reports], true)
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

const orDie = <A, E, R>(self: Effect.Effect<A, E, R | SqlClient>, client: Layer.Layer<SqlClient>) =>
  Effect.orDie(Effect.provide(self, client))

const faulty = (universe: Operations.Universe, filename: string, { meddler, plan }: Harm) => {
  const reports: Array<Scenario.Report> = []
  const run = Effect.gen(function* () {
    const faults = yield* SqlFaults.SqlFaults
    if (plan !== undefined) yield* faults.arm(plan)
    const patience = plan?.forever === true ? { limit: impatient(faults, plan.at) } : {}
    yield* Scenario.drive(Scenario.steps(universe), (one) => reports.push(one), patience)
    return { reports, statements: yield* faults.statements }
  })
  return Effect.provide(run, Database.meddled(filename, meddler))
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

const remembering = (crypto: Crypto.Service): Crypto.Service => {
  const known = new Map<string, boolean>()
  return {
    ...crypto,
    verify: (key, message, signature) => {
      const name = `${crypto.hash(key)}${crypto.hash(message)}${crypto.hash(signature)}`
      const verdict = known.get(name) ?? crypto.verify(key, message, signature)
      known.set(name, verdict)
      return verdict
    }
  }
}
