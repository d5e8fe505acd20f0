/** What may come in, and for whom there is room: one author's flood costs the others nothing (P9) and is bounded (P10). */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/core/Crypto.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Forks from "../../src/store/Forks.ts"
import * as Inbox from "../../src/store/Inbox.ts"
import * as Whereabouts from "../../src/store/Whereabouts.ts"
import * as Migrations from "../../src/store/Migrations.ts"
import * as Shares from "../../src/store/Shares.ts"
import * as Tables from "../../src/store/Tables.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import { shuffled } from "../support/Delivery.ts"
import { fresh, rows, Writer } from "../support/Flood.ts"
import { miscounted } from "../support/Model.ts"
import { state } from "../support/Peer.ts"

const crypto = Layer.succeed(Crypto.Crypto, native)
const body = (size: number) => new Uint8Array(size).fill(7)
const raw = Operation.raw
const test = <A, E>(name: string, self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  it.effect(name, () => fresh(self))

class No extends Data.TaggedError("No")<{}> {}

/** Says no to bodies that begin with 0xff. */
const picky = Application.bytes({
  name: "picky",
  version: 1,
  handle: ({ message }) => (message?.[0] === 0xff ? new No() : Effect.void)
})

const pipeline = (options: Limits.Options<never> = {}) =>
  Pipeline.make(Limits.make(options)).pipe(Pipeline.andThen(LogIntegrity.processor))

interface More {
  readonly policy?: (error: unknown) => Policy.Policy
  readonly capacity?: number
  readonly capacityPerAuthor?: number
  readonly batchSize?: number
}
const open = (options: Limits.Options<never> = {}, more: More = {}) =>
  StreamController.make({ pipeline: pipeline(options), application: picky, crypto, ...more })

const word = (answer: {
  readonly _tag: string
  readonly error?: unknown
  readonly next?: { readonly _tag: string }
}) =>
  answer._tag !== "Rejected"
    ? answer._tag
    : `${answer.error instanceof Error ? answer.error.name : "?"} ${answer.next?._tag}`

const sharesAreCounted = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  assert.deepStrictEqual(yield* sql.unsafe(miscounted), [])
})

