import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as TopicsProcessor from "../../src/processors/Topics.ts"
import * as Filter from "../../src/store/Filter.ts"
import * as Inspect from "../../src/store/Inspect.ts"
import * as Operations from "../../src/store/Operations.ts"
import * as Topics from "../../src/store/Topics.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native, random } from "../core/support.ts"
import { Author, signingKey } from "../support/Peer.ts"
import { apples, fresh, pears, silent, tables } from "../support/Topical.ts"

class No extends Data.TaggedError("No")<{}> {}

/** Says no to bodies that begin with 0xff. */
const application = Application.bytes({
  name: "picky",
  version: 1,
  handle: ({ message }) => (message?.[0] === 0xff ? new No() : Effect.void)
})
const pipeline = Pipeline.make(LogIntegrity.make<Extensions>()).pipe(
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(TopicsProcessor.processor)
)
type Extensions = ReturnType<typeof silent.draft>
const open = (options: {
  batchSize?: number
  codec?: typeof silent
  replayOnStart?: boolean | StreamController.Which
}) =>
  StreamController.make({
    pipeline,
    application,
    extensions: options.codec ?? {
      ...silent,
      ownsLog: (crypto, topic, { logId }) => logId === Topic.logId(crypto, topic)
    },
    batchSize: options.batchSize,
    replayOnStart: options.replayOnStart
  })
const author = (seed: number, topic = apples) => new Author(native, seed, topic)
const raws = (...operations: ReadonlyArray<Operation.Operation>) => operations.map(Operation.raw)
const yes = Uint8Array.of(1)
const no = Uint8Array.of(0xff)
const logId = (topic: Topic.Topic) => Topic.logId(native, topic)

/** The topic of each log and of each row of the inbox, and what is known. */
const underTopics = Effect.map(tables, ({ inbox, logs, topics }) => ({
  logs: logs.map(({ topic }) => topic),
  inbox: inbox.map(({ topic }) => topic),
  known: topics.map(({ topic }) => topic)
}))

