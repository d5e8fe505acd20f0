/** Deletion: what a tombstone takes away, whenever it comes, and what does not bring it back. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Crypto from "../../src/core/Crypto.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Inspect from "../../src/store/Inspect.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import * as History from "../support/History.ts"
import { database, signingKey } from "../support/Peer.ts"

const secret = new TextEncoder().encode("the secret")
const crypto = Layer.succeed(Crypto.Crypto, native)

class Keeps extends Data.TaggedError("Keeps")<{}> {}

/** What the application was told of; it may say no. */
const listener = (keeps = false) => {
  const told: Array<{ readonly how: string; readonly id: Hash; readonly body: Uint8Array | undefined }> = []
  const handled: Array<Uint8Array | undefined> = []
  const application = Application.bytes({
    name: "listener",
    version: 1,
    handle: ({ message }) => Effect.sync(() => handled.push(message)),
    forget: ({ how, operations }) =>
      keeps
        ? new Keeps()
        : Effect.sync(() => {
            for (const { body, id } of operations) told.push({ how, id, body })
          })
  })
  return { told, handled, application }
}
const open = (
  application: ReturnType<typeof listener>["application"],
  deletion: ReturnType<typeof Deletion.make> = Deletion.processor
) =>
  StreamController.make({
    pipeline: Pipeline.make(LogIntegrity.processor).pipe(
      Pipeline.andThen(deletion),
      Pipeline.andThen(Pruning.processor)
    ),
    application,
    crypto
  })

/** The next operation of an author's log, here with its number, its predecessor and what it deletes. */
const said = (
  author: number,
  seqNum: number,
  before: Operation.Operation | undefined,
  body: Uint8Array | undefined,
  deletes: ReadonlyArray<Hash> = []
) =>
  History.sign(author, {
    seqNum,
    backlink: before?.id,
    body,
    extensions: OpenExtensions.draft({ logId: History.logId, timestamp: BigInt(seqNum), deletes })
  })
const zero = said(0, 0, undefined, undefined)
const target = said(0, 1, zero, secret)
const tombstone = said(0, 2, target, undefined, [target.id])
const next = said(0, 3, tombstone, undefined)
/** Somebody else, who wants it deleted. */
const foreign = said(1, 0, undefined, undefined, [target.id])
const raws = (...operations: ReadonlyArray<Operation.Operation>) => operations.map(Operation.raw)

/** How often the secret stands in any row of ours. */
const found = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ n: number }>`
    SELECT (SELECT count(*) FROM applecart_operations WHERE instr(body, ${secret}) > 0)
         + (SELECT count(*) FROM applecart_inbox WHERE instr(body, ${secret}) > 0) AS n`
  return row?.n
})