describe("what a check refuses", () => {
  test(
    "is told by receive as by process, as often as it comes, and leaves nothing",
    Effect.gen(function* () {
      const controller = yield* open({ bodySize: 1, extensionsSize: 200, ahead: 0 })
      const before = yield* rows
      const bad = [{ body: body(2) }, { padding: 200 }, { timestamp: 1n }].map((said) => new Writer(1).sign(said))
      const all = [...bad, ...bad].map(raw)
      const expected = ["TooLarge Refused", "TooLarge Refused", "TimestampAhead Refused"]
      const [processed, received] = [yield* controller.processAll(all), yield* controller.receiveAll(all)]
      assert.deepStrictEqual(processed.map(word), [...expected, ...expected])
      assert.deepStrictEqual<unknown>(received, processed)
      const ones = yield* Effect.forEach(all, (one) => Effect.all([controller.process(one), controller.receive(one)]))
      assert.deepStrictEqual<unknown>(
        ones,
        processed.map((answer) => [answer, answer])
      )
      assert.deepStrictEqual(yield* rows, before)
    })
  )

  test(
    "costs the others of the call nothing",
    Effect.gen(function* () {
      const controller = yield* open({ bodySize: 1 })
      const [parrot, horse] = [new Writer(1), new Writer(2)]
      const some = () => [parrot.sign({ body: body(2) }), horse.next()].map(raw)
      assert.deepStrictEqual((yield* controller.receiveAll(some())).map(word), ["TooLarge Refused", "Queued"])
      assert.deepStrictEqual((yield* controller.processAll(some())).map(word), ["TooLarge Refused", "Deferred"])
      assert.deepStrictEqual(yield* controller.drain, { accepted: 2, waiting: 0, rejected: 0 })
    })
  )

  test(
    "is known if it was here before the limit was: accepted, queued, or held when it is decided",
    Effect.gen(function* () {
      const parrot = new Writer(1)
      const [accepted, queued] = [parrot.next({ body: body(3) }), parrot.next({ body: body(3) })]
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open()
          yield* controller.process(raw(accepted))
          yield* controller.receive(raw(queued))
        })
      )
      const controller = yield* open({ bodySize: 2 })
      const both = [accepted, queued].map(raw)
      assert.deepStrictEqual<unknown>(yield* controller.receiveAll(both), [
        { _tag: "Known", id: accepted.id, where: "accepted" },
        { _tag: "Known", id: queued.id, where: "queued" }
      ])
      assert.deepStrictEqual((yield* controller.processAll(both)).map(word), ["Known", "TooLarge Held"])
      assert.deepStrictEqual<unknown>(
        (yield* state).inbox.map(({ reason, status }) => [status, reason]),
        [["rejected", "TooLarge"]]
      )
    })
  )

  test(
    "where the check itself breaks, it is a bug like any other, of that operation only",
    Effect.gen(function* () {
      const breaking = Processor.make<string, never>()({
        name: "breaking",
        keys: () => [],
        load: () => Effect.succeed(new Map<string, never>()),
        decide: () => Either.right(Processor.accept<string, never>()),
        save: () => Effect.void,
        check: ({ operation }) => {
          if (operation.header.payloadSize === 13) throw new Error("thirteen")
          return Either.void
        }
      })
      const controller = yield* StreamController.make({
        pipeline: pipeline().pipe(Pipeline.andThen(breaking)),
        application: Application.none,
        crypto
      })
      const all = [new Writer(1).next({ body: body(13) }), new Writer(2).next()].map(raw)
      assert.deepStrictEqual((yield* controller.receiveAll(all)).map(word), ["Queued", "Queued"])
      assert.deepStrictEqual(yield* controller.drain, { accepted: 1, waiting: 0, rejected: 1 })
      const more = [new Writer(3).next({ body: body(13) }), new Writer(4).next()].map(raw)
      assert.deepStrictEqual((yield* controller.processAll(more)).map(word), ["Defect Retry", "Accepted"])
    })
  )
})

