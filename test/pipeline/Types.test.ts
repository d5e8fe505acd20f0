/**
 * What compiles and what does not (checked by `tsc --noEmit`), and processors of one's own at work.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import type * as Outcome from "../../src/pipeline/Outcome.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import type * as Rejection from "../../src/pipeline/Rejection.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topics from "../../src/processors/Topics.ts"
import * as Inbox from "../../src/store/Inbox.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import type * as Errors from "../../src/stream/Errors.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import { Author, signingKey, state } from "../support/Peer.ts"

// processors of one's own

class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", { key: Schema.String }) {}

/** What the processors below did to the database, so that a test can count it. */
interface Calls {
  load: Array<ReadonlyArray<string>>
  save: Array<ReadonlyArray<string>>
}
const noCalls = (): Calls => ({ load: [], save: [] })

/** A table of numbers by name, for a processor that counts. */
const counters = (table: string, calls: Calls) => {
  const write = Transaction.statement(
    `INSERT INTO ${table} (name, n) SELECT value->>0, value->>1 FROM json_each(?) WHERE true
     ON CONFLICT (name) DO UPDATE SET n = excluded.n`
  )
  const read = Transaction.query(`SELECT name, n FROM ${table} WHERE name IN (SELECT value FROM json_each(?))`)
  return {
    migrations: [{ name: "counters", up: [`CREATE TABLE ${table} (name TEXT PRIMARY KEY, n INTEGER NOT NULL)`] }],
    load: (keys: ReadonlyArray<string>) => {
      calls.load.push(keys)
      return Effect.map(
        read(JSON.stringify(keys)),
        (rows) => new Map(rows.map((row) => [String(row["name"]), Number(row["n"])]))
      )
    },
    save: (changed: ReadonlyMap<string, number>) => {
      calls.save.push([...changed.keys()])
      return Effect.asVoid(write(JSON.stringify([...changed])))
    }
  }
}

/** At most `limit` operations an author; counts those of the log as well, so that there are two keys for one event. */
const quota = (limit: number, calls = noCalls()) =>
  Processor.make<string, number>()({
    name: "quota",
    keys: (event) => [`author ${event.operation.header.verifyingKey}`, `log ${event.log}`],
    ...counters("quotas", calls),
    recall: {
      keys: (event) => [`author ${event.author}`, `log ${event.log}`],
      adds: (state, event) => ({ used: state(`author ${event.author}`) ?? 0, inLog: state(`log ${event.log}`) ?? 0 })
    },
    decide: (state, event) => {
      const [author, log] = [`author ${event.operation.header.verifyingKey}`, `log ${event.log}`]
      const [used, inLog] = [(state(author) ?? 0) + 1, (state(log) ?? 0) + 1]
      return used > limit
        ? Either.left(new QuotaExceeded({ key: author }))
        : Either.right(
            Processor.accept<string, number, { readonly used: number; readonly inLog: number }>({
              state: [
                [author, used],
                [log, inLog]
              ],
              adds: { used, inLog }
            })
          )
    }
  })

interface Used {
  readonly used: number
}

/** Counts operations by how many their author has, which is known behind the quota only. */
const classes = (calls = noCalls()) => {
  const name = ({ used }: Used) => `class ${used % 2 === 0 ? "even" : "odd"}`
  return Processor.make<string, number>()({
    name: "classes",
    keys: () => [],
    laterKeys: (event: Event.Event & Used) => [name(event)],
    ...counters("classes", calls),
    recall: { adds: () => ({ members: 0 }) },
    decide: (state, event: Event.Event & Used) => {
      const members = (state(name(event)) ?? 0) + 1
      return Effect.succeed(
        Processor.accept<string, number, { readonly members: number }>({
          state: [[name(event), members]],
          adds: { members }
        })
      )
    }
  })
}

const turned = (bytes: Uint8Array | undefined) => bytes?.map((byte) => byte ^ 0xff)

/** Bodies are turned around on the way out and back on the way in: what the application reads is not what is stored. */
const turning = Processor.make<string, never>()({
  name: "turning",
  keys: () => [],
  load: () => Effect.succeed(new Map<string, never>()),
  decide: (_, event) =>
    Either.right(
      Processor.accept<string, never, { readonly payload: Uint8Array | undefined }>({
        adds: { payload: turned(event.payload) }
      })
    ),
  save: () => Effect.void,
  recall: { adds: (_, { payload }) => ({ payload: turned(payload) }) },
  outgoing: { keys: () => [], complete: (_, draft) => Either.right({ ...draft, body: turned(draft.body) }) }
})

