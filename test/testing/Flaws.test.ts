/** Operations are valid by construction; each flaw is refused with its own error, and costs the sound one nothing. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Arbitraries from "../../src/testing/Arbitraries.ts"
import * as Flaws from "../../src/testing/Flaws.ts"
import { native } from "../core/support.ts"

const open = StreamController.make({
  pipeline: Pipeline.make(LogIntegrity.processor),
  application: Application.none,
  crypto: Layer.succeed(Crypto.Crypto, native)
})

describe("an arbitrary operation", () => {
  it("is valid, and its extensions read back, in both formats", () => {
    const formats = new Set<string>()
    FastCheck.assert(
      FastCheck.property(Arbitraries.operation(native), (operation) => {
        const read = Operation.decodeWith(native)(Operation.raw(operation))
        assert.deepStrictEqual(Either.getOrThrow(read), operation)
        formats.add(Either.getOrThrow(Extensions.any.decode(operation.header.extensions))._tag)
      }),
      { seed: 7 }
    )
    assert.deepStrictEqual(Array.from(formats).sort(), ["Node", "Open"])
  })
})

describe("a flaw", () => {
  it(
    "is refused with its own error, each kind of it, and the sound one is accepted",
    { timeout: 120_000 },
    async () => {
      const met = new Set<string>()
      await FastCheck.assert(
        FastCheck.asyncProperty(Flaws.arbitrary(native), ({ before, expected, flaw, raw, sound }) =>
          Effect.gen(function* () {
            const controller = yield* open
            yield* controller.processAll(before.map(Operation.raw))
            const [refused, accepted] = yield* controller.processAll([raw, Operation.raw(sound)])
            assert.isTrue(Flaws.isAsExpected(expected, refused), `${flaw}: ${JSON.stringify(refused)}`)
            assert.propertyVal(accepted, "_tag", "Accepted")
            met.add(flaw)
          }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" })), Effect.runPromise)
        ),
        { numRuns: 150, seed: 7 }
      )
      assert.sameMembers(Array.from(met), Object.keys(Flaws.expected))
    }
  )
})
