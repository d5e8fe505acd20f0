/** Event sourcing: states are what accepted events come to, and a new version is built beside what readers see. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Events from "../../src/models/Events.ts"
import type * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import { native } from "../core/support.ts"
import { Author, signingKey } from "../support/Peer.ts"

const Message = Schema.Struct({ account: Schema.String, amount: Schema.Int })
type Message = typeof Message.Type

class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { left: Schema.Int }) {}
class Unlucky extends Schema.TaggedError<Unlucky>()("Unlucky", { amount: Schema.Int }) {}

/** All amounts in their order, so that a state shows every event that it came of. */
const State = Schema.Array(Schema.Int)
const sum = (amounts: ReadonlyArray<number>) => amounts.reduce((all, one) => all + one, 0)
const evolve = (amounts: ReadonlyArray<number>, { message: { amount } }: { readonly message: Message }) =>
  sum(amounts) + amount < 0 ? Either.left(new Overdrawn({ left: sum(amounts) })) : Either.right(amounts.concat(amount))

const basis = { name: "accounts", message: Message, key: ({ message }: { message: Message }) => message.account }
const accounts = (version = 1) => Events.make({ ...basis, version, state: State, initial: [], evolve })

/** The second version keeps the balance only, and lets it sink to -10. */
const Balance = Schema.Struct({ balance: Schema.Int })
const balances = <R = never>(look: Effect.Effect<unknown, never, R> = Effect.void) =>
  Events.make({
    ...basis,
    version: 2,
    state: Balance,
    earlier: Schema.transform(State, Balance, {
      decode: (amounts) => ({ balance: sum(amounts) }),
      encode: ({ balance }) => [balance]
    }),
    initial: { balance: 0 },
    evolve: ({ balance }, { message: { amount } }) =>
      amount === 5 ? Either.left(new Unlucky({ amount })) : Either.right({ balance: balance + amount * 2 }),
    project: () => look
  })

const pipeline = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor)
)
const open = <A, E, R>(
  application: Application.Application<Deletion.Tombstone & StreamController.Placed, A, E, R>,
  batchSize?: number
) => StreamController.make({ pipeline, application, batchSize, crypto: Layer.succeed(Crypto.Crypto, native) })

const fresh = <A, E>(
  self: Effect.Effect<A, E, SqlClient.SqlClient | SqlFaults.SqlFaults | Scope.Scope>,
  filename = ":memory:"
): Promise<A> =>
  SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename })), (database) =>
    // Faults are logged where a rollback meets them.
    Effect.runPromise(Effect.scoped(Effect.provide(self, Layer.merge(database, Logger.minimumLogLevel(LogLevel.None)))))
  )

const key = signingKey(1)
const topic = Topic.named(native, "accounts")

/** Opens the first version, puts this into accounts, and closes it. */
const begin = (...amounts: ReadonlyArray<readonly [account: string, amount: number]>) =>
  Effect.scoped(
    Effect.flatMap(open(accounts()), (controller) =>
      Effect.forEach(amounts, ([account, amount]) => controller.publish({ key, topic, message: { account, amount } }))
    )
  )

const record = <S>(page: ReadonlyArray<{ readonly key: string; readonly state: S }>): Record<string, S> =>
  Object.fromEntries(page.map(({ key, state }) => [key, state]))

const parseBody = Schema.decodeUnknownSync(Message)

/** What the accepted events come to, in the order in which they were accepted. */
const folded = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ body: Uint8Array | null }>`SELECT body FROM applecart_operations ORDER BY position`
  const states: Record<string, ReadonlyArray<number>> = {}
  for (const { body } of rows) {
    if (body === null) continue
    const message = parseBody(Either.getOrThrow(Cbor.decode(new Uint8Array(body))))
    states[message.account] = Either.getOrThrow(evolve(states[message.account] ?? [], { message }))
  }
  return states
})

const event = FastCheck.record({
  author: FastCheck.nat({ max: 2 }),
  account: FastCheck.constantFrom("a", "b", ""),
  amount: FastCheck.integer({ min: -4, max: 5 })
})

interface Said extends Message {
  readonly author: number
}

/** What three authors said, signed, in an order of somebody's own. */
const deliveries = (said: ReadonlyArray<Said>) => {
  const authors = [0, 1, 2].map((at) => new Author(native, at + 1, topic))
  const operations = said.map(({ author, ...message }) =>
    Operation.raw(authors[author]!.next(Either.getOrThrow(Cbor.encode(message))))
  )
  return (random: FastCheck.Stream<number>) =>
    operations
      .map((operation) => ({ operation, at: random.next().value }))
      .sort((a, b) => a.at - b.at)
      .map(({ operation }) => operation)
}

const history = FastCheck.array(event, { minLength: 1, maxLength: 25 })
const randoms = FastCheck.infiniteStream(FastCheck.nat())

