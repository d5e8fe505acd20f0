/**
 * What somebody writes who has installed the package: a processor and a pipeline of one's own, an application that reads
 * what the processor adds, a tag and its layer. `fresh.sh` type-checks and runs it in a project of its own.
 */
import { SqlClient } from "@effect/sql"
import { SqliteClient } from "@effect/sql-sqlite-node"
import {
  Application,
  Crypto,
  LogIntegrity,
  Operation,
  Pipeline,
  Processor,
  SigningKey,
  StreamController,
  Topic,
  Transaction,
  VerifyingKey
} from "applecart"
import { Context, Effect, Either, Layer, Schema } from "effect"
import * as assert from "node:assert"

class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", { limit: Schema.Int }) {}

const saveUsed = Transaction.statement("INSERT OR REPLACE INTO quota (author, used) VALUES (?, ?)")
const loadUsed = Transaction.query("SELECT author, used FROM quota WHERE author IN (SELECT value FROM json_each(?))")
const Used = Schema.Struct({ author: VerifyingKey.Schema, used: Schema.Int })

/** At most `limit` operations an author. */
const quota = (limit: number) =>
  Processor.make<VerifyingKey.VerifyingKey, number>()({
    name: "quota",
    migrations: [{ name: "used", up: ["CREATE TABLE quota (author TEXT PRIMARY KEY, used INTEGER NOT NULL)"] }],
    keys: (event) => [event.operation.header.verifyingKey],
    load: (keys) =>
      loadUsed(JSON.stringify(keys)).pipe(
        Effect.map(
          (rows) => new Map(rows.map((row) => Schema.decodeUnknownSync(Used)(row)).map((r) => [r.author, r.used]))
        )
      ),
    decide: (state, event) => {
      const author = event.operation.header.verifyingKey
      const used = (state(author) ?? 0) + 1
      return used > limit
        ? Either.left(new QuotaExceeded({ limit }))
        : Either.right(Processor.accept({ state: [[author, used]], adds: { used } }))
    },
    recall: { keys: ({ author }) => [author], adds: (state, { author }) => ({ used: state(author) ?? 0 }) },
    save: (changed) => Effect.forEach(changed, ([author, used]) => saveUsed(author, used), { discard: true })
  })

const pipeline = Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(quota(2)))

class Shop extends Context.Tag("Shop")<Shop, { readonly price: number }>() {}
class TooExpensive extends Schema.TaggedError<TooExpensive>()("TooExpensive", { price: Schema.Int }) {}
const Order = Schema.Struct({ apples: Schema.Int })

const orders = Application.make({
  name: "orders",
  version: 1,
  message: Order,
  handle: ({ event, message }: Application.Input<typeof Order.Type, Pipeline.Out<typeof pipeline>>) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const price = (yield* Shop).price * message.apples
      yield* sql`INSERT INTO orders (number, price) VALUES (${event.used}, ${price})`
      if (price > 100) return yield* new TooExpensive({ price })
    })
})

class Orders extends StreamController.Tag<Orders>()("Orders", { pipeline, application: orders }) {}

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE orders (number INTEGER, price INTEGER)`
  const controller = yield* Orders
  const key = yield* SigningKey.generate
  const topic = Topic.named(yield* Crypto.Crypto, "orders")
  const order = (apples: number) => controller.publish({ key, topic, message: { apples } })

  const first = yield* order(1)
  const known = yield* controller.process(Operation.raw(first.operation))
  assert.strictEqual(known._tag, "Known")
  const expensive = yield* order(11).pipe(
    Effect.catchTag("TooExpensive", ({ price }) => Effect.succeed(price)),
    Effect.catchTag("QuotaExceeded", () => Effect.succeed("quota"))
  )
  assert.strictEqual(expensive, 110)
  yield* order(2)
  assert.deepStrictEqual(yield* Effect.flip(order(3)), new QuotaExceeded({ limit: 2 }))
  const rows = yield* sql`SELECT number, price FROM orders ORDER BY number`
  assert.deepStrictEqual(rows, [
    { number: 1, price: 10 },
    { number: 2, price: 20 }
  ])
  yield* Effect.log("a pipeline of one's own works")
})

const Live = Layer.merge(Orders.layer, Crypto.layer).pipe(
  Layer.provide(Layer.succeed(Shop, { price: 10 })),
  Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" }))
)

await Effect.runPromise(Effect.provide(program, Live))