class Negative extends Schema.TaggedError<Negative>()("Negative", { n: Schema.Int }) {}
class Mailer extends Context.Tag("test/Mailer")<Mailer, { readonly mail: Effect.Effect<void> }>() {}
class Printer extends Context.Tag("test/Printer")<Printer, { readonly print: Effect.Effect<void> }>() {}
const Message = Schema.Struct({ n: Schema.Int })

// types

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Compiles for `true` only. */
const holds = <T extends true>(): T | undefined => undefined
/** So that what follows cannot hold by accident. */
export const decides = () => {
  // @ts-expect-error they differ
  holds<Equal<1 | 2, 1>>()
  // @ts-expect-error an object without a property is not the one with it
  holds<Equal<{ readonly a?: 1 }, {}>>()
}
type Integrity = LogIntegrity.Fork | LogIntegrity.Outdated | LogIntegrity.LogFull
type Success<F extends (...args: never) => Effect.Effect<unknown, unknown, unknown>> = Effect.Effect.Success<
  ReturnType<F>
>
type Failure<F extends (...args: never) => Effect.Effect<unknown, unknown, unknown>> = Effect.Effect.Error<
  ReturnType<F>
>

const base = Pipeline.make(LogIntegrity.processor)
const stacked = base.pipe(Pipeline.andThen(quota(3)), Pipeline.andThen(classes()))
const mailing = Application.make({
  name: "mailing",
  version: 1,
  message: Message,
  handle: ({ event, message }: Application.Input<typeof Message.Type, Event.Event & { readonly members: number }>) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`SELECT ${event.members}`
      yield* Transaction.afterCommit(Effect.flatMap(Mailer, ({ mail }) => mail))
      if (message.n < 0) return yield* new Negative({ n: message.n })
    })
})
const nothing = Application.make({ name: "nothing", version: 1, message: Message, handle: () => Effect.void })

/** Never run: it is enough that it compiles, and that each line with an expected error does not. */
export const stacking = () => {
  // alone it wants events that nobody makes
  // @ts-expect-error Property 'used' is missing
  StreamController.make({ pipeline: Pipeline.make(classes()), application: nothing })
  // @ts-expect-error the quota comes too late
  StreamController.make({ pipeline: Pipeline.make(classes()).pipe(Pipeline.andThen(quota(3))), application: nothing })
  // @ts-expect-error nothing before it adds `used`
  base.pipe(Pipeline.andThen(classes()))
  // @ts-expect-error the other way round
  base.pipe(Pipeline.andThen(classes()), Pipeline.andThen(quota(3)))
  base.pipe(
    Pipeline.andThen(turning),
    Pipeline.andThen(quota(3)),
    Pipeline.andThen(turning),
    Pipeline.andThen(classes())
  )

  // the system layers: what needs an operation in its place comes behind LogIntegrity, the rest anywhere
  // @ts-expect-error Property 'before' is missing
  StreamController.make({ pipeline: Pipeline.make(Pruning.processor), application: nothing })
  // @ts-expect-error it comes too late
  Pipeline.make(Limits.make()).pipe(Pipeline.andThen(CausalOrder.processor), Pipeline.andThen(LogIntegrity.processor))
  // @ts-expect-error Property 'before' is missing
  Pipeline.make(Deletion.processor).pipe(Pipeline.andThen(Pruning.processor))
  // @ts-expect-error a controller takes no pipeline without LogIntegrity
  StreamController.make({ pipeline: Pipeline.make(Deletion.processor), application: nothing })
  // @ts-expect-error nor one of checks alone
  StreamController.make({ pipeline: Pipeline.make(Limits.make()), application: nothing })
  Pipeline.make(Deletion.processor).pipe(
    Pipeline.andThen(Limits.make()),
    Pipeline.andThen(LogIntegrity.processor),
    Pipeline.andThen(Pruning.processor),
    Pipeline.andThen(Topics.processor),
    Pipeline.andThen(CausalOrder.processor)
  )

  holds<Equal<Pipeline.Error<typeof stacked>, Integrity | QuotaExceeded>>()
  holds<Equal<Pipeline.Out<typeof stacked>["used"], number>>()
  holds<Equal<Pipeline.Out<typeof stacked>["members"], number>>()
  // @ts-expect-error nothing adds `members`
  type None = Pipeline.Out<typeof base>["members"]
  return holds<Equal<None, never>>
}

