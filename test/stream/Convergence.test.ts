/**
 * P6: the state after a set of operations does not depend on the order, repetition or batching of their delivery. Compared
 * table by table, with what the application's handler wrote.
 *
 * Forks are the exception that cannot be otherwise (the first one that has a place keeps it), and so is an application that
 * says no depending on what it saw before. For those, the state depends on the order, but still not on the batching.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import * as Operation from "../../src/core/Operation.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { bytesOf, native } from "../core/support.ts"
import * as Apples from "../support/Apples.ts"
import { cut, shuffled, type Step } from "../support/Delivery.ts"
import { Author, directory, state } from "../support/Peer.ts"

const topic = Topic.named(native, "apples")
const batchSizes = [1, 2, 7, 100]

class Odd extends Data.TaggedError("Odd")<{}> {}

/** Writes down what it handles, and says no to bodies that begin with 0xff. */
const recorder = Application.bytes({
  name: "recorder",
  version: 1,
  handle: ({ event, message, position }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO handled (id, position) VALUES (${event.id}, ${position})`
      if (message?.[0] === 0xff) return yield* new Odd()
    })
})
const recording = (batchSize: number) =>
  StreamController.make({ pipeline: Pipeline.make(LogIntegrity.processor), application: recorder, batchSize })
const memory = SqliteClient.layer({ filename: ":memory:" })
const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(Effect.zipRight(Apples.tables, self), memory))

/** All tables, and what the handler did: each accepted operation once, at the position it was accepted at. */
const dump = Effect.gen(function* () {
  const tables = yield* state
  const { baskets, handled } = yield* Apples.dump
  const sql = yield* SqlClient.SqlClient
  const positions = yield* sql`SELECT lower(hex(id)) AS id, position FROM applecart_operations ORDER BY position`
  if (handled.length > 0) assert.deepStrictEqual<unknown>(handled, positions)
  return { ...tables, baskets, handled: handled.map(({ id }) => id).toSorted() }
})

/** Delivers piece by piece; each restart closes the controller and opens another one. */
const deliver = (batchSize: number, steps: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const rest = [...steps]
    do {
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* recording(batchSize)
          for (let step = rest.shift(); step !== undefined && step._tag !== "Restart"; step = rest.shift()) {
            if (step._tag === "Process") yield* controller.processAll(step.raws)
            else yield* controller.receiveAll(step.raws)
            if (step._tag === "ReceiveAndDrain") yield* controller.drain
          }
          if (rest.length === 0) yield* controller.drain
        })
      )
    } while (rest.length > 0)
    return yield* dump
  })

const published = Effect.map(
  Stream.runCollect(Stream.make(bytesOf("logs.cbor")).pipe(OperationSequence.decode())),
  Chunk.toReadonlyArray
)
const seed = FastCheck.integer({ min: 0, max: 0xffff_ffff })

describe("any delivery of the same logs", () => {
  it("ends in the same state, at every batch size", { timeout: 120_000 }, async () => {
    const all = await Effect.runPromise(published)
    const inOrder = new Map<number, unknown>()
    const delivery = FastCheck.record({
      from: FastCheck.constantFrom(0, 1, 2),
      batchSize: FastCheck.constantFrom(...batchSizes),
      seed,
      most: FastCheck.constantFrom(1, 5, 40, 200)
    })
    await FastCheck.assert(
      FastCheck.asyncProperty(delivery, async ({ batchSize, from, most, seed }) => {
        // the file respects every log, so that its beginning has each log from the beginning
        const slice = all.slice(0, 60 * (from + 1))
        const again = slice.filter((_, index) => (index + seed) % 3 === 0)
        const ways: ReadonlyArray<Step["_tag"]> = ["Process", "Receive", "ReceiveAndDrain", "Restart", "Process"]
        const steps = cut(shuffled([...slice, ...again], seed), seed + 1, most, ways)
        const expected =
          inOrder.get(from) ?? (await Effect.runPromise(fresh(deliver(100, [{ _tag: "Process", raws: slice }]))))
        inOrder.set(from, expected)
        assert.deepStrictEqual<unknown>(await Effect.runPromise(fresh(deliver(batchSize, steps))), expected)
      }),
      { numRuns: 16 }
    )
  })

  it.effect(
    "ends in the same state, all 5,000 of them",
    () =>
      Effect.gen(function* () {
        const all = yield* published
        const inOrder = yield* fresh(deliver(100, [{ _tag: "Process", raws: all }]))
        assert.lengthOf(inOrder.operations, 5000)
        const twice = shuffled([...all, ...all.filter((_, index) => index % 5 === 0)], 7)
        const steps = cut(twice, 8, 900, ["Process", "ReceiveAndDrain", "Receive"])
        assert.deepStrictEqual(yield* fresh(deliver(100, [...steps, { _tag: "Restart" }])), inOrder)
      }),
    { timeout: 120_000 }
  )

  it.effect("2,000 operations of one log in reverse are accepted in one drain", () =>
    fresh(
      Effect.gen(function* () {
        const author = new Author(native, 1, topic)
        for (let n = 0; n < 2000; n++) author.next(undefined)
        const controller = yield* recording(100)
        yield* controller.receiveAll(author.operations.toReversed().map(Operation.raw))
        assert.deepStrictEqual(yield* controller.drain, { accepted: 2000, waiting: 0, rejected: 0 })
        assert.deepInclude(yield* controller.status, { accepted: 2000, queued: 0, waiting: 0, rejected: 0 })
        assert.deepStrictEqual(
          (yield* Apples.dump).handled.map(({ id }) => id),
          author.operations.map(({ id }) => id)
        )
      })
    )
  )
})

/** What an author does: a trunk, perhaps a second branch with children, perhaps places that nobody ever hands over. */
const history = FastCheck.record({
  length: FastCheck.integer({ min: 1, max: 7 }),
  fork: FastCheck.option(
    FastCheck.record({ at: FastCheck.nat({ max: 6 }), length: FastCheck.integer({ min: 1, max: 3 }) })
  ),
  /** Places of the trunk whose operation the application says no to, is a prune point, is withheld. */
  odd: FastCheck.option(FastCheck.nat({ max: 6 })),
  prune: FastCheck.option(FastCheck.nat({ max: 6 })),
  withheld: FastCheck.option(FastCheck.nat({ max: 6 }))
})
type History = typeof history extends FastCheck.Arbitrary<infer A> ? A : never

const write = (seed: number, told: History): ReadonlyArray<Operation.Raw> => {
  const author = new Author(native, seed, topic)
  for (let n = 0; n < told.length; n++) {
    author.next(Uint8Array.of(n === told.odd ? 0xff : 0, n), n === told.prune)
  }
  const operations: Array<Operation.Operation> = author.operations.filter((_, n) => n !== told.withheld)
  if (told.fork !== null && told.fork.at < told.length) {
    let before = author.operations[told.fork.at - 1]
    for (let n = 0; n < told.fork.length; n++) {
      before = author.sign(told.fork.at + n, before?.id, Uint8Array.of(1, n))
      operations.push(before)
    }
  }
  return operations.map(Operation.raw)
}
const delivery = FastCheck.record({
  histories: FastCheck.array(history, { minLength: 1, maxLength: 3 }),
  order: seed,
  batchSize: FastCheck.constantFrom(...batchSizes),
  cuts: seed
})

/** The order of each author's operations stays as it is; the authors are mixed. */
const interleaved = (logs: ReadonlyArray<ReadonlyArray<Operation.Raw>>, seed: number) => {
  const whose = shuffled(
    logs.flatMap((log, index) => log.map(() => index)),
    seed
  )
  const rest = logs.map((log) => [...log])
  return whose.flatMap((index) => rest[index]?.shift() ?? [])
}

const sameForAnyBatching = async (
  raws: ReadonlyArray<Operation.Raw>,
  { batchSize, cuts }: { readonly batchSize: number; readonly cuts: number }
) => {
  const oneByOne = await Effect.runPromise(
    fresh(
      deliver(
        1,
        raws.map((raw) => ({ _tag: "Process", raws: [raw] }))
      )
    )
  )
  const steps = cut(raws, cuts, 30, ["Process", "ReceiveAndDrain"])
  assert.deepStrictEqual(await Effect.runPromise(fresh(deliver(batchSize, steps))), oneByOne)
  return oneByOne
}

describe("any batching of the same delivery", () => {
  it(
    "of forks with children, gaps that never fill and rejections, each log in order",
    { timeout: 120_000 },
    async () => {
      const seen = new Set<unknown>()
      await FastCheck.assert(
        FastCheck.asyncProperty(delivery, async ({ batchSize, cuts, histories, order }) => {
          const logs = histories.map((told, index) => write(index + 1, told))
          const { inbox } = await sameForAnyBatching(interleaved(logs, order), { batchSize, cuts })
          for (const row of inbox) seen.add(row["reason"] ?? row["status"])
        }),
        { numRuns: 50 }
      )
      assert.deepStrictEqual([...seen].toSorted(), ["Fork", "Odd", "waiting"])
    }
  )

  it("of the same, shuffled and repeated", { timeout: 120_000 }, async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(delivery, async ({ batchSize, cuts, histories, order }) => {
        const raws = histories.flatMap((told, index) => write(index + 1, told))
        const repeated = shuffled([...raws, ...raws.filter((_, index) => index % 4 === 0)], order)
        await sameForAnyBatching(repeated, { batchSize, cuts })
      }),
      { numRuns: 50 }
    )
  })

  for (const batchSize of batchSizes) {
    it.effect(`what waited comes before a fork that was delivered after it was woken, at batch size ${batchSize}`, () =>
      fresh(
        Effect.gen(function* () {
          const parrot = new Author(native, 1, topic)
          const [zero, one] = [parrot.next(undefined), parrot.next(undefined)]
          const other = parrot.sign(1, zero.id, Uint8Array.of(1))
          const controller = yield* recording(batchSize)
          yield* controller.processAll([one, zero, other].map(Operation.raw))
          const { inbox, logs } = yield* state
          assert.deepStrictEqual(
            logs.map((row) => row["head"]),
            [one.id.toUpperCase()]
          )
          assert.deepStrictEqual(
            inbox.map(({ id, reason }) => ({ id, reason })),
            [{ id: other.id.toUpperCase(), reason: "Fork" }]
          )
        })
      )
    )

    it.effect(`what waited is handled before what was delivered after it was woken, at batch size ${batchSize}`, () =>
      fresh(
        Effect.gen(function* () {
          const [parrot, horse] = [new Author(native, 1, topic), new Author(native, 2, topic)]
          const begin = parrot.next(undefined)
          const pick = parrot.next(Apples.body({ pick: 4, by: "parrot" }))
          const give = horse.next(Apples.body({ give: 4, from: "parrot", to: "horse" }))
          const controller = yield* StreamController.make({
            pipeline: Apples.pipeline,
            application: Apples.application,
            batchSize
          })
          yield* controller.processAll([pick, begin, give].map(Operation.raw))
          assert.deepInclude(yield* controller.status, { accepted: 3, rejected: 0 })
          assert.deepStrictEqual<unknown>((yield* Apples.dump).baskets, [{ owner: "horse", apples: 4 }])
        })
      )
    )
  }
})

describe("two controllers on one file", () => {
  it.scopedLive("process everything, and nothing twice", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* directory, "shared.db")
      const all = (yield* published).slice(0, 1200)
      // each has a client, as two processes would
      const peer = (seed: number) =>
        Effect.gen(function* () {
          const controller = yield* recording(40)
          for (const step of cut(shuffled(all, seed), seed, 60, ["Process", "ReceiveAndDrain", "Receive"])) {
            if (step._tag === "Restart") continue
            if (step._tag === "Process") yield* controller.processAll(step.raws)
            else yield* controller.receiveAll(step.raws)
            if (step._tag === "ReceiveAndDrain") yield* controller.drain
            yield* Effect.sleep("1 millis")
          }
          yield* controller.drain
        }).pipe(Effect.scoped, Effect.provide(Layer.fresh(SqliteClient.layer({ filename }))))
      const look = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient>) =>
        Effect.provide(self, Layer.fresh(SqliteClient.layer({ filename })))
      yield* look(Apples.tables)
      yield* Effect.all([peer(1), peer(2)], { concurrency: "unbounded" })
      const found = yield* look(dump)
      assert.deepStrictEqual(found, yield* fresh(deliver(100, [{ _tag: "Process", raws: all }])))
      assert.lengthOf(found.handled, all.length)
    })
  )
})
