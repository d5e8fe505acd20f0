import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Schedule from "effect/Schedule"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as Peer from "../support/Peer.ts"
import { application, gone, key, noted, open, publish, reader, status, test, topic } from "../support/Reading.ts"

const body = (n: number) => Either.getOrThrow(Cbor.encode({ n }))

describe("a consumer", () => {
  test(
    "is handed what is accepted, in order, and keeps its place when it is opened again",
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open([reader("one")])
          yield* publish(controller, 1, 2, 3)
          yield* controller.drain
          assert.strictEqual(yield* noted("one"), "1 2 3")
          yield* publish(controller, 4)
        })
      )
      const controller = yield* open([reader("one")])
      assert.deepInclude(yield* status(controller, "one"), { position: 3, lag: 1, state: "live", parked: 0 })
      yield* controller.drain
      assert.strictEqual(yield* noted("one"), "1 2 3 4")
      assert.strictEqual(yield* noted("app"), "1 2 3 4")
    })
  )

  test(
    "may be added later, and catches up without disturbing anybody",
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(open([]), (controller) => publish(controller, 1, 2, 3, 4, 5)))
      const controller = yield* open([reader("late")], application(), { batchSize: 2 })
      yield* controller.drain
      assert.strictEqual(yield* noted("late"), "1 2 3 4 5")
      assert.strictEqual(yield* noted("app"), "1 2 3 4 5")
    })
  )

  test(
    "parks what it rejects, without a trace and without holding up anybody, until it is asked again",
    Effect.gen(function* () {
      const luck = { even: false }
      const odd = reader("odd", 1, (n) => n % 2 === 0 && !luck.even)
      const controller = yield* open([odd, reader("every")])
      yield* publish(controller, 1, 2, 3, 4)
      yield* controller.drain
      assert.strictEqual(yield* noted("odd"), "1 3")
      assert.strictEqual(yield* noted("every"), "1 2 3 4")
      assert.deepInclude(yield* status(controller, "odd"), { position: 4, lag: 0, parked: 2 })
      const parked = yield* controller.consumers.parked("odd")
      assert.deepStrictEqual(
        parked.map(({ attempts, position, reason }) => [position, attempts, reason.tag, reason.data]),
        [
          [2, 1, "Unlucky", { _tag: "Unlucky", n: 2 }],
          [4, 1, "Unlucky", { _tag: "Unlucky", n: 4 }]
        ]
      )
      assert.strictEqual(yield* controller.consumers.retry("odd", [2]), 1)
      yield* controller.drain
      assert.deepStrictEqual(
        (yield* controller.consumers.parked("odd")).map(({ attempts }) => attempts),
        [2, 1]
      )
      luck.even = true
      yield* controller.consumers.retry("odd")
      yield* controller.drain
      assert.strictEqual(yield* noted("odd"), "1 3 2 4")
      assert.deepStrictEqual(yield* controller.consumers.parked("odd"), [])
    })
  )

  test(
    "tries again by itself where its policy says so",
    Effect.gen(function* () {
      const luck = { left: 2 }
      const policy = () => Policy.retry(Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(3))))
      const controller = yield* open([reader("slow", 1, () => luck.left-- > 0, policy)])
      yield* publish(controller, 1)
      yield* controller.drain
      assert.strictEqual(yield* noted("slow"), "")
      for (let second = 0; second < 3; second++) {
        yield* TestClock.adjust("1 second")
        yield* controller.drain
      }
      assert.strictEqual(yield* noted("slow"), "1")
    })
  )

  test(
    "waits while it is paused, also over a restart",
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open([reader("one")])
          yield* controller.consumers.pause("one")
          yield* publish(controller, 1, 2)
          yield* controller.drain
        })
      )
      const controller = yield* open([reader("one")])
      yield* controller.drain
      assert.strictEqual(yield* noted("one"), "")
      assert.deepInclude(yield* status(controller, "one"), { paused: true, lag: 2 })
      yield* controller.consumers.resume("one")
      yield* controller.drain
      assert.strictEqual(yield* noted("one"), "1 2")
      const unknown = yield* Effect.flip(controller.consumers.pause("two"))
      assert.deepInclude(unknown, { _tag: "UnknownConsumer", name: "two" })
    })
  )

  test(
    "that is removed leaves nothing behind but its own tables",
    Effect.gen(function* () {
      const controller = yield* open([reader("one", 1, (n) => n === 2)])
      yield* publish(controller, 1, 2, 3)
      yield* controller.drain
      yield* controller.publish({ key, topic: yield* topic, prune: true })
      yield* controller.consumers.remove("one")
      const sql = yield* SqlClient.SqlClient
      for (const table of ["deliveries", "notices", "replays"]) {
        assert.deepStrictEqual(yield* sql`SELECT * FROM ${sql(`applecart_${table}`)}`, [])
      }
      yield* publish(controller, 4)
      yield* controller.drain
      assert.strictEqual(yield* noted("one"), "1 3")
      assert.deepInclude(yield* Effect.flip(controller.consumers.remove("app")), { _tag: "UnknownConsumer" })
    })
  )

  test(
    "is told what it will not see, and what it has to forget",
    Effect.gen(function* () {
      const controller = yield* open([reader("early"), reader("late")])
      yield* controller.consumers.pause("late")
      const [first] = yield* publish(controller, 1, 2, 3)
      yield* controller.drain
      const about = { key, topic: yield* topic }
      yield* controller.publish({ ...about, deletes: [first?.id ?? assert.fail("nothing was published")] })
      yield* publish(controller, 5)
      yield* controller.drain
      assert.strictEqual(yield* noted("early"), "2 3 5")
      assert.deepStrictEqual(yield* gone("early"), ["1 deleted"])
      yield* controller.publish({ ...about, prune: true, message: { n: 6 } })
      yield* controller.consumers.resume("late")
      yield* controller.drain
      assert.strictEqual(yield* noted("early"), "6")
      assert.strictEqual(yield* noted("late"), "6")
      assert.deepStrictEqual(
        yield* gone("early"),
        [1, 1, 2, 3, 4, 5].map((at, index) => `${at} ${index === 0 ? "deleted" : "pruned"}`)
      )
      assert.deepStrictEqual(
        yield* gone("late"),
        [1, 2, 3, 4, 5].map((at) => `${at} pruned?`)
      )
    })
  )

  test(
    "is told of a body that was deleted before its turn came, or that was skipped",
    Effect.gen(function* () {
      const controller = yield* open(
        [reader("late")],
        application(1, (n) => n === 2)
      )
      yield* controller.consumers.pause("late")
      const writer = new Peer.Author(yield* Crypto.Crypto, 2, yield* topic)
      const two = writer.next(body(2))
      yield* controller.process({ header: two.headerBytes, body: two.body })
      yield* controller.skip(two.id)
      const [mine] = yield* publish(controller, 1)
      yield* controller.publish({ key, topic: yield* topic, deletes: [mine?.id ?? two.id] })
      yield* controller.consumers.resume("late")
      yield* controller.drain
      assert.strictEqual(yield* noted("late"), "")
      assert.deepStrictEqual(yield* gone("late"), ["1 skipped?", "2 deleted?"])
    })
  )
})

