/** Waiting and waking with large backlogs: bounded steps, nothing lost between them, nobody held up by them. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { Hash } from "../../src/core/Hash.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Inbox from "../../src/store/Inbox.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as Waiting from "../../src/store/Waiting.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import * as Dependencies from "../support/Dependencies.ts"
import { Author, database } from "../support/Peer.ts"

const topic = Topic.named(native, "waiting")
const faulty = Layer.provide(SqlFaults.layer, SqliteClient.layer({ filename: ":memory:" }))
const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | SqlFaults.SqlFaults | Scope.Scope>) =>
  Effect.scoped(Effect.provide(self, faulty))

const test = <A, E>(name: string, self: Effect.Effect<A, E, SqlClient.SqlClient | SqlFaults.SqlFaults | Scope.Scope>) =>
  it.effect(name, () => fresh(self), { timeout: 120_000 })

type Waits = ReadonlyMap<Hash, ReadonlyArray<Hash>>
const none: Waits = new Map()

/** A controller whose application says no to bodies that begin with 0xff, and skips those with 0xfe. */
const open = (waits: Waits = none, batchSize?: number) =>
  StreamController.make({
    batchSize,
    pipeline: Pipeline.make(Dependencies.processor(({ id }) => waits.get(id) ?? [])).pipe(
      Pipeline.andThen(LogIntegrity.processor)
    ),
    policy: (error) => (error._tag === "No" && error.skip ? Policy.skip : Policy.hold),
    application: Application.bytes({
      name: "waiting",
      version: 1,
      handle: ({ message }) =>
        message?.[0] === 0xff || message?.[0] === 0xfe
          ? Effect.fail({ _tag: "No" as const, skip: message[0] === 0xfe })
          : Effect.void
    })
  })

const raws = (operations: ReadonlyArray<Operation.Operation>) => operations.map(Operation.raw)
const log = (seed: number, length: number): ReadonlyArray<Operation.Operation> => {
  const author = new Author(native, seed, topic)
  for (let n = 0; n < length; n++) author.next(undefined)
  return author.operations
}

/** A gate, and many operations of one author each that wait for it; more than 250 authors need more than one log each. */
const gated = (count: number) => {
  const gate = log(1, 1)[0]!
  const others = Array.from({ length: count }, (_, index) =>
    new Author(native, 2 + (index % 250), Topic.named(native, `waiting-${Math.floor(index / 250)}`)).next(undefined)
  )
  return { gate, others, waits: new Map(others.map(({ id }) => [id, [gate.id]])) }
}

const accepted = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ id: Hash }>`SELECT lower(hex(id)) AS id FROM applecart_operations ORDER BY position`
).pipe(Effect.map((rows) => rows.map(({ id }) => id)))
const rows = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(sql.unsafe<{ n: number }>(`SELECT count(*) AS n FROM applecart_${table}`), ([row]) => row?.n)
  )
const nothingIsLeft = Effect.gen(function* () {
  for (const table of ["inbox", "waiting", "wakes"]) assert.strictEqual(yield* rows(table), 0, table)
})

/** How many operations each transaction accepted at the most, from the statements. */
const largest = (statements: ReadonlyArray<string>) => {
  let [most, current] = [0, 0]
  for (const text of statements) {
    if (/^BEGIN/.test(text)) current = 0
    else if (/^INSERT INTO applecart_operations/.test(text)) current += text.split("(?,").length - 1
    most = Math.max(most, current)
  }
  return most
}

