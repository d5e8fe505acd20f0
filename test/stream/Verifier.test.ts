import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Header from "../../src/core/Header.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import * as SignatureWorkers from "../../src/stream/internal/signatureWorkers.ts"
import * as Verifier from "../../src/stream/internal/verifier.ts"
import { Author } from "../support/Peer.ts"

const raws = Effect.map(Crypto.Crypto, (crypto) => {
  const author = new Author(crypto, 1, Topic.named(crypto, "verifier"))
  return Array.from({ length: 40 }, (_, index) => Operation.raw(author.next(Uint8Array.of(index))))
})

/** One byte of one operation changed, in its header or its body. */
const damaged = (all: ReadonlyArray<Operation.Raw>, at: number, byte: number): ReadonlyArray<Operation.Raw> =>
  all.map((raw, index) => {
    if (index !== at % all.length) return raw
    const bytes = Bytes.concat([raw.header, raw.body ?? new Uint8Array()])
    const position = byte % bytes.length
    bytes[position] = (bytes[position] ?? 0) ^ 1
    return { header: bytes.subarray(0, raw.header.length), body: bytes.subarray(raw.header.length) }
  })

describe("the worker thread", () => {
  it.scoped("gives the verdict that this thread gives, of the same reason", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      assert.strictEqual(crypto.name, "sodium-native")
      const { decode } = yield* Verifier.make(crypto)
      const valid = yield* raws
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(FastCheck.nat(), FastCheck.nat(), async (at, byte) => {
            const some = damaged(valid, at, byte)
            const both = Effect.all([decode(some), Verifier.inline(crypto).decode(some)])
            const [there, here] = await Effect.runPromise(both)
            assert.deepStrictEqual(there, here)
            assert.strictEqual(here.filter(({ _tag }) => _tag === "Left").length, 1)
          }),
          { numRuns: 200 }
        )
      )
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.scoped("answers everybody, also when the first who asked is interrupted", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      const { decode } = yield* Verifier.make(crypto)
      const some = yield* raws
      const first = yield* Effect.fork(decode(some))
      yield* Effect.yieldNow()
      yield* Fiber.interruptFork(first)
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, () => decode(some)),
        { concurrency: "unbounded" }
      )
      for (const answer of answers) assert.isTrue(answer.every(({ _tag }) => _tag === "Right"))
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.scoped("is one of several where there are cores for them, and each answers whoever asked it", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      const { check, size } = yield* SignatureWorkers.of(3)
      assert.strictEqual(size, 3)
      const claims = (yield* raws).map(({ header }) => {
        const { signature, verifyingKey } = Either.getOrThrow(Header.parse(header))
        return { key: VerifyingKey.toBytes(verifyingKey), signature, message: Header.signingBytes(header) }
      })
      // The n-th call holds a signature of another operation in its n-th place.
      const wrong = (nth: number) =>
        claims.map((claim, at) =>
          at === nth ? { ...claim, signature: claims[(nth + 1) % 40]?.signature ?? claim.key } : claim
        )
      const answers = yield* Effect.forEach(claims, (_, nth) => check(wrong(nth)), { concurrency: "unbounded" })
      for (const [nth, verdicts] of answers.entries()) {
        assert.deepStrictEqual(
          Array.from(verdicts),
          claims.map((_, at) => (at === nth ? 0 : 1))
        )
      }
      assert.strictEqual(crypto.name, "sodium-native")
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.effect("leaves nothing undone when it is stopped", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      const some = yield* raws
      const { decode } = yield* Effect.scoped(Effect.tap(Verifier.make(crypto), (verifier) => verifier.decode(some)))
      const answer = yield* decode(some)
      assert.isTrue(answer.every(({ _tag }) => _tag === "Right"))
    }).pipe(Effect.provide(Crypto.layer))
  )
})