describe("a policy that refuses", () => {
  const refusing = (stored?: Policy.Stored) => (error: unknown) =>
    error instanceof No ? Policy.refuse(stored) : StreamController.defaultPolicy(error)
  const no = Uint8Array.of(0xff)

  test(
    "keeps nothing of what is new, and what waits for it goes on when it comes again and passes",
    Effect.gen(function* () {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open({}, { policy: refusing() })
          const parrot = new Writer(1)
          const [bad, behind] = [parrot.next({ body: no }), parrot.next()]
          const outcomes = yield* Effect.fork(Stream.runCollect(Stream.take(controller.outcomes, 2)))
          yield* Effect.yieldNow()
          const answers = yield* controller.processAll([bad, behind, bad, new Writer(2).next()].map(raw))
          assert.deepStrictEqual(answers.map(word), ["No Refused", "Deferred", "No Refused", "Accepted"])
          assert.deepStrictEqual(answers[0], answers[2])
          // what is not taken in is no news
          assert.deepStrictEqual(Array.from(yield* Fiber.join(outcomes), word), ["Deferred", "Accepted"])
          const { decisions, inbox } = yield* state
          assert.deepStrictEqual(
            inbox.map(({ status }) => status),
            ["waiting"]
          )
          assert.deepStrictEqual(decisions, [])
        })
      )
      const { handle, ...rest } = picky
      const mild = { ...rest, handle: (event: Parameters<typeof handle>[0]) => Effect.succeed(event) }
      const controller = yield* StreamController.make({ pipeline: pipeline(), application: mild, crypto })
      yield* controller.process(raw(new Writer(1).sign({ body: no })))
      yield* controller.drain
      assert.deepInclude(yield* controller.status, { accepted: 3, waiting: 0, rejected: 0 })
    })
  )

  test(
    "deals with what stands in the inbox as it says",
    Effect.gen(function* () {
      const parrot = new Writer(1)
      const [bad, behind] = [parrot.next({ body: no }), parrot.next()]
      const ways: ReadonlyArray<readonly [Policy.Stored, string, object]> = [
        [Policy.hold, "No Held", { rejected: 1, waiting: 1, accepted: 0 }],
        [Policy.skip, "No Skipped", { rejected: 0, waiting: 0, accepted: 2, skipped: 1 }],
        [Policy.discard, "No Discarded", { rejected: 0, waiting: 1, accepted: 0, discarded: 1 }]
      ]
      for (const [stored, expected, status] of ways) {
        yield* fresh(
          Effect.gen(function* () {
            const controller = yield* open({}, { policy: refusing(stored) })
            yield* controller.receiveAll([bad, behind].map(raw))
            assert.strictEqual(word(yield* controller.process(raw(bad))), expected)
            yield* controller.drain
            assert.deepInclude(yield* controller.status, status)
            yield* sharesAreCounted
          })
        )
      }
    })
  )

  test(
    "holds for what waits for ever, too",
    Effect.gen(function* () {
      const parrot = new Writer(1)
      const first = parrot.next()
      const waiting = Processor.stateless({
        name: "waiting",
        decide: ({ id }) => Either.right(id === first.id ? Processor.accept() : Processor.defer([first.id]))
      })
      for (const policy of [Policy.refuse(), Policy.discard]) {
        yield* fresh(
          Effect.gen(function* () {
            const controller = yield* StreamController.make({
              pipeline: pipeline().pipe(Pipeline.andThen(waiting)),
              application: Application.none,
              policy: () => policy,
              crypto
            })
            yield* controller.process(raw(first))
            const outcome = yield* controller.process(raw(new Writer(2).sign({})))
            const next = policy._tag === "Refuse" ? "Refused" : "Discarded"
            assert.strictEqual(word(outcome), `NothingToWaitFor ${next}`)
            assert.deepStrictEqual((yield* state).inbox, [])
            assert.deepInclude(yield* controller.status, { queued: 0, waiting: 0, rejected: 0 })
          })
        )
      }
    })
  )

  test(
    "the default one: beyond the rate, what was received is tried again in the next window, what was not is refused",
    Effect.gen(function* () {
      const controller = yield* open({ rate: { operations: 1, per: "5 minutes" } })
      const parrot = new Writer(1)
      const [one, two, three] = [parrot.next(), parrot.next(), parrot.next()]
      yield* controller.receiveAll([one, two].map(raw))
      assert.deepStrictEqual(yield* controller.drain, { accepted: 1, waiting: 0, rejected: 1 })
      assert.strictEqual(word(yield* controller.process(raw(three))), "RateExceeded Refused")
      yield* TestClock.setTime(299_999)
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 0, rejected: 1 })
      yield* TestClock.setTime(300_000)
      assert.deepStrictEqual(yield* controller.drain, { accepted: 1, waiting: 0, rejected: 0 })
      assert.deepInclude(yield* controller.status, { accepted: 2, rejected: 0 })
    })
  )
})

