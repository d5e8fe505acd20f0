/** An interruption at any step of the controller's calls undoes them or comes too late; the connection and the next call work. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as History from "../../src/testing/History.ts"
import * as Interruptions from "../../src/testing/Interruptions.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Promises from "../../src/testing/Promises.ts"
import { native } from "../core/support.ts"

const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(self, SqliteClient.layer({ filename: ":memory:" })))

const open = StreamController.make({
  pipeline: Pipeline.make(LogIntegrity.processor),
  application: Journal.application,
  crypto: Layer.succeed(Crypto.Crypto, native)
})

const deed = History.say(0, { body: Uint8Array.of(7) })
const history = History.write(native, [deed, { ...deed, author: 1 }, deed])
const raws = history.operations.map(Operation.raw)

/** Ends within some turns of the event loop, or never will: what hangs here waits for nobody. */
const soon = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.timeoutFail(self, { duration: "20 seconds", onTimeout: () => new Error("it hangs") })

describe("Interruptions", () => {
  it.effect("counts the same steps each time, and none is too many", () =>
    Effect.gen(function* () {
      const self = Effect.zipRight(Effect.yieldNow(), Effect.succeed(3))
      const one = yield* Interruptions.count(self)
      const other = yield* Interruptions.at(one.steps + 1, self)
      assert.deepStrictEqual<unknown>([one.exit, other], [Exit.succeed(3), one])
    })
  )

  it.effect("interrupts at each step, and where that cannot be at once, as soon as it can", () =>
    Effect.gen(function* () {
      let [begun, ended] = [0, 0]
      const self = Effect.zipRight(
        Effect.uninterruptible(
          Effect.gen(function* () {
            begun += 1
            yield* Effect.yieldNow()
            ended += 1
          })
        ),
        Effect.yieldNow()
      )
      const { steps } = yield* Interruptions.count(self)
      for (let step = 1; step <= steps; step++) {
        const { exit } = yield* Interruptions.at(step, self)
        assert.isTrue(Exit.isSuccess(exit) || Cause.isInterrupted(exit.cause), `step ${step}`)
        assert.strictEqual(begun, ended)
      }
      assert.isAbove(begun, 1)
      assert.isBelow(begun, steps + 1)
    })
  )

  it.effect("is interrupted itself, and takes along what it runs", () =>
    Effect.gen(function* () {
      let stopped = false
      const self = Effect.onInterrupt(Effect.never, () => Effect.sync(() => (stopped = true)))
      yield* Effect.raceFirst(Interruptions.count(self), Effect.yieldNow({ priority: 1 }))
      assert.isTrue(stopped)
    })
  )

  it.live("finds two writes that are not one, and not those of a transaction", () => {
    const torn = (pair: (sql: SqlClient.SqlClient) => Effect.Effect<unknown, unknown, SqlClient.SqlClient>) =>
      fresh(
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`CREATE TABLE t (a INTEGER)`
          const found = new Set<number>()
          const { steps } = yield* Interruptions.count(pair(sql))
          for (let step = 1; step <= steps; step++) {
            yield* sql`DELETE FROM t`
            yield* Interruptions.at(step, pair(sql))
            found.add((yield* sql`SELECT a FROM t`).length)
          }
          return Array.from(found).sort()
        })
      )
    const insert = Transaction.statement("INSERT INTO t VALUES (1)")
    return Effect.gen(function* () {
      // On a connection that is held, since Effect's semaphore would lose it; see store/internal/acquire.ts.
      const apart = yield* torn((sql) =>
        Effect.scoped(
          Effect.flatMap(Effect.uninterruptible(sql.reserve), (on) => {
            const one = on.execute("INSERT INTO t VALUES (1)", [], undefined)
            return Effect.zipRight(one, one)
          })
        )
      )
      assert.deepStrictEqual(apart, [0, 1, 2])
      assert.deepStrictEqual(yield* torn(() => Transaction.run(Effect.zipRight(insert(), insert()))), [0, 2])
    })
  })
})

describe("the connection", () => {
  it.live("is nobody's loss where a transaction or a read is interrupted while it takes it, or before", () =>
    fresh(
      Effect.gen(function* () {
        const one = Transaction.query("SELECT 1 AS one")
        for (const self of [Transaction.run(Effect.void), one()]) {
          const { steps } = yield* Interruptions.count(self)
          for (let step = 1; step <= steps; step++) {
            yield* soon(Interruptions.at(step, self))
            assert.deepStrictEqual(yield* soon(one()), [{ one: 1 }], `step ${step}`)
          }
        }
      })
    )
  )
})

describe("an interruption at any step", () => {
  const calls: ReadonlyArray<
    readonly [name: string, call: (c: Effect.Effect.Success<typeof open>) => Effect.Effect<unknown, unknown>]
  > = [
    ["process", (c) => c.processAll(raws)],
    ["receive", (c) => c.receiveAll(raws)],
    ["drain", (c) => c.drain],
    ["publish", (c) => c.publish({ key: History.signingKey(5), topic: History.topic(native, 0) })],
    ["status", (c) => c.status]
  ]
  for (const [name, call] of calls) {
    it.live(
      `of ${name} leaves all or nothing, and the next call works`,
      () =>
        Effect.gen(function* () {
          const { steps } = yield* fresh(Effect.flatMap(open, (c) => Interruptions.count(call(c))))
          assert.isAbove(steps, 50)
          // A part of them; `npm run trust -- interrupts` takes thousands.
          for (let step = 1; step <= steps; step += Math.ceil(steps / 60)) {
            yield* fresh(
              Effect.gen(function* () {
                const controller = yield* open
                const { exit } = yield* soon(Interruptions.at(step, call(controller)))
                assert.isTrue(Exit.isSuccess(exit) || Cause.isInterrupted(exit.cause), `step ${step}`)
                assert.deepStrictEqual(yield* soon(Promises.broken()), [], `step ${step}`)
                yield* soon(controller.processAll(raws))
                yield* soon(controller.drain)
                assert.isAtLeast((yield* controller.status).accepted, raws.length)
                assert.deepStrictEqual(yield* Promises.broken(), [])
              })
            )
          }
        }),
      120_000
    )
  }
})
