import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as SignatureWorkers from "../../src/stream/internal/signatureWorkers.ts"
import * as Verifier from "../../src/stream/internal/verifier.ts"
import { turn } from "../../src/store/internal/turn.ts"
import { decodeAll } from "../support/decodeAll.ts"
import * as Forced from "../support/Forced.ts"
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

/** Repeats it, with a turn of the event loop in between, until a worker has answered: nobody waits for one to start. */
const until = <A>(self: Effect.Effect<A>, isAnswered: (a: A) => boolean): Effect.Effect<A> =>
  Effect.flatMap(self, (a) => (isAnswered(a) ? Effect.succeed(a) : Effect.zipRight(turn, until(self, isAnswered))))

/** Where a test run forbids it no worker is asked. */
const isForbidden = Forced.values.get("worthwhile") === Infinity

const isSeen = (seen: ReadonlyArray<Verifier.Seen>) => isForbidden || seen.every(({ isVerified }) => isVerified)

describe("the worker thread", () => {
  it.scoped("gives the verdict that this thread gives, of the same reason", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      assert.strictEqual(crypto.name, "sodium-native")
      const verifier = yield* Verifier.make(crypto)
      const valid = yield* raws
      yield* until(verifier.see(valid), isSeen)
      yield* Effect.promise(() =>
        FastCheck.assert(
          FastCheck.asyncProperty(FastCheck.nat(), FastCheck.nat(), async (at, byte) => {
            const some = damaged(valid, at, byte)
            const both = Effect.all([decodeAll(verifier, some), decodeAll(Verifier.inline(crypto), some)])
            const [there, here] = await Effect.runPromise(both)
            assert.deepStrictEqual(there, here)
            assert.strictEqual(here.filter(({ _tag }) => _tag === "Left").length, 1)
          }),
          { numRuns: 200 }
        )
      )
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.scoped("is started for everybody, also when the first who asked is interrupted", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      const verifier = yield* Verifier.make(crypto)
      const some = yield* raws
      const first = yield* Effect.fork(verifier.see(some))
      yield* Effect.yieldNow()
      yield* Fiber.interruptFork(first)
      yield* until(verifier.see(some), isSeen)
      const answers = yield* Effect.all(
        Array.from({ length: 20 }, () => verifier.see(some)),
        { concurrency: "unbounded" }
      )
      for (const answer of answers) {
        assert.isTrue(isSeen(answer))
        assert.isTrue(answer.map(verifier.decode).every(({ _tag }) => _tag === "Right"))
      }
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.scoped("is one of several where there are cores for them, and each answers whoever asked it", () =>
    Effect.gen(function* () {
      const { check, size } = yield* SignatureWorkers.of(3)
      assert.strictEqual(size, 3)
      const headers = (yield* raws).map(({ header }) => header)
      // The n-th call holds a header whose last byte is another in its n-th place, and one that is cut off.
      const wrong = (nth: number) => [
        ...headers.map((header, at) => (at === nth ? header.with(header.length - 1, 0) : header)),
        headers[nth]?.subarray(0, 101) ?? new Uint8Array()
      ]
      const all = Effect.forEach(headers, (_, nth) => check(wrong(nth)), { concurrency: "unbounded" })
      const answers = yield* until(all, (answers) => answers.every((verdicts) => verdicts.includes(1)))
      for (const [nth, verdicts] of answers.entries()) {
        assert.deepStrictEqual(Array.from(verdicts), [...headers.map((_, at) => (at === nth ? 0 : 1)), 0])
      }
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.effect("leaves nothing undone when it is stopped", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      const some = yield* raws
      const stopped = yield* Effect.scoped(Effect.tap(Verifier.make(crypto), (verifier) => decodeAll(verifier, some)))
      const answer = yield* decodeAll(stopped, some)
      assert.isTrue(answer.every(({ _tag }) => _tag === "Right"))
    }).pipe(Effect.provide(Crypto.layer))
  )
})
