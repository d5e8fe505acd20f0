import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/TestClock"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as Outbox from "../../src/stream/Outbox.ts"
import { application, Message, open, publish, test } from "../support/Reading.ts"

class Down extends Schema.TaggedError<Down>()("Down", {}) {}

/** A receiver that is down so many times, and what it got. */
const receiver = (down = 0) =>
  Effect.gen(function* () {
    const got = yield* Queue.unbounded<{ readonly n: number; readonly key: string; readonly attempt: number }>()
    let left = down
    const box = Outbox.make({
      name: "mail",
      from: "beginning",
      message: Message,
      send: ({ attempt, key, message: { n } }) =>
        left-- > 0 ? new Down() : Effect.asVoid(Queue.offer(got, { n, key, attempt }))
    })
    return { box, next: Queue.take(got), more: Queue.size(got) }
  })

describe("an outbox", () => {
  test(
    "sends what is accepted, each with a key of its own, and again until it succeeds",
    Effect.gen(function* () {
      const controller = yield* open([])
      const published = yield* publish(controller, 1, 2)
      const { box, next } = yield* receiver(2)
      const running = yield* Effect.fork(Outbox.run(controller, box))
      // Both fail at first. Time goes on while they are tried again.
      const time = yield* Effect.fork(Effect.forever(Effect.zipRight(TestClock.adjust("1 second"), Effect.yieldNow())))
      const sent = [yield* next, yield* next]
      yield* Fiber.interrupt(time)
      yield* Fiber.interrupt(running)
      assert.sameDeepMembers(
        sent,
        published.map(({ id }, index) => ({ n: index + 1, key: `mail/${id}`, attempt: 2 }))
      )
    })
  )

  test(
    "sends nothing again when the application is rebuilt or the program restarted, unless it is asked to",
    Effect.gen(function* () {
      const { box, more, next } = yield* receiver()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open([])
          yield* publish(controller, 1)
          yield* Effect.forkScoped(Outbox.run(controller, box))
          assert.deepInclude(yield* next, { n: 1 })
          yield* publish(controller, 2)
          assert.deepInclude(yield* next, { n: 2 })
          while (((yield* controller.consumers.status).find(({ name }) => name === "mail")?.inFlight ?? 0) > 0)
            yield* Effect.yieldNow()
        })
      )
      const controller = yield* open([], application(2))
      yield* controller.drain
      yield* Effect.forkScoped(Outbox.run(controller, box))
      yield* publish(controller, 3)
      const third = yield* next
      assert.deepInclude(third, { n: 3, attempt: 1 })
      assert.strictEqual(yield* more, 0)
      yield* controller.consumers.replay({ consumer: "mail", from: 3, to: 3 })
      const time = yield* Effect.fork(Effect.forever(Effect.zipRight(TestClock.adjust("1 second"), Effect.yieldNow())))
      const again = yield* next
      yield* Fiber.interrupt(time)
      assert.deepInclude(again, { n: 3, key: third.key })
    })
  )

  test(
    "parks what it cannot read, a bug, and what takes too long",
    Effect.gen(function* () {
      const controller = yield* open([])
      yield* publish(controller, 1, 2, 3)
      const box = Outbox.make({
        name: "mail",
        from: "beginning",
        message: Schema.Struct({ n: Schema.Literal(1, 2) }),
        timeLimit: "1 second",
        policy: () => Policy.hold,
        send: ({ message: { n } }) => (n === 1 ? Effect.die("bug") : Effect.never)
      })
      yield* Effect.forkScoped(Outbox.run(controller, box))
      const parked = () => controller.consumers.parked("mail")
      while ((yield* controller.consumers.status).every(({ name, parked }) => name !== "mail" || parked < 3)) {
        yield* TestClock.adjust("1 second")
        yield* Effect.yieldNow()
      }
      assert.deepStrictEqual(
        (yield* parked()).map(({ reason }) => reason.tag),
        ["Defect", "TimeLimitExceeded", "InvalidMessage"]
      )
    })
  )
})
