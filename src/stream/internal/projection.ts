/** Rebuilds everybody in a transaction that is rolled back, and compares what they had made before with what they make now. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import * as Application from "../../pipeline/Application.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Compare from "../../store/Compare.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Operations from "../../store/Operations.ts"
import * as Transaction from "../../store/Transaction.ts"
import type { Superseded } from "../Errors.ts"
import type { Options, Report } from "../Projection.ts"
import { build, empty } from "./building.ts"
import * as Mood from "./mood.ts"
import * as Handover from "./handover.ts"
import * as Live from "./live.ts"
import * as Readers from "./readers.ts"
import type { Setup } from "./setup.ts"

/** Compares; nothing of what it does stays. */
export const verify = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  told: Setup<X, Out, A, E, R>,
  { ignore = [] }: Options = {}
): Effect.Effect<Report, SqlError | Superseded, SqlClient | R> => {
  // Nobody is told of progress that is undone.
  const setup = { ...told, progress: () => Effect.void }
  const compared = Effect.gen(function* () {
    const { left, rebuilt } = yield* chosen(setup)
    const tables = yield* Compare.tables({ also: ownTables(setup), ignore: [...forgetful, ...ignore] })
    yield* Compare.remember(tables)
    for (const name of rebuilt) yield* Consumers.rebuild(name)
    yield* build(setup)
    for (const consumer of setup.consumers) {
      if (!rebuilt.includes(consumer.name)) continue
      yield* empty(setup, consumer)
      yield* follow(setup, consumer)
    }
    const findings = yield* Compare.differences(tables)
    return yield* new Undone({
      report: { tables: tables.map(({ name }) => name), rebuilt, notRebuilt: left, findings }
    })
  })
  const undone = Transaction.run(compared, { busyLimit: setup.busyLimit })
  return Effect.zipRight(
    Live.ensure(told),
    Effect.catchIf(undone, isUndone, ({ report }) => Effect.succeed(report))
  )
}

// internal

/** Rolls the transaction back, with what was found in it. */
class Undone extends Data.TaggedError("Undone")<{ readonly report: Report }> {}

const isUndone = (error: unknown): error is Undone => error instanceof Undone

/** Tables that keep less with time, and get it all back in a rebuild. */
const forgetful = ["applecart_limits"]

/** The tables of the processors that can be rebuilt, by what they migrate. */
const ownTables = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>({
  pipeline
}: Setup<X, Out, A, E, R>): ReadonlyArray<string> =>
  pipeline.processors
    .filter(({ reset }) => reset !== undefined)
    .flatMap(({ migrations }) => migrations.flatMap(({ up }) => up))
    .flatMap((text) => /^\s*CREATE TABLE\s+(?:IF NOT EXISTS\s+)?"?(\w+)"?/i.exec(text)?.[1] ?? [])

/** Who is rebuilt, and who is not. What has not caught up would have more afterwards. */
const chosen = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(setup: Setup<X, Out, A, E, R>) =>
  Effect.gen(function* () {
    const last = yield* Operations.lastPosition
    const recorded = new Map((yield* Consumers.all).map((one) => [one.name, one]))
    const rebuilt: Array<string> = []
    const left: Array<string> = []
    const sort = (name: string, can: boolean, follows: boolean) => {
      const found = recorded.get(name)
      const isThere = found?.state === "live" && !found.paused && (!follows || found.position === last)
      if (can && isThere) rebuilt.push(name)
      else left.push(name)
    }
    for (const { name, reset } of setup.pipeline.processors) {
      if (reset !== undefined) sort(Consumers.processorName(name), true, false)
    }
    const { application, consumers } = setup
    if (application.name !== Application.noneName) sort(application.name, application.reset !== undefined, true)
    for (const { name, reset } of consumers) sort(name, reset !== undefined, true)
    return { rebuilt, left }
  })

const follow = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  consumer: Setup<X, Out, A, E, R>["consumers"][number]
) =>
  Effect.gen(function* () {
    const mood = Mood.calm()
    const task = Readers.follow(setup, { ...consumer, handlesDeleted: false })
    while ((yield* Handover.step(task, setup.batchSize, mood)).length > 0) yield* Effect.yieldNow()
  })