const test = <A, E>(name: string, body: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  it.scoped(name, () => Effect.provide(body, database))

describe("a tombstone", () => {
  test(
    "takes the body, leaves the header, and tells the application while the body is there",
    Effect.gen(function* () {
      const { application, told } = listener()
      const controller = yield* open(application)
      yield* controller.processAll(raws(zero, target))
      assert.strictEqual(yield* found, 1)
      yield* controller.process(Operation.raw(tombstone))
      assert.strictEqual(yield* found, 0)
      assert.deepStrictEqual(told, [{ how: "deleted", id: target.id, body: secret }])
      assert.deepInclude(yield* controller.status, { accepted: 3, deleted: 1 })
      assert.deepInclude(yield* Inspect.show(target.id), { _tag: "Accepted", deleted: true, bodySize: undefined })
      // the log is whole, and the body does not come back
      assert.deepInclude(yield* controller.process(Operation.raw(target)), { _tag: "Known", where: "accepted" })
      assert.deepInclude(yield* controller.process(Operation.raw(next)), { _tag: "Accepted" })
      yield* controller.receive(Operation.raw(target))
      yield* controller.replay()
      assert.strictEqual(yield* found, 0)
    })
  )

  test(
    "in the same batch as what it deletes",
    Effect.gen(function* () {
      const { application, handled, told } = listener()
      const controller = yield* open(application)
      yield* controller.processAll(raws(zero, target, tombstone, next))
      assert.strictEqual(yield* found, 0)
      assert.lengthOf(handled, 4)
      assert.lengthOf(told, 1)
    })
  )

  for (const way of ["process", "receive"] as const) {
    test(
      `that came first: the body is dropped on arrival (${way}), also where the operation has to wait`,
      Effect.gen(function* () {
        const { application, handled, told } = listener()
        const moderator = Deletion.make({ allows: () => true })
        const controller = yield* open(application, moderator)
        yield* controller.process(Operation.raw(foreign))
        if (way === "process") yield* controller.processAll(raws(target))
        else yield* controller.receiveAll(raws(target))
        assert.strictEqual(yield* found, 0, "not in the inbox either")
        yield* controller.process(Operation.raw(zero))
        yield* controller.drain
        assert.strictEqual(yield* found, 0)
        assert.deepInclude(yield* controller.status, { accepted: 3, deleted: 1, waiting: 0 })
        assert.deepStrictEqual(handled, [undefined, undefined, undefined])
        assert.deepStrictEqual(told, [])
      })
    )
  }

  for (const batchSize of [1, 100]) {
    test(
      `of what waits in the inbox takes the body from there, at batch size ${batchSize}`,
      Effect.gen(function* () {
        const { application } = listener()
        const controller = yield* StreamController.make({
          pipeline: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Deletion.make({ allows: () => true }))),
          application,
          crypto,
          batchSize
        })
        yield* controller.processAll(raws(target, foreign))
        assert.deepInclude(yield* controller.status, { accepted: 1, waiting: 1 })
        assert.strictEqual(yield* found, 0)
      })
    )
  }

  test(
    "of somebody else has no effect, in either order",
    Effect.gen(function* () {
      const { application, told } = listener()
      const controller = yield* open(application)
      yield* controller.processAll(raws(foreign, zero, target))
      assert.strictEqual(yield* found, 1)
      yield* controller.process(Operation.raw(said(1, 1, foreign, undefined, [target.id])))
      assert.strictEqual(yield* found, 1)
      assert.deepStrictEqual(told, [])
      assert.deepInclude(yield* controller.status, { accepted: 4, deleted: 0 })
    })
  )

  test(
    "takes nothing when the application says no",
    Effect.gen(function* () {
      const controller = yield* open(listener(true).application)
      yield* controller.processAll(raws(zero, target))
      assert.deepInclude(yield* controller.process(Operation.raw(tombstone)), { _tag: "Rejected", error: new Keeps() })
      assert.strictEqual(yield* found, 1)
      // and is not remembered as one
      assert.deepInclude(yield* controller.status, { accepted: 2, deleted: 0, rejected: 1 })
    })
  )

  test(
    "is written where `deletes` of a draft says so, and fails where the extensions have no place for it",
    Effect.gen(function* () {
      const { application } = listener()
      const controller = yield* open(application)
      const draft = { key: signingKey(1), topic: History.topic }
      const { id } = yield* controller.publish({ ...draft, message: secret })
      const { operation } = yield* controller.publish({ ...draft, deletes: [id] })
      assert.deepStrictEqual(Either.getOrThrow(OpenExtensions.decode(operation.header.extensions)).deletes, [id])
      assert.strictEqual(yield* found, 0)
    })
  )
})

describe("a prune operation of our own", () => {
  test(
    "repeats what the tombstones before it deleted elsewhere",
    Effect.gen(function* () {
      const controller = yield* open(listener().application)
      const key = signingKey(1)
      const elsewhere = Topic.named(native, "elsewhere")
      const kept = yield* controller.publish({ key, topic: elsewhere, message: secret })
      const own = yield* controller.publish({ key, topic: History.topic, message: secret })
      yield* controller.publish({ key, topic: History.topic, deletes: [kept.id, own.id] })
      const { operation } = yield* controller.publish({ key, topic: History.topic, prune: true })
      // what goes with the log needs no tombstone
      assert.deepStrictEqual(Either.getOrThrow(OpenExtensions.decode(operation.header.extensions)).deletes, [kept.id])

      // whoever comes later gets the prune operation only, and the body by some other way
      const late = Effect.gen(function* () {
        const newcomer = yield* open(listener().application)
        yield* newcomer.process(Operation.raw(operation))
        yield* newcomer.process(Operation.raw(kept.operation))
        assert.strictEqual(yield* found, 0)
        assert.deepInclude(yield* newcomer.status, { accepted: 2, deleted: 1 })
      })
      yield* Effect.provide(late, Layer.fresh(database))
    })
  )
})
