/** Work that is done in pieces, ahead of whoever takes what comes of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Ref from "effect/Ref"
import { pieces } from "../../src/stream/internal/ahead.ts"

describe("pieces", () => {
  it.effect(
    "give everything once, in order, however much is taken at a time, and no more of them are at work than told",
    () =>
      Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(
            FastCheck.nat({ max: 60 }),
            FastCheck.integer({ min: 1, max: 9 }),
            FastCheck.nat({ max: 4 }),
            FastCheck.array(FastCheck.integer({ min: 1, max: 25 }), { minLength: 1, maxLength: 8 }),
            (count, size, ahead, counts) =>
              Effect.runPromise(
                Effect.gen(function* () {
                  const items = Array.from({ length: count }, (_, n) => n)
                  const working = yield* Ref.make(0)
                  let most = 0
                  const take = pieces(items, { size, ahead }, (piece) =>
                    Effect.gen(function* () {
                      most = Math.max(most, yield* Ref.updateAndGet(working, (n) => n + 1))
                      yield* Effect.yieldNow()
                      yield* Ref.update(working, (n) => n - 1)
                      return piece.map((n) => -n)
                    })
                  )
                  const taken: Array<number> = []
                  for (let nth = 0; taken.length < count; nth++) {
                    const wanted = counts[nth % counts.length] ?? 1
                    const some = yield* take(wanted)
                    taken.push(...some)
                    if (taken.length < count) assert.lengthOf(some, wanted)
                  }
                  assert.deepStrictEqual(
                    taken,
                    items.map((n) => -n)
                  )
                  assert.deepStrictEqual(yield* take(1), [])
                  assert.isAtMost(most, Math.ceil(Math.max(...counts) / size) + ahead)
                })
              )
          ),
          { numRuns: 200 }
        )
      )
  )

  it.effect("end with whoever takes them, and fail him where one fails", () =>
    Effect.gen(function* () {
      const ended: Array<number> = []
      const take = pieces([1, 2, 3], { size: 1, ahead: 2 }, ([n = 0]) =>
        n === 1
          ? Effect.zipRight(Effect.yieldNow(), Effect.fail("no"))
          : Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended.push(n)))
      )
      assert.strictEqual(
        yield* Effect.flip(Effect.scoped(Effect.forkScoped(take(1)).pipe(Effect.flatMap((fiber) => fiber)))),
        "no"
      )
      yield* Effect.yieldNow()
      assert.sameMembers(ended, [2, 3])
    })
  )
})
