import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as path from "node:path"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import type { VerifyingKey } from "../../src/core/VerifyingKey.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as Peer from "../support/Peer.ts"
import { application, key, Message, noted, open, publish, reader, status, test, topic } from "../support/Reading.ts"

const upsert = Transaction.statement(`INSERT INTO counts VALUES (?, ?) ON CONFLICT DO UPDATE SET n = excluded.n`)

class TooMany extends Schema.TaggedError<TooMany>()("TooMany", {}) {}

/** Counts by author; the first version counts each twice, which is a mistake. */
const counting = (version: number, most = Infinity) =>
  Processor.make<VerifyingKey, number>()({
    name: "counting",
    version,
    migrations: [{ name: "counts", up: ["CREATE TABLE counts (author TEXT PRIMARY KEY, n INTEGER NOT NULL)"] }],
    reset: Transaction.statement("DELETE FROM counts")(),
    keys: ({ author }) => [author],
    load: (keys) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const rows = yield* sql<{
          author: VerifyingKey
          n: number
        }>`SELECT * FROM counts WHERE ${sql.in("author", keys)}`
        return new Map(rows.map(({ author, n }) => [author, n]))
      }),
    decide: (state, { author }) => {
      const n = (state(author) ?? 0) + (version === 1 ? 2 : 1)
      return n > most ? Either.left(new TooMany()) : Either.right(Processor.accept({ state: [[author, n]] }))
    },
    save: (changed) => Effect.forEach(changed, ([author, n]) => upsert(author, n), { discard: true })
  })

const counts = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql<{ n: number }>`SELECT n FROM counts`, (rows) => rows.map(({ n }) => n))
)

const openWith = (processor: ReturnType<typeof counting>) =>
  StreamController.make({
    pipeline: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(processor)),
    application: application(),
    batchSize: 2
  })

describe("a processor", () => {
  test(
    "whose mistake was mended decides again about everything, before anything new is accepted",
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(openWith(counting(1)), (controller) => publish(controller, 1, 2, 3)))
      assert.deepStrictEqual(yield* counts, [6])
      const controller = yield* openWith(counting(2))
      yield* publish(controller, 4)
      assert.deepStrictEqual(yield* counts, [4])
      assert.strictEqual(yield* noted("app"), "1 2 3 4")
    })
  )

  test(
    "that does not accept something again leaves it accepted, and says so",
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(openWith(counting(1)), (controller) => publish(controller, 1, 2, 3)))
      const controller = yield* openWith(counting(2, 2))
      yield* controller.drain
      const parked = yield* controller.consumers.parked("processor:counting")
      assert.deepStrictEqual(
        parked.map(({ position, reason }) => [position, reason.tag]),
        [[3, "TooMany"]]
      )
      assert.strictEqual((yield* controller.status).accepted, 3)
      assert.deepStrictEqual(yield* counts, [2])
    })
  )

  test(
    "that comes later, or was away for a while, is built from what was accepted",
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(open([]), (controller) => publish(controller, 1)))
      yield* Effect.scoped(Effect.flatMap(openWith(counting(2)), (controller) => publish(controller, 2)))
      assert.deepStrictEqual(yield* counts, [2])
      yield* Effect.scoped(Effect.flatMap(open([]), (controller) => publish(controller, 3)))
      const controller = yield* openWith(counting(2))
      yield* publish(controller, 4)
      assert.deepStrictEqual(yield* counts, [4])
    })
  )

  test(
    "of ours has the state that it had, when it is built anew",
    Effect.gen(function* () {
      const controller = yield* StreamController.make({
        pipeline: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(CausalOrder.make({ tips: true }))),
        application: application()
      })
      const sql = yield* SqlClient.SqlClient
      const graph = Effect.all([
        sql`SELECT hex(id), hex(log_id), own, time, counter, named FROM applecart_causal ORDER BY id`,
        sql`SELECT hex(e.parent), hex(v.id) FROM applecart_causal_edges e JOIN applecart_causal v ON v.vertex = e.child ORDER BY 1, 2`
      ])
      const other = Peer.signingKey(2)
      const about = { topic: yield* topic }
      for (let n = 0; n < 20; n++)
        yield* controller.publish({ ...about, key: n % 3 === 0 ? key : other, message: { n } })
      const live = yield* graph
      yield* controller.consumers.rebuild("processor:causal-order")
      yield* controller.drain
      assert.deepStrictEqual(yield* graph, live)
      assert.isAbove(live[1].length, 20)
    })
  )

  test(
    "is not asked about what was skipped, with a body or without, as it was not asked then",
    Effect.gen(function* () {
      const controller = yield* StreamController.make({
        pipeline: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(counting(2))),
        application: Application.bytes({ ...application(), handle: () => new TooMany() }),
        consumers: [reader("late")],
        policy: () => Policy.skip
      })
      const writer = new Peer.Author(yield* Crypto.Crypto, 2, yield* topic)
      for (const one of [writer.next(Uint8Array.of(1)), writer.next(undefined)]) {
        assert.deepInclude(yield* controller.process(Operation.raw(one)), { _tag: "Rejected" })
      }
      yield* controller.consumers.rebuild("processor:counting")
      yield* controller.drain
      assert.deepInclude(yield* controller.status, { accepted: 2, skipped: 2 })
      assert.deepStrictEqual(yield* counts, [])
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT how FROM late_gone`, [{ how: "skipped" }, { how: "skipped" }])
    })
  )
})

/** The second version has tables of its own; readers see them when they are ready. */
const shown = (version: number) =>
  Application.make({
    name: "shown",
    version,
    migrations: [1, 2]
      .slice(0, version)
      .map((v) => ({ name: `v${v}`, up: [`CREATE TABLE shown_v${v} (n INTEGER NOT NULL)`] })),
    reset: Application.emptying(`shown_v${version}`),
    ready: Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql`DROP VIEW IF EXISTS shown`.pipe(
        Effect.zipRight(sql`CREATE VIEW shown AS SELECT n FROM ${sql(`shown_v${version}`)}`)
      )
    ),
    message: Message,
    handle: ({ message: { n } }) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO ${sql(`shown_v${version}`)} VALUES (${n * version})`)
  })

