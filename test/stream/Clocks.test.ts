/** A clock that is set while a handler works is no reason to reject its operation, or to let it work for ever. */
import { assert, describe, it } from "@effect/vitest"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import { Overdue, watched } from "../../src/stream/internal/guilt.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as History from "../../src/testing/History.ts"
import { native } from "../core/support.ts"

const year = 365 * 24 * 3_600_000

/** A clock that can be set; what is measured with it is not disturbed. */
const settable = (real: Clock.Clock) => {
  const set = { ahead: 0 }
  const clock: Clock.Clock = {
    ...real,
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => real.unsafeCurrentTimeMillis() + set.ahead,
    unsafeCurrentTimeNanos: () => real.unsafeCurrentTimeNanos(),
    currentTimeMillis: Effect.sync(() => real.unsafeCurrentTimeMillis() + set.ahead),
    currentTimeNanos: Effect.sync(() => real.unsafeCurrentTimeNanos()),
    sleep: (duration) => real.sleep(duration)
  }
  return { clock, set }
}

/** Processes an operation whose handler does this, on a clock that can be set. */
const handled = (handle: (set: { ahead: number }) => Effect.Effect<unknown>) => {
  const { clock, set } = settable(Clock.make())
  const [one] = History.write(native, [History.say(0, { body: Uint8Array.of(1) })]).operations.map(Operation.raw)
  return Effect.gen(function* () {
    const controller = yield* StreamController.make({
      pipeline: Pipeline.make(LogIntegrity.processor),
      application: Application.bytes({ name: "slow", version: 1, timeLimit: "200 millis", handle: () => handle(set) }),
      crypto: Layer.succeed(Crypto.Crypto, native)
    })
    assert.isDefined(one)
    return yield* controller.process(one)
  }).pipe(Effect.scoped, Effect.withClock(clock), Effect.provide(SqliteClient.layer({ filename: ":memory:" })))
}

describe("a clock that is set while a handler works", () => {
  it.effect("fifty years forward does not exceed its time limit", () =>
    Effect.gen(function* () {
      const { clock, set } = settable(yield* Effect.clock)
      const handling: { since?: bigint } = {}
      const watch = yield* watched({ timeLimit: Duration.seconds(2) }, () => handling.since, Effect.never).pipe(
        Effect.withClock(clock),
        Effect.fork
      )
      yield* TestClock.adjust("1 second")
      handling.since = clock.unsafeCurrentTimeNanos()
      set.ahead = 50 * year
      yield* TestClock.adjust("1500 millis")
      assert.isTrue(Option.isNone(yield* Fiber.poll(watch)))
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Effect.flip(Fiber.join(watch)), Overdue)
    })
  )

  it.live("a year back does not give it a year more", () =>
    Effect.gen(function* () {
      const outcome = yield* handled((set) =>
        Effect.zipRight(
          Effect.sync(() => (set.ahead = -year)),
          Effect.never
        )
      )
      assert.strictEqual(outcome._tag === "Rejected" ? outcome.error._tag : outcome._tag, "TimeLimitExceeded")
    })
  )
})
