import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import type * as Extensions from "../../src/core/Extensions.ts"
import type * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topics from "../../src/processors/Topics.ts"
import * as Errors from "../../src/stream/Errors.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import { Author, signingKey } from "../support/Peer.ts"
import { apples, fresh, pears, silent, tables } from "../support/Topical.ts"

class No extends Data.TaggedError("No")<{}> {}

type Node = NodeExtensions.NodeExtensions

/** Every place in which it can stand. */
const first = Pipeline.make(Topics.make<Node>()).pipe(Pipeline.andThen(LogIntegrity.processor))
const last = Pipeline.make(LogIntegrity.make<Node>()).pipe(
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Topics.processor)
)
const stacks = { first, last }

/** Writes down what it is told; says no to bodies that begin with 0xff. */
const telling = (seen: Array<Topic.Topic | undefined>) =>
  Application.bytes({
    name: "telling",
    version: 1,
    handle: ({ event, message }) => {
      const told: Topics.UnderTopic = event
      if (message?.[0] === 0xff) return new No()
      seen.push(told.topic)
      return Effect.void
    }
  })
const open = (stack: keyof typeof stacks, seen: Array<Topic.Topic | undefined>, batchSize: number) =>
  StreamController.make({ pipeline: stacks[stack], application: telling(seen), extensions: silent, batchSize })

const raw = (seed: number, body: Uint8Array, logOf = apples) =>
  Operation.raw(new Author(native, seed, logOf).next(body))
const yes = Uint8Array.of(1)

/** An operation of an author of its own: in which log, claimed under what, and whether the application takes it. */
const step = FastCheck.record({
  log: FastCheck.constantFrom(apples, pears),
  claimed: FastCheck.constantFrom(undefined, apples, pears),
  odd: FastCheck.integer({ min: 0, max: 3 }).map((n) => n === 0)
})
type Step = typeof step extends FastCheck.Arbitrary<infer A> ? A : never

/** What should be said of each, and what the application should see, from the claims alone. */
const expected = (steps: ReadonlyArray<Step>) => {
  const known = new Map<Topic.Topic, Topic.Topic>()
  const seen: Array<Topic.Topic | undefined> = []
  const reasons = steps.map(({ claimed, log, odd }) => {
    const before = known.get(log)
    if (before !== undefined && claimed !== undefined && claimed !== before) return "WrongTopic"
    if (odd) return "No"
    if (before === undefined && claimed !== undefined) known.set(log, claimed)
    seen.push(before ?? claimed)
    return undefined
  })
  const inbox = steps.flatMap(({ claimed, log }, n) =>
    reasons[n] === undefined ? [] : [`${reasons[n]} ${claimed ?? known.get(log) ?? null}`]
  )
  return {
    seen,
    inbox: inbox.toSorted(),
    known: new Map([...known].map(([log, topic]) => [Topic.logId(native, log), topic]))
  }
}

describe("Topics", () => {
  it("says the same at every batch size and in every place of the stack: the first accepted claim counts", async () => {
    const reached = new Set<string>()
    const scenario = FastCheck.record({
      steps: FastCheck.array(step, { minLength: 1, maxLength: 10 }),
      batchSize: FastCheck.constantFrom(1, 2, 3, 100),
      stack: FastCheck.constantFrom("first" as const, "last" as const)
    })
    await FastCheck.assert(
      FastCheck.asyncProperty(scenario, ({ batchSize, stack, steps }) =>
        Effect.runPromise(
          fresh(
            Effect.gen(function* () {
              const seen: Array<Topic.Topic | undefined> = []
              const controller = yield* open(stack, seen, batchSize)
              for (const [n, { claimed, log, odd }] of steps.entries()) {
                yield* controller.receiveAll([raw(n + 1, odd ? Uint8Array.of(0xff) : yes, log)], { topic: claimed })
              }
              yield* controller.drain
              const wanted = expected(steps)
              const found = yield* tables
              assert.deepStrictEqual(seen, wanted.seen)
              assert.deepStrictEqual(
                found.inbox.map(({ reason, topic }) => `${String(reason)} ${String(topic)}`).toSorted(),
                wanted.inbox
              )
              assert.deepStrictEqual<unknown>(
                new Map(found.topics.map(({ log_id, topic }) => [log_id, topic])),
                wanted.known
              )
              for (const { reason } of found.inbox) reached.add(String(reason))
            })
          )
        )
      ),
      { numRuns: 60 }
    )
    assert.sameMembers([...reached], ["WrongTopic", "No"])
  })

  it.effect("tells the application the topic of what came without one", () =>
    fresh(
      Effect.gen(function* () {
        const seen: Array<Topic.Topic | undefined> = []
        const controller = yield* open("last", seen, 100)
        yield* controller.processAll([raw(1, yes)])
        yield* controller.processAll([raw(2, yes)], { topic: apples })
        yield* controller.processAll([raw(3, yes)])
        yield* controller.publish({ key: signingKey(4), topic: pears, message: yes })
        yield* controller.processAll([raw(5, yes, pears)])
        assert.deepStrictEqual(seen, [undefined, apples, apples, pears, pears])
      })
    )
  )

  for (const way of ["processAll", "receiveAll"] as const) {
    it.effect(`a wrong topic does not stand in the way of the right one (${way})`, () =>
      fresh(
        Effect.gen(function* () {
          const controller = yield* open("last", [], 100)
          yield* controller.processAll([raw(1, yes)], { topic: apples })
          const [wrong] = yield* controller.processAll([raw(2, yes)], { topic: pears })
          if (wrong?._tag !== "Rejected") return assert.fail("it is rejected")
          assert.instanceOf(wrong.error, Errors.WrongTopic)
          assert.deepInclude(wrong.error, { topic: pears, known: apples, logId: Topic.logId(native, apples) })
          assert.include(wrong.error.message, apples)
          assert.strictEqual(wrong.processor, "topics")
          const [genuine] = yield* controller[way]([raw(2, yes)], { topic: apples })
          assert.strictEqual(genuine?._tag, way === "processAll" ? "Accepted" : "Known")
          yield* controller.drain
          const { inbox, logs, topics } = yield* tables
          assert.deepStrictEqual(
            [inbox.length, logs.map(({ topic }) => topic), topics.length],
            [0, [apples, apples], 1]
          )
        })
      )
    )
  }

  it.effect("an own operation under a topic that its log does not belong to is not published", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open("last", [], 100)
        yield* controller.processAll([raw(1, yes, pears)], { topic: apples })
        const error = yield* Effect.flip(controller.publish({ key: signingKey(2), topic: pears, message: yes }))
        assert.strictEqual(error._tag, "WrongTopic")
        assert.deepInclude(yield* controller.status, { accepted: 1, rejected: 0, topics: 1 })
      })
    )
  )

  it("can stand anywhere, and adds the topic to what the handler reads", () => {
    const out: ReadonlyArray<(event: Pipeline.Out<typeof first>) => Topics.UnderTopic & { extensions: Node }> = [
      (event: Pipeline.Out<typeof last>) => event
    ]
    const any: Pipeline.Pipeline<
      Parameters<typeof Topics.processor.check>[0],
      Topics.UnderTopic,
      Topics.WrongTopic,
      never
    > = Pipeline.make(Topics.make<Extensions.Fields>())
    assert.lengthOf([...out, any], 2)
  })
})
