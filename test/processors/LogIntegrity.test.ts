import type * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Crypto from "../../src/core/Crypto.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as Log from "../../src/core/Log.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Forks from "../../src/store/Forks.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { hash, native } from "../core/support.ts"
import * as Apples from "../support/Apples.ts"
import { Author, database, signingKey, state } from "../support/Peer.ts"

/** The id of what a branch has at a place; different branches differ everywhere. */
const idAt = (branch: number, seqNum: number): Hash => native.hash(Uint8Array.of(branch, seqNum))

/** The model: every operation that was appended, by place. All that is asked of it is what stands where. */
interface Model {
  readonly chain: ReadonlyMap<number, Hash>
  readonly prunedBelow: number
}
const headOf = ({ chain, prunedBelow }: Model): Log.Head | undefined => {
  const seqNum = Math.max(-1, ...chain.keys())
  const id = chain.get(seqNum)
  return id === undefined ? undefined : { seqNum, id, prunedBelow }
}

/** What should be said, from the chain alone. */
const expected = ({ chain, prunedBelow }: Model, id: Hash, claim: Log.Claim): Log.Place => {
  const top = Math.max(-1, ...chain.keys())
  const before = claim.seqNum === 0 ? undefined : chain.get(claim.seqNum - 1)
  if (claim.seqNum > top) {
    if (claim.prune || (claim.seqNum === top + 1 && before === claim.backlink)) return { _tag: "Next" }
    if (claim.seqNum === top + 1) {
      return top === -1 && claim.backlink !== undefined
        ? { _tag: "Gap", missing: claim.backlink }
        : { _tag: "Fork", seqNum: claim.seqNum - 1 }
    }
    return claim.backlink === undefined
      ? { _tag: "Fork", seqNum: claim.seqNum }
      : { _tag: "Gap", missing: claim.backlink }
  }
  assert.notStrictEqual(chain.get(claim.seqNum), id, "only operations that are not in the log are asked about")
  return claim.seqNum < prunedBelow ? { _tag: "Outdated", prunedBelow } : { _tag: "Fork", seqNum: claim.seqNum }
}

const move = FastCheck.record({
  branch: FastCheck.integer({ min: 0, max: 2 }),
  seqNum: FastCheck.integer({ min: 0, max: 8 }),
  parent: FastCheck.integer({ min: 0, max: 2 }),
  prune: FastCheck.integer({ min: 0, max: 4 }).map((n) => n === 0)
})

describe("Log.place", () => {
  it("agrees with a model that keeps the whole chain", () => {
    const seen = new Map<string, number>()
    FastCheck.assert(
      FastCheck.property(FastCheck.array(move, { maxLength: 40 }), (moves) => {
        let model: Model = { chain: new Map(), prunedBelow: 0 }
        for (const { branch, parent, prune, seqNum } of moves) {
          const id = idAt(branch, seqNum)
          if (model.chain.get(seqNum) === id) continue
          const claim = { seqNum, backlink: seqNum === 0 ? undefined : idAt(parent, seqNum - 1), prune }
          const head = headOf(model)
          const place = Log.place(head, claim)
          assert.deepStrictEqual(place, expected(model, id, claim))
          seen.set(place._tag, (seen.get(place._tag) ?? 0) + 1)
          if (place._tag !== "Next") continue
          model = {
            chain: new Map([...model.chain, [seqNum, id]]),
            prunedBelow: prune ? seqNum : model.prunedBelow
          }
          assert.deepStrictEqual(Log.append(head, id, claim), headOf(model))
        }
      }),
      { numRuns: 500 }
    )
    // the property has seen every answer
    assert.deepStrictEqual([...seen.keys()].toSorted(), ["Fork", "Gap", "Next", "Outdated"])
  })

  it("has a head that only grows, and a prune point at or below it", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.array(FastCheck.tuple(FastCheck.integer({ min: 0, max: 9 }), hash, FastCheck.boolean())),
        (moves) => {
          let head: Log.Head | undefined = undefined
          for (const [seqNum, id, prune] of moves) {
            const before: Log.Head | undefined = head
            const claim: Log.Claim = { seqNum, backlink: before?.id, prune }
            if (Log.place(before, claim)._tag !== "Next") continue
            const after: Log.Head = Log.append(before, id, claim)
            assert.isAbove(after.seqNum, before?.seqNum ?? -1)
            assert.isAtLeast(after.prunedBelow, before?.prunedBelow ?? 0)
            assert.isAtMost(after.prunedBelow, after.seqNum)
            head = after
          }
        }
      )
    )
  })

  it("keeps to the rules at the last place that there is", () => {
    const head = { seqNum: Log.maxSeqNum, id: idAt(0, 0), prunedBelow: 0 }
    assert.strictEqual(Log.place(head, { seqNum: 0, backlink: undefined, prune: true })._tag, "Fork")
    assert.strictEqual(Log.place(head, { seqNum: Log.maxSeqNum, backlink: idAt(1, 0), prune: true })._tag, "Fork")
    const before = { ...head, seqNum: Log.maxSeqNum - 1 }
    assert.strictEqual(Log.place(before, { seqNum: Log.maxSeqNum, backlink: before.id, prune: false })._tag, "Next")
  })
})

const environment = Layer.merge(database, Crypto.layer)
type Environment = SqlClient.SqlClient | Crypto.Crypto | Scope.Scope
const test = <A, E>(name: string, self: Effect.Effect<A, E, Environment>) =>
  it.scoped(name, () => Effect.provide(Effect.zipRight(Apples.tables, self), environment))
const open = (batchSize: number) =>
  StreamController.make({ pipeline: Pipeline.make(LogIntegrity.processor), application: Application.none, batchSize })
const author = (seed: number) =>
  Effect.map(Crypto.Crypto, (crypto) => new Author(crypto, seed, Topic.named(crypto, "apples")))
