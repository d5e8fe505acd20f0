/** That a test run has the defaults that it was told to have: one that forces nothing would pass for the wrong reason. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import { turn } from "../../src/store/internal/turn.ts"
import * as Verifier from "../../src/stream/internal/verifier.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import * as Apples from "../support/Apples.ts"
import { decodeAll } from "../support/decodeAll.ts"
import * as Forced from "../support/Forced.ts"
import { Author, database } from "../support/Peer.ts"

const raws = (count: number) => {
  const author = new Author(native, 1, Topic.named(native, "forced"))
  return Array.from({ length: count }, (_, index) => Operation.raw(author.next(Uint8Array.of(index % 256))))
}

/** Libsodium, and how often this thread asked it. */
const counting = () => {
  let count = 0
  const crypto: Crypto.Service = {
    ...native,
    verify: (key, message, signature) => {
      count += 1
      return native.verify(key, message, signature)
    }
  }
  return { crypto, count: () => count }
}

describe("the defaults", () => {
  it.scoped("are so many operations to a transaction", () =>
    Effect.gen(function* () {
      let transactions = 0
      const sizes: Array<number> = []
      const handle = Transaction.afterCommit(Effect.sync(() => void (transactions = sizes.length))).pipe(
        Effect.tap(() => Effect.sync(() => void (sizes[transactions] = (sizes[transactions] ?? 0) + 1)))
      )
      const application = Application.bytes({ name: "counting", version: 1, handle: () => handle })
      const controller = yield* StreamController.make({ pipeline: Apples.pipeline, application })
      const size = Number(Forced.values.get("batchSize") ?? 100)
      yield* controller.processAll(raws(2 * size + 1))
      // On a clock that stands still every transaction is quick.
      assert.deepStrictEqual(sizes, Forced.values.has("batchSize") ? [size, size, 1] : [size, size + 1])
    }).pipe(Effect.provide(database))
  )

  it.scoped("check one signature here and many in a worker", () =>
    Effect.gen(function* () {
      const { count, crypto } = counting()
      const verifier = yield* Verifier.make(crypto)
      const here = (number: number) =>
        Effect.map(decodeAll(verifier, raws(number)), () => {
          const before = counted
          counted = count()
          return counted - before
        })
      let counted = 0
      const forced = Forced.values.get("worthwhile")
      assert.strictEqual(yield* here(1), forced === 1 ? 0 : 1)
      assert.strictEqual(yield* here(50), forced === 1 ? 0 : 50)
      if (forced === Infinity) return
      // As long as the worker is starting this thread does its work.
      while ((yield* here(50)) === 50) yield* turn
      assert.strictEqual(yield* here(50), 0)
      assert.strictEqual(yield* here(1), forced === 1 ? 0 : 1)
    })
  )

  it.scoped("check signatures here with what is given", () =>
    Effect.gen(function* () {
      const { count, crypto } = counting()
      const controller = yield* StreamController.make({
        pipeline: Apples.pipeline,
        application: Application.none,
        crypto: Layer.succeed(Crypto.Crypto, crypto)
      })
      yield* controller.processAll(raws(50))
      assert.strictEqual(count(), Forced.values.get("besideGiven") === true ? 0 : 50)
    }).pipe(Effect.provide(database))
  )
})
