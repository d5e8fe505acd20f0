/** Deliveries: what their changes do, how they shrink, and that a peer is handed what they say. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Delivery from "../../src/testing/Delivery.ts"
import * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Promises from "../../src/testing/Promises.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import { native } from "../core/support.ts"

const say = (author: number) => History.say(author, { body: Uint8Array.of(author, 1) })
const history = History.write(native, [say(0), say(1), say(0), say(1)])

const shown = (changes: ReadonlyArray<Delivery.Change>, rest: Partial<Delivery.Plan> = {}) =>
  Delivery.show({ ...Delivery.plain, changes, ...rest }, history)

describe("a plan", () => {
  it("changes the simplest delivery", () => {
    assert.strictEqual(shown([]), "process a0 b0 a1 b1")
    assert.strictEqual(shown([{ _tag: "move", which: 0, to: 2 }]), "process b0 a1 a0 b1")
    assert.strictEqual(shown([{ _tag: "repeat", which: 1, to: 4 }]), "process a0 b0 a1 b1 b0")
    assert.strictEqual(shown([{ _tag: "lose", which: 4 }]), "process b0 a1 b1 a0")
    assert.strictEqual(shown([{ _tag: "never", which: 4 }]), "process b0 a1 b1")
    assert.strictEqual(
      shown([
        { _tag: "cut", at: 1, way: "receive" },
        { _tag: "restart", at: 2 },
        { _tag: "collect", at: 3 },
        { _tag: "cut", at: 3, way: "drain" }
      ]),
      "process a0 | receive b0 | restart | receive a1 | collect | receive and drain b1"
    )
    assert.strictEqual(
      shown([], { batchSize: 2, faultEvery: 3 }),
      "process a0 b0 a1 b1 | (2 to a transaction, fails every 3 statements)"
    )
  })

  const items = FastCheck.uniqueArray(FastCheck.nat(), { maxLength: 20 })
  const delivered = (plan: Delivery.Plan, all: ReadonlyArray<number>) =>
    new Set(Delivery.steps(plan, all).flatMap((step) => (step._tag === "Piece" ? step.operations : [])))

  it("loses nothing for good, unless that is wanted", () => {
    FastCheck.assert(
      FastCheck.property(Delivery.arbitrary(), items, (plan, all) => {
        assert.deepStrictEqual(delivered(plan, all), new Set(all.toSorted(() => 0)))
      }),
      { seed: 7 }
    )
    const losing = Delivery.arbitrary({ changes: ["never", "move"] })
    const lost = FastCheck.sample(losing, { numRuns: 20, seed: 7 }).map((plan) => delivered(plan, [1, 2, 3]).size)
    assert.isTrue(lost.some((size) => size < 3))
  })

  it("shrinks to the simplest one, or to the one change that matters", () => {
    const never = FastCheck.check(
      FastCheck.property(Delivery.arbitrary(), () => false),
      { seed: 7 }
    )
    assert.deepStrictEqual(never.counterexample, [Delivery.plain])
    const late = FastCheck.check(
      FastCheck.property(
        Delivery.arbitrary(),
        (plan) => shown(plan.changes).indexOf("a0") < shown(plan.changes).indexOf("b0")
      ),
      { seed: 7 }
    )
    assert.strictEqual(late.counterexample?.[0].changes.length, 1)
  })
})

const open = (batchSize: number) =>
  StreamController.make({
    pipeline: Pipeline.make(LogIntegrity.processor),
    application: Journal.application,
    batchSize,
    crypto: Layer.succeed(Crypto.Crypto, native)
  })
const database = SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))

describe("a peer", () => {
  it("is handed everything, tells what it tells, and the promises hold", { timeout: 120_000 }, () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        History.arbitrary(native, { kinds: ["say"], most: 12 }),
        Delivery.arbitrary(),
        (one, plan) =>
          Effect.gen(function* () {
            const answers = yield* Delivery.deliver(open, plan, one.operations)
            const told = answers.flatMap((answer) => Promises.told(answer))
            assert.deepStrictEqual(yield* Promises.broken({ history: one, told }), [])
            const controller = yield* open(100)
            assert.deepInclude(yield* controller.status, { accepted: one.operations.length, queued: 0, waiting: 0 })
          }).pipe(Effect.scoped, Effect.provide(database), Effect.runPromise)
      ),
      { numRuns: 25, seed: 7 }
    )
  )

  it.effect("fails as planned, and is asked again", () =>
    Effect.gen(function* () {
      let attempts = 0
      const counting = (batchSize: number) =>
        Effect.map(open(batchSize), (controller) => ({
          ...controller,
          processAll: (...call: Parameters<typeof controller.processAll>) =>
            Effect.suspend(() => {
              attempts += 1
              return controller.processAll(...call)
            })
        }))
      const answers = yield* Delivery.deliver(counting, { ...Delivery.plain, faultEvery: 3 }, history.operations)
      assert.strictEqual(attempts, 4)
      assert.deepStrictEqual(
        answers.map(({ _tag }) => _tag),
        ["Accepted", "Accepted", "Accepted", "Accepted"]
      )
    }).pipe(Effect.provide(database))
  )

  it.effect("waits for what is lost for good", () =>
    Effect.gen(function* () {
      const plan: Delivery.Plan = { ...Delivery.plain, changes: [{ _tag: "never", which: 0 }] }
      yield* Delivery.deliver(open, plan, history.operations)
      const controller = yield* open(100)
      assert.deepInclude(yield* controller.status, { accepted: 2, queued: 1 })
    }).pipe(Effect.scoped, Effect.provide(database))
  )
})