describe("a topic", () => {
  const test = <E>(
    name: string,
    self: Effect.Effect<
      void,
      E,
      Parameters<typeof fresh>[0] extends Effect.Effect<unknown, unknown, infer R> ? R : never
    >
  ) => it.effect(name, () => fresh(self))

  test(
    "that becomes known adopts the logs and the inbox, and nothing of another log id",
    Effect.gen(function* () {
      const [parrot, horse, cat, other] = [author(1), author(2), author(3), author(4, pears)]
      const controller = yield* open({})
      cat.next(yes)
      yield* controller.processAll(
        raws(parrot.next(yes), horse.next(yes), cat.next(yes), other.next(yes), other.next(no))
      )
      assert.deepStrictEqual(yield* underTopics, { logs: [null, null, null], inbox: [null, null], known: [] })
      yield* controller.processAll(raws(parrot.next(yes)), { topic: apples })
      const found = yield* tables
      assert.deepStrictEqual<unknown>(found.topics, [{ topic: apples, log_id: logId(apples) }])
      assert.deepStrictEqual(
        found.logs.filter(({ log_id }) => log_id === logId(pears).toUpperCase()).map(({ topic }) => topic),
        [null]
      )
      assert.lengthOf(
        found.logs.filter(({ topic }) => topic === apples),
        2
      )
      assert.deepStrictEqual(found.inbox.map(({ status, topic }) => [status, topic]).toSorted(), [
        ["rejected", null],
        ["waiting", apples]
      ])
    })
  )

  test(
    "that is known is the topic of what comes later without one",
    Effect.gen(function* () {
      const [parrot, horse, cat, dog] = [author(1), author(2), author(3), author(4)]
      const controller = yield* open({})
      yield* controller.processAll(raws(parrot.next(yes)), { topic: apples })
      cat.next(yes)
      yield* controller.processAll(raws(horse.next(yes), cat.next(yes)))
      yield* controller.receiveAll(raws(dog.next(yes)))
      assert.deepStrictEqual(yield* underTopics, { logs: [apples, apples], inbox: [apples, apples], known: [apples] })
    })
  )

  for (const way of ["processAll", "receiveAll"] as const) {
    test(
      `is learnt from an accepted operation that comes again under it (${way})`,
      Effect.gen(function* () {
        const [parrot, horse] = [author(1), author(2)]
        const all = raws(parrot.next(yes), horse.next(yes))
        const controller = yield* open({})
        yield* controller.processAll(all)
        yield* controller[way](all.slice(0, 1), { topic: apples })
        assert.deepStrictEqual(yield* underTopics, { logs: [apples, apples], inbox: [], known: [apples] })
      })
    )

    test(
      `is kept beside an operation in the inbox that comes again under it, and learnt with that (${way})`,
      Effect.gen(function* () {
        const parrot = author(1)
        const [first, second] = [parrot.next(yes), parrot.next(yes)]
        const controller = yield* open({})
        yield* controller.processAll(raws(second))
        yield* controller[way](raws(second), { topic: apples })
        assert.deepStrictEqual(yield* underTopics, { logs: [], inbox: [apples], known: [] })
        // the last word is not without a topic
        yield* controller[way](raws(second))
        yield* controller.processAll(raws(first))
        assert.deepStrictEqual(yield* underTopics, { logs: [apples], inbox: [], known: [apples] })
      })
    )
  }

  test(
    "of an operation that is queued is not lost when it comes again without one",
    Effect.gen(function* () {
      const first = raws(author(1).next(yes))
      const controller = yield* open({})
      yield* controller.receiveAll(first, { topic: apples })
      yield* controller.processAll(first)
      assert.deepStrictEqual(yield* underTopics, { logs: [apples], inbox: [], known: [apples] })
    })
  )

  test(
    "is learnt from what its log was pruned past, before and after",
    Effect.gen(function* () {
      const [parrot, horse, cat] = [author(1), author(2), author(3, pears)]
      const controller = yield* open({})
      const [first, second] = raws(parrot.next(yes), parrot.next(yes, true))
      yield* controller.processAll([second, first].flatMap((raw) => raw ?? []))
      assert.deepStrictEqual(
        (yield* tables).decisions.map(({ what }) => what),
        ["pruned"]
      )
      assert.deepStrictEqual((yield* underTopics).known, [])
      yield* controller.processAll(
        [first].flatMap((raw) => raw ?? []),
        { topic: apples }
      )
      assert.deepStrictEqual(yield* underTopics, { logs: [apples], inbox: [], known: [apples] })
      // one that waits, and goes when its log is pruned
      const [, waiting, prune] = raws(cat.next(yes), cat.next(yes), cat.next(yes, true))
      yield* controller.processAll(
        [waiting].flatMap((raw) => raw ?? []),
        { topic: pears }
      )
      assert.deepStrictEqual((yield* underTopics).known, [apples])
      yield* controller.processAll([prune].flatMap((raw) => raw ?? []))
      assert.sameMembers((yield* underTopics).known, [apples, pears])
      yield* controller.processAll(raws(horse.next(yes)))
      assert.sameMembers((yield* underTopics).logs.map(String), [apples, apples, pears])
    })
  )

  test(
    "that is not its own is refused and teaches nothing, and the genuine copy is accepted afterwards",
    Effect.gen(function* () {
      const first = raws(author(1).next(yes))
      const controller = yield* open({})
      for (const answer of yield* controller.receiveAll(first, { topic: pears }))
        assert.strictEqual(answer._tag, "WrongTopic")
      for (const answer of yield* controller.processAll(first, { topic: pears }))
        assert.strictEqual(answer._tag, "WrongTopic")
      assert.deepStrictEqual(yield* underTopics, { logs: [], inbox: [], known: [] })
      const [answer] = yield* controller.processAll(first, { topic: apples })
      assert.strictEqual(answer?._tag, "Accepted")
      const [again] = yield* controller.processAll(first, { topic: pears })
      assert.strictEqual(again?._tag, "WrongTopic")
      assert.deepStrictEqual(yield* underTopics, { logs: [apples], inbox: [], known: [apples] })
    })
  )

  test(
    "of operations that are rejected or wait is not learnt, however often they come",
    Effect.gen(function* () {
      const controller = yield* open({})
      for (let n = 0; n < 5; n++) {
        const topic = Topic.named(native, `hostile ${n}`)
        const mallory = author(9, topic)
        const hostile = raws(mallory.next(no), mallory.next(yes))
        for (const _ of [1, 2]) yield* controller.processAll(hostile, { topic })
        yield* controller.receiveAll(hostile, { topic })
      }
      yield* controller.replay()
      assert.deepInclude(yield* controller.status, { topics: 0, logs: 0, rejected: 5, waiting: 5 })
      assert.deepStrictEqual(yield* Topics.list(), [])
    })
  )

  test(
    "is learnt from known operations also where another one undoes their transaction",
    Effect.gen(function* () {
      const orphan = Transaction.statement("INSERT INTO children VALUES (7)")
      const create = Transaction.run(
        Effect.zipRight(
          Transaction.statement("CREATE TABLE parents (n INTEGER PRIMARY KEY)")(),
          Transaction.statement("CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")()
        )
      )
      yield* create
      const controller = yield* StreamController.make({
        pipeline: Pipeline.make(LogIntegrity.processor),
        application: Application.bytes({
          name: "orphans",
          version: 1,
          handle: ({ message }) => (message?.[0] === 2 ? orphan() : Effect.void)
        })
      })
      const [parrot, horse, cat] = [author(1), author(2), author(3)]
      const waiting = (cat.next(yes), cat.next(yes))
      const known = parrot.next(yes)
      yield* controller.processAll(raws(known, waiting))
      const answers = yield* controller.processAll(raws(known, horse.next(Uint8Array.of(2)), waiting), {
        topic: apples
      })
      assert.deepStrictEqual(
        answers.map(({ _tag }) => _tag),
        ["Known", "Rejected", "Known"]
      )
      assert.deepStrictEqual(yield* underTopics, { logs: [apples], inbox: [apples, apples], known: [apples] })
    })
  )
})

