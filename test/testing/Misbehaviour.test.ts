/** Whatever a handler does: its operation alone is rejected for it, nothing of it is left, and the others and later calls go on. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Consumer from "../../src/pipeline/Consumer.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Misbehaviour from "../../src/testing/Misbehaviour.ts"
import * as Promises from "../../src/testing/Promises.ts"
import { native } from "../core/support.ts"
import * as Child from "../support/childProcess.ts"

const deed = (author: number) => History.say(author, { body: Uint8Array.of(author + 1, 2) })
/** Two logs; `b0` is the one that is mistreated. */
const history = History.write(native, [deed(0), deed(1), deed(0), deed(1)])
const [a0, b0, a1, b1] = history.operations.map(Operation.raw)
const raws = [a0, b0, a1, b1].flatMap((raw) => raw ?? [])

const crypto = Layer.succeed(Crypto.Crypto, native)
const pipeline = Pipeline.make(LogIntegrity.processor)
const journal = { ...Journal.application, timeLimit: Duration.millis(50) }
const only = <E, R>(misbehaviour: Misbehaviour.Misbehaviour<E, R>): Misbehaviour.Choose<unknown, E, R> => {
  const id = history.operations[1]?.id
  return (event) => (event.id === id ? misbehaviour : undefined)
}
const open = (misbehaviour: Misbehaviour.Misbehaviour<unknown, SqlClient.SqlClient>) =>
  StreamController.make({ pipeline, application: Misbehaviour.when(journal, only(misbehaviour)), crypto })

const test = <E>(name: string, self: Effect.Effect<unknown, E, SqlClient.SqlClient | Scope.Scope>) =>
  it.live(name, () => Effect.scoped(Effect.provide(self, SqliteClient.layer({ filename: ":memory:" }))))

/** What was answered, in few words. */
const word = (answer: { readonly _tag: string; readonly error?: unknown }) =>
  answer.error instanceof Error ? answer.error.name : answer._tag

const holds = Effect.map(Promises.broken({ history }), (broken) => assert.deepStrictEqual(broken, []))

describe("a handler that", () => {
  const kinds: ReadonlyArray<
    readonly [what: string, how: Misbehaviour.Misbehaviour<unknown, SqlClient.SqlClient>, answer: string]
  > = [
    ["throws", Misbehaviour.throws, "Defect"],
    ["fails", Misbehaviour.fails(new RangeError("no")), "RangeError"],
    ["dies", Misbehaviour.dies, "Defect"],
    ["interrupts itself", Misbehaviour.interrupts, "Defect"],
    ["never returns", Misbehaviour.hangs, "TimeLimitExceeded"],
    ["sleeps past its limit", Misbehaviour.sleeps("1 hour"), "TimeLimitExceeded"],
    ["begins a transaction", Misbehaviour.begins, "StatementFailed"],
    ["commits", Misbehaviour.commits, "StatementFailed"],
    ["rolls back", Misbehaviour.rollsBack, "StatementFailed"],
    ["breaks a constraint", Misbehaviour.violates, "StatementFailed"],
    ["breaks a constraint of the commit", Misbehaviour.violatesAtCommit, "StatementFailed"]
  ]
  for (const [what, how, answer] of kinds) {
    test(
      `${what} has its operation rejected, and costs nobody else anything`,
      Effect.gen(function* () {
        const controller = yield* open(how)
        const answers = yield* controller.processAll(raws)
        assert.deepStrictEqual(answers.map(word), ["Accepted", answer, "Accepted", "Deferred"])
        yield* holds
        // The same alone, from the inbox, and as one of our own.
        yield* controller.replay()
        yield* holds
        assert.deepInclude(yield* controller.status, { accepted: 2, waiting: 1 })
        const topic = History.topic(native, 0)
        const message = Uint8Array.of(9)
        const { seqNum } = yield* controller.publish({ key: History.signingKey(0), topic, message })
        assert.strictEqual(seqNum, 2)
        assert.deepStrictEqual(yield* Promises.broken(), [])
      })
    )
  }

  test(
    "nests a transaction may",
    Effect.gen(function* () {
      const controller = yield* open(Misbehaviour.nests)
      assert.deepStrictEqual((yield* controller.processAll(raws)).map(word), Array(4).fill("Accepted"))
      yield* holds
    })
  )

  test(
    "detaches a fiber that writes late writes into no transaction",
    Effect.gen(function* () {
      const late = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const controller = yield* open(
        Misbehaviour.detaches(Deferred.await(late), (exit) => Deferred.unsafeDone(ended, Effect.succeed(exit)))
      )
      assert.deepStrictEqual((yield* controller.processAll(raws)).map(word), Array(4).fill("Accepted"))
      yield* Deferred.succeed(late, undefined)
      const exit = yield* Deferred.await(ended)
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.strictEqual(error instanceof Error ? error.name : undefined, "TransactionClosed")
      yield* holds
    })
  )

  test(
    "misbehaves once only, after it has written, is run once more and forgiven",
    Effect.gen(function* () {
      const application = Misbehaviour.when(journal, Misbehaviour.nth(2, Misbehaviour.fails(new RangeError("no"))))
      const controller = yield* StreamController.make({ pipeline, application, crypto })
      assert.deepStrictEqual(
        (yield* controller.processAll(raws)).map(word),
        raws.map(() => "Accepted")
      )
      yield* holds
    })
  )
})