export const inference = (controller: Effect.Effect.Success<ReturnType<typeof openMailing>>) => {
  type Errors_ = Integrity | QuotaExceeded | Negative
  holds<Equal<Success<typeof controller.process>, Outcome.Outcome<Errors_>>>()
  holds<
    Equal<
      Failure<typeof controller.process>,
      Errors.Invalid | Errors.InboxFull | Errors.InsideTransaction | Errors.Superseded | SqlError
    >
  >()
  type PublishError = Effect.Effect.Error<ReturnType<typeof controller.publish>>
  type Own = Exclude<PublishError, Rejection.BuiltIn | StreamController.Failure>
  holds<Equal<Extract<Own, Errors_>, Errors_>>()
  // nothing but what is named: no unknown, no any, nothing of another application
  type Unsafe = Errors.OwnLogBehind | Errors.OwnLogUnwitnessed | Errors.OwnLogForked
  type Witnessing = Errors.WitnessFailed | Errors.PublishedUnwitnessed
  holds<Equal<Extract<Own, Unsafe | Witnessing>, Unsafe | Witnessing>>()
  type Draft = "InvalidHeader" | "InvalidExtensions" | "MustWait"
  holds<Equal<Own["_tag"], Errors_["_tag"] | Draft | Unsafe["_tag"] | Witnessing["_tag"]>>()
  // every error that names a log of ours can be handed on as it is
  const again = (error: Unsafe) => Effect.zipRight(controller.own.acknowledgeFork(error), controller.own.confirm(error))
  type Confirmed =
    | Errors.OwnLogBehind
    | Errors.OwnLogForked
    | Errors.WitnessFailed
    | Errors.InsideTransaction
    | SqlError
  holds<Equal<Failure<typeof again>, Confirmed>>()
  // @ts-expect-error a log has an author
  controller.own.confirm({ topic })
  // @ts-expect-error it is a topic or a log id that is meant
  controller.own.confirm({ author: controller.own })
  // @ts-expect-error n is a number
  controller.publish({ key: signingKey(1), topic, message: { n: "1" } })
  return controller.publish({ key: signingKey(1), topic, message: { n: 1 } })
}
const openMailing = () => StreamController.make({ pipeline: stacked, application: mailing })

class Mailings extends StreamController.Tag<Mailings>()("test/Mailings", { pipeline: stacked, application: mailing }) {}
class Nothings extends StreamController.Tag<Nothings>()("test/Nothings", { pipeline: base, application: nothing }) {}

const printing = Processor.make<string, number>()({
  name: "printing",
  keys: () => [],
  load: () =>
    Effect.as(
      Effect.flatMap(Printer, ({ print }) => print),
      new Map<string, number>()
    ),
  decide: () => Either.right(Processor.accept<string, number>()),
  save: () => Effect.void
})
class Prints extends StreamController.Tag<Prints>()("test/Prints", {
  pipeline: base.pipe(Pipeline.andThen(printing)),
  application: nothing
}) {}

export const requirements = () => {
  // what a handler needs is what the layer needs; the client and the transaction it gets
  holds<Equal<Layer.Layer.Context<typeof Mailings.layer>, SqlClient.SqlClient | Mailer>>()
  holds<Equal<Layer.Layer.Context<typeof Nothings.layer>, SqlClient.SqlClient>>()
  holds<Equal<Layer.Layer.Context<typeof Prints.layer>, SqlClient.SqlClient | Printer>>()
  holds<Equal<Layer.Layer.Success<typeof Mailings.layer>, Mailings>>()
  holds<Equal<Layer.Layer.Error<typeof Mailings.layer>, StreamController.OpenError>>()
  holds<Equal<Effect.Effect.Context<ReturnType<typeof openMailing>>, SqlClient.SqlClient | Mailer | Scope.Scope>>()
}

export const writes = (client: Layer.Layer<SqlClient.SqlClient>) => {
  const insert = Transaction.statement("INSERT INTO baskets VALUES (1)")
  holds<Equal<Effect.Effect.Context<ReturnType<typeof insert>>, Transaction.Transaction>>()
  // @ts-expect-error a write needs the transaction
  Effect.runPromise(Effect.provide(insert(), client))
  // @ts-expect-error and so does the inbox
  Effect.runPromise(Effect.provide(Inbox.put([]), client))
  // @ts-expect-error and what is to be done after its commit
  Effect.runPromise(Effect.provide(Transaction.afterCommit(Effect.void), client))
  // inside it runs, and a read does anywhere
  const inside = Effect.provide(Transaction.run(Effect.zipRight(insert(), Inbox.put([]))), client)
  return [Effect.runPromise(inside), Effect.runPromise(Effect.provide(Inbox.anyHeld, client))]
}

const sneaky = Processor.make<string, number>()({
  name: "sneaky",
  keys: () => ["x"],
  // reading is no time to write: the writes of an operation that is rejected later would stay
  load: () => Effect.as(Transaction.statement("DELETE FROM baskets")(), new Map<string, number>()),
  decide: () => Either.right(Processor.accept<string, number>()),
  save: () => Effect.void
})