describe("while an application is built", () => {
  test(
    "its old tables serve reads, until the new ones are there at once",
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const seen = Effect.map(sql<{ n: number }>`SELECT n FROM shown`, (rows) => rows.map(({ n }) => n).join(" "))
      const openAt = (version: number) =>
        StreamController.make({
          pipeline: Pipeline.make(LogIntegrity.processor),
          application: shown(version),
          batchSize: 1
        })
      yield* Effect.scoped(Effect.flatMap(openAt(1), (controller) => publish(controller, 1, 2, 3)))
      const controller = yield* openAt(2)
      const reads = yield* Effect.fork(
        Stream.runCollect(
          controller.consumers.progress.pipe(
            Stream.take(3),
            Stream.mapEffect(() => seen)
          )
        )
      )
      yield* Effect.yieldNow()
      assert.strictEqual(yield* seen, "1 2 3")
      yield* controller.drain
      const all = Array.from(yield* Fiber.join(reads))
      assert.isTrue(all.every((read) => read === "1 2 3" || read === "2 4 6"))
      assert.strictEqual(yield* seen, "2 4 6")
    })
  )

  test(
    "what is received meanwhile is kept, and handled behind it in its order",
    Effect.gen(function* () {
      yield* Effect.scoped(Effect.flatMap(open([]), (controller) => publish(controller, 1, 2, 3)))
      const writer = new Peer.Author(yield* Crypto.Crypto, 2, yield* topic)
      const controller = yield* open([], application(2), { batchSize: 1 })
      const raws = [4, 5].map((n) => {
        const { body, headerBytes } = writer.next(Either.getOrThrow(application().encode({ n })))
        return { header: headerBytes, body }
      })
      yield* controller.receiveAll(raws)
      assert.strictEqual((yield* controller.status).queued, 2)
      assert.strictEqual(yield* noted("app"), "1 2 3")
      yield* controller.drain
      assert.strictEqual(yield* noted("app"), "1* 2* 3* 4 5")
    })
  )

  it.effect("two programs do it together, each operation once", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* Peer.directory, "peer.db")
      const on = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope | Crypto.Crypto>) =>
        Effect.scoped(self).pipe(Effect.provide(Layer.merge(SqliteClient.layer({ filename }), Crypto.layer)))
      const numbers = Array.from({ length: 40 }, (_, n) => n)
      yield* on(Effect.flatMap(open([reader("one")]), (controller) => publish(controller, ...numbers)))
      const drain = on(
        Effect.flatMap(open([reader("one", 2)], application(2), { batchSize: 1 }), (controller) => controller.drain)
      )
      yield* Effect.all([drain, drain, drain], { concurrency: "unbounded" })
      const expected = numbers.map((n) => `${n}*`).join(" ")
      yield* on(
        Effect.gen(function* () {
          assert.strictEqual(yield* noted("app"), expected)
          // It had not been handed anything before.
          assert.strictEqual(yield* noted("one"), numbers.join(" "))
        })
      )
    }).pipe(Effect.scoped)
  )
})