describe("a consumer that", () => {
  const kinds: ReadonlyArray<
    readonly [what: string, how: Misbehaviour.Misbehaviour<unknown, SqlClient.SqlClient>, reason: string]
  > = [
    ["throws", Misbehaviour.throws, "Defect"],
    ["fails", Misbehaviour.fails(new RangeError("no")), "RangeError"],
    ["dies", Misbehaviour.dies, "Defect"],
    ["interrupts itself", Misbehaviour.interrupts, "Defect"],
    ["never returns", Misbehaviour.hangs, "TimeLimitExceeded"],
    ["commits", Misbehaviour.commits, "StatementFailed"],
    ["breaks a constraint of the commit", Misbehaviour.violatesAtCommit, "StatementFailed"]
  ]
  for (const [what, how, reason] of kinds) {
    test(
      `${what} has that operation parked, and is handed the others`,
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const seen = Consumer.bytes({
          name: "seen",
          version: 1,
          timeLimit: "50 millis",
          migrations: [{ name: "seen", up: ["CREATE TABLE seen (id TEXT NOT NULL)"] }],
          handle: ({ event }) => sql`INSERT INTO seen VALUES (${event.id})`
        })
        const consumer = Misbehaviour.whenConsuming(seen, only(how))
        const controller = yield* StreamController.make({
          pipeline,
          application: journal,
          consumers: [consumer],
          crypto
        })
        yield* controller.processAll(raws)
        yield* controller.drain
        const rows = yield* sql<{ id: string }>`SELECT id FROM seen`
        assert.deepStrictEqual(
          rows.map(({ id }) => history.names.get(id)),
          ["a0", "a1", "b1"]
        )
        const parked = yield* controller.consumers.parked("seen")
        assert.deepStrictEqual(
          parked.map(({ reason: { tag } }) => tag),
          [reason]
        )
        yield* holds
      })
    )
  }
})

describe("a processor that", () => {
  const plain = Processor.stateless({ name: "plain", decide: () => Effect.succeed(Processor.accept()) })
  for (const [what, how] of [
    ["throws", Misbehaviour.throws],
    ["dies", Misbehaviour.dies],
    ["interrupts itself", Misbehaviour.interrupts]
  ] as const) {
    test(
      `${what} has that operation rejected`,
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: pipeline.pipe(Pipeline.andThen(Misbehaviour.whenDeciding(plain, only(how)))),
          application: journal,
          crypto
        })
        const answers = yield* controller.processAll(raws)
        assert.deepStrictEqual(answers.map(word), ["Accepted", "Defect", "Accepted", "Deferred"])
        yield* holds
      })
    )
  }
})

describe("a handler that exits the process", () => {
  it.live(
    "leaves nothing of its operation and of those it shares a transaction with",
    () =>
      Effect.gen(function* () {
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "applecart-exit-"))),
          (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
        )
        const start = yield* Child.build(directory, path.join(import.meta.dirname, "Misbehaviour.child.ts"))
        const filename = path.join(directory, "exit.db")
        for (const nth of [1, 2, 3]) {
          const { code, stderr } = yield* start(filename, String(nth)).ended
          assert.deepStrictEqual([stderr, code], ["", 7])
          const broken = yield* Effect.provide(Promises.broken(), SqliteClient.layer({ filename }))
          assert.deepStrictEqual(broken, [])
          const database = new Sqlite(filename)
          const count = database.prepare<[], number>("SELECT count(*) FROM applecart_operations").pluck().get()
          database.close()
          assert.strictEqual(count, 0, `exited at operation ${nth}`)
        }
        const { code, stderr } = yield* start(filename, "9").ended
        assert.deepStrictEqual([stderr, code], ["", 0])
      }).pipe(Effect.scoped),
    120_000
  )
})

describe("an application", () => {
  test(
    "is handed on whole where nothing is chosen",
    Effect.gen(function* () {
      const { encode, forget, name, version } = Misbehaviour.when(Application.none, () => undefined)
      const none = Application.none
      assert.deepStrictEqual([encode, forget, name, version], [none.encode, none.forget, none.name, none.version])
      yield* Effect.void
    })
  )
})