describe("a body that was deleted", () => {
  test(
    "is not quoted any more by whoever had rejected it",
    Effect.gen(function* () {
      const controller = yield* open([reader("one", 1, (n) => n === 4711)])
      const [first] = yield* publish(controller, 4711)
      yield* controller.drain
      const parked = () => controller.consumers.parked("one")
      assert.deepInclude((yield* parked())[0]?.reason.data, { n: 4711 })
      yield* controller.publish({
        key,
        topic: yield* topic,
        deletes: [first?.id ?? assert.fail("nothing was published")]
      })
      assert.deepInclude((yield* parked())[0]?.reason, { tag: "Unlucky", data: {} })
      yield* controller.consumers.retry("one")
      yield* controller.drain
      assert.deepStrictEqual(yield* parked(), [])
      assert.deepStrictEqual(yield* gone("one"), ["1 deleted?"])
    })
  )
})

describe("a new version", () => {
  test(
    "of a consumer is emptied and handed everything, and the switch is in the last transaction",
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open([reader("one")])
          yield* publish(controller, 1, 2, 3)
          yield* controller.drain
        })
      )
      const controller = yield* open([reader("one", 2)], application(), { batchSize: 2 })
      assert.deepInclude(yield* status(controller, "one"), { state: "reset", version: 2 })
      yield* publish(controller, 4)
      yield* controller.drain
      assert.strictEqual(yield* noted("one"), "1* 2* 3* 4")
      assert.deepInclude(yield* status(controller, "one"), { state: "live", lag: 0 })
      const older = yield* Effect.flip(open([reader("one", 1)]))
      assert.deepInclude(older, { _tag: "Superseded", name: "one", version: 1, found: 2 })
    })
  )

  test(
    "is not moved by an older program that is still open",
    Effect.gen(function* () {
      const old = yield* open([reader("one")])
      yield* publish(old, 1)
      yield* old.drain
      const next = yield* open([reader("one", 2)])
      yield* publish(old, 2)
      yield* old.drain
      assert.strictEqual(yield* noted("one"), "1")
      yield* next.drain
      assert.strictEqual(yield* noted("one"), "1* 2")
      yield* publish(old, 3)
      yield* old.drain
      yield* old.consumers.replay({ consumer: "one" })
      assert.strictEqual(yield* noted("one"), "1* 2")
    })
  )

  test(
    "of the application is built before anything new is accepted; what it rejects is parked",
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(open([]), (controller) => publish(controller, 1, 2, 3)))
      const controller = yield* open(
        [],
        application(2, (n) => n === 2),
        { batchSize: 2 }
      )
      yield* publish(controller, 4)
      assert.strictEqual(yield* noted("app"), "1* 3* 4")
      assert.deepInclude(yield* status(controller, "app"), { state: "live", position: 4, parked: 1, version: 2 })
      assert.strictEqual((yield* controller.consumers.parked("app"))[0]?.position, 2)
    })
  )

  test(
    "while an older program still has it open, ends that one's accepting",
    Effect.gen(function* () {
      const old = yield* open([])
      yield* publish(old, 1)
      const next = yield* open([], application(2))
      assert.deepInclude(yield* Effect.flip(publish(old, 2)), { _tag: "Superseded", version: 1, found: 2 })
      yield* publish(next, 2)
      assert.strictEqual(yield* noted("app"), "1* 2")
    })
  )
})

