import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Rejection from "../../src/pipeline/Rejection.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Rates from "../../src/store/Rates.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native, random } from "../core/support.ts"
import { shuffled } from "../support/Delivery.ts"
import { cut, fresh, sizeOf, Writer } from "../support/Flood.ts"
import { state } from "../support/Peer.ts"

const open = (options: Limits.Options<Extensions.Any>, batchSize?: number) =>
  StreamController.make({
    pipeline: Pipeline.make(Limits.make(options)).pipe(Pipeline.andThen(LogIntegrity.processor)),
    application: Application.none,
    batchSize,
    crypto: Layer.succeed(Crypto.Crypto, native)
  })
const test = <A, E>(name: string, self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  it.effect(name, () => fresh(self))

const body = (size: number) => new Uint8Array(size).fill(7)
const raw = Operation.raw

/** What became of an operation, in a word. */
const word = (answer: {
  readonly _tag: string
  readonly error?: unknown
  readonly next?: { readonly _tag: string }
}) =>
  answer._tag !== "Rejected"
    ? answer._tag
    : `${answer.error instanceof Error ? answer.error.name : "?"} ${answer.next?._tag}`

/** The rows of the processor's table. */
const windows = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`SELECT lower(hex(author)) AS author, since, operations, bytes FROM applecart_limits ORDER BY author`
)

describe("the size of a body", () => {
  test(
    "may be the limit and not a byte more, also where the body was withheld",
    Effect.gen(function* () {
      const controller = yield* open({ bodySize: 100 })
      const parrot = new Writer(1)
      const [fits, over] = [parrot.sign({ body: body(100) }), parrot.sign({ body: body(101) })]
      const outcome = yield* controller.process(raw(over))
      assert.deepInclude(outcome, { _tag: "Rejected", processor: "limits", attempts: 1, next: { _tag: "Refused" } })
      assert.deepStrictEqual<unknown>(
        outcome._tag === "Rejected" && outcome.error,
        new Limits.TooLarge({ what: "body", size: 101, limit: 100 })
      )
      assert.deepStrictEqual(yield* controller.process({ ...raw(over), body: undefined }), outcome)
      assert.strictEqual((yield* controller.process(raw(fits)))._tag, "Accepted")
    })
  )

  it("is a mebibyte by default, and anything where that is said", () => {
    const parrot = new Writer(1)
    const [fits, over] = [parrot.sign({ body: body(1 << 20) }), parrot.sign({ body: body((1 << 20) + 1) })]
    const check = (options: Limits.Options<Extensions.Any>) => (operation: Operation.Operation) =>
      Limits.make(options).check(event(operation, 0))._tag
    assert.deepStrictEqual([fits, over].map(check({})), ["Right", "Left"])
    assert.deepStrictEqual([fits, over].map(check({ bodySize: Infinity })), ["Right", "Right"])
  })
})

const event = (operation: Operation.Operation, now: number) => {
  const extensions = Either.getOrThrow(Extensions.any.decode(operation.header.extensions))
  return Event.make(operation, extensions, { topic: undefined, source: undefined, receivedAt: now })
}

describe("the size of the extensions", () => {
  test(
    "may be the limit and not a byte more",
    Effect.gen(function* () {
      const parrot = new Writer(1)
      const fits = parrot.sign({ padding: 200 })
      const over = parrot.sign({ padding: 201 })
      const limit = fits.header.extensions?.length ?? 0
      assert.strictEqual(over.header.extensions?.length, limit + 1)
      const controller = yield* open({ extensionsSize: limit })
      const answers = yield* controller.processAll([over, fits].map(raw))
      assert.deepStrictEqual(answers.map(word), ["TooLarge Refused", "Accepted"])
    })
  )
})