describe("an author's share of the inbox", () => {
  for (const batchSize of [1, 3, 100]) {
    test(
      `is full for that author only; what fills a gap needs no room; at batch size ${batchSize}`,
      Effect.gen(function* () {
        const controller = yield* open({}, { capacityPerAuthor: 2, batchSize })
        const [parrot, horse] = [new Writer(1), new Writer(2)]
        const gaps = [0, 1, 2, 3].map(() => parrot.next()).slice(1)
        const begin = horse.next()
        const answers = yield* controller.processAll([...gaps, horse.next(), ...gaps].map(raw))
        const expected = ["Deferred", "Deferred", "InboxFull", "Deferred", "Known", "Known", "InboxFull"]
        assert.deepStrictEqual(answers.map(word), expected)
        assert.deepInclude(answers[2], { _tag: "InboxFull", author: parrot.author, capacity: 2 })
        assert.include(answers[2]?._tag === "InboxFull" ? answers[2].message : "", "capacityPerAuthor")
        const received = yield* controller.receiveAll([...gaps, begin].map(raw))
        assert.deepStrictEqual(received.map(word), ["Known", "Known", "InboxFull", "Queued"])
        yield* controller.drain
        assert.deepInclude(yield* controller.status, { accepted: 2, waiting: 2 })
        yield* controller.processAll([...parrot.operations].map(raw))
        assert.deepInclude(yield* controller.status, { accepted: 6, waiting: 0 })
        assert.deepStrictEqual(yield* Shares.largest(10), [])
      })
    )
  }

  test(
    "counts what is queued and what was rejected, and a receive that is too much fails with it",
    Effect.gen(function* () {
      const controller = yield* open({}, { capacityPerAuthor: 2, capacity: 3 })
      const [parrot, horse] = [new Writer(1), new Writer(2)]
      yield* controller.process(raw(parrot.next({ body: Uint8Array.of(0xff) })))
      const more = [parrot.next(), parrot.next(), horse.next(), horse.next()]
      assert.deepStrictEqual((yield* controller.receiveAll(more.map(raw))).map(word), [
        "Queued",
        "InboxFull",
        "Queued",
        "InboxFull"
      ])
      const errors = yield* Effect.forEach([more[1], more[3]], (one) =>
        one === undefined ? Effect.die("missing") : Effect.flip(controller.receive(raw(one)))
      )
      assert.deepInclude(errors[0], { _tag: "InboxFull", author: parrot.author, capacity: 2 })
      assert.deepInclude(errors[1], { _tag: "InboxFull", capacity: 3 })
      assert.notProperty(errors[1], "author")
      const bytes = (yield* state).inbox.map(
        ({ body, header }) => (String(header).length + String(body ?? "").length) / 2
      )
      const { all } = yield* Shares.of([])
      assert.deepStrictEqual(all, { operations: 3, bytes: bytes.reduce((a, b) => a + b) })
      assert.deepStrictEqual(
        (yield* Shares.largest(1)).map(({ author, operations }) => ({ author, operations })),
        [{ author: parrot.author, operations: 2 }]
      )
    })
  )

  it("is what a count gives, after anything that was put, taken, emptied, rejected or rolled back", async () => {
    const step = FastCheck.record({
      how: FastCheck.constantFrom(...(["put", "take", "empty", "reject", "requeue", "undone"] as const)),
      which: FastCheck.array(FastCheck.integer({ min: 0, max: 29 }), { maxLength: 8 })
    })
    const writers = [1, 2, 3].map((seed) => new Writer(seed))
    const operations = Array.from({ length: 30 }, (_, n) =>
      (writers[n % 3] ?? new Writer(9)).sign({ body: body((n * 7) % 20), seqNum: 0, timestamp: BigInt(n) })
    )
    const logId = LogId.fromBytes(new Uint8Array(32))
    const clear = Transaction.statement(`UPDATE applecart_inbox SET body = NULL WHERE id = unhex(?)`)
    await FastCheck.assert(
      FastCheck.asyncProperty(FastCheck.array(step, { maxLength: 20 }), (steps) =>
        Effect.runPromise(
          fresh(
            Effect.gen(function* () {
              yield* Migrations.run([{ owner: Tables.owner, migrations: Tables.migrations }])
              for (const { how, which } of steps) {
                const chosen = [...new Set(which)].flatMap((n) => operations[n] ?? [])
                const whereabouts = yield* Whereabouts.find(chosen.map(({ id }) => id))
                const found = Array.from(whereabouts).flatMap(([id, { held }]) =>
                  held === undefined ? [] : [{ id, entry: held.entry }]
                )
                const known = new Set(found.map(({ id }) => id))
                const put = Inbox.put(
                  chosen
                    .filter(({ id }) => !known.has(id))
                    .map((operation) => ({ operation, logId, topic: undefined, source: undefined, receivedAt: 0 }))
                )
                const take = Inbox.take(found.map(({ entry }) => entry))
                const reject = Effect.forEach(found, ({ id }) =>
                  Inbox.reject(id, { processor: "p", reason: "{}", attempts: 1, notBefore: undefined })
                )
                const ways = {
                  put,
                  take,
                  empty: Effect.forEach(found, ({ id }) => clear(id)),
                  reject,
                  requeue: Inbox.requeue,
                  undone: Effect.zipRight(Effect.zipRight(put, take), Effect.fail("undone" as const))
                }
                yield* Effect.ignore(
                  Transaction.run(Effect.asVoid<unknown, unknown, Transaction.Transaction>(ways[how]))
                )
                yield* sharesAreCounted
              }
            })
          )
        )
      ),
      { numRuns: 50 }
    )
  })
})