describe("asked by topic", () => {
  const held = Effect.gen(function* () {
    const [parrot, horse, cat] = [author(1), author(2), author(3, pears)]
    const controller = yield* open({})
    yield* controller.processAll(raws(parrot.next(yes), parrot.next(no), parrot.next(yes)), { topic: apples })
    yield* controller.processAll(raws(horse.next(yes), horse.next(no)))
    yield* controller.processAll(raws(cat.next(yes), cat.next(yes), cat.next(no)))
    return { controller, parrot, horse, cat }
  })
  const attempts = Effect.map(Inspect.rejected(), (items) =>
    Object.fromEntries(items.map(({ attempts, author }) => [author, attempts]))
  )
  const key = (seed: number) => native.verifyingKey(signingKey(seed))

  it.effect("lists count, and tell the topics apart", () =>
    fresh(
      Effect.gen(function* () {
        const { controller } = yield* held
        assert.deepStrictEqual(yield* Topics.list(), [
          { topic: apples, logs: 2, operations: 2, queued: 0, waiting: 1, rejected: 2 }
        ])
        const counted = (topic: Topic.Topic) => {
          const filter = Filter.make(native, { topic })
          return Effect.all([
            Effect.map(Inspect.log(filter), (items) => items.length),
            Effect.map(Inspect.waiting(filter), (items) => items.length),
            Effect.map(Inspect.rejected(filter), (items) => items.length),
            Effect.map(Stream.runCollect(Operations.stream(filter)), (items) => items.length)
          ])
        }
        assert.deepStrictEqual(yield* counted(apples), [2, 1, 2, 2])
        // nobody has told this one, and it is found all the same
        assert.deepStrictEqual(yield* counted(pears), [2, 0, 1, 2])
        assert.deepStrictEqual(yield* counted(Topic.named(native, "plums")), [0, 0, 0, 0])
        const ofHorse = Filter.make(native, { topic: apples, author: key(2) })
        assert.lengthOf(yield* Inspect.log(ofHorse), 1)
        yield* controller.publish({ key: signingKey(4), topic: pears, message: yes })
        const listed = yield* Topics.list()
        assert.deepInclude(listed[1], { topic: pears, logs: 2, operations: 3, waiting: 0, rejected: 1 })
        assert.deepStrictEqual(yield* Topics.list({ limit: 1 }), listed.slice(1))
      })
    )
  )

  it.effect("a replay leaves the others alone", () =>
    fresh(
      Effect.gen(function* () {
        const { controller, parrot } = yield* held
        const once = { [key(1)]: 1, [key(2)]: 1, [key(3)]: 1 }
        assert.deepStrictEqual(yield* attempts, once)
        assert.deepInclude(yield* controller.replay({ topic: pears }), { accepted: 0 })
        assert.deepStrictEqual(yield* attempts, { ...once, [key(3)]: 2 })
        yield* controller.replay({ topic: apples })
        assert.deepStrictEqual(yield* attempts, { [key(1)]: 2, [key(2)]: 2, [key(3)]: 2 })
        yield* controller.replay({ topic: apples, author: key(1) })
        yield* controller.replay({ author: key(3) })
        assert.deepStrictEqual(yield* attempts, { [key(1)]: 3, [key(2)]: 2, [key(3)]: 3 })
        yield* controller.replay({ topic: pears, author: key(1) })
        yield* controller.replay({ topic: Topic.named(native, "plums") })
        assert.deepStrictEqual(yield* attempts, { [key(1)]: 3, [key(2)]: 2, [key(3)]: 3 })
        yield* controller.replay()
        assert.deepStrictEqual(yield* attempts, { [key(1)]: 4, [key(2)]: 3, [key(3)]: 4 })
        // what waits still knows for what
        assert.deepStrictEqual(
          (yield* Inspect.waiting()).map(({ until }) => until),
          [parrot.operations.slice(1, 2).map(({ id }) => id)]
        )
      })
    )
  )

  it.effect("so is what is replayed on start", () =>
    fresh(
      Effect.gen(function* () {
        yield* Effect.scoped(held)
        const opened = (replayOnStart: boolean | StreamController.Which | undefined) =>
          Effect.scoped(
            Effect.zipRight(
              Effect.flatMap(open(replayOnStart === undefined ? {} : { replayOnStart }), ({ drain }) => drain),
              attempts
            )
          )
        assert.deepStrictEqual(yield* opened(false), { [key(1)]: 1, [key(2)]: 1, [key(3)]: 1 })
        assert.deepStrictEqual(yield* opened({ topic: apples }), { [key(1)]: 2, [key(2)]: 2, [key(3)]: 1 })
        assert.deepStrictEqual(yield* opened(true), { [key(1)]: 3, [key(2)]: 3, [key(3)]: 2 })
        assert.deepStrictEqual(yield* opened(undefined), { [key(1)]: 4, [key(2)]: 4, [key(3)]: 3 })
      })
    )
  )

  it.effect("logs whose ids are not derived are found by what is known of them", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open({ codec: silent })
        // the log ids are those of apples and pears, but they belong together
        const [parrot, horse] = [author(1), author(2, pears)]
        yield* controller.processAll(raws(parrot.next(yes), horse.next(yes)), { topic: apples })
        const cat = author(3, Topic.named(native, "plums"))
        yield* controller.processAll(raws(cat.next(no)), { topic: apples })
        const found = (topic: Topic.Topic) =>
          Effect.map(Inspect.log(Filter.make(native, { topic })), (items) => items.length)
        assert.deepStrictEqual([yield* found(apples), yield* found(pears)], [2, 0])
        assert.deepStrictEqual(yield* Topics.list(), [
          { topic: apples, logs: 2, operations: 2, queued: 0, waiting: 0, rejected: 0 }
        ])
        // what came under a topic is asked for by it
        assert.lengthOf(yield* Inspect.rejected(Filter.make(native, { topic: apples })), 1)
        assert.deepInclude(yield* controller.status, { topics: 1 })
      })
    )
  )
})