export const purity = (client: Layer.Layer<SqlClient.SqlClient>) => {
  Processor.make<string, number>()({
    name: "impure",
    keys: () => [],
    load: () => Effect.succeed(new Map<string, number>()),
    // @ts-expect-error deciding may not need services
    decide: () => Effect.as(Mailer, Processor.accept<string, number>()),
    save: () => Effect.void
  })
  const make = StreamController.make({ pipeline: base.pipe(Pipeline.andThen(sneaky)), application: nothing })
  // @ts-expect-error loading may not write: nothing provides it with a transaction
  return Effect.runPromise(Effect.scoped(Effect.provide(make, client)))
}

export const reading = () => {
  // the handler reads what a processor adds, so the pipeline has to have it
  StreamController.make({ pipeline: stacked, application: mailing })
  // @ts-expect-error nothing adds `members`
  StreamController.make({ pipeline: base, application: mailing })
  // @ts-expect-error the quota alone does not either
  StreamController.make({ pipeline: base.pipe(Pipeline.andThen(quota(1))), application: mailing })
  Application.make({
    name: "unasked",
    version: 1,
    message: Message,
    // @ts-expect-error nobody has said that there would be `members`
    handle: ({ event }) => Effect.log(event.members)
  })
}

// at work

const topic = Topic.named(native, "apples")
const body = (n: number): Uint8Array => Either.getOrThrow(Cbor.encode({ n }))