describe("many that wait for one", () => {
  test(
    "are accepted in one drain, a bounded number in each transaction",
    Effect.gen(function* () {
      const { gate, others, waits } = gated(5000)
      const faults = yield* SqlFaults.SqlFaults
      const controller = yield* open(waits, 100)
      yield* controller.receiveAll(raws([...others, gate]))
      yield* faults.reset
      assert.deepStrictEqual(yield* controller.drain, { accepted: 5001, waiting: 0, rejected: 0 })
      assert.isAtMost(largest(yield* faults.statements), 200)
      assert.deepStrictEqual(yield* accepted, [gate.id, ...others.map(({ id }) => id)])
      yield* nothingIsLeft
    })
  )

  test(
    "are all found again by whoever opens next, wherever it was cut",
    Effect.gen(function* () {
      const { gate, others, waits } = gated(1000)
      const faults = yield* SqlFaults.SqlFaults
      yield* Effect.scoped(Effect.flatMap(open(waits, 100), (controller) => controller.processAll(raws(others))))
      // Neither the one that is cut off nor the one that goes on replays: what is pending is all they know.
      const cut = yield* open(waits, 100)
      yield* cut.drain
      for (let transactions = 1; transactions <= 3; transactions++) {
        yield* faults.arm({
          at: (yield* faults.count) + transactions * 150,
          fault: SqlFaults.failBefore("io"),
          forever: true
        })
        yield* Effect.exit(
          Effect.asVoid<unknown, unknown, never>(transactions === 1 ? cut.process(Operation.raw(gate)) : cut.drain)
        )
        yield* faults.disarm
      }
      const before = (yield* accepted).length
      assert.isTrue(before > 0 && before < 1001, `${before} were accepted`)
      assert.isTrue((yield* rows("wakes")) !== 0)
      assert.deepStrictEqual(yield* cut.drain, { accepted: 1001 - before, waiting: 0, rejected: 0 })
      assert.deepStrictEqual(yield* accepted, [gate.id, ...others.map(({ id }) => id)])
      yield* nothingIsLeft
    })
  )

  it.scoped("do not hold up other calls, and the call that woke them answers when all are through", () =>
    Effect.gen(function* () {
      const { gate, others, waits } = gated(1500)
      const controller = yield* open(waits)
      yield* controller.processAll(raws(others))
      const waking = yield* Effect.fork(controller.process(Operation.raw(gate)))
      yield* Effect.promise(() => new Promise((done) => setTimeout(done, 30)))
      assert.deepInclude(yield* controller.process(Operation.raw(log(255, 1)[0]!)), { _tag: "Accepted" })
      assert.isBelow((yield* accepted).length, 1502)
      assert.deepInclude(yield* Fiber.join(waking), { _tag: "Accepted", position: 1 })
      assert.lengthOf(yield* accepted, 1502)
      yield* nothingIsLeft
    }).pipe(Effect.provide(database))
  )

  test(
    "are decided before what was delivered behind the one, however many they are",
    Effect.gen(function* () {
      const { gate, others, waits } = gated(700)
      const behind = log(253, 1)
      const controller = yield* open(waits, 7)
      const answers = yield* controller.processAll(raws([...others, gate, ...behind]))
      assert.deepStrictEqual(
        [answers.at(0), answers.at(-2), answers.at(-1)].map((answer) => answer?._tag),
        ["Deferred", "Accepted", "Accepted"]
      )
      assert.deepStrictEqual(yield* accepted, [gate.id, ...others.map(({ id }) => id), ...behind.map(({ id }) => id)])
    })
  )

  test(
    "go on behind one that is rejected or skipped, each where it stands",
    Effect.gen(function* () {
      const gate = log(1, 1)[0]!
      const authors = Array.from({ length: 250 }, (_, index) => new Author(native, 2 + index, topic))
      const first = authors.map((author, index) => author.next(Uint8Array.of([0, 0xff, 0xfe][index % 3] ?? 0)))
      const second = authors.map((author) => author.next(undefined))
      const controller = yield* open(new Map(first.map(({ id }) => [id, [gate.id]])))
      const skipped = yield* Effect.fork(
        Stream.runCollect(
          Stream.take(
            Stream.filter(controller.outcomes, (one) => one._tag === "Rejected" && one.next._tag === "Skipped"),
            83
          )
        )
      )
      yield* Effect.yieldNow()
      yield* controller.processAll(raws([...second, ...first]))
      assert.deepInclude(yield* controller.process(Operation.raw(gate)), { _tag: "Accepted" })
      assert.deepInclude(yield* controller.status, {
        accepted: 1 + 84 * 2 + 83 * 2,
        skipped: 83,
        waiting: 83,
        rejected: 83
      })
      assert.strictEqual((yield* Fiber.join(skipped)).length, 83)
      assert.strictEqual(yield* rows("wakes"), 0)
    })
  )
})