describe("any delivery of any events", () => {
  it("leaves what the accepted ones come to, and so does a rebuild", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(history, randoms, FastCheck.constantFrom(1, 2, 100), (said, random, batchSize) =>
        fresh(
          Effect.gen(function* () {
            const states = accounts()
            const controller = yield* open(states, batchSize)
            yield* controller.processAll(deliveries(said)(random))
            assert.deepStrictEqual(record(yield* states.all()), yield* folded)
            yield* controller.replay()
            const live = record(yield* states.all())
            assert.deepStrictEqual(live, yield* folded)
            yield* controller.consumers.rebuild("accounts")
            yield* controller.drain
            assert.deepStrictEqual(record(yield* states.all()), live)
            assert.deepStrictEqual(yield* controller.consumers.parked("accounts"), [])
          })
        )
      ),
      { numRuns: 40 }
    )
  })

  it("leaves the same everywhere, where the rule looks at its author alone and the state at no order", async () => {
    const states = Events.make({
      ...basis,
      version: 1,
      state: Schema.Array(Schema.Struct({ id: Schema.String, by: Schema.String, amount: Schema.Int })),
      initial: [],
      evolve: (kept, { event: { author, id }, message: { amount } }) =>
        amount < 0 && !kept.some(({ by }) => by === author)
          ? Either.left(new Overdrawn({ left: 0 }))
          : Either.right([...kept, { id, by: author, amount }].sort((a, b) => (a.id < b.id ? -1 : 1)))
    })
    const deliver = (operations: ReadonlyArray<Operation.Raw>) =>
      fresh(
        Effect.gen(function* () {
          const controller = yield* open(states)
          yield* controller.processAll(operations)
          const { rejected, waiting } = yield* controller.status
          return { states: record(yield* states.all()), rejected, waiting }
        })
      )
    await FastCheck.assert(
      FastCheck.asyncProperty(history, randoms, async (said, random) => {
        const any = deliveries(said)
        assert.deepStrictEqual(await deliver(any(random)), await deliver(any(random)))
      }),
      { numRuns: 20 }
    )
  })
})

describe("a rejected event", () => {
  it("leaves no trace, and its error is the application's", () =>
    fresh(
      Effect.gen(function* () {
        const states = accounts()
        const controller = yield* open(states)
        const give = (amount: number) => controller.publish({ key, topic, message: { account: "a", amount } })
        assert.isUndefined(yield* states.get("a"))
        assert.deepStrictEqual(yield* Effect.flip(give(-1)), new Overdrawn({ left: 0 }))
        assert.isUndefined(yield* states.get("a"))
        yield* give(3)
        assert.deepStrictEqual(yield* Effect.flip(give(-4)), new Overdrawn({ left: 3 }))
        yield* give(-3)
        assert.deepStrictEqual(yield* states.get("a"), [3, -3])
      })
    ))

  it("is rejected by one's own SQL as well, which sees what has changed", () =>
    fresh(
      Effect.gen(function* () {
        class Limit extends Context.Tag("Limit")<Limit, number>() {}
        const states = Events.make({
          ...basis,
          version: 1,
          state: State,
          initial: [],
          evolve,
          migrations: [{ name: "sums", up: ["CREATE TABLE sums (account TEXT, before INTEGER, after INTEGER)"] }],
          project: ({ after, before, key, message: { amount } }) =>
            Effect.gen(function* () {
              const sql = yield* SqlClient.SqlClient
              yield* sql`INSERT INTO sums VALUES (${key}, ${before === undefined ? null : sum(before)}, ${sum(after)})`
              if (sum(after) > (yield* Limit)) return yield* new Unlucky({ amount })
            })
        })
        const controller = yield* Effect.provideService(open(states), Limit, 5)
        const give = (amount: number) => controller.publish({ key, topic, message: { account: "a", amount } })
        yield* give(4)
        const error: Overdrawn | Unlucky | { readonly _tag: string } = yield* Effect.flip(give(2))
        assert.deepStrictEqual(error, new Unlucky({ amount: 2 }))
        yield* give(1)
        assert.deepStrictEqual(yield* states.get("a"), [4, 1])
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(
          (yield* sql`SELECT * FROM sums`).map((row) => ({ ...row })),
          [
            { account: "a", before: null, after: 4 },
            { account: "a", before: 4, after: 5 }
          ]
        )
        assert.isUndefined(states.reset, "its table cannot be emptied")
      })
    ))
})