const prunedBelow = Effect.map(state, ({ logs }) => logs.map((row) => row["pruned_below"]))

describe("through the pipeline", () => {
  for (const batchSize of [1, 100]) {
    test(
      `a prune point is remembered behind later operations of its log, at batch size ${batchSize}`,
      Effect.gen(function* () {
        const controller = yield* open(batchSize)
        const parrot = yield* author(1)
        const [old, , prune, last] = [
          parrot.next(undefined),
          parrot.next(undefined),
          parrot.next(undefined, true),
          parrot.next(undefined)
        ]
        yield* controller.processAll([prune, last].map(Operation.raw))
        assert.deepStrictEqual(yield* prunedBelow, [2])
        const outcome = yield* controller.process(Operation.raw(old))
        assert.deepInclude(outcome, {
          _tag: "Rejected",
          processor: "log-integrity",
          next: { _tag: "Discarded", as: "pruned" }
        })
        assert.isTrue(outcome._tag === "Rejected" && outcome.error instanceof LogIntegrity.Outdated)
        assert.deepStrictEqual(yield* Forks.all, [])
      })
    )
  }

  test(
    "a gap waits for the operation right before it, and goes in with it",
    Effect.gen(function* () {
      const controller = yield* open(100)
      const parrot = yield* author(1)
      const [zero, one, two] = [parrot.next(undefined), parrot.next(undefined), parrot.next(undefined)]
      const answers = yield* controller.processAll([two, one].map(Operation.raw))
      assert.deepStrictEqual(
        answers.map((answer) => (answer._tag === "Deferred" ? answer.until : answer._tag)),
        [[one.id], [zero.id]]
      )
      assert.deepInclude(yield* controller.process(Operation.raw(zero)), { _tag: "Accepted", position: 1 })
      assert.deepInclude(yield* controller.status, { accepted: 3, waiting: 0, position: 3 })
    })
  )

  test(
    "a prune operation ends all waiting for what is before it",
    Effect.gen(function* () {
      const controller = yield* open(100)
      const parrot = yield* author(1)
      const ops = Array.from({ length: 6 }, (_, index) => parrot.next(undefined, index === 3))
      // 1 and 2 wait for 0, which nobody has; 5 waits for 4
      yield* controller.processAll([1, 2, 5].flatMap((index) => ops[index] ?? []).map(Operation.raw))
      assert.deepInclude(yield* controller.status, { accepted: 0, waiting: 3 })
      yield* controller.processAll([3, 4].flatMap((index) => ops[index] ?? []).map(Operation.raw))
      assert.deepInclude(yield* controller.status, {
        accepted: 3,
        waiting: 0,
        rejected: 0,
        pruned: 2,
        discarded: 0,
        forks: 0
      })
    })
  )

  test(
    "two logs of one author, and one log id of two authors, have nothing to do with each other",
    Effect.gen(function* () {
      const controller = yield* open(100)
      const crypto = yield* Crypto.Crypto
      const [parrot, horse] = yield* Effect.all([author(1), author(2)])
      const pears = new Author(crypto, 1, Topic.named(crypto, "pears"))
      const all = [parrot, horse, pears].flatMap((one) => [one.next(undefined), one.next(undefined)])
      const answers = yield* controller.processAll(all.map(Operation.raw))
      assert.isTrue(answers.every(({ _tag }) => _tag === "Accepted"))
      assert.deepInclude(yield* controller.status, { logs: 3, authors: 2, accepted: 6 })
    })
  )

  test(
    "the evidence of a fork holds both headers as they were signed, once, however often it comes",
    Effect.gen(function* () {
      const controller = yield* open(100)
      const parrot = yield* author(1)
      const [zero, one] = [parrot.next(undefined), parrot.next(undefined)]
      const other = parrot.sign(1, zero.id, new Uint8Array([1]))
      yield* controller.processAll([zero, one, other, other].map(Operation.raw))
      yield* controller.replay()
      yield* controller.process(Operation.raw(other))
      const logId = Topic.logId(native, Topic.named(native, "apples"))
      assert.deepStrictEqual(yield* Forks.all, [
        { author: zero.header.verifyingKey, logId, seqNum: 1, accepted: one.headerBytes, other: other.headerBytes }
      ])
    })
  )

  test(
    "our own operations get the next place, also after a prune point",
    Effect.gen(function* () {
      const controller = yield* open(100)
      const topic = Topic.named(yield* Crypto.Crypto, "apples")
      const publish = (prune: boolean) => controller.publish({ key: signingKey(7), topic, prune })
      const [zero, one, two] = [yield* publish(false), yield* publish(true), yield* publish(false)]
      assert.deepStrictEqual([zero.seqNum, one.seqNum, two.seqNum], [0, 1, 2])
      assert.deepStrictEqual([one.operation.header.backlink, two.operation.header.backlink], [zero.id, one.id])
      assert.deepStrictEqual(yield* prunedBelow, [1])
    })
  )

  test(
    "a log that has reached its last place takes no operation of our own",
    Effect.gen(function* () {
      const controller = yield* open(100)
      const parrot = yield* author(7)
      const last = parrot.sign(Log.maxSeqNum, native.hash(new Uint8Array()), undefined, true)
      assert.deepInclude(yield* controller.process(Operation.raw(last)), { _tag: "Accepted" })
      const topic = Topic.named(yield* Crypto.Crypto, "apples")
      yield* controller.own.confirm({ author: last.header.verifyingKey, topic })
      const before = yield* state
      const error = yield* Effect.flip(controller.publish({ key: signingKey(7), topic }))
      assert.isTrue(error instanceof LogIntegrity.LogFull)
      assert.deepStrictEqual(yield* state, before)
    })
  )
})
