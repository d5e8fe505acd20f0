/** Pruning: what goes, when, and who is told. With p2panda's two ways to lose somebody's log. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Crypto from "../../src/core/Crypto.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Inspect from "../../src/store/Inspect.ts"
import type { Removed } from "../../src/store/Removal.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import { Author, database, signingKey } from "../support/Peer.ts"

const topic = Topic.named(native, "prunes")
const other = Topic.named(native, "another topic")
const text = (said: string) => new TextEncoder().encode(said)
const pipeline = Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Pruning.processor))
const crypto = Layer.succeed(Crypto.Crypto, native)

class No extends Data.TaggedError("No")<{}> {}

/** What an application was told, and what it is to say no to: a body, or that something goes. */
const listener = (no: "no" | "keeps" | undefined = undefined) => {
  const told: Array<{ readonly how: string; readonly operations: ReadonlyArray<Removed>; readonly still: number }> = []
  const application = Application.bytes({
    name: "listener",
    version: 1,
    handle: ({ message }) =>
      no === "no" && message !== undefined && new TextDecoder().decode(message) === "no" ? new No() : Effect.void,
    forget: ({ how, operations }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const ids = operations.map(({ position }) => position)
        const rows = yield* sql`SELECT body FROM applecart_operations WHERE ${sql.in("position", ids)}`
        told.push({ how, operations, still: rows.filter(({ body }) => body !== null).length })
        if (no === "keeps") return yield* new No()
      })
  })
  return { told, application }
}

const open = (application: ReturnType<typeof listener>["application"], batchSize?: number) =>
  StreamController.make({ pipeline, application, crypto, extensions: NodeExtensions.codec, batchSize })

const kept = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ seq_num: number }>`SELECT seq_num FROM applecart_operations ORDER BY seq_num`
  return rows.map(({ seq_num }) => seq_num)
})

/** How often a text stands in any row of the library, header or body. */
const found = (said: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ n: number }>`
      SELECT (SELECT count(*) FROM applecart_operations WHERE instr(body, ${text(said)}) > 0)
           + (SELECT count(*) FROM applecart_inbox WHERE instr(body, ${text(said)}) > 0) AS n`
    return row?.n
  })