describe("a new version", () => {
  const old = { a: { balance: 3 }, b: { balance: 7 } }
  const built = { a: { balance: 6 }, b: { balance: 4 } }
  const events = [
    ["a", 1],
    ["b", 2],
    ["b", 5],
    ["a", 2]
  ] as const

  const shownAtOnce = (fault: SqlFaults.Plan | undefined) =>
    Effect.gen(function* () {
      const faults = yield* SqlFaults.SqlFaults
      const sql = yield* SqlClient.SqlClient
      const states = balances()
      yield* faults.reset
      if (fault !== undefined) yield* faults.arm(fault)
      const attempt = Effect.scoped(Effect.flatMap(open(states, 2), ({ drain }) => drain))
      const exit = yield* Effect.exit(attempt)
      const statements = yield* faults.count
      yield* faults.disarm
      const [row] = yield* sql<{ state: string; version: number }>`
        SELECT state, version FROM applecart_consumers WHERE role = 'application'`
      const isReady = row?.state === "live" && row.version === 2
      assert.deepStrictEqual(record(yield* states.all()), isReady ? built : old)
      if (exit._tag === "Success") assert.isTrue(isReady)
      yield* attempt
      assert.deepStrictEqual(record(yield* states.all()), built)
      assert.lengthOf(yield* sql`SELECT * FROM accounts_generations`, 2)
      return statements
    })

  it("is built beside the old one, which readers see until it is ready", () =>
    fresh(
      Effect.gen(function* () {
        yield* begin(...events)
        const seen: Array<unknown> = []
        const look = Effect.map(Effect.orDie(balances().all()), (page) => seen.push(record(page)))
        const states = balances(look)
        const controller = yield* open(states, 2)
        assert.deepStrictEqual(record(yield* states.all()), old)
        yield* controller.drain
        // The last page fails as a whole and is handed over again, one by one.
        assert.isAtLeast(seen.length, 3)
        for (const one of seen) assert.deepStrictEqual(one, old)
        assert.deepStrictEqual(record(yield* states.all()), built)
        assert.deepStrictEqual(
          (yield* controller.consumers.parked("accounts")).map(({ position, reason }) => [position, reason.tag]),
          [[3, "Unlucky"]]
        )
        assert.strictEqual(yield* controller.consumers.retry("accounts"), 1)
        yield* controller.drain
        assert.deepStrictEqual(
          (yield* controller.consumers.parked("accounts")).map(({ attempts }) => attempts),
          [2]
        )
        assert.deepStrictEqual(record(yield* states.all()), built)
        yield* controller.publish({ key, topic, message: { account: "c", amount: 1 } })
        assert.deepStrictEqual(yield* states.get("c"), { balance: 2 })
        // The same version once more: so it is served as well.
        seen.length = 0
        yield* controller.consumers.rebuild("accounts")
        yield* controller.drain
        for (const one of seen) assert.deepStrictEqual(one, { ...built, c: { balance: 2 } })
        assert.deepStrictEqual(record(yield* states.all()), { ...built, c: { balance: 2 } })
        const sql = yield* SqlClient.SqlClient
        assert.lengthOf(yield* sql`SELECT * FROM accounts_generations`, 3)
        assert.lengthOf(yield* sql`SELECT * FROM accounts_states WHERE key = 'c'`, 1)
      })
    ))

  it("is shown in one transaction, whatever fails", async () => {
    const dir = fs.mkdtempSync(path.join(os.tmpdir(), "applecart-"))
    const before = path.join(dir, "before.db")
    const trial = (fault?: SqlFaults.Plan) => {
      const file = path.join(dir, `${fault?.at ?? 0}.db`)
      fs.copyFileSync(before, file)
      return fresh(shownAtOnce(fault), file)
    }
    await fresh(begin(...events), before)
    const statements = await trial()
    assert.isAbove(statements, 20)
    for (let at = 1; at <= statements; at++) {
      await trial({ at, fault: at % 2 === 0 ? SqlFaults.failBefore("full") : SqlFaults.failAfter("io") })
    }
    fs.rmSync(dir, { recursive: true })
  })

  it("that comes while another one is half built begins anew", () =>
    fresh(
      Effect.gen(function* () {
        yield* begin(...events)
        const faults = yield* SqlFaults.SqlFaults
        yield* faults.reset
        let handled = 0
        const failing = Effect.suspend(() => {
          handled += 1
          const next = Effect.flatMap(faults.count, (count) =>
            faults.arm({ at: count + 1, fault: SqlFaults.failBefore("io") })
          )
          return handled === 3 ? next : Effect.void
        })
        const half = balances(failing)
        yield* Effect.exit(Effect.scoped(Effect.flatMap(open(half, 1), ({ drain }) => drain)))
        yield* faults.disarm
        const sql = yield* SqlClient.SqlClient
        assert.lengthOf(yield* sql`SELECT 1 FROM accounts_generations`, 4)
        const third = accounts(3)
        const controller = yield* open(third)
        assert.deepStrictEqual(record(yield* third.all()), { a: [1, 2], b: [2, 5] })
        yield* controller.drain
        assert.deepStrictEqual(record(yield* third.all()), { a: [1, 2], b: [2, 5] })
      })
    ))

  it("says which states cannot be read, until it is ready", () =>
    fresh(
      Effect.gen(function* () {
        yield* begin(["a", 1])
        const strange = (version: number) =>
          Events.make({
            ...basis,
            version,
            state: Balance,
            initial: { balance: 0 },
            evolve: (state) => Either.right(state)
          })
        const error = yield* Effect.flip(strange(2).get("a"))
        assert.deepInclude(error, { _tag: "UnreadableState", key: "a", version: 1 })
        assert.include(error.message, "Raise the application's version")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const controller = yield* open(strange(1))
            const rejected = yield* Effect.flip(
              controller.publish({ key, topic, message: { account: "a", amount: 1 } })
            )
            assert.strictEqual(rejected._tag, "UnreadableState")
          })
        )
        const { drain } = yield* open(strange(2))
        yield* drain
        assert.deepStrictEqual(yield* strange(2).get("a"), { balance: 0 })
      })
    ))
})

