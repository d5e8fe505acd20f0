/** How many operations go into a transaction. */
import { assert, describe, it } from "@effect/vitest"
import * as Pace from "../../src/stream/internal/pace.ts"

describe("an adaptive pace", () => {
  it("takes on more as long as the transactions are full and quick, and stops where the commit no longer matters", () => {
    const pace = Pace.adaptive(100)
    const sizes = Array.from({ length: 5 }, () => {
      const size = pace.size()
      pace.took(size, 1)
      return size
    })
    assert.deepStrictEqual(sizes, [100, 200, 400, 500, 500])
  })

  it("stays where twice as many would take too long, and where there were not so many", () => {
    const pace = Pace.adaptive(100)
    pace.took(100, 30)
    pace.took(99, 1)
    assert.strictEqual(pace.size(), 100)
  })

  it("takes on fewer where they are slow, down to one, and more again when that is over", () => {
    const pace = Pace.adaptive(100)
    for (let round = 0; round < 10; round++) pace.took(pace.size(), 10_000)
    assert.strictEqual(pace.size(), 1)
    for (let round = 0; round < 10; round++) pace.took(pace.size(), 1)
    assert.strictEqual(pace.size(), 500)
  })
})