/** What an author does in a log: some are not handed over, some the application says no to, some prune. */
const history = FastCheck.record({
  length: FastCheck.integer({ min: 1, max: 6 }),
  odd: FastCheck.option(FastCheck.nat({ max: 5 })),
  prune: FastCheck.option(FastCheck.nat({ max: 5 })),
  withheld: FastCheck.option(FastCheck.nat({ max: 5 }))
})
type History = typeof history extends FastCheck.Arbitrary<infer A> ? A : never

interface Delivered {
  readonly operation: Operation.Operation
  readonly topic: Topic.Topic
  readonly named: boolean
}

const write = (histories: ReadonlyArray<History>): ReadonlyArray<Delivered> =>
  histories.flatMap(({ length, odd, prune, withheld }, index) => {
    const topic = index % 2 === 0 ? apples : pears
    const writer = author(1 + index, topic)
    for (let n = 0; n < length; n++) writer.next(n === odd ? no : yes, n === prune)
    return writer.operations.filter((_, n) => n !== withheld).map((operation) => ({ operation, topic, named: true }))
  })

const deliver = (
  deliveries: ReadonlyArray<Delivered>,
  codec: typeof silent | undefined,
  batchSize: number,
  seed: number
) =>
  fresh(
    Effect.gen(function* () {
      const { below } = random(seed)
      const rest = [...deliveries]
      const options = codec === undefined ? { batchSize } : { batchSize, codec }
      do {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const controller = yield* open(options)
            while (rest.length > 0 && below(10) > 0) {
              const [first] = rest
              const same = rest.findIndex(({ named, topic }) => named !== first?.named || topic !== first.topic)
              const some = rest.splice(0, 1 + below(same < 0 ? rest.length : same))
              const from = first?.named === true ? { topic: first.topic } : undefined
              const way = (["processAll", "receiveAll"] as const)[below(2)] ?? "processAll"
              yield* controller[way](raws(...some.map(({ operation }) => operation)), from)
              if (below(3) === 0) yield* controller.drain
            }
            // What was rejected in the very batch that pruned it is only found outdated when it is tried again.
            yield* controller.replay()
          })
        )
      } while (rest.length > 0)
      return yield* tables
    })
  )