describe("a fault", () => {
  const database = SqlFaults.layer.pipe(Layer.provideMerge(Peer.database))

  it.scoped("at any statement of a build, a replay or a retry leaves nothing undone and nothing done twice", () =>
    Effect.gen(function* () {
      const faults = yield* SqlFaults.SqlFaults
      // Each trial empties the database and publishes anew, which a witness would not let it.
      const witness = false
      const trial = Effect.gen(function* () {
        const odd = (n: number) => n % 2 === 1
        yield* Effect.scoped(
          Effect.gen(function* () {
            const controller = yield* open([reader("one")], undefined, { witness })
            yield* publish(controller, 1, 2, 3, 4)
            yield* controller.drain
          })
        )
        yield* faults.reset
        return Effect.gen(function* () {
          const controller = yield* open([reader("one", 2, odd)], application(2), { batchSize: 1, witness })
          yield* controller.drain
          yield* controller.consumers.retry("one", [1])
          yield* controller.drain
          yield* controller.consumers.replay({ consumer: "app", from: 3, to: 4 })
        })
      })
      const check = Effect.gen(function* () {
        const controller = yield* open([reader("one", 2, odd)], application(2), { witness })
        yield* controller.drain
        assert.strictEqual(yield* noted("one"), "2* 4*")
        assert.deepInclude(yield* status(controller, "one"), { parked: 2, lag: 0, state: "live" })
        const app = yield* noted("app")
        // The replay may have been asked for or not; then it was done whole.
        assert.include(["1* 2* 3* 4*", "1* 2* 3* 4* 3* 4*"], app)
        assert.deepStrictEqual(yield* controller.consumers.replays, [])
      })
      const odd = (n: number) => n % 2 === 1
      const fresh = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const tables = yield* sql<{
          name: string
        }>`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`
        yield* sql`PRAGMA foreign_keys = OFF`
        for (const { name } of tables) yield* sql`DROP TABLE ${sql(name)}`
        yield* sql`DELETE FROM sqlite_sequence`
        yield* sql`PRAGMA foreign_keys = ON`
      })
      yield* Effect.scoped(Effect.flatten(trial))
      const statements = yield* faults.count
      assert.isAbove(statements, 100)
      for (const [index, fault] of [
        SqlFaults.failBefore("io"),
        SqlFaults.failAfter("full"),
        SqlFaults.failBefore("busy")
      ].entries()) {
        for (let at = 1 + index; at <= statements; at += 3) {
          yield* faults.reset
          yield* fresh
          const scenario = yield* trial
          yield* faults.arm({ at, fault })
          yield* Effect.exit(Effect.scoped(scenario))
          yield* faults.disarm
          const checked = yield* Effect.exit(Effect.scoped(check))
          if (Exit.isFailure(checked)) return assert.fail(`statement ${at}, ${fault._tag}: ${String(checked.cause)}`)
        }
      }
    }).pipe(Effect.provide(Layer.merge(database, Crypto.layer)))
  )
})