/** Writes down what it sees, and says no to negative numbers. */
const seeing = Application.make({
  name: "seeing",
  version: 1,
  message: Message,
  handle: ({
    event,
    message,
    position
  }: Application.Input<
    typeof Message.Type,
    Event.Event & { readonly members: number; readonly used: number; readonly inLog: number }
  >) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO seen (id, position, n, used, in_log, members)
        VALUES (${event.id}, ${position}, ${message.n}, ${event.used}, ${event.inLog}, ${event.members})`
      if (message.n < 0) return yield* new Negative({ n: message.n })
    })
})
const open = (limit: number, batchSize: number, calls: { readonly quota: Calls; readonly classes: Calls }) =>
  StreamController.make({
    pipeline: base.pipe(
      Pipeline.andThen(turning),
      Pipeline.andThen(quota(limit, calls.quota)),
      Pipeline.andThen(classes(calls.classes))
    ),
    application: seeing,
    batchSize
  })
const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) => {
  const table = Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`CREATE TABLE seen (id TEXT, position INTEGER, n INTEGER, used INTEGER, in_log INTEGER, members INTEGER)`
  )
  return Effect.scoped(Effect.provide(Effect.zipRight(table, self), SqliteClient.layer({ filename: ":memory:" })))
}
const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return {
    ...(yield* state),
    seen: yield* sql`SELECT * FROM seen ORDER BY position`,
    quotas: yield* sql<{ name: string; n: number }>`SELECT * FROM quotas ORDER BY name`,
    classes: yield* sql<{ name: string; n: number }>`SELECT * FROM classes ORDER BY name`
  }
})

/** Three authors with two logs between them: the limit is met, numbers are negative, a body is no message. */
const deliveries = (): ReadonlyArray<Operation.Raw> => {
  const [parrot, horse, mouse] = [1, 2, 3].map((seed) => new Author(native, seed, topic))
  const pears = new Author(native, 1, Topic.named(native, "pears"))
  if (parrot === undefined || horse === undefined || mouse === undefined) return assert.fail("three authors")
  const numbers = (author: Author, ...all: ReadonlyArray<number>) => all.map((n) => author.next(turned(body(n))))
  const logs = [
    numbers(parrot, 1, 2, 3, 4),
    numbers(horse, 5, 6, -1, 7),
    numbers(pears, 8, 9),
    [...numbers(mouse, 10), mouse.next(Uint8Array.of(1, 2, 3)), ...numbers(mouse, 11)]
  ]
  // one of each in turn
  return [0, 1, 2, 3].flatMap((round) => logs.flatMap((log) => log[round] ?? [])).map(Operation.raw)
}

describe("processors of one's own", () => {
  it.effect("do the same at every batch size", () =>
    Effect.gen(function* () {
      const ends = yield* Effect.forEach([1, 2, 7, 100], (batchSize) =>
        fresh(
          Effect.gen(function* () {
            const calls = { quota: noCalls(), classes: noCalls() }
            const controller = yield* open(4, batchSize, calls)
            const answers = yield* controller.processAll(deliveries())
            return { answers, tables: yield* tables, status: yield* controller.status }
          })
        )
      )
      for (const end of ends) assert.deepStrictEqual(end, ends[0])
      const [{ answers, status, tables: found } = assert.fail("no end")] = ends
      const processors = answers.flatMap((one) => (one._tag === "Rejected" ? [one.processor] : []))
      assert.deepStrictEqual(processors.toSorted(), ["quota", "seeing", "seeing"])
      assert.deepInclude(status, { accepted: 7, rejected: 3, waiting: 3 })
      assert.lengthOf(found.seen, 7)
    })
  )

  it.effect("are loaded and saved once for a batch, with what changed", () =>
    Effect.gen(function* () {
      for (const batchSize of [1, 2, 7, 100]) {
        const calls = { quota: noCalls(), classes: noCalls() }
        const answers = yield* fresh(
          Effect.flatMap(open(4, batchSize, calls), (controller) => controller.processAll(deliveries()))
        )
        const batches = Array.from({ length: Math.ceil(answers.length / batchSize) }, (_, n) =>
          answers.slice(n * batchSize, (n + 1) * batchSize)
        )
        const changing = batches.filter((batch) => batch.some(({ _tag }) => _tag === "Accepted"))
        // The batch in which a handler first failed after it had written was run once more.
        assert.lengthOf(calls.quota.load, batches.length + 1, `loads at ${batchSize}`)
        assert.lengthOf(calls.quota.save, changing.length, `saves at ${batchSize}`)
        assert.lengthOf(calls.classes.save, changing.length, `saves at ${batchSize}`)
        // of two keys, that is
        assert.isTrue(calls.quota.load.flat().some((key) => key.startsWith("log ")))
        // a key that an earlier processor's addition names is asked for once in a batch
        for (const keys of calls.classes.load) assert.lengthOf(keys, 1)
        if (batchSize === 100) assert.lengthOf(calls.classes.load, 2 * 2)
      }
    })
  )

  it.effect("forget the state of a rejected operation", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open(10, 100, { quota: noCalls(), classes: noCalls() })
        const [parrot, horse] = [new Author(native, 1, topic), new Author(native, 2, topic)]
        const next = (author: Author, n: number) => Operation.raw(author.next(turned(body(n))))
        // the application says no to the second one, in the same batch as the ones around it
        yield* controller.processAll([next(parrot, 1), next(horse, -1), next(parrot, 2), next(parrot, -2)])
        const found = yield* tables
        assert.deepStrictEqual(
          found.quotas.map(({ n }) => n),
          [2, 2]
        )
        assert.deepStrictEqual<unknown>(found.classes, [
          { name: "class even", n: 1 },
          { name: "class odd", n: 1 }
        ])
        assert.lengthOf(found.seen, 2)
        // and it does not come back with the next batch
        yield* controller.replay()
        assert.deepStrictEqual((yield* tables).quotas, found.quotas)
      })
    )
  )

  it.effect("replace what the application reads, and seal what is sent", () =>
    Effect.gen(function* () {
      const calls = { quota: noCalls(), classes: noCalls() }
      const sent = yield* fresh(
        Effect.gen(function* () {
          const controller = yield* open(2, 100, calls)
          const publish = (n: number) => controller.publish({ key: signingKey(1), topic, message: { n } })
          const first = yield* publish(41)
          const before = yield* tables
          // nothing remains of what the application or a processor refuses
          assert.strictEqual((yield* Effect.flip(publish(-41)))._tag, "Negative")
          assert.deepStrictEqual(yield* tables, before)
          const second = yield* publish(42)
          assert.strictEqual(second.operation.header.backlink, first.id)
          assert.strictEqual((yield* Effect.flip(publish(43)))._tag, "QuotaExceeded")
          assert.deepStrictEqual(
            (yield* tables).seen.map((row) => row["n"]),
            [41, 42]
          )
          return [first.operation, second.operation]
        })
      )
      assert.deepStrictEqual(
        sent.map(({ body: stored }) => stored),
        [turned(body(41)), turned(body(42))]
      )
      // another peer reads them
      const found = yield* fresh(
        Effect.gen(function* () {
          const controller = yield* open(2, 100, calls)
          yield* controller.processAll(sent.map(Operation.raw))
          return yield* tables
        })
      )
      assert.deepStrictEqual(
        found.seen.map((row) => row["n"]),
        [41, 42]
      )
    })
  )

  it("of one name cannot be told apart", () => {
    assert.throws(
      () => base.pipe(Pipeline.andThen(quota(1)), Pipeline.andThen(quota(2))),
      /Two processors are called "quota"/
    )
  })
})