describe("one that waits for many", () => {
  test(
    "is accepted behind the last of 512, and not before",
    Effect.gen(function* () {
      const others = Array.from({ length: 512 }, (_, index) =>
        new Author(native, 2 + (index % 250), Topic.named(native, `many-${Math.floor(index / 250)}`)).next(undefined)
      )
      const one = log(1, 1)[0]!
      const controller = yield* open(new Map([[one.id, others.map(({ id }) => id)]]))
      yield* controller.processAll(raws([one, ...others.slice(1)]))
      assert.deepInclude(yield* controller.status, { accepted: 511, waiting: 1 })
      assert.strictEqual(yield* rows("waiting"), 1)
      yield* controller.process(Operation.raw(others[0]!))
      assert.strictEqual((yield* accepted).at(-1), one.id)
      yield* nothingIsLeft
    })
  )
})

describe("a log in reverse", () => {
  test(
    "of 5,000 is accepted by one call, in order, a bounded number in each transaction",
    Effect.gen(function* () {
      const operations = log(1, 5000)
      const faults = yield* SqlFaults.SqlFaults
      const controller = yield* open(none, 100)
      const answers = yield* controller.processAll(raws(operations.toReversed()))
      assert.deepStrictEqual([answers.length, answers[0]?._tag, answers.at(-1)?._tag], [5000, "Deferred", "Accepted"])
      assert.deepStrictEqual(
        yield* accepted,
        operations.map(({ id }) => id)
      )
      assert.isAtMost(largest(yield* faults.statements), 200)
      yield* nothingIsLeft
    })
  )

  test(
    "stops at one that is rejected, and goes on from there when that is skipped",
    Effect.gen(function* () {
      const author = new Author(native, 1, topic)
      for (let n = 0; n < 60; n++) author.next(Uint8Array.of(n === 20 ? 0xff : 0))
      const controller = yield* open()
      yield* controller.processAll(raws(author.operations.toReversed()))
      assert.deepInclude(yield* controller.status, { accepted: 20, rejected: 1, waiting: 39 })
      yield* controller.skip(author.operations[20]!.id)
      assert.deepStrictEqual(yield* controller.drain, { accepted: 39, waiting: 0, rejected: 0 })
      yield* nothingIsLeft
    })
  )

  test(
    "wakes what waits for its middle, behind that and before the rest",
    Effect.gen(function* () {
      const [one, two] = [log(1, 40), log(2, 1)]
      const controller = yield* open(new Map([[two[0]!.id, [one[20]!.id]]]))
      yield* controller.processAll(raws([...two, ...one.toReversed()]))
      const order = yield* accepted
      assert.lengthOf(order, 41)
      // The next of its own log comes first, and whatever that wakes.
      assert.isAbove(order.indexOf(two[0]!.id), order.indexOf(one[20]!.id))
      yield* nothingIsLeft
    })
  )
})

test(
  "what two wake-ups come to is decided once",
  Effect.gen(function* () {
    const gate = log(1, 1)[0]!
    const two = log(2, 3)
    // All of them wait for the gate; each is woken once more by its place, when the one before it is accepted.
    const controller = yield* open(new Map(two.map(({ id }) => [id, [gate.id]])))
    yield* controller.processAll(raws([...two, gate]))
    assert.deepInclude(yield* controller.status, { accepted: 4, rejected: 0, waiting: 0, forks: 0 })
    yield* nothingIsLeft
  })
)