const five = () => {
  const parrot = new Author(native, 1, topic)
  for (let n = 0; n < 5; n++) parrot.next(text(`said ${n}`))
  return parrot
}
const raws = (author: Author) => author.operations.map(Operation.raw)
const test = <A, E>(name: string, body: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  it.scoped(name, () => Effect.provide(body, database))

describe("a prune operation", () => {
  test(
    "removes everything before it, and the application is told while it is still there",
    Effect.gen(function* () {
      const { application, told } = listener()
      const controller = yield* open(application)
      const parrot = five()
      yield* controller.processAll(raws(parrot))
      const prune = parrot.next(text("from here on"), true)
      const after = parrot.next(text("and on"))
      yield* controller.processAll([prune, after].map(Operation.raw))
      assert.deepStrictEqual(yield* kept, [5, 6])
      assert.deepStrictEqual(
        told.map(({ how, operations, still }) => [how, operations.map(({ seqNum }) => seqNum), still]),
        [["pruned", [0, 1, 2, 3, 4], 5]]
      )
      assert.deepStrictEqual(told[0]?.operations[3]?.body, text("said 3"))
      assert.deepInclude(yield* controller.status, { accepted: 2, pruned: 5, discarded: 0 })
      assert.deepInclude(yield* Inspect.show(parrot.operations[0]?.id ?? prune.id), { _tag: "Pruned" })
      // nothing of it comes back, and the sender is told why
      assert.deepStrictEqual(
        (yield* controller.processAll(raws(parrot))).map((one) => ("where" in one ? one.where : one._tag)),
        ["pruned", "pruned", "pruned", "pruned", "pruned", "accepted", "accepted"]
      )
      assert.strictEqual(yield* found("said"), 0)
    })
  )

  test(
    "also of its own batch, by pages that stay small",
    Effect.gen(function* () {
      const { application, told } = listener()
      const controller = yield* StreamController.make({ pipeline, application, crypto, batchSize: 1000 })
      const parrot = new Author(native, 1, topic)
      for (let n = 0; n < 600; n++) parrot.next(text(`said ${n}`))
      parrot.next(undefined, true)
      yield* controller.processAll(raws(parrot))
      assert.deepStrictEqual(yield* kept, [600])
      assert.deepStrictEqual(
        told.map(({ operations }) => operations.length),
        [256, 256, 88]
      )
      const seqNums = told.flatMap(({ operations }) => operations.map(({ seqNum }) => seqNum))
      assert.deepStrictEqual(
        seqNums,
        Array.from({ length: 600 }, (_, n) => n)
      )
    })
  )

  for (const [no, why] of [
    ["no", "what it says"],
    ["keeps", "what would go"]
  ] as const) {
    test(
      `prunes nothing when the application says no to ${why}`,
      Effect.gen(function* () {
        const { application } = listener(no)
        const controller = yield* open(application)
        const parrot = five()
        yield* controller.processAll(raws(parrot))
        const outcome = yield* controller.process(Operation.raw(parrot.next(text("no"), true)))
        assert.deepInclude(outcome, { _tag: "Rejected", error: new No() })
        assert.deepStrictEqual(yield* kept, [0, 1, 2, 3, 4])
        assert.strictEqual(yield* found("said"), 5)
        assert.deepInclude(yield* controller.status, { accepted: 5, rejected: 1, pruned: 0 })
      })
    )
  }

  test(
    "with a wrong body, relayed by somebody else, prunes nothing (p2panda deletes its author's log)",
    Effect.gen(function* () {
      const controller = yield* open(listener().application)
      const parrot = five()
      yield* controller.processAll(raws(parrot))
      const prune = parrot.next(text("genuine"), true)
      const answer = yield* Effect.flip(
        controller.process({ header: prune.headerBytes, body: text("forged!") }, { topic })
      )
      assert.deepInclude(answer, { _tag: "InvalidPayload", reason: "PayloadMismatch" })
      assert.deepStrictEqual(yield* kept, [0, 1, 2, 3, 4])
      // the genuine one is not in the way of anything
      assert.deepInclude(yield* controller.process(Operation.raw(prune), { topic }), { _tag: "Accepted" })
      assert.deepStrictEqual(yield* kept, [5])
    })
  )

  test(
    "under another topic prunes nothing there (p2panda deletes the log of that topic)",
    Effect.gen(function* () {
      const controller = yield* open(listener().application)
      const parrot = five()
      yield* controller.processAll(raws(parrot), { topic })
      const elsewhere = new Author(native, 1, other)
      for (let n = 0; n < 7; n++) elsewhere.next(text(`elsewhere ${n}`))
      const prune = Operation.raw(elsewhere.next(undefined, true))
      assert.strictEqual((yield* Effect.flip(controller.process(prune, { topic })))._tag, "WrongTopic")
      assert.deepStrictEqual(yield* kept, [0, 1, 2, 3, 4])
      assert.deepInclude(yield* controller.process(prune, { topic: other }), { _tag: "Accepted" })
      assert.deepStrictEqual(yield* kept, [0, 1, 2, 3, 4, 7])
      assert.deepInclude(yield* controller.process(Operation.raw(parrot.next(text("goes on"))), { topic }), {
        _tag: "Accepted"
      })
    })
  )

  test(
    "takes what waits or was rejected before it off the inbox, and wakes nobody in vain",
    Effect.gen(function* () {
      const { application } = listener("no")
      const controller = yield* open(application)
      const parrot = new Author(native, 1, topic)
      const [zero, no, two] = ["zero", "no", "two"].map((said) => parrot.next(text(said)))
      assert.isDefined(zero)
      yield* controller.processAll(raws(parrot))
      assert.deepInclude(yield* controller.status, { accepted: 1, rejected: 1, waiting: 1 })
      assert.strictEqual((yield* found("no")) ?? 0, 1)
      yield* controller.process(Operation.raw(parrot.next(text("from here on"), true)))
      assert.deepInclude(yield* controller.status, { accepted: 1, rejected: 0, waiting: 0, queued: 0, pruned: 3 })
      assert.strictEqual(yield* found("no"), 0)
      assert.deepStrictEqual(
        (yield* controller.processAll([no, two].flatMap((one) => (one === undefined ? [] : [Operation.raw(one)])))).map(
          (one) => ("where" in one ? one.where : one._tag)
        ),
        ["pruned", "pruned"]
      )
    })
  )

  test(
    "also what was rejected or waited in its own batch, before it came",
    Effect.gen(function* () {
      const controller = yield* open(listener("no").application, 4)
      const parrot = new Author(native, 1, topic)
      for (const said of ["no", "after no", "more"]) parrot.next(text(said))
      const prune = parrot.next(text("from here on"), true)
      const answers = yield* controller.processAll([...raws(parrot).slice(0, 3), Operation.raw(prune)])
      assert.deepStrictEqual(
        answers.map((one) => ("where" in one ? one.where : one._tag)),
        ["pruned", "pruned", "pruned", "Accepted"]
      )
      assert.deepInclude(yield* controller.status, { accepted: 1, rejected: 0, waiting: 0, queued: 0, pruned: 3 })
      assert.strictEqual(yield* found("no"), 0)
    })
  )

  test(
    "from below the prune point does not come back",
    Effect.gen(function* () {
      const { application, told } = listener()
      const controller = yield* open(application)
      const parrot = five()
      const old = parrot.next(text("old"), true)
      const now = parrot.next(text("now"), true)
      yield* controller.process(Operation.raw(now))
      assert.deepInclude(yield* controller.process(Operation.raw(old)), {
        _tag: "Rejected",
        next: { _tag: "Discarded", as: "pruned" }
      })
      assert.deepStrictEqual(yield* kept, [6])
      assert.deepStrictEqual(told, [])
    })
  )

  test(
    "of our own is published like any other",
    Effect.gen(function* () {
      const { application, told } = listener()
      const controller = yield* open(application)
      const key = signingKey(1)
      for (const said of ["one", "two"]) yield* controller.publish({ key, topic, message: text(said) })
      const { seqNum } = yield* controller.publish({ key, topic, message: text("both"), prune: true })
      assert.strictEqual(seqNum, 2)
      assert.deepStrictEqual(yield* kept, [2])
      assert.lengthOf(told, 1)
    })
  )

  test(
    "prunes nothing when it is skipped, and is not skipped over a gap",
    Effect.gen(function* () {
      const { application, told } = listener("no")
      const controller = yield* StreamController.make({ pipeline, application, crypto, policy: () => Policy.hold })
      const parrot = five()
      const prune = parrot.next(text("no"), true)
      yield* controller.process(Operation.raw(prune))
      assert.strictEqual((yield* Effect.flip(controller.skip(prune.id)))._tag, "CannotSkip")
      yield* controller.processAll(raws(parrot))
      yield* controller.skip(prune.id)
      assert.deepStrictEqual(yield* kept, [0, 1, 2, 3, 4, 5])
      assert.deepStrictEqual(told, [])
      assert.deepInclude(yield* controller.process(Operation.raw(parrot.next(text("goes on")))), { _tag: "Accepted" })
    })
  )
})