describe("any delivery of the same operations", () => {
  it("ends in the same tables once each log id was named by what was let in", { timeout: 120_000 }, async () => {
    const seen = new Set<unknown>()
    const scenario = FastCheck.record({
      histories: FastCheck.array(history, { minLength: 1, maxLength: 4 }),
      seed: FastCheck.integer({ min: 0, max: 0xffff_ffff }),
      batchSize: FastCheck.constantFrom(1, 2, 100),
      codec: FastCheck.constantFrom(undefined, silent)
    })
    await FastCheck.assert(
      FastCheck.asyncProperty(scenario, async ({ batchSize, codec, histories, seed }) => {
        const all = write(histories)
        const expected = await Effect.runPromise(deliver(all, codec, 100, 0))
        const letIn = new Set([...expected.operations, ...expected.decisions].map(({ id }) => id))
        const { below } = random(seed)
        const named = new Map<Topic.Topic, Operation.Operation>()
        for (const { operation, topic } of all) {
          if (letIn.has(operation.id) && (!named.has(topic) || below(3) === 0)) named.set(topic, operation)
        }
        const deliveries = all.flatMap((one): ReadonlyArray<Delivered> => {
          const must = named.get(one.topic) === undefined || named.get(one.topic) === one.operation
          const silently = { ...one, named: false }
          return [must ? one : silently, ...(below(3) === 0 ? [silently] : []), ...(below(6) === 0 ? [one] : [])]
        })
        const order = deliveries.map((one) => ({ one, at: below(1_000_000) })).sort((a, b) => a.at - b.at)
        const shuffled = order.map(({ one }) => one)
        assert.deepStrictEqual(await Effect.runPromise(deliver(shuffled, codec, batchSize, seed)), expected)
        for (const { topic } of expected.topics) seen.add(topic)
        for (const { reason, status } of expected.inbox) seen.add(reason ?? status)
        for (const { what } of expected.decisions) seen.add(what)
      }),
      { numRuns: 60 }
    )
    assert.sameMembers([...seen], [apples, pears, "No", "waiting", "pruned"])
  })
})
