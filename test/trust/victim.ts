/**
 * The program that the rows `kills` and `processes` kill: it works on the application of `crashes/Program.ts` until it is killed,
 * with everything that can be asked of a controller, and says what was confirmed to it. Its last start finishes everything.
 */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { PCGRandom } from "effect/Utils"
import * as fs from "node:fs"
import type * as Operation from "../../src/core/Operation.ts"
import * as Consumers from "../../src/store/Consumers.ts"
import * as Victim from "../../src/testing/Victim.ts"
import * as Program from "./crashes/Program.ts"

/** What a start works with. */
interface Workshop {
  readonly controller: Program.Controller
  readonly options: Program.Options
  readonly raws: ReadonlyArray<Operation.Raw>
  readonly below: (limit: number) => number
}

/** Some of what there is, mostly of what came last. */
const some = ({ below, options, raws }: Workshop, most: number): ReadonlyArray<Operation.Raw> => {
  const until = Math.max(1, Math.ceil(raws.length * options.part))
  const first = below(4) === 0 ? below(until) : Math.max(0, until - 1 - below(24))
  return raws.slice(first, Math.min(until, first + 1 + below(most)))
}

const publish = ({ below, controller, options }: Workshop) =>
  Effect.gen(function* () {
    const victim = yield* Victim.Victim
    const published = yield* controller.publish({
      key: Program.own(options.who),
      topic: options.topic,
      message: Uint8Array.of(below(250), options.who)
    })
    yield* victim.confirm(published)
    yield* victim.note({ own: { id: published.id, who: options.who, seqNum: published.seqNum } })
    // The application may say no; then it never existed.
  }).pipe(Effect.catchTag("Vetoed", () => Effect.void))

/** Holds the write lock for a while, as another program would. */
const hold = (millis: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const on = yield* sql.reserve
    yield* on.executeUnprepared("BEGIN IMMEDIATE", [], undefined)
    yield* Effect.ensuring(Effect.sleep(millis), Effect.orDie(on.executeUnprepared("ROLLBACK", [], undefined)))
  }).pipe(Effect.scoped)

/** One of all the things that can be done. */
const deed = (shop: Workshop) =>
  Effect.gen(function* () {
    const { below, controller, options } = shop
    const { confirm } = yield* Victim.Victim
    const { consumers } = controller
    switch (below(20)) {
      case 0:
        return yield* consumers.rebuild(below(2) === 0 ? "journal" : "processor:causal-order")
      case 1:
        return options.readers ? yield* consumers.rebuild("ledger") : undefined
      case 2:
        return options.readers ? yield* consumers.replay({ consumer: "ledger", from: below(20) }) : undefined
      case 3:
        return yield* controller.collect({ step: 1 + below(50) })
      case 4:
      case 5:
        return yield* controller.replay()
      case 6:
      case 7:
      case 8:
        return yield* publish(shop)
      case 9:
        return yield* Effect.tap(controller.process(some(shop, 1)[0] ?? shop.raws[0]!), confirm)
      case 10:
      case 11:
      case 12:
        yield* Effect.tap(controller.receiveAll(some(shop, 12)), confirm)
        return yield* controller.drain
      case 13:
        return yield* Effect.tap(controller.receiveAll(some(shop, 20)), confirm)
      default:
        return yield* Effect.tap(controller.processAll(some(shop, 20)), confirm)
    }
  })

/** Takes operations out, and says what it was handed before it acknowledges it, and that it did. */
const pulling = (controller: Program.Controller) =>
  Effect.gen(function* () {
    const { note } = yield* Victim.Victim
    yield* Stream.runForEach(
      controller.pull("elsewhere", { lease: "50 millis", inFlight: 3 }),
      ({ ack, event, position }) =>
        Effect.gen(function* () {
          yield* note({ pulled: position, id: event?.id ?? null })
          yield* ack
          yield* note({ acknowledged: position })
        }).pipe(Effect.catchTag("LeaseLost", () => Effect.void))
    )
  })

/** Everything is taken in and handed on; then nothing is left to do. */
const finish = ({ controller, options, raws }: Workshop) =>
  Effect.gen(function* () {
    const { confirm } = yield* Victim.Victim
    yield* Effect.tap(controller.processAll(raws), confirm)
    yield* controller.drain
    if (!options.readers) return
    const pulled = Effect.map(Consumers.status, (all) => all.find(({ name }) => name === "elsewhere"))
    const isDone = (one: Consumers.Status | undefined) => one !== undefined && one.lag + one.inFlight === 0
    yield* Effect.repeat(Effect.delay(pulled, "5 millis"), { until: isDone })
  })

const main = Effect.gen(function* () {
  const victim = yield* Victim.Victim
  const options = yield* Schema.decodeUnknown(Program.Options)(victim.options)
  const random = new PCGRandom(victim.seed)
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(`PRAGMA synchronous = ${options.synchronous}`)
  const controller = yield* Program.open(options)
  const below = (limit: number) => random.integer(limit)
  const shop: Workshop = { controller, options, raws: Program.read(fs.readFileSync(options.work, "utf8")), below }
  // What is announced was committed, whoever asked for it.
  yield* Effect.forkScoped(Stream.runForEach(controller.outcomes, victim.confirm))
  if (options.runs) yield* Effect.forkScoped(controller.run)
  if (options.readers) yield* Effect.forkScoped(pulling(controller))
  for (let done = 0; !victim.isLast || done < options.deeds; done++) {
    if (options.holds && below(12) === 0) yield* hold(20 + below(60))
    yield* deed(shop)
    // Whoever reads what was announced has a turn.
    yield* Effect.yieldNow()
  }
  yield* finish(shop)
})

const environment = Layer.mergeAll(
  Victim.layer((filename) => SqliteClient.layer({ filename })),
  Logger.remove(Logger.defaultLogger)
)

void Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(environment))).then(
  () => process.exit(0),
  (error: unknown) => {
    fs.writeSync(2, String(error))
    process.exit(1)
  }
)
