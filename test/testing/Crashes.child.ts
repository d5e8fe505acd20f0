/** Run by Crashes.test.ts: takes in a history, one operation after the other, again and again. `early`: says so too early. `exit`: fails. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Victim from "../../src/testing/Victim.ts"
import { deeds } from "./Crashes.history.ts"

const program = Effect.gen(function* () {
  const victim = yield* Victim.Victim
  const options = yield* Schema.decodeUnknown(Schema.Struct({ how: Schema.String, batchSize: Schema.Int }))(
    victim.options
  )
  if (options.how === "exit") return yield* Effect.fail("as it was told")
  const { operations } = History.write(yield* Crypto.Crypto, deeds)
  const controller = yield* StreamController.make({
    pipeline: Pipeline.make(LogIntegrity.processor),
    application: Journal.application,
    batchSize: options.batchSize
  })
  // Something new first, so that a death early in a life strikes it.
  let some: ReadonlyArray<Operation.Operation> = operations.slice(3 * victim.nth, 3 * victim.nth + 3)
  do {
    for (const operation of some) {
      if (options.how === "early") yield* victim.confirm({ _tag: "Accepted", id: operation.id })
      yield* Effect.tap(controller.process(Operation.raw(operation)), victim.confirm)
    }
    yield* victim.note({ rounds: 1 })
    some = operations
  } while (!victim.isLast)
  yield* Effect.tap(controller.processAll(operations.map(Operation.raw)), victim.confirm)
})

const database = Victim.layer((filename) => SqliteClient.layer({ filename }))
await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(database), Effect.provide(Crypto.layer)))
