/**
 * The system layers together, as properties over generated histories: the same operations in any order, any batching, any
 * duplication, with restarts and crashes anywhere, leave the same state, byte for byte. In every order in which they stack.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Crypto from "../../src/core/Crypto.ts"
import type * as Extensions from "../../src/core/Extensions.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import type * as Processor from "../../src/pipeline/Processor.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topics from "../../src/processors/Topics.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Delivery from "../../src/testing/Delivery.ts"
import * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Promises from "../../src/testing/Promises.ts"
import * as Snapshot from "../../src/testing/Snapshot.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import { native } from "../core/support.ts"

const base = Pipeline.make(LogIntegrity.processor)
const options = (batchSize: number) => ({
  application: Journal.application,
  batchSize,
  crypto: Layer.succeed(Crypto.Crypto, native)
})
const stackings = {
  "causal, pruning, deletion": (batchSize: number) =>
    StreamController.make({
      ...options(batchSize),
      pipeline: base.pipe(
        Pipeline.andThen(CausalOrder.processor),
        Pipeline.andThen(Pruning.processor),
        Pipeline.andThen(Deletion.processor)
      )
    }),
  "deletion, pruning, causal": (batchSize: number) =>
    StreamController.make({
      ...options(batchSize),
      pipeline: base.pipe(
        Pipeline.andThen(Deletion.processor),
        Pipeline.andThen(Pruning.processor),
        Pipeline.andThen(CausalOrder.processor)
      )
    }),
  "deletion first": (batchSize: number) =>
    StreamController.make({
      ...options(batchSize),
      pipeline: Pipeline.make(Deletion.processor).pipe(
        Pipeline.andThen(LogIntegrity.processor),
        Pipeline.andThen(Pruning.processor),
        Pipeline.andThen(CausalOrder.processor)
      )
    }),
  "pruning alone": (batchSize: number) =>
    StreamController.make({ ...options(batchSize), pipeline: base.pipe(Pipeline.andThen(Pruning.processor)) }),
  "deletion alone": (batchSize: number) =>
    StreamController.make({ ...options(batchSize), pipeline: base.pipe(Pipeline.andThen(Deletion.processor)) }),
  "causal alone": (batchSize: number) =>
    StreamController.make({ ...options(batchSize), pipeline: base.pipe(Pipeline.andThen(CausalOrder.processor)) })
}
type Stacking = keyof typeof stackings

const memory = SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))
const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | SqlFaults.SqlFaults | Scope.Scope>) =>
  Effect.runPromise(Effect.scoped(Effect.provide(self, memory)))

type Open = (
  batchSize: number
) => Effect.Effect<
  StreamController.StreamController<Uint8Array | undefined, unknown>,
  StreamController.OpenError,
  SqlClient.SqlClient | Scope.Scope
>

/** What a delivery leaves: every table; the promises hold, the journal among them. */
const left = (open: Open, plan: Delivery.Plan, history: History.History) =>
  Effect.gen(function* () {
    const answers = yield* Delivery.deliver(open, plan, history.operations)
    const told = answers.flatMap((answer) => Promises.told(answer))
    assert.deepStrictEqual(yield* Promises.broken({ history, told }), [])
    return yield* Snapshot.lasting()
  })

const deliveries = Delivery.arbitrary({ most: 60, batchSizes: [100, 1, 2, 7] })

/** In CI the same histories each time, so that a change is to blame for what turns red; elsewhere others in every run. */
const seeded = process.env["CI"] === undefined ? {} : { seed: 20_261_124 }

/** `kinds`: what the stack has a layer for. A prune operation makes others unnecessary only where they are pruned. */
const converges = (stacking: Stacking, numRuns: number, kinds: ReadonlyArray<History.Kind>) =>
  FastCheck.assert(
    FastCheck.asyncProperty(History.arbitrary(native, { kinds }), deliveries, async (history, plan) => {
      const open = stackings[stacking]
      const expected = await fresh(left(open, Delivery.plain, history))
      assert.deepStrictEqual(expected["applecart_inbox"], [], "nothing is left over where everything comes in order")
      assert.deepStrictEqual(Snapshot.different(expected, await fresh(left(open, plan, history))), [])
    }),
    { numRuns, ...seeded }
  )

/** Every order of the layers that type-checks: whatever needs an operation in its place comes behind LogIntegrity. */
const orders = (): ReadonlyArray<ReadonlyArray<Stackable>> => {
  const all = (rest: ReadonlyArray<Stackable>): ReadonlyArray<ReadonlyArray<Stackable>> =>
    rest.length === 0
      ? [[]]
      : rest.flatMap((first) => all(rest.filter((one) => one !== first)).map((behind) => [first, ...behind]))
  const isAhead = (order: ReadonlyArray<Stackable>, one: Stackable) => order.indexOf(integrity) < order.indexOf(one)
  return all([integrity, ...behind, ...anywhere]).filter((order) => behind.every((one) => isAhead(order, one)))
}
type Stackable = Processor.Processor<Event.Event & LogIntegrity.InPlace, {}, unknown, never>
const integrity: Stackable = LogIntegrity.processor
const behind: ReadonlyArray<Stackable> = [CausalOrder.processor, Pruning.processor]
const anywhere: ReadonlyArray<Stackable> = [Deletion.processor, Topics.processor, Limits.make()]

const stacked = ([first = integrity, ...rest]: ReadonlyArray<Stackable>) =>
  rest.reduce((pipeline, one) => Pipeline.andThen(one)(pipeline), Pipeline.make(first)) as unknown as Pipeline.Pipeline<
    // That the layers get what they need, Types.test.ts shows for the compiler; a loop over orders cannot.
    Event.Event<Extensions.Any>,
    Event.Event & LogIntegrity.InPlace,
    never,
    never
  >

describe("every order in which the layers stack", () => {
  it("leaves the same state", { timeout: 240_000 }, async () => {
    const all = orders()
    assert.lengthOf(all, 240)
    const sampled = { numRuns: 24, seed: 7 }
    const histories = FastCheck.sample(History.arbitrary(native), sampled)
    const plans = FastCheck.sample(deliveries, { numRuns: all.length, seed: 7 })
    const expected = new Map<History.History, Snapshot.Snapshot>()
    for (const [nth, order] of all.entries()) {
      const history = histories[nth % histories.length] ?? History.write(native, [])
      const plan = { ...(plans[nth] ?? Delivery.plain), batchSize: 7, faultEvery: 0 }
      const open = (batchSize: number) => StreamController.make({ ...options(batchSize), pipeline: stacked(order) })
      const found = await fresh(left(open, plan, history))
      const first = expected.get(history) ?? found
      expected.set(history, first)
      assert.deepStrictEqual(Snapshot.different(first, found), [], order.map(({ name }) => name).join(", "))
    }
  })
})

describe("the same operations, delivered in any way, leave the same state", () => {
  for (const stacking of ["causal, pruning, deletion", "deletion, pruning, causal", "deletion first"] as const) {
    it(`with ${stacking}`, () => converges(stacking, 60, ["say", "say", "say", "say", "prune", "delete"]), 240_000)
  }
  it("with pruning alone", () => converges("pruning alone", 40, ["say", "say", "prune"]), 240_000)
  it("with deletion alone", () => converges("deletion alone", 40, ["say", "say", "delete"]), 240_000)
  it("with causal order alone", () => converges("causal alone", 40, ["say"]), 240_000)
})
