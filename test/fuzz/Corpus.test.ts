/** Inputs that are kept: one for each kind of answer, and one for each bug that was ever found. Each says what it always said. */
import { assert, describe, it } from "@effect/vitest"
import { native, portable } from "../core/support.ts"
import * as Campaign from "./Campaign.ts"
import * as Corpus from "./corpus.ts"
import { targets } from "./targets.ts"

const all = targets(native, portable)

for (const target of all) {
  describe(`the corpus of ${target.name}`, () => {
    const kept = Corpus.read(target.name)

    it("is there", () => assert.isAbove(kept.length, 1))

    for (const { bytes, name, verdict } of kept) {
      it(name, () => {
        for (const seed of [0, 1, 2]) {
          assert.deepStrictEqual(Campaign.attempt(target, bytes, seed), { verdict, broken: [] })
        }
      })
    }
  })
}

describe("the corpus", () => {
  it("is of these targets, and small", () => {
    assert.deepStrictEqual(new Set(Corpus.read().map(({ target }) => target)), new Set(all.map(({ name }) => name)))
    assert.isBelow(Corpus.size(), 200_000)
  })
})
