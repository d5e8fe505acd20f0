import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Application from "../../src/pipeline/Application.ts"
import * as Consumer from "../../src/pipeline/Consumer.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import { Author, database, state } from "../support/Peer.ts"

const write = (table: string, position: number, text: Uint8Array | undefined) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`INSERT INTO ${sql(table)} (position, text) VALUES (${position}, ${text ?? null})`
  )

const remove = (table: string, operations: ReadonlyArray<{ readonly position: number }>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(operations, ({ position }) => sql`DELETE FROM ${sql(table)} WHERE position = ${position}`)
  )

const open = (sent: Ref.Ref<number>, reset = true) =>
  StreamController.make({
    pipeline: Pipeline.make(LogIntegrity.processor).pipe(
      Pipeline.andThen(CausalOrder.processor),
      Pipeline.andThen(Pruning.processor)
    ),
    application: Application.bytes({
      name: "texts",
      version: 1,
      migrations: [
        {
          name: "texts",
          up: ["CREATE TABLE texts (nr INTEGER PRIMARY KEY AUTOINCREMENT, position INTEGER NOT NULL, text BLOB)"]
        }
      ],
      reset: reset ? Application.emptying("texts") : undefined,
      handle: ({ message, position }) =>
        Effect.zipRight(Transaction.afterCommit(Ref.update(sent, (n) => n + 1)), write("texts", position, message)),
      forget: ({ operations }) => remove("texts", operations)
    }),
    consumers: [
      Consumer.bytes({
        name: "copies",
        version: 1,
        migrations: [
          { name: "copies", up: ["CREATE TABLE copies (position INTEGER PRIMARY KEY, text BLOB) WITHOUT ROWID"] }
        ],
        reset: Application.emptying("copies"),
        handle: ({ message, position }) => write("copies", position, message),
        forget: ({ operations }) => remove("copies", operations)
      })
    ]
  })

/** A log with a prune operation in it, and one without. */
const filled = (controller: Effect.Effect.Success<ReturnType<typeof open>>) =>
  Effect.gen(function* () {
    const topic = Topic.named(native, "texts")
    const [parrot, horse] = [1, 2].map((seed) => new Author(native, seed, topic))
    for (let n = 0; n < 12; n++) {
      parrot?.next(new Uint8Array([n]), n === 5)
      horse?.next(new Uint8Array([n, n]))
    }
    for (const author of [parrot, horse]) yield* controller.processAll((author?.operations ?? []).map(Operation.raw))
    yield* controller.drain
  })

describe("StreamController.verify", () => {
  it.scoped("says that everything is as a rebuild makes it, and leaves no trace", () =>
    Effect.gen(function* () {
      const sent = yield* Ref.make(0)
      const controller = yield* open(sent)
      yield* filled(controller)
      const [before, count] = [yield* state, yield* Ref.get(sent)]
      const consumers = yield* controller.consumers.status
      const report = yield* controller.verify()
      assert.deepStrictEqual(report.findings, [])
      assert.deepStrictEqual(report.rebuilt, ["processor:causal-order", "texts", "copies"])
      assert.deepStrictEqual(report.notRebuilt, [])
      assert.includeMembers([...report.tables], ["applecart_causal", "applecart_causal_edges", "copies", "texts"])
      assert.deepStrictEqual(yield* state, before)
      assert.deepStrictEqual(yield* controller.consumers.status, consumers)
      assert.strictEqual(yield* Ref.get(sent), count)
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT name FROM sqlite_temp_schema`, [])
    }).pipe(Effect.provide(database))
  )

  it.scoped("names what differs, in every table, and what was to be left out", () =>
    Effect.gen(function* () {
      const controller = yield* open(yield* Ref.make(0))
      yield* filled(controller)
      const sql = yield* SqlClient.SqlClient
      yield* sql`UPDATE texts SET text = x'ff' WHERE position = (SELECT max(position) FROM texts)`
      yield* sql`DELETE FROM copies WHERE position = (SELECT max(position) FROM copies)`
      yield* sql`UPDATE applecart_causal SET named = 1 - named WHERE vertex = (SELECT max(vertex) FROM applecart_causal)`
      const { findings } = yield* controller.verify()
      const count = (table: string) => findings.filter((one) => one.table === table).length
      assert.deepStrictEqual([count("texts"), count("copies"), count("applecart_causal")], [2, 1, 2])
      assert.match(
        findings.find(({ table }) => table === "copies")?.message ?? "",
        /a rebuild makes this row, and it is not here/
      )
      const less = yield* controller.verify({ ignore: ["texts.text", "copies", "applecart_causal"] })
      assert.deepStrictEqual(less.findings, [])
    }).pipe(Effect.provide(database))
  )

  it.scoped("names whom it cannot rebuild", () =>
    Effect.gen(function* () {
      const controller = yield* open(yield* Ref.make(0), false)
      yield* filled(controller)
      const { findings, notRebuilt } = yield* controller.verify()
      assert.deepStrictEqual([findings, notRebuilt], [[], ["texts"]])
    }).pipe(Effect.provide(database))
  )
})
