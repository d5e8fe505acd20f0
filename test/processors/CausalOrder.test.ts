/** Causal order: who is heard when, what is waited for, and the order that all readers share. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/core/Crypto.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Histories from "../../src/testing/History.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import { native } from "../core/support.ts"
import { shuffled } from "../support/Delivery.ts"
import * as History from "../support/History.ts"
import { database, signingKey } from "../support/Peer.ts"

const crypto = Layer.succeed(Crypto.Crypto, native)

/** Writes down in which order it handles what, and what was missing. */
const listener = () => {
  const heard: Array<{ readonly id: Hash; readonly missing: ReadonlyArray<Hash> }> = []
  const application = Application.bytes({
    name: "listener",
    version: 1,
    handle: ({ event }: Application.Input<Uint8Array | undefined, Event.Event & CausalOrder.InOrder>) =>
      Effect.sync(() => heard.push({ id: event.id, missing: event.missing }))
  })
  return { heard, application }
}
const open = (
  application: ReturnType<typeof listener>["application"],
  options?: CausalOrder.Options,
  batchSize?: number
) =>
  StreamController.make({
    pipeline: Pipeline.make(LogIntegrity.processor).pipe(
      Pipeline.andThen(CausalOrder.make(options)),
      Pipeline.andThen(Pruning.processor)
    ),
    application,
    crypto,
    batchSize
  })

const sorted = Effect.map(Stream.runCollect(CausalOrder.sorted({ logId: History.logId })), Chunk.toReadonlyArray)
const ids = (some: ReadonlyArray<{ readonly id: Hash }>) => some.map(({ id }) => id)

/** The first operation of an author: what is said after these. */
const said = (author: number, timestamp: number, previous: ReadonlyArray<Hash>, prune = false) =>
  History.sign(author, {
    seqNum: 0,
    backlink: undefined,
    body: undefined,
    extensions: OpenExtensions.draft({ logId: History.logId, timestamp: BigInt(timestamp), previous, prune })
  })
const question = said(0, 100, [])
const answer = said(1, 50, [question.id])
const thanks = said(2, 70, [answer.id, question.id])
const raws = (...operations: ReadonlyArray<Operation.Operation>) => operations.map(Operation.raw)