describe("a flood of one author", () => {
  it.effect(
    "of forks, gaps, oversized and future operations keeps nobody else out, and is bounded",
    () =>
      fresh(
        Effect.gen(function* () {
          const capacityPerAuthor = 50
          const controller = yield* open(
            { bodySize: 1000, rate: { operations: 10, per: "1 minute" } },
            { capacityPerAuthor }
          )
          const [hostile, horse] = [new Writer(1), new Writer(2)]
          yield* controller.processAll([hostile.next(), hostile.next()].map(raw))
          const nowhere = native.hash(Uint8Array.of(1))
          const now = BigInt(yield* Clock.currentTimeMillis) * 1000n
          const flood = Array.from({ length: 500 }, (_, n) => [
            hostile.sign({ seqNum: 1, backlink: hostile.operations[0]?.id, body: Uint8Array.of(1, n, n >> 8) }),
            hostile.sign({ seqNum: 5 + n, backlink: nowhere, body: Uint8Array.of(2, n, n >> 8) }),
            hostile.sign({ body: body(1001 + n) }),
            hostile.sign({ timestamp: now + 100_000_000_000n + BigInt(n), body: body(500) })
          ]).flat()
          assert.lengthOf(flood, 2000)
          const honest = Array.from({ length: 10 }, () => horse.next({ body: body(900) }))
          const mixed = [...shuffled(flood, 1)]
          honest.forEach((operation, n) => mixed.splice(n * 200, 0, operation))
          const all = mixed.map(raw)
          const half = Math.floor(all.length / 2)
          const answers = [
            ...(yield* controller.processAll(all.slice(0, half))),
            ...(yield* controller.receiveAll(all.slice(half)))
          ]
          const told = new Map<string, number>()
          for (const [n, answer] of answers.entries()) {
            if (honest.some(({ id }) => id === mixed[n]?.id)) {
              assert.include(["Accepted", "Queued"], answer._tag)
            } else told.set(word(answer), (told.get(word(answer)) ?? 0) + 1)
          }
          yield* controller.drain
          const { operations } = yield* state
          const ofHorse = operations.filter((row) => row["author"] === horse.author.toUpperCase())
          assert.lengthOf(ofHorse, honest.length)
          assert.strictEqual(told.get("TooLarge Refused"), 500)
          assert.strictEqual(told.get("TimestampAhead Refused"), 500)
          assert.isAbove(told.get("InboxFull") ?? 0, 500)
          // nothing of it but the share, and none of what is too large or too early
          const { inbox } = yield* state
          assert.isAtMost(inbox.length, capacityPerAuthor)
          for (const row of inbox) assert.lengthOf(String(row["body"]), 6)
          const counts = yield* rows
          assert.isAtMost(counts["applecart_waiting"] ?? 0, capacityPerAuthor)
          assert.deepInclude(counts, { applecart_decisions: 0, applecart_limits: 2, applecart_inbox_shares: 2 })
          assert.lengthOf(yield* Forks.all, 8)
          yield* sharesAreCounted
        })
      ),
    60_000
  )
})