describe("a timestamp", () => {
  test(
    "may lie as far ahead as allowed, to the microsecond, and is taken when its time has come",
    Effect.gen(function* () {
      yield* TestClock.setTime(1_000_000)
      const controller = yield* open({ ahead: "10 seconds" })
      const parrot = new Writer(1)
      const edge = (1_000_000n + 10_000n) * 1000n
      const early = parrot.sign({ timestamp: edge + 1n })
      const outcome = yield* controller.process(raw(early))
      assert.deepStrictEqual<unknown>(
        outcome._tag === "Rejected" && outcome.error,
        new Limits.TimestampAhead({ timestamp: edge + 1n, now: 1_000_000, ahead: 10_000 })
      )
      assert.strictEqual(word(outcome), "TimestampAhead Refused")
      assert.strictEqual(word(yield* controller.receive(raw(early))), "TimestampAhead Refused")
      const horse = new Writer(2)
      assert.strictEqual(word(yield* controller.process(raw(horse.next({ timestamp: edge })))), "Accepted")
      yield* TestClock.adjust(1)
      assert.strictEqual(word(yield* controller.process(raw(early))), "Accepted")
      assert.strictEqual(word(yield* controller.process(raw(horse.next({ timestamp: 0n })))), "Accepted")
      assert.strictEqual(word(yield* controller.process(raw(horse.next()))), "Accepted")
    })
  )

  it("may be the last one that there is, where any is allowed", () => {
    const last = new Writer(1).sign({ timestamp: 0xffff_ffff_ffff_ffffn })
    const check = (ahead?: Duration.DurationInput) =>
      Limits.make({ ahead }).check(event(last, Number.MAX_SAFE_INTEGER / 1000))
    assert.strictEqual(check(Infinity)._tag, "Right")
    const refused = Either.getOrThrow(Either.flip(check()))
    assert.isString(refused.message)
    assert.include(Rejection.decode(Rejection.encode(refused)), { tag: "TimestampAhead", message: refused.message })
  })
})

describe("the rate", () => {
  test(
    "lets an author in up to the limit, tells when it goes on, and begins anew in the next window",
    Effect.gen(function* () {
      yield* TestClock.setTime(60_500)
      const controller = yield* open({ rate: { operations: 2, per: "1 minute" } })
      const [parrot, horse] = [new Writer(1), new Writer(2)]
      const [one, two, three] = [parrot.next(), parrot.next(), parrot.next()]
      const answers = yield* controller.processAll([one, two, three, horse.next(), three].map(raw))
      assert.deepStrictEqual(answers.map(word), [
        "Accepted",
        "Accepted",
        "RateExceeded Refused",
        "Accepted",
        "RateExceeded Refused"
      ])
      const error = answers[2]?._tag === "Rejected" ? answers[2].error : undefined
      assert.deepStrictEqual<unknown>(
        error,
        new Limits.RateExceeded({ author: parrot.author, operations: 2, per: 60_000, until: 120_000 })
      )
      assert.include(error?.message, "1970-01-01T00:02:00.000Z")
      yield* TestClock.setTime(119_999)
      assert.strictEqual(word(yield* controller.process(raw(three))), "RateExceeded Refused")
      yield* TestClock.setTime(120_000)
      assert.strictEqual(word(yield* controller.process(raw(three))), "Accepted")
      assert.deepInclude(yield* controller.status, { accepted: 4, rejected: 0 })
    })
  )

  test(
    "counts bytes of headers and bodies, and what can never fit is too large",
    Effect.gen(function* () {
      const parrot = new Writer(1)
      const [one, two, three] = [parrot.next({ body: body(10) }), parrot.next({ body: body(20) }), parrot.next()]
      const bytes = sizeOf(one) + sizeOf(two)
      const controller = yield* open({ rate: { bytes, per: "1 hour" } })
      const huge = new Writer(2).sign({ body: body(bytes) })
      const answers = yield* controller.processAll([one, { ...two, body: undefined }, three, huge].map(raw))
      assert.deepStrictEqual(answers.map(word), ["Accepted", "Accepted", "RateExceeded Refused", "TooLarge Refused"])
      assert.deepInclude(answers[3], {
        error: new Limits.TooLarge({ what: "operation", size: sizeOf(huge), limit: bytes })
      })
      assert.deepStrictEqual(yield* windows, [{ author: parrot.author, since: 0, operations: 2, bytes }])
    })
  )

  test(
    "does not count what is rejected, waits, or was here before",
    Effect.gen(function* () {
      const controller = yield* open({ rate: { operations: 2, per: "1 minute" } })
      const parrot = new Writer(1)
      const [one, two] = [parrot.next(), parrot.next()]
      const fork = parrot.sign({ body: body(1) })
      assert.strictEqual(word(yield* controller.process(raw(two))), "Deferred")
      assert.deepStrictEqual((yield* controller.processAll([one, fork, one].map(raw))).map(word), [
        "Accepted",
        "RateExceeded Refused",
        "Known"
      ])
      yield* TestClock.setTime(60_000)
      assert.deepStrictEqual((yield* controller.processAll([fork, one].map(raw))).map(word), ["Fork Held", "Known"])
      assert.deepInclude((yield* windows)[0], { since: 0, operations: 2 })
    })
  )

  test(
    "goes on counting where the clock is set back, but is not led by a clock that was wrong",
    Effect.gen(function* () {
      const controller = yield* open({ rate: { operations: 1, per: "1 minute" } })
      const parrot = new Writer(1)
      const at = (minutes: number) =>
        Effect.zipRight(TestClock.setTime(minutes * 60_000), controller.process(raw(parrot.next())))
      assert.strictEqual(word(yield* at(10)), "Accepted")
      const again = yield* at(9)
      assert.strictEqual(word(again), "RateExceeded Refused")
      assert.strictEqual(
        again._tag === "Rejected" && again.error instanceof Limits.RateExceeded && again.error.until,
        660_000
      )
      parrot.operations.pop()
      assert.strictEqual(word(yield* at(8)), "Accepted")
    })
  )

  test(
    "leaves rows only of windows that are not over",
    Effect.gen(function* () {
      const limits = Limits.make({ rate: { operations: 5, per: "1 minute" } })
      const controller = yield* open({ rate: { operations: 5, per: "1 minute" } })
      yield* controller.processAll([1, 2, 3].map((seed) => raw(new Writer(seed).next())))
      yield* TestClock.setTime(59_999)
      yield* controller.process(raw(new Writer(4).next()))
      const collect = (limit: number) => Transaction.run(limits.collect(limit))
      assert.strictEqual(yield* collect(100), 0)
      yield* TestClock.setTime(60_000)
      yield* controller.process(raw(new Writer(5).next()))
      assert.strictEqual(yield* collect(3), 3)
      assert.strictEqual(yield* collect(100), 1)
      assert.deepStrictEqual(
        (yield* windows).map((row) => row["since"]),
        [60_000]
      )
      // without a rate nothing of it is needed
      assert.strictEqual(yield* Transaction.run(Limits.make().collect(100)), 1)
    })
  )
})

