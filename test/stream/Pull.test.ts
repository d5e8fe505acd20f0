import { assert, describe } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type * as Pull from "../../src/stream/Pull.ts"
import { key, open, publish, test, topic, type Controller } from "../support/Reading.ts"

/** Takes so many deliveries out, and then stops listening. */
const take = (controller: Controller, count: number, options: Pull.Options = {}, name = "away") =>
  controller.pull(name, options).pipe(Stream.take(count), Stream.runCollect, Effect.map(Chunk.toReadonlyArray))

const positions = (at: ReadonlyArray<{ readonly position: number }>) => at.map(({ position }) => position)

/** Whether nothing is handed out for the time being. */
const nothing = (controller: Controller, options: Pull.Options = {}) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(take(controller, 1, options))
    for (let turns = 0; turns < 20; turns++) yield* Effect.yieldNow()
    const taken = fiber.unsafePoll() !== null
    yield* Fiber.interrupt(fiber)
    return !taken
  })

const status = (controller: Controller) =>
  Effect.map(controller.consumers.status, (all) => all.find(({ name }) => name === "away"))

class Offline extends Schema.TaggedError<Offline>()("Offline", { host: Schema.String }) {}

describe("pulling", () => {
  test(
    "acknowledges one by one: 3 stays out when 2 is done",
    Effect.gen(function* () {
      const controller = yield* open([])
      yield* publish(controller, 1, 2, 3)
      const [one, two, three] = yield* take(controller, 3)
      yield* two?.ack ?? Effect.void
      assert.deepInclude(yield* status(controller), { position: 3, lag: 0, inFlight: 2, parked: 0 })
      assert.isTrue(yield* nothing(controller))
      yield* TestClock.adjust("20 seconds")
      yield* one?.extend("10 seconds") ?? Effect.void
      yield* three?.extend("10 seconds") ?? Effect.void
      yield* TestClock.adjust("9 seconds")
      assert.isTrue(yield* nothing(controller))
      yield* TestClock.adjust("1 second")
      const again = yield* take(controller, 2)
      assert.deepStrictEqual(positions(again), [1, 3])
      assert.deepStrictEqual(
        again.map(({ attempt }) => attempt),
        [2, 2]
      )
      // Whoever had it first comes too late.
      assert.deepInclude(yield* Effect.flip(one?.ack ?? Effect.void), { _tag: "LeaseLost", position: 1 })
      yield* Effect.forEach(again, ({ ack }) => ack)
      assert.deepInclude(yield* Effect.flip(three?.ack ?? Effect.void), { _tag: "LeaseLost", position: 3 })
      assert.deepInclude(yield* status(controller), { inFlight: 0, parked: 0 })
    })
  )

  test(
    "hands out again after a restart, and after a lease that was acknowledged late but not lost",
    Effect.gen(function* () {
      const late = yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open([])
          yield* publish(controller, 1, 2)
          return yield* take(controller, 1)
        })
      )
      const controller = yield* open([])
      yield* TestClock.adjust("1 minute")
      // Nobody has taken it meanwhile.
      yield* late[0]?.ack ?? Effect.void
      const rest = yield* take(controller, 1)
      assert.deepStrictEqual(positions(rest), [2])
    })
  )

  test(
    "keeps within its limit, and goes on when something is acknowledged",
    Effect.gen(function* () {
      const controller = yield* open([])
      yield* publish(controller, 1, 2, 3)
      const [first] = yield* take(controller, 2, { inFlight: 2 })
      assert.isTrue(yield* nothing(controller, { inFlight: 2 }))
      const waiting = yield* Effect.fork(take(controller, 1, { inFlight: 2 }))
      yield* Effect.yieldNow()
      yield* first?.ack ?? Effect.void
      assert.deepStrictEqual(positions(yield* Fiber.join(waiting)), [3])
    })
  )

  test(
    "parks what is refused with its reason, until its time or until somebody asks",
    Effect.gen(function* () {
      const controller = yield* open([])
      yield* publish(controller, 1, 2)
      const [one, two] = yield* take(controller, 2)
      yield* one?.nack(new Offline({ host: "moon" }), "1 hour") ?? Effect.void
      yield* two?.nack("no use") ?? Effect.void
      assert.deepInclude(yield* status(controller), { inFlight: 0, parked: 2 })
      const [first, second] = yield* controller.consumers.parked("away")
      assert.deepInclude(first, { position: 1, attempts: 1 })
      assert.deepInclude(first?.reason, { tag: "Offline", data: { _tag: "Offline", host: "moon" } })
      assert.deepInclude(second?.reason, { message: "no use" })
      assert.isTrue(yield* nothing(controller))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(positions(yield* take(controller, 1)), [1])
      yield* controller.consumers.retry("away")
      assert.deepStrictEqual(positions(yield* take(controller, 1)), [2])
    })
  )

  test(
    "waits for what comes, begins where it is told to, and can be paused",
    Effect.gen(function* () {
      const controller = yield* open([])
      yield* publish(controller, 1, 2)
      const fresh = yield* Effect.fork(take(controller, 1, { from: "now" }))
      for (let turns = 0; turns < 20; turns++) yield* Effect.yieldNow()
      yield* publish(controller, 3)
      assert.deepStrictEqual(positions(yield* Fiber.join(fresh)), [3])
      assert.deepStrictEqual(positions(yield* take(controller, 1, { from: 1 }, "second")), [2])
      yield* controller.consumers.pause("away")
      yield* publish(controller, 4)
      assert.isTrue(yield* nothing(controller))
      yield* controller.consumers.resume("away")
      assert.deepStrictEqual(positions(yield* take(controller, 1)), [4])
    })
  )

  test(
    "tells what will not be seen, and what is gone, and forgets that when it is acknowledged",
    Effect.gen(function* () {
      const controller = yield* open([], undefined, { batchSize: 3 })
      const about = { key, topic: yield* topic }
      yield* publish(controller, 1, 2, 3)
      const [one] = yield* take(controller, 1)
      yield* one?.ack ?? Effect.void
      // 2 and 3 were handed out together with 1, and are told to whoever has them.
      yield* controller.publish({ ...about, message: { n: 4 }, prune: true })
      const told = yield* take(controller, 1)
      const gone = yield* Effect.forEach(told, ({ forgotten }) => Stream.runCollect(forgotten))
      assert.deepStrictEqual(
        gone.flatMap((groups) => Array.from(groups, ({ missed, operations }) => [missed, positions(operations)])),
        [[false, [1, 2, 3]]]
      )
      yield* told[0]?.ack ?? Effect.void
      const left = yield* Stream.runCollect(told[0]?.forgotten ?? Stream.empty)
      assert.strictEqual(left.length, 0)
    })
  )

  test(
    "is handed again what a replay means",
    Effect.gen(function* () {
      const controller = yield* open([])
      yield* publish(controller, 1, 2, 3)
      yield* Effect.flatMap(
        take(controller, 3),
        Effect.forEach(({ ack }) => ack)
      )
      assert.deepInclude(yield* controller.consumers.replay({ consumer: "away", from: 2 }), {
        handled: 2,
        state: "done"
      })
      const again = yield* take(controller, 2)
      assert.deepStrictEqual(positions(again), [2, 3])
      assert.isTrue(again.every(({ event }) => event?.replay === true))
    })
  )
})
