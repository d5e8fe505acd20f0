/** Two processes on one file: nothing is processed twice, and a busy database is waited for within a limit. */
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as path from "node:path"
import * as Operation from "../../src/core/Operation.ts"
import * as SqlReason from "../../src/store/SqlReason.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Apples from "../support/Apples.ts"
import * as Ingest from "../support/childIngest.ts"
import * as Child from "../support/childProcess.ts"
import * as Database from "../support/ScenarioDatabase.ts"
import * as Trial from "../support/ScenarioTrial.ts"

const prepare = Effect.gen(function* () {
  const dir = yield* Database.directory
  const start = yield* Child.build(dir)
  const file = path.join(dir, "shared.db")
  yield* Effect.provide(Apples.tables, Database.plain(file))
  return { file, start }
})

const isBusy = (error: unknown) => error instanceof SqlError && SqlReason.of(error)._tag === "Busy"

describe("two processes on one file", () => {
  it.live(
    "take in the same shuffled operations at once, and each is processed once",
    () =>
      Effect.gen(function* () {
        const { file, start } = yield* prepare
        const children = [start("ingest", file, "1"), start("ingest", file, "2")]
        for (const child of children) yield* Effect.promise(() => child.said("ready"))
        for (const child of children) child.process.stdin?.end()
        const ended = yield* Effect.all(
          children.map((child) => child.ended),
          { concurrency: "unbounded" }
        )
        const results = ended.map(({ code, lines, stderr }) => {
          assert.deepStrictEqual([code, stderr], [0, ""])
          return lines.at(-1) as Ingest.Result
        })
        // Both waited for each other within the limit, so there is not even a busy error.
        assert.deepStrictEqual(
          results.flatMap(({ errors }) => errors),
          []
        )
        const expected = Array.from(yield* Ingest.operations, ({ id }) => String(id)).sort()
        // Each process announces what it accepted: together everything, nothing twice.
        const confirmed = results.flatMap(({ accepted }) => accepted)
        assert.strictEqual(
          new Set(confirmed).size,
          confirmed.length,
          "both confirm the same operation as newly accepted"
        )
        const found = yield* Effect.provide(
          Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            const { baskets, handled } = yield* Apples.dump
            const [left] = yield* sql<{ n: number }>`SELECT count(*) AS n FROM applecart_inbox`
            return { baskets, handled, left: left?.n }
          }),
          Database.plain(file)
        )
        assert.deepStrictEqual(found.handled.map(({ id }) => id).sort(), expected)
        assert.deepStrictEqual(
          found.handled.map(({ position }) => position),
          expected.map((_, index) => index + 1)
        )
        const each = (_: unknown, nth: number) => ({ owner: `author ${nth}`, apples: Ingest.length })
        assert.deepStrictEqual(found.baskets, Array.from({ length: Ingest.authors }, each))
        assert.strictEqual(found.left, 0)
        console.log(`two processes: ${results.map(({ accepted }) => accepted.length).join(" and ")} operations`)
        // Both did some of the work; if one was through before the other began, this test shows nothing.
        assert.isTrue(
          results.every(({ accepted }) => accepted.length > 0),
          "the processes did not work at the same time"
        )
      }).pipe(Effect.scoped, Effect.provide(Trial.environment)),
    120_000
  )

  it.live(
    "one that holds the lock for too long gives the other a typed error after the limit, and harms nothing",
    () =>
      Effect.gen(function* () {
        const { file, start } = yield* prepare
        const [operation] = yield* Ingest.operations
        if (operation === undefined) return assert.fail("no operation")
        yield* Effect.gen(function* () {
          const controller = yield* StreamController.make({
            pipeline: Apples.pipeline,
            application: Apples.application,
            busyLimit: "400 millis"
          })
          const holder = start("hold", file)
          yield* Effect.promise(() => holder.said("ready"))
          const raw = Operation.raw(operation)
          const calls: Record<string, Effect.Effect<unknown, unknown>> = {
            process: controller.process(raw),
            receive: controller.receive(raw)
          }
          for (const [name, call] of Object.entries(calls)) {
            const began = performance.now()
            const error = yield* Effect.flip(call)
            const waited = performance.now() - began
            assert.isTrue(isBusy(error), `${name}: ${String(error)}`)
            assert.isTrue(waited > 350 && waited < 5000, `${name} waited ${waited} ms`)
          }
          assert.deepInclude(yield* controller.status, {
            accepted: 0,
            queued: 0,
            waiting: 0,
            rejected: 0,
            discarded: 0
          })
          holder.process.stdin?.end()
          yield* holder.ended
          assert.deepInclude(yield* controller.process(Operation.raw(operation)), { _tag: "Accepted", position: 1 })
        }).pipe(Effect.scoped, Effect.provide(Database.plain(file)))
      }).pipe(Effect.scoped, Effect.provide(Trial.environment)),
    60_000
  )
})