describe("the processor", () => {
  test(
    "lets those alone who are exempt",
    Effect.gen(function* () {
      const parrot = new Writer(1)
      const exempt = ({ author }: Event.Event) => author === parrot.author
      const controller = yield* open({ bodySize: 1, rate: { operations: 1, per: "1 day" }, exempt })
      const all = [parrot.next({ body: body(2) }), parrot.next({ timestamp: 1n << 60n }), parrot.next()]
      const horse = new Writer(2)
      assert.deepStrictEqual(
        (yield* controller.processAll([...all, horse.next({ body: body(2) })].map(raw))).map(word),
        ["Accepted", "Accepted", "Accepted", "TooLarge Refused"]
      )
      assert.deepStrictEqual(yield* windows, [])
    })
  )

  test(
    "is a typed failure of `publish`, and then the operation never existed",
    Effect.gen(function* () {
      const controller = yield* open({ bodySize: 10, rate: { operations: 1, per: "1 minute" } })
      const topic = Topic.named(native, "apples")
      const publish = (message: Uint8Array) => controller.publish({ key: new Writer(1).key, topic, message })
      assert.deepInclude(yield* Effect.flip(publish(body(11))), { _tag: "TooLarge", what: "body", size: 11, limit: 10 })
      assert.deepInclude(yield* publish(body(10)), { seqNum: 0 })
      assert.deepInclude(yield* Effect.flip(publish(body(1))), { _tag: "RateExceeded", until: 60_000 })
      assert.deepInclude(yield* controller.status, { accepted: 1, rejected: 0 })
    })
  )

  test(
    "is usable alone, and at any place in a pipeline",
    Effect.gen(function* () {
      const alone = Pipeline.make(Limits.make({ bodySize: 1 }))
      const [small, large] = [new Writer(1).sign({}), new Writer(1).sign({ body: body(2) })]
      const steps = yield* Effect.forEach([small, large], (operation) => alone.open().decide(event(operation, 0)))
      assert.deepStrictEqual(
        steps.map(({ _tag }) => _tag),
        ["Passed", "Rejected"]
      )
      const behind = yield* StreamController.make({
        pipeline: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Limits.make({ bodySize: 1 }))),
        application: Application.none
      })
      assert.deepStrictEqual((yield* behind.processAll([large, small].map(raw))).map(word), [
        "TooLarge Refused",
        "Accepted"
      ])
    })
  )

  it("has errors that say what to do, and that can be stored", () => {
    const author = new Writer(1).author
    const errors = [
      new Limits.TooLarge({ what: "body", size: 2, limit: 1 }),
      new Limits.TooLarge({ what: "operation", size: 2, limit: 1 }),
      new Limits.TimestampAhead({ timestamp: 5_000_000n, now: 1, ahead: 1000 }),
      new Limits.RateExceeded({ author, operations: 3, bytes: 7, per: 60_000, until: 60_000 })
    ]
    for (const error of errors) {
      assert.match(error.message, /Split|Set the clock|Send it again/)
      const stored = Rejection.decode(Rejection.encode(error))
      assert.include(stored, { tag: error._tag, message: error.message })
    }
    const [, , ahead] = errors.map((error) => Rejection.decode(Rejection.encode(error)).data)
    assert.deepStrictEqual(
      Schema.decodeUnknownSync(Limits.TimestampAhead)(ahead),
      new Limits.TimestampAhead({ timestamp: 5_000_000n, now: 1, ahead: 1000 })
    )
  })
})

