/** What is measured against the limits: the stream controller, on a fresh database for every run. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Check from "./Check.ts"
import * as Data from "./Data.ts"
import * as Mode from "./Mode.ts"
import { applicationTable } from "./Rows.ts"
import { type Measured, type Time, timed } from "./Timing.ts"

/** The application that is measured: its handler writes one row with an ordinary template. */
export const application = Application.make({
  name: "bench",
  version: 1,
  message: Data.Message,
  handle: ({ message, position }) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`INSERT INTO bench_apples (position, owner, apples, note)
        VALUES (${position}, ${message.owner}, ${message.apples}, ${message.note})`
    )
})

export const pipeline = Pipeline.make(LogIntegrity.processor)

/** Bytes in, accepted operations out: decode, check, process, commit. So many go `before` the clock is started. */
export const ingest = (
  data: Data.Data,
  mode: Mode.Mode,
  batching: Mode.Batching,
  before: number = 0
): Promise<Measured> =>
  withController(mode, batching, (controller) =>
    Effect.gen(function* () {
      const accepted: Array<string> = []
      const take = (raws: Data.Data["raws"]) =>
        Effect.map(controller.processAll(raws, { topic: data.topic }), (answers) => {
          for (const answer of answers) if (answer._tag === "Accepted") accepted.push(answer.id)
        })
      yield* take(data.raws.slice(0, before))
      const time = yield* measure(take(data.raws.slice(before)))
      const wrong = accepted.length === data.items.length ? [] : [`${accepted.length} were accepted`]
      const count = data.items.length - before
      return { count, ...time, problems: [...wrong, ...(yield* problems(controller, data))] }
    })
  )

/** Through the inbox: stored first, then processed from there without checking signatures again. */
export const inbox = async (
  data: Data.Data,
  mode: Mode.Mode,
  batching: Mode.Batching
): Promise<{ readonly receive: Measured; readonly drain: Measured; readonly both: Measured }> =>
  withController(mode, batching, (controller) =>
    Effect.gen(function* () {
      const count = data.items.length
      const size = Mode.batchSize(batching)
      const receive = yield* measure(
        Effect.gen(function* () {
          for (let at = 0; at < count; at += size) {
            yield* controller.receiveAll(data.raws.slice(at, at + size), { topic: data.topic })
          }
        })
      )
      const { queued } = yield* controller.status
      const drain = yield* measure(controller.drain)
      const wrong = [...(queued === count ? [] : [`${queued} were queued`]), ...(yield* problems(controller, data))]
      const measured = (time: Time): Measured => ({ count, ...time, problems: wrong })
      return {
        receive: measured(receive),
        drain: measured(drain),
        both: measured({ seconds: receive.seconds + drain.seconds, cpu: receive.cpu + drain.cpu })
      }
    })
  )

/** Operations of our own, one after the other; each is on the disk before the next. */
export const publish = (crypto: Crypto.Service, data: Data.Data, mode: Mode.Mode, count: number): Promise<Measured> =>
  withController(mode, "single", (controller) =>
    Effect.gen(function* () {
      const key = Data.signingKey(0)
      const published: Array<StreamController.Published> = []
      const messages = data.items.slice(0, count).map(({ message }) => message)
      const time = yield* measure(
        Effect.gen(function* () {
          for (const message of messages) {
            published.push(yield* controller.publish({ key, topic: data.topic, message }))
          }
        })
      )
      const wrong = published.filter(
        ({ operation, position, seqNum }, index) =>
          seqNum !== index ||
          position !== index + 1 ||
          Operation.decodeWith(crypto)(Operation.raw(operation))._tag === "Left"
      )
      const { accepted, logs } = yield* controller.status
      const fine = wrong.length === 0 && accepted === messages.length && logs === 1
      return { count: messages.length, ...time, problems: fine ? [] : ["what was published is not what is there"] }
    })
  )

export type Controller = Effect.Effect.Success<ReturnType<typeof open>>

/** A controller on a database of its own; in memory, that has no file. */
export const withController = <A, E>(
  mode: Mode.Mode,
  batching: Mode.Batching,
  use: (controller: Controller, filename: string) => Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>
): Promise<A> =>
  Mode.withFile(mode, (filename) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe(`PRAGMA synchronous = ${Mode.synchronous(mode)}`)
      yield* sql.unsafe(applicationTable)
      const batchSize = batching === "growing" ? undefined : Mode.batchSize(batching)
      const options = { pipeline, application, batchSize }
      return yield* use(yield* StreamController.make(options), filename)
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename })), Effect.runPromise)
  )

// internal

const open = () => StreamController.make({ pipeline, application })

/** How long an effect takes; on its own fiber, so that the clock is read around it and nothing else. */
const measure = <A, E>(self: Effect.Effect<A, E>): Effect.Effect<Time> =>
  Effect.promise(() => timed(() => Effect.runPromise(Effect.asVoid(self))))

const problems = (controller: Controller, data: Data.Data) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const read = (text: string) => sql.unsafe<{ readonly [column: string]: unknown }>(text)
    const tables = {
      operations: yield* read(Check.queries.operations),
      logs: yield* read(Check.queries.logs),
      application: yield* read(Check.queries.application)
    }
    const count = data.items.length
    const { accepted, position, queued, rejected, waiting } = yield* controller.status
    const [consumer] = yield* read(`SELECT position FROM applecart_consumers WHERE name = 'bench'`)
    const fine =
      accepted === count &&
      position === count &&
      queued + waiting + rejected === 0 &&
      Number(consumer?.["position"]) === count
    return [...Check.problems(tables, data), ...(fine ? [] : ["the counts or the acknowledged position are wrong"])]
  })