describe("what is gone", () => {
  const closing = Events.make({
    ...basis,
    version: 1,
    state: State,
    initial: [],
    // An amount of 100 says what there is, whatever there was.
    evolve: (amounts, input) => (input.message.amount === 100 ? Either.right([100]) : evolve(amounts, input)),
    snapshot: ({ amount }) => amount === 100
  })

  it("was pruned by a snapshot, so that a rebuild comes to the same", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open(closing)
        const give = (amount: number, prune = false) =>
          controller.publish({ key, topic, prune, message: { account: "a", amount } })
        yield* give(1)
        assert.strictEqual((yield* Effect.flip(give(2, true)))._tag, "PruneWithoutSnapshot")
        const empty = yield* Effect.flip(controller.publish({ key, topic, prune: true }))
        assert.strictEqual(empty._tag, "PruneWithoutSnapshot")
        assert.include(empty.message, "Only a snapshot")
        yield* give(100, true)
        yield* give(3)
        yield* controller.consumers.rebuild("accounts")
        yield* controller.drain
        assert.deepStrictEqual(yield* closing.get("a"), [100, 3])
      })
    ))

  it("stays in the states until they are built again", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open(closing)
        const give = (amount: number) => controller.publish({ key, topic, message: { account: "a", amount } })
        const { id } = yield* give(1)
        yield* give(2)
        yield* controller.publish({ key, topic, deletes: [id] })
        assert.deepStrictEqual(yield* closing.get("a"), [1, 2])
        yield* controller.consumers.rebuild("accounts")
        yield* controller.drain
        assert.deepStrictEqual(yield* closing.get("a"), [2])
      })
    ))
})

/** Whether two types are the same; checked by `tsc`. */
type Same<A, B> = [A, B] extends [B, A] ? true : false

describe("types", () => {
  it("are inferred: every error that `evolve` and `project` give, and no other", () => {
    const several = Events.make({
      ...basis,
      version: 1,
      state: State,
      initial: [],
      evolve: (amounts, { message: { amount } }) => {
        if (amount === 13) return Either.left(new Unlucky({ amount }))
        if (sum(amounts) + amount < 0) return Either.left(new Overdrawn({ left: sum(amounts) }))
        return Either.right([...amounts, amount])
      }
    })
    const never = Events.make({
      ...basis,
      version: 1,
      state: State,
      initial: [],
      evolve: (state) => Either.right(state)
    })
    type Always = Events.UnreadableState | Events.PruneWithoutSnapshot
    const errors: Same<Application.Error<typeof several>, Always | Unlucky | Overdrawn> = true
    const fewer: Same<Application.Error<typeof never>, Always> = true
    assert.isTrue(errors && fewer)
  })

  it("let nothing else be made of a state than a state", () => {
    // @ts-expect-error: a number is no list of numbers
    Events.make({ ...basis, version: 1, state: State, initial: [], evolve: () => Either.right(1) })
    // @ts-expect-error: nor is it before the first event
    Events.make({ ...basis, version: 1, state: State, initial: 1, evolve })
  })
})

describe("reading", () => {
  it("goes by pages", () =>
    fresh(
      Effect.gen(function* () {
        yield* begin(["b", 1], ["", 2], ["c", 3], ["a", 4])
        const states = accounts()
        const page = (after?: string) => Effect.map(states.all({ after, limit: 3 }), (all) => all.map(({ key }) => key))
        assert.deepStrictEqual(yield* page(), ["", "a", "b"])
        assert.deepStrictEqual(yield* page("b"), ["c"])
        assert.deepStrictEqual(yield* page("c"), [])
      })
    ))

  it("needs a name that can name tables", () => {
    assert.throws(
      () => Events.make({ ...basis, name: "a-b", version: 1, state: State, initial: [], evolve }),
      RangeError
    )
  })
})