// properties

const withTestClock = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.runPromise(
    Effect.provide(self, Layer.merge(SqliteClient.layer({ filename: ":memory:" }), TestContext.TestContext))
  )
const seed = FastCheck.integer({ min: 0, max: 0x7fff_ffff })

const per = 1000
const delivery = FastCheck.record({
  order: seed,
  cuts: seed,
  times: seed,
  batchSize: FastCheck.constantFrom(1, 2, 7, 100),
  operations: FastCheck.integer({ min: 1, max: 6 }),
  bytes: FastCheck.integer({ min: 400, max: 1500 }),
  lengths: FastCheck.array(FastCheck.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 })
})

describe("whatever the order, batching, duplication, restarts and steps of the clock", () => {
  it("no window has more than is allowed", { timeout: 120_000 }, async () => {
    let full = 0
    await FastCheck.assert(
      FastCheck.asyncProperty(delivery, async ({ batchSize, bytes, cuts, lengths, operations, order, times }) => {
        const writers = lengths.map((length, index) => {
          const writer = new Writer(index + 1)
          for (let n = 0; n < length; n++) writer.next({ body: body(1 + ((n * 37) % 150)) })
          return writer
        })
        const all = writers.flatMap((writer) => writer.operations)
        const pieces = cut([...shuffled([...all, ...all.slice(0, 5)], order), ...all, ...all], 9, cuts)
        const { below } = random(times)
        await withTestClock(
          Effect.gen(function* () {
            yield* TestClock.setTime(10 * per)
            const rest = [...pieces]
            while (rest.length > 0) {
              const life = Effect.gen(function* () {
                const controller = yield* open({ rate: { operations, bytes, per } }, batchSize)
                for (let piece = rest.shift(); piece !== undefined; piece = rest.shift()) {
                  if (below(3) > 0) yield* controller.processAll(piece.map(raw))
                  else yield* controller.receiveAll(piece.map(raw))
                  // forth, mostly, and back by less than a window
                  const now = yield* Clock.currentTimeMillis
                  yield* TestClock.setTime(now + below(per) - (below(4) === 0 ? per / 2 : 0))
                  if (below(2) === 0) yield* controller.drain
                  if (below(4) === 0) return
                }
              })
              yield* Effect.scoped(life)
            }
            const sql = yield* SqlClient.SqlClient
            const found = yield* sql<{ operations: number; bytes: number }>`
              SELECT count(*) AS operations, sum(length(o.header) + coalesce(length(o.body), 0)) AS bytes
              FROM applecart_operations o JOIN applecart_logs l USING (log)
              GROUP BY l.author, o.accepted_at / ${per}`
            for (const window of found) {
              assert.isAtMost(window.operations, operations)
              assert.isAtMost(window.bytes, bytes)
              if (window.operations === operations) full++
            }
          })
        )
      }),
      { numRuns: 60 }
    )
    assert.isAbove(full, 20)
  })

  it("what stays under the limits is the same in every table", { timeout: 120_000 }, async () => {
    const dump = Effect.zip(state, windows)
    await FastCheck.assert(
      FastCheck.asyncProperty(delivery, async ({ batchSize, cuts, lengths, order, times }) => {
        const writers = lengths.map((length, index) => {
          const writer = new Writer(index + 1)
          for (let n = 0; n < length; n++) writer.next({ body: body(n % 5), timestamp: BigInt(n) })
          return writer
        })
        // some logs have a gap that is never filled
        const all = writers.flatMap(({ operations }, index) => operations.filter((_, n) => n !== 4 + index))
        const enough = { rate: { operations: 12, bytes: 1_000_000, per: "1 day" } } as const
        const expected = await withTestClock(
          Effect.scoped(
            Effect.gen(function* () {
              const controller = yield* open(enough, 1)
              yield* controller.processAll(all.map(raw))
              return yield* dump
            })
          )
        )
        const { below } = random(times)
        const rest = [...cut(shuffled([...all, ...all.filter((_, n) => n % 3 === 0)], order), 9, cuts)]
        const found = await withTestClock(
          Effect.gen(function* () {
            while (rest.length > 0) {
              const life = Effect.gen(function* () {
                const controller = yield* open(enough, batchSize)
                for (let piece = rest.shift(); piece !== undefined; piece = rest.shift()) {
                  if (below(2) === 0) yield* controller.processAll(piece.map(raw))
                  else yield* controller.receiveAll(piece.map(raw))
                  if (below(4) === 0 && rest.length > 0) return
                }
                yield* controller.drain
              })
              yield* Effect.scoped(life)
            }
            return yield* dump
          })
        )
        assert.deepStrictEqual(found, expected)
      }),
      { numRuns: 60 }
    )
  })
})

