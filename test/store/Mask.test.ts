/** Regions that cannot be interrupted, and what is kept of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as v8 from "node:v8"
import { handed, mask } from "../../src/store/internal/mask.ts"

/** Bytes that V8 has moved to its old generation, or made there. */
const old = (): number => {
  const space = v8.getHeapSpaceStatistics().find(({ space_name }) => space_name === "old_space")
  if (space === undefined) throw new Error("this V8 has no old space")
  return space.space_used_size
}

describe("a mask", () => {
  it.effect("keeps nothing of what it was run with until all of the heap is collected", () =>
    Effect.gen(function* () {
      const run = (content: ReadonlyArray<unknown>) => mask((restore) => restore(Effect.sync(() => content.length)))
      const before = old()
      for (let nth = 0; nth < 1_000; nth++) {
        // Some 100 kB.
        yield* run(Array.from({ length: 1_000 }, (_, n) => ({ n, text: `number ${n}`, list: [n, n + 1] })))
      }
      // With `Effect.uninterruptibleMask` it is all of it, on Node 20.
      assert.isBelow((old() - before) / 1_000, 10_000)
    })
  )

  it.effect("is interrupted where it is restored and nowhere else", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const say = (what: string) => Effect.sync(() => said.push(what))
      const begun = yield* Deferred.make<void>()
      const wait = Effect.zipRight(Deferred.succeed(begun, undefined), Effect.never)
      const whole = mask((restore) =>
        say("before").pipe(
          Effect.zipRight(Effect.exit(restore(wait))),
          Effect.tap((exit) => say(Exit.isInterrupted(exit) ? "interrupted" : "not interrupted")),
          Effect.zipRight(Effect.yieldNow()),
          Effect.zipRight(say("after"))
        )
      )
      const fiber = yield* Effect.fork(whole)
      yield* Deferred.await(begun)
      assert.isTrue(Exit.isInterrupted(yield* Fiber.interrupt(fiber)))
      assert.deepStrictEqual(said, ["before", "interrupted", "after"])
    })
  )

  it.effect("stays uninterruptible where it was so around it", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      let done = false
      const inner = Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(go))
      const whole = mask((restore) => Effect.map(restore(inner), () => void (done = true)))
      const fiber = yield* Effect.fork(Effect.uninterruptible(whole))
      yield* Deferred.await(begun)
      yield* Fiber.interruptFork(fiber)
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.await(fiber)
      assert.isTrue(done)
    })
  )

  it.effect("may be run as often as one likes, what it restores once", () =>
    Effect.gen(function* () {
      const whole = mask((restore) => restore(Effect.succeed(1)))
      assert.strictEqual((yield* whole) + (yield* whole), 2)
      const once = handed(Effect.succeed(1))
      assert.strictEqual(yield* once, 1)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(once)))
    })
  )
})