describe("a replay", () => {
  test(
    "tells what is gone of what is parked, and nothing twice",
    Effect.gen(function* () {
      const luck = { all: false }
      const controller = yield* open([reader("one", 1, (n) => n !== 1 && !luck.all)])
      const about = { key, topic: yield* topic }
      const [first, second] = yield* publish(controller, 1, 2)
      yield* controller.drain
      yield* controller.publish({ ...about, message: { n: 3 }, deletes: [(first ?? assert.fail()).id] })
      yield* controller.publish({ ...about, deletes: [(second ?? assert.fail()).id] })
      yield* controller.drain
      assert.strictEqual(yield* noted("one"), "1", "the tombstone is parked, and with it what it deletes")
      luck.all = true
      for (let times = 0; times < 2; times++) yield* controller.consumers.replay({ consumer: "one", from: 2 })
      assert.deepStrictEqual(yield* controller.consumers.parked("one"), [])
      assert.strictEqual(yield* noted("one"), "3* 3*")
      assert.deepStrictEqual(yield* gone("one"), ["2 deleted?", "1 deleted"])
    })
  )

  test(
    "hands over again what is meant and moves nobody's position",
    Effect.gen(function* () {
      const controller = yield* open([reader("one"), reader("other")])
      yield* publish(controller, 1, 2, 3, 4, 5)
      yield* controller.drain
      const plan = yield* controller.consumers.plan({ consumer: "one", from: 2, to: 4 })
      assert.deepStrictEqual(plan, { operations: 3, withoutBody: 0, first: 2, last: 4, authors: 1, topics: 1 })
      const done = yield* controller.consumers.replay({ consumer: "one", from: 2, to: 4 })
      assert.deepInclude(done, { state: "done", handled: 3, parked: 0 })
      assert.strictEqual(yield* noted("one"), "1 2 3 4 5 2* 3* 4*")
      assert.strictEqual(yield* noted("other"), "1 2 3 4 5")
      assert.deepInclude(yield* status(controller, "one"), { position: 5, lag: 0 })
      yield* controller.consumers.replay({ consumer: "app", from: 5 })
      assert.strictEqual(yield* noted("app"), "1 2 3 4 5 5*")
    })
  )

  test(
    "leaves room for others, can be left and goes on by itself, and can be cancelled",
    Effect.gen(function* () {
      const numbers = Array.from({ length: 60 }, (_, n) => n)
      const controller = yield* open([reader("one")], application(), { batchSize: 1 })
      yield* publish(controller, ...numbers)
      yield* controller.drain
      const replay = yield* Effect.fork(controller.consumers.replay({ consumer: "one" }))
      const begun = controller.consumers.progress.pipe(
        Stream.filter(({ what }) => what === "replay"),
        Stream.runHead
      )
      yield* begun
      yield* publish(controller, 60)
      assert.isNull(replay.unsafePoll())
      yield* Fiber.interrupt(replay)
      const [left] = yield* controller.consumers.replays
      assert.isBelow(left?.position ?? 60, 60)
      yield* controller.drain
      assert.deepStrictEqual(yield* controller.consumers.replays, [])
      assert.strictEqual((yield* noted("one")).split(" ").filter((n) => n.endsWith("*")).length, 60)

      const cancelled = yield* Effect.fork(controller.consumers.replay({ consumer: "one" }))
      yield* begun
      const [running] = yield* controller.consumers.replays
      assert.isTrue(yield* controller.consumers.cancel(running?.replay ?? 0))
      assert.deepInclude(yield* Fiber.join(cancelled), { state: "cancelled" })
      assert.isFalse(yield* controller.consumers.cancel(running?.replay ?? 0))
    })
  )

  test(
    "of a range that is none is refused before it is recorded, and an open end is none",
    Effect.gen(function* () {
      const controller = yield* open([reader("one")])
      yield* publish(controller, 1, 2)
      yield* controller.drain
      const writtenFrom = Date.parse("yesterday or so")
      const asked = controller.consumers.replay({ consumer: "one", writtenFrom })
      assert.instanceOf(yield* Effect.catchAllDefect(asked, (defect) => Effect.succeed(defect)), RangeError)
      assert.deepStrictEqual(yield* controller.consumers.replays, [])
      const everything = { consumer: "one", from: -Infinity, to: Infinity, acceptedUntil: Infinity }
      assert.deepInclude(yield* controller.consumers.replay(everything), { state: "done", handled: 2 })
    })
  )
})