describe("a fault at every statement", () => {
  it("leaves a count that is what was accepted", { timeout: 120_000 }, async () => {
    const [parrot, horse] = [new Writer(1), new Writer(2)]
    for (let n = 0; n < 4; n++) parrot.next({ body: body(n) })
    horse.next()
    const raws = [...parrot.operations.toReversed(), ...horse.operations].map(raw)
    const scenario = Effect.scoped(
      Effect.gen(function* () {
        const controller = yield* open({ rate: { operations: 3, per: "1 day" } }, 3)
        yield* controller.receiveAll(raws.slice(0, 2))
        yield* controller.processAll(raws)
        yield* controller.drain
      })
    )
    const trial = (plan: SqlFaults.Plan | undefined) =>
      Effect.gen(function* () {
        const faults = yield* SqlFaults.SqlFaults
        if (plan !== undefined) yield* faults.arm(plan)
        const exit = yield* Effect.exit(scenario)
        yield* faults.disarm
        if (exit._tag === "Failure") yield* scenario
        const sql = yield* SqlClient.SqlClient
        const accepted = yield* sql`
          SELECT lower(hex(l.author)) AS author, 0 AS since, count(*) AS operations,
            sum(length(o.header) + coalesce(length(o.body), 0)) AS bytes
          FROM applecart_operations o JOIN applecart_logs l USING (log) GROUP BY 1 ORDER BY 1`
        assert.deepStrictEqual(yield* windows, accepted)
        return { count: yield* faults.count, accepted, inbox: (yield* state).inbox }
      })
    const client = SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
    const run = (plan: SqlFaults.Plan | undefined) =>
      Effect.runPromise(Effect.provide(trial(plan), Layer.merge(client, TestContext.TestContext)))
    const { accepted, count, inbox } = await run(undefined)
    assert.strictEqual(accepted.length, 2)
    for (let at = 1; at <= count; at++) {
      const found = await run({ at, fault: at % 2 === 0 ? SqlFaults.failBefore("full") : SqlFaults.failAfter("io") })
      assert.deepStrictEqual({ accepted: found.accepted, inbox: found.inbox }, { accepted, inbox }, `at ${at}`)
    }
  })
})

describe("Rates", () => {
  test(
    "keeps one window of each author",
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (const { up } of Rates.migrations) yield* Effect.forEach(up, (text) => sql.unsafe(text))
      const authors = [1, 2, 3].map((n) => new Writer(n).author)
      const [one, two, three] = authors
      const used = (since: number) => ({ since, operations: 1, bytes: 2 ** 40 })
      assert.isDefined(one)
      assert.isDefined(two)
      assert.isDefined(three)
      yield* Transaction.run(Rates.save(new Map([[one, used(1)]])))
      yield* Transaction.run(
        Rates.save(
          new Map([
            [one, used(2)],
            [two, used(3)]
          ])
        )
      )
      assert.deepStrictEqual(
        [...(yield* Rates.load([one, two, three]))].sort(),
        [
          [one, used(2)],
          [two, used(3)]
        ].sort()
      )
    })
  )
})