describe("a waiting operation with a deadline", () => {
  const waiting = Effect.gen(function* () {
    const waits = new Map<Hash, ReadonlyArray<Hash>>()
    const controller = yield* open(waits)
    const [missing, one] = [log(1, 1)[0]!, log(2, 1)[0]!]
    waits.set(one.id, [missing.id])
    yield* controller.process(Operation.raw(one))
    yield* Transaction.run(Waiting.wait(one.id, "dependencies", [missing.id], 60_000))
    return { controller, waits, missing, one }
  })

  test(
    "is decided again when that has come, and not before",
    Effect.gen(function* () {
      const { controller, one, waits } = yield* waiting
      waits.delete(one.id)
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 1, rejected: 0 })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* controller.drain, { accepted: 1, waiting: 0, rejected: 0 })
      yield* nothingIsLeft
    })
  )

  test(
    "waits on where it has to, without the deadline, and is woken as ever",
    Effect.gen(function* () {
      const { controller, missing } = yield* waiting
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 1, rejected: 0 })
      assert.isUndefined(yield* Inbox.nextDue)
      yield* controller.process(Operation.raw(missing))
      assert.deepInclude(yield* controller.status, { accepted: 2, waiting: 0 })
      yield* nothingIsLeft
    })
  )

  test(
    "has none any more when it was woken before",
    Effect.gen(function* () {
      const { controller, missing, one, waits } = yield* waiting
      const other = log(3, 1)[0]!
      waits.set(one.id, [missing.id, other.id])
      yield* controller.process(Operation.raw(missing))
      assert.isUndefined(yield* Inbox.nextDue)
      assert.deepInclude(yield* controller.status, { accepted: 1, waiting: 1 })
    })
  )

  test(
    "is queued with a bounded number of others, those that were due first",
    Effect.gen(function* () {
      const { others, waits } = gated(1500)
      const controller = yield* open(waits)
      yield* controller.processAll(raws(others))
      const { gate } = gated(1)
      yield* Transaction.run(
        Waiting.waitAll(
          others.map(({ id }, index) => ({
            id,
            processor: "dependencies",
            until: [gate.id],
            notBefore: 2000 - index
          }))
        )
      )
      yield* Transaction.run(Inbox.queueDue(5000))
      assert.deepInclude(yield* controller.status, { queued: 1000, waiting: 500 })
      assert.strictEqual(yield* rows("waiting"), 500)
      assert.isTrue(yield* Inbox.anyDue(5000))
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 1500, rejected: 0 })
    })
  )
})

describe("operations that will never come", () => {
  test(
    "are met for whoever waits for them and for nothing else",
    Effect.gen(function* () {
      const [never, other] = [log(1, 1)[0]!, log(2, 1)[0]!]
      const waiting = Array.from({ length: 300 }, (_, index) => {
        const name = Topic.named(native, `met-${Math.floor(index / 250)}`)
        return new Author(native, 3 + (index % 250), name).next(undefined)
      })
      const both = log(254, 1)[0]!
      const waits = new Map<Hash, ReadonlyArray<Hash>>(waiting.map(({ id }) => [id, [never.id]]))
      waits.set(both.id, [never.id, other.id])
      const controller = yield* open(waits)
      yield* controller.processAll(raws([...waiting, both]))
      for (const { id } of waiting) waits.delete(id)
      waits.set(both.id, [other.id])
      yield* Transaction.run(Waiting.meetAll([never.id, log(9, 1)[0]!.id]))
      assert.strictEqual(yield* rows("wakes"), 1)
      assert.deepStrictEqual(yield* controller.drain, { accepted: 300, waiting: 1, rejected: 0 })
      assert.strictEqual(yield* rows("wakes"), 0)
      yield* controller.process(Operation.raw(other))
      assert.deepInclude(yield* controller.status, { accepted: 302, waiting: 0 })
      yield* nothingIsLeft
    })
  )

  test(
    "do not wake for ever whoever waits for them all the same",
    Effect.gen(function* () {
      const [never, one] = [log(1, 1)[0]!, log(2, 1)[0]!]
      const controller = yield* open(new Map([[one.id, [never.id]]]))
      yield* controller.process(Operation.raw(one))
      yield* Transaction.run(Waiting.meetAll([never.id]))
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 1, rejected: 0 })
      assert.strictEqual(yield* rows("wakes"), 0)
    })
  )
})
