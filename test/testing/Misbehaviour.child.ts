/** Run by Misbehaviour.test.ts: exits in the middle of the handler of the n-th operation of one call. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Misbehaviour from "../../src/testing/Misbehaviour.ts"

const [filename = "", nth = "1"] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const crypto = yield* Crypto.Crypto
  const { operations } = History.write(
    crypto,
    [0, 0, 1].map((author) => History.say(author, { body: Uint8Array.of(1) }))
  )
  const controller = yield* StreamController.make({
    batchSize: 100,
    pipeline: Pipeline.make(LogIntegrity.processor),
    application: Misbehaviour.when(Journal.application, Misbehaviour.nth(Number(nth), Misbehaviour.exits(7)))
  })
  yield* controller.processAll(operations.map(Operation.raw))
}).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename })), Effect.provide(Crypto.layer))

await Effect.runPromise(program)
process.exit(0)