const test = <A, E>(name: string, body: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  it.scoped(name, () => Effect.provide(body, database))

/** Which operations come directly before one: those it names, and the one before it in its log. */
const parents = (operation: Operation.Operation): ReadonlyArray<Hash> => [
  ...Either.getOrThrow(Extensions.any.decode(operation.header.extensions)).previous,
  ...(operation.header.backlink === undefined ? [] : [operation.header.backlink])
]
const respects = (order: ReadonlyArray<Hash>, operations: ReadonlyArray<Operation.Operation>) => {
  const places = new Map(order.map((id, place) => [id, place]))
  return operations.every((operation) => {
    const place = places.get(operation.id)
    // what is not here, since it was pruned, cannot be in the way
    return place === undefined || parents(operation).every((id) => (places.get(id) ?? -1) < place)
  })
}

describe("an operation", () => {
  test(
    "is heard after those it names, whatever came first",
    Effect.gen(function* () {
      const { application, heard } = listener()
      const controller = yield* open(application)
      const first = yield* controller.process(Operation.raw(thanks))
      assert.deepInclude(first, { _tag: "Deferred", until: [answer.id, question.id] })
      yield* controller.processAll(raws(answer, question))
      assert.deepStrictEqual(ids(heard), ids([question, answer, thanks]))
      assert.deepStrictEqual(
        heard.flatMap(({ missing }) => missing),
        []
      )
    })
  )

  it("of a graph that arrives in any order is accepted in one run, and every edge is respected", () => {
    const graph = FastCheck.record({
      history: Histories.arbitrary(native, { most: 30, kinds: ["say"] }),
      order: FastCheck.integer(),
      batchSize: FastCheck.constantFrom(1, 3, 100)
    })
    const respected = FastCheck.asyncProperty(graph, ({ batchSize, history, order }) =>
      Effect.gen(function* () {
        const { operations } = history
        const { application, heard } = listener()
        const controller = yield* open(application, undefined, batchSize)
        yield* controller.receiveAll(shuffled(raws(...operations), order))
        assert.deepStrictEqual(yield* controller.drain, { accepted: operations.length, waiting: 0, rejected: 0 })
        assert.isTrue(respects(ids(heard), operations))
      }).pipe(Effect.scoped, Effect.provide(database), Effect.runPromise)
    )
    return FastCheck.assert(respected, { numRuns: 25 })
  })

  test(
    "that names one twice, or itself, waits for each once (p2panda never lets the first one go)",
    Effect.gen(function* () {
      const { application } = listener()
      const controller = yield* open(application)
      // Our extensions do not read back with one twice, p2panda's placeholder does; itself nobody can name, a hash being what it is.
      const bytes = Either.getOrThrow(
        NodeExtensions.encode(NodeExtensions.draft({ logId: History.logId, timestamp: 1n, prune: false }))
      )
      assert.strictEqual(bytes.at(-1), 0xf4)
      const named = [question.id, question.id]
      const causal = new Uint8Array([
        ...bytes.slice(0, 2),
        1,
        ...bytes.slice(3, -1),
        0x82,
        ...named.flatMap((id) => [0x58, 32, ...Buffer.from(id, "hex")])
      ])
      const twice = Either.getOrThrow(
        Operation.signWith(native)(signingKey(3), {
          seqNum: 0,
          backlink: undefined,
          extensions: causal,
          body: undefined
        })
      )
      yield* controller.processAll(raws(twice, question))
      assert.deepInclude(yield* controller.status, { accepted: 2, waiting: 0 })

      const session = CausalOrder.processor.open()
      const self = Event.make(question, { ...event(question), previous: [question.id, question.id] }, origin)
      const verdict = yield* session.decide({ ...self, before: undefined })
      assert.deepInclude(verdict, { _tag: "Accept", adds: { missing: [] } })
    })
  )

  test(
    "that names one that never comes waits, and nothing else does",
    Effect.gen(function* () {
      const { application, heard } = listener()
      const controller = yield* open(application)
      const other = said(3, 1, [])
      yield* controller.processAll(raws(answer, thanks, other))
      assert.deepStrictEqual(ids(heard), [other.id])
      assert.deepInclude(yield* controller.status, { accepted: 1, waiting: 2 })
    })
  )

  test(
    "that names a pruned one does not wait for it, whichever was here first",
    Effect.gen(function* () {
      const { application, heard } = listener()
      const controller = yield* open(application)
      const prune = History.sign(0, {
        seqNum: 1,
        backlink: question.id,
        body: undefined,
        extensions: OpenExtensions.draft({ logId: History.logId, timestamp: 120n, prune: true })
      })
      yield* controller.processAll(raws(answer, prune))
      assert.deepStrictEqual(ids(heard), [prune.id])
      // outdated, and gone; that is all that the answer needed to know
      yield* controller.process(Operation.raw(question))
      yield* controller.drain
      yield* controller.process(Operation.raw(thanks))
      assert.deepStrictEqual(ids(heard), ids([prune, answer, thanks]))
    })
  )
})

const event = (operation: Operation.Operation) => Either.getOrThrow(OpenExtensions.decode(operation.header.extensions))
const origin: Event.Origin = { topic: undefined, source: undefined, receivedAt: 0 }

describe("patience", () => {
  test(
    "ends: what waits is handed over with what is missing named; what comes late is put in its place for readers",
    Effect.gen(function* () {
      const { application, heard } = listener()
      const controller = yield* open(application, { patience: "1 day" })
      yield* controller.processAll(raws(answer))
      yield* TestClock.adjust("23 hours")
      assert.deepInclude(yield* controller.drain, { accepted: 0, waiting: 1 })
      yield* TestClock.adjust("1 hours")
      assert.deepInclude(yield* controller.drain, { accepted: 1, waiting: 0 })
      yield* controller.process(Operation.raw(thanks))
      yield* TestClock.adjust("1 days")
      yield* controller.drain
      assert.deepStrictEqual(heard, [
        { id: answer.id, missing: [question.id] },
        { id: thanks.id, missing: [question.id] }
      ])
      assert.deepStrictEqual(ids(yield* sorted), ids([answer, thanks]))
      yield* controller.process(Operation.raw(question))
      assert.deepStrictEqual(ids(yield* sorted), ids([question, answer, thanks]))
    })
  )

  test(
    "ends for all at once: what is here is still heard in its order",
    Effect.gen(function* () {
      const { application, heard } = listener()
      const controller = yield* open(application, { patience: "1 day" })
      yield* controller.processAll(raws(thanks, answer))
      yield* TestClock.adjust("1 days")
      yield* controller.drain
      assert.deepStrictEqual(heard, [
        { id: answer.id, missing: [question.id] },
        { id: thanks.id, missing: [question.id] }
      ])
    })
  )

  test(
    "ends in a rejection where the application wants that, and a replay lets it in",
    Effect.gen(function* () {
      const { application, heard } = listener()
      const controller = yield* open(application, { patience: "1 day", afterwards: "reject" })
      yield* controller.process(Operation.raw(answer))
      yield* TestClock.adjust("1 days")
      assert.deepInclude(yield* controller.drain, { accepted: 0, waiting: 0, rejected: 1 })
      yield* controller.process(Operation.raw(question))
      assert.deepInclude(yield* controller.replay(), { accepted: 1, rejected: 0 })
      assert.deepStrictEqual(ids(heard), ids([question, answer]))
    })
  )
})

describe("an operation of our own", () => {
  test(
    "names the tips of its topic where it is to, and nothing where its draft says so",
    Effect.gen(function* () {
      const { application } = listener()
      const controller = yield* open(application, { tips: true })
      yield* controller.processAll(raws(question, answer, said(3, 1, [])))
      const draft = { key: signingKey(9), topic: History.topic }
      const previous = (operation: Operation.Operation) => {
        const read = OpenExtensions.decode(operation.header.extensions)
        return Either.isRight(read) ? read.right.previous.toSorted() : "node extensions"
      }
      const first = yield* controller.publish(draft)
      assert.deepStrictEqual(previous(first.operation), [answer.id, said(3, 1, []).id].toSorted())
      // its backlink says the rest
      assert.strictEqual(previous((yield* controller.publish(draft)).operation), "node extensions")
      yield* controller.process(Operation.raw(thanks))
      assert.strictEqual(previous((yield* controller.publish({ ...draft, previous: [] })).operation), "node extensions")
      assert.deepStrictEqual(previous((yield* controller.publish(draft)).operation), [thanks.id])
    })
  )
})

describe("the order for readers", () => {
  const read = (delivered: ReadonlyArray<Operation.Raw>) =>
    Effect.gen(function* () {
      const controller = yield* open(listener().application)
      yield* controller.processAll(delivered)
      yield* controller.drain
      const all = yield* sorted
      const { logId } = History
      const back = yield* Stream.runCollect(CausalOrder.sorted({ logId, towards: "earlier" }))
      assert.deepStrictEqual(ids(Chunk.toReadonlyArray(back)).toReversed(), ids(all))
      const at = Math.floor(all.length / 2)
      const rest = yield* Stream.runCollect(CausalOrder.sorted({ logId, after: all[at] }))
      assert.deepStrictEqual(ids(Chunk.toReadonlyArray(rest)), ids(all).slice(at + 1))
      return ids(all)
    }).pipe(Effect.scoped, Effect.provide(database), Effect.runPromise)

  it("is the same on peers that have the same operations, respects every edge, and reads both ways", () => {
    const history = Histories.arbitrary(native, { most: 30, kinds: ["say", "say", "say", "prune"] })
    const shared = FastCheck.asyncProperty(history, FastCheck.integer(), async (history, order) => {
      const { operations } = history
      const expected = await read(raws(...operations))
      assert.isTrue(respects(expected, operations))
      assert.deepStrictEqual(await read(shuffled(raws(...operations), order)), expected)
    })
    return FastCheck.assert(shared, { numRuns: 25 })
  })
})

describe("a crash", () => {
  it("at any statement does not change who is heard after whom (p2panda#1278)", async () => {
    const inOrder = ids([question, answer, thanks])
    const trial = (at: number | undefined) =>
      Effect.gen(function* () {
        const faults = yield* SqlFaults.SqlFaults
        const { application, heard } = listener()
        yield* Effect.scoped(
          Effect.gen(function* () {
            const controller = yield* open(application)
            yield* controller.receiveAll(raws(thanks, answer, question))
            yield* faults.reset
            if (at !== undefined) yield* faults.arm({ at, fault: SqlFaults.failBefore("io") })
            yield* Effect.exit(controller.drain)
            yield* faults.disarm
          })
        )
        const count = yield* faults.count
        yield* Effect.scoped(Effect.flatMap(open(application), (controller) => controller.drain))
        const sql = yield* SqlClient.SqlClient
        const accepted = yield* sql<{
          id: string
        }>`SELECT lower(hex(id)) AS id FROM applecart_operations ORDER BY position`
        assert.deepStrictEqual(
          accepted.map(({ id }) => id),
          inOrder,
          `a fault at ${at}`
        )
        // also what was heard in vain
        for (const [index, { id }] of heard.entries()) {
          assert.isTrue(index === 0 || id === question.id || heard[index - 1]?.id === inOrder[inOrder.indexOf(id) - 1])
        }
        return count
      }).pipe(Effect.provide(Layer.fresh(SqlFaults.layer.pipe(Layer.provide(database)))), Effect.runPromise)
    const statements = await trial(undefined)
    assert.isAbove(statements, 10)
    for (let at = 1; at <= statements; at++) await trial(at)
  })
})
