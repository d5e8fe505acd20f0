/** Our own logs: whatever becomes of the database, no place is given twice (P11), and forks of our key from outside are loud. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Crypto from "../../src/core/Crypto.ts"
import type { Hash } from "../../src/core/Hash.ts"
import type * as Log from "../../src/core/Log.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Witness from "../../src/store/Witness.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Apples from "../support/Apples.ts"
import { Author, signingKey } from "../support/Peer.ts"
import { directory } from "../support/ScenarioDatabase.ts"

type Options = Parameters<typeof open>[0]
const open = (options: { readonly witness?: Layer.Layer<Witness.Witness, never, SqlClient.SqlClient> | false }) =>
  StreamController.make({ pipeline: Apples.pipeline, application: Apples.application, ...options })
type Controller = Effect.Effect.Success<ReturnType<typeof open>>

/** Runs a program on a database file: opened for it, and closed after it. */
const on = <A, E, R>(
  file: string,
  use: (controller: Controller) => Effect.Effect<A, E, R>,
  options: Options = {}
): Effect.Effect<A, never, Exclude<Exclude<R, Scope.Scope>, SqlClient.SqlClient | SqliteClient.SqliteClient>> =>
  Effect.zipRight(Apples.tables, Effect.flatMap(open(options), use)).pipe(
    Effect.scoped,
    Effect.provide(SqliteClient.layer({ filename: file })),
    Effect.orDie
  )

const key = signingKey(1)
const world = Effect.map(Crypto.Crypto, (crypto) => {
  const topic = Topic.named(crypto, "apples")
  const author = crypto.verifyingKey(key)
  return { crypto, topic, author, logId: Topic.logId(crypto, topic), horse: new Author(crypto, 1, topic) }
})
type World = Effect.Effect.Success<typeof world>

let apples = 0
/** Another one each time. */
const publish = (controller: Controller, { topic }: World) =>
  controller.publish({ key, topic, message: { pick: ++apples, by: "parrot" } })
const raw = ({ operation }: StreamController.Published) => Operation.raw(operation)

/** A copy of a database that is closed, without its witness. */
const copy = (from: string, to: string) => {
  for (const end of ["", "-wal", "-shm"]) fs.rmSync(to + end, { force: true })
  fs.copyFileSync(from, to)
}

const test = <A, E>(
  name: string,
  self: (file: string, world: World) => Effect.Effect<A, E, Scope.Scope | Crypto.Crypto>
) =>
  it.scopedLive(name, () =>
    Effect.gen(function* () {
      const dir = yield* directory
      return yield* self(path.join(dir, "apples.db"), yield* world)
    }).pipe(Effect.provide(Crypto.layer))
  )

describe("a database that has lost something of an own log", () => {
  test("publishes nothing until that was taken in, and then goes on by itself", (file, w) =>
    Effect.gen(function* () {
      const first = yield* on(file, (c) => Effect.all([publish(c, w), publish(c, w)]))
      copy(file, `${file}.backup`)
      const lost = yield* on(file, (c) => Effect.all([publish(c, w), publish(c, w)]))
      copy(`${file}.backup`, file)
      yield* on(file, (c) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(publish(c, w))
          assert.deepInclude({ ...error }, { _tag: "OwnLogBehind", have: 1, known: 3, by: "witness", logId: w.logId })
          assert.deepInclude(yield* c.process(raw(lost[0])), { _tag: "Accepted" })
          assert.deepInclude({ ...(yield* Effect.flip(publish(c, w))) }, { have: 2, known: 3 })
          const [status] = yield* c.own.status
          assert.deepInclude({ ...status }, { here: 2, witnessed: 3 })
          assert.strictEqual(status?.problem?._tag, "OwnLogBehind")
          yield* c.process(raw(lost[1]))
          const next = yield* publish(c, w)
          assert.strictEqual(next.seqNum, 4)
          assert.strictEqual(next.operation.header.backlink, lost[1].id)
          assert.deepInclude({ ...(yield* c.own.status)[0] }, { here: 4, witnessed: 4, problem: undefined })
          assert.deepInclude(yield* c.status, { ownLogs: 1, ownForks: 0, accepted: first.length + lost.length + 1 })
        })
      )
    }))

  test("though all of it is lost", (file, w) =>
    Effect.gen(function* () {
      const lost = yield* on(file, (c) => publish(c, w))
      fs.rmSync(file)
      yield* on(file, (c) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(publish(c, w))
          assert.deepInclude({ ...error }, { _tag: "OwnLogBehind", known: 0, by: "witness" })
          assert.isFalse(error._tag === "OwnLogBehind" && error.have !== undefined)
          assert.deepInclude({ ...(yield* c.own.status)[0] }, { author: w.author, here: undefined, witnessed: 0 })
          yield* c.process(raw(lost))
          assert.strictEqual((yield* publish(c, w)).seqNum, 1)
        })
      )
    }))

  test("goes on from what is here where nobody holds more, and somebody says so", (file, w) =>
    Effect.gen(function* () {
      yield* on(file, (c) => publish(c, w))
      copy(file, `${file}.backup`)
      yield* on(file, (c) => publish(c, w))
      copy(`${file}.backup`, file)
      yield* on(file, (c) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(publish(c, w))
          assert(error._tag === "OwnLogBehind")
          const refused = yield* Effect.flip(c.own.confirm(error, { upTo: 1 }))
          assert.deepInclude({ ...refused }, { _tag: "OwnLogBehind", have: 0, known: 1, by: "caller" })
          assert.deepInclude({ ...(yield* c.own.confirm(error)) }, { here: 0, witnessed: 0, problem: undefined })
          assert.strictEqual((yield* publish(c, w)).seqNum, 1)
        })
      )
    }))

  test("refuses where another operation than the witness says stands at a place", (file, w) =>
    Effect.gen(function* () {
      yield* on(file, (c) => publish(c, w))
      copy(file, `${file}.backup`)
      yield* on(file, (c) => publish(c, w))
      copy(`${file}.backup`, file)
      // somebody used the copy without its witness
      yield* on(file, (c) => Effect.all([publish(c, w), publish(c, w)]), { witness: false })
      yield* on(file, (c) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(publish(c, w))
          assert(error._tag === "OwnLogForked")
          assert.strictEqual(error.seqNum, 1)
          assert.strictEqual((yield* Effect.flip(c.own.confirm(error)))._tag, "OwnLogForked")
          yield* c.own.acknowledgeFork(error)
          assert.strictEqual((yield* publish(c, w)).seqNum, 3)
        })
      )
    }))
})

describe("a database without its witness", () => {
  test("publishes nothing on its logs until somebody says that they are whole", (file, w) =>
    Effect.gen(function* () {
      yield* on(file, (c) => Effect.all([publish(c, w), publish(c, w)]))
      const moved = `${file}.moved`
      copy(file, moved)
      yield* on(moved, (c) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(publish(c, w))
          assert(error._tag === "OwnLogUnwitnessed")
          assert.deepInclude({ ...error }, { have: 1, witness: Witness.beside(moved), author: w.author })
          // another log is begun as ever
          const pears = { key, topic: Topic.named(w.crypto, "pears"), message: { pick: 1, by: "parrot" } } as const
          assert.strictEqual((yield* c.publish(pears)).seqNum, 0)
          yield* c.own.confirm({ author: w.author, topic: w.topic }, { upTo: 1 })
          assert.strictEqual((yield* publish(c, w)).seqNum, 2)
        })
      )
    }))

  test("wants the same of a log that came from outside as a whole", (file, w) =>
    Effect.gen(function* () {
      const lost = yield* on(`${file}.elsewhere`, (c) => Effect.all([publish(c, w), publish(c, w)]))
      yield* on(file, (c) =>
        Effect.gen(function* () {
          yield* c.process(raw(lost[0]))
          assert.deepInclude({ ...(yield* Effect.flip(publish(c, w))) }, { _tag: "OwnLogUnwitnessed", have: 0 })
          yield* c.process(raw(lost[1]))
          yield* c.own.confirm(w)
          assert.strictEqual((yield* publish(c, w)).seqNum, 2)
        })
      )
    }))

  test("asks nothing of logs that are older than the witness is", (file, w) =>
    Effect.gen(function* () {
      const before = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`DROP TABLE applecart_own`
        yield* sql`DROP TABLE applecart_own_from`
        yield* sql`DELETE FROM applecart_migrations WHERE owner = 'applecart' AND name = 'own'`
      })
      yield* on(file, (c) => Effect.zipRight(publish(c, w), before), { witness: false })
      yield* on(file, (c) =>
        Effect.gen(function* () {
          assert.strictEqual((yield* publish(c, w)).seqNum, 1)
          assert.deepInclude({ ...(yield* c.own.status)[0] }, { here: 1, witnessed: 1, problem: undefined })
        })
      )
    }))

  test("that never had one, and gets one, tells it where it is", (file, w) =>
    Effect.gen(function* () {
      yield* on(file, (c) => publish(c, w), { witness: false })
      assert.isFalse(fs.existsSync(Witness.beside(file)))
      yield* on(file, (c) => publish(c, w))
      const lost = yield* on(file, (c) => c.own.status)
      assert.deepInclude({ ...lost[0] }, { here: 1, witnessed: 1 })
    }))

  it.effect("in memory, has none, and publishes", () =>
    Effect.gen(function* () {
      const w = yield* world
      yield* on(":memory:", (c) =>
        Effect.gen(function* () {
          assert.strictEqual(c.own.witness, undefined)
          yield* publish(c, w)
          assert.deepInclude({ ...(yield* c.own.status)[0] }, { here: 0, witnessed: undefined, problem: undefined })
        })
      )
    }).pipe(Effect.provide(Crypto.layer))
  )

  test("shared with another database of the same key lets only one of them publish", (file, w) =>
    Effect.gen(function* () {
      const witness = Witness.file(`${file}.shared`)
      const one = yield* on(file, (c) => publish(c, w), { witness })
      yield* on(
        `${file}.second`,
        (c) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* Effect.flip(publish(c, w)))._tag, "OwnLogBehind")
            yield* c.process(raw(one))
            assert.strictEqual((yield* publish(c, w)).seqNum, 1)
          }),
        { witness }
      )
      const late = yield* on(file, (c) => Effect.flip(publish(c, w)), { witness })
      assert.deepInclude({ ...late }, { _tag: "OwnLogBehind", have: 0, known: 1 })
    }))
})

/** A witness in memory that can be told to fail, and says what it was told. */
const meddled = (known: Map<Log.Key, Witness.Known>, fails: (entry: Witness.Entry) => boolean) =>
  Layer.succeed(Witness.Witness, {
    name: "meddled",
    all: Effect.sync(() => new Map(known)),
    write: (entry) =>
      fails(entry)
        ? new Witness.WitnessFailed({ witness: "meddled", what: "write", code: "ENOSPC", detail: "no space left" })
        : Effect.sync(() => void known.set(entry.log, Witness.absorb(known.get(entry.log), entry)))
  })

describe("the witness", () => {
  test("that cannot be told that a log is begun keeps it from being begun", (file, w) =>
    Effect.gen(function* () {
      const known = new Map<Log.Key, Witness.Known>()
      let full = true
      yield* on(
        file,
        (c) =>
          Effect.gen(function* () {
            assert.deepInclude({ ...(yield* Effect.flip(publish(c, w))) }, { _tag: "WitnessFailed", code: "ENOSPC" })
            assert.deepInclude(yield* c.status, { accepted: 0, ownLogs: 0, logs: 0 })
            full = false
            assert.strictEqual((yield* publish(c, w)).seqNum, 0)
          }),
        { witness: meddled(known, () => full) }
      )
    }))

  test("that cannot be told after the commit says so, with the operation that exists, and is told before the next", (file, w) =>
    Effect.gen(function* () {
      const known = new Map<Log.Key, Witness.Known>()
      let full = false
      yield* on(
        file,
        (c) =>
          Effect.gen(function* () {
            const outcomes = yield* Effect.fork(Stream.runCollect(Stream.take(c.outcomes, 2)))
            yield* Effect.yieldNow()
            full = true
            const error = yield* publish(c, w).pipe(Effect.flip)
            // begun, and nothing more
            assert.strictEqual(error._tag, "WitnessFailed")
            full = false
            yield* publish(c, w)
            full = true
            // nothing is to be told before this commit
            const after = yield* Effect.flip(publish(c, w))
            assert(after._tag === "PublishedUnwitnessed")
            assert.deepInclude({ ...after }, { seqNum: 1, position: 2 })
            assert.include(after.message, "do not publish it again")
            assert.deepInclude(yield* c.status, { accepted: 2 })
            // it was announced all the same
            assert.deepInclude(Array.from(yield* Fiber.join(outcomes)).at(-1), { _tag: "Accepted", id: after.id })
            // and nothing comes behind it until the witness was told
            assert.strictEqual((yield* Effect.flip(publish(c, w)))._tag, "WitnessFailed")
            assert.deepInclude(yield* c.status, { accepted: 2 })
            full = false
            assert.strictEqual((yield* publish(c, w)).seqNum, 2)
            assert.deepInclude({ ...(yield* c.own.status)[0] }, { here: 2, witnessed: 2 })
          }),
        { witness: meddled(known, () => full) }
      )
    }))

  test("that missed the last operation is told when the database is opened, before anything is handed on", (file, w) =>
    Effect.gen(function* () {
      const known = new Map<Log.Key, Witness.Known>()
      const forgetful = meddled(known, ({ _tag }) => _tag === "Published")
      const first = yield* on(file, (c) => Effect.flip(publish(c, w)), { witness: forgetful })
      assert.strictEqual(first._tag, "PublishedUnwitnessed")
      assert.deepStrictEqual(Array.from(known.values()), [{ place: undefined }])
      yield* on(file, () => Effect.void, { witness: meddled(known, () => false) })
      assert.deepStrictEqual(
        Array.from(known.values(), ({ place }) => place?.id),
        first._tag === "PublishedUnwitnessed" ? [first.id] : []
      )
    }))

  it.scopedLive("is told before anybody else who uses the connection sees what was committed", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "apples.db")
      const w = yield* world
      const seen: Array<boolean> = []
      const reading = Layer.effect(
        Witness.Witness,
        Effect.map(SqlClient.SqlClient, (sql): Witness.Service => {
          const known = new Map<Log.Key, Witness.Known>()
          return {
            name: "reading",
            all: Effect.sync(() => new Map(known)),
            write: (entry) =>
              Effect.gen(function* () {
                known.set(entry.log, Witness.absorb(known.get(entry.log), entry))
                if (entry._tag !== "Published") return
                const reader = yield* Effect.forkDaemon(sql`SELECT count(*) FROM applecart_operations`)
                yield* Effect.sleep("30 millis")
                seen.push((yield* Fiber.poll(reader))._tag === "Some")
              })
          }
        })
      )
      yield* on(file, (c) => Effect.all([publish(c, w), publish(c, w)]), { witness: reading })
      assert.deepStrictEqual(seen, [false, false])
    }).pipe(Effect.provide(Crypto.layer))
  )

  test("is one for two programs that publish on one log in turn", (file, w) =>
    Effect.gen(function* () {
      const ids: Array<readonly [number, Hash]> = []
      yield* on(file, (one) =>
        on(file, (two) =>
          Effect.forEach(
            Array.from({ length: 24 }, (_, nth) => (nth % 3 === 0 ? one : two)),
            (controller) => Effect.map(publish(controller, w), ({ id, seqNum }) => void ids.push([seqNum, id])),
            { concurrency: 4, discard: true }
          )
        )
      )
      assert.deepStrictEqual(
        ids.map(([seqNum]) => seqNum).sort((a, b) => a - b),
        Array.from({ length: 24 }, (_, n) => n)
      )
      const [status] = yield* on(file, (c) => c.own.status)
      assert.deepInclude({ ...status }, { here: 23, witnessed: 23, problem: undefined })
    }))
})

describe("an operation of our own that is in the inbox", () => {
  test("keeps us from publishing as long as it waits or stands rejected behind the log", (file, w) =>
    Effect.gen(function* () {
      const elsewhere = yield* on(`${file}.elsewhere`, (c) => Effect.all([publish(c, w), publish(c, w), publish(c, w)]))
      const wants = w.horse.sign(3, elsewhere[2].id, Apples.body({ give: 100_000, from: "parrot", to: "horse" }))
      yield* on(
        file,
        (c) =>
          Effect.gen(function* () {
            yield* c.process(raw(elsewhere[2]))
            assert.deepInclude(
              { ...(yield* Effect.flip(publish(c, w))) },
              { _tag: "OwnLogBehind", known: 2, by: "inbox" }
            )
            assert.strictEqual((yield* Effect.flip(c.own.confirm(w)))._tag, "OwnLogBehind")
            yield* c.receive(raw(elsewhere[0]))
            yield* c.process(raw(elsewhere[1]))
            yield* c.drain
            // the application says no to what we said elsewhere
            yield* c.process(Operation.raw(wants))
            assert.deepInclude({ ...(yield* Effect.flip(publish(c, w))) }, { have: 2, known: 3, by: "inbox" })
            yield* c.skip(wants.id)
            assert.strictEqual((yield* publish(c, w)).seqNum, 4)
          }),
        { witness: false }
      )
    }))

  test("is not forgotten when it is discarded", (file, w) =>
    Effect.gen(function* () {
      yield* on(
        file,
        (c) =>
          Effect.gen(function* () {
            const { id } = yield* publish(c, w)
            const wants = w.horse.sign(1, id, Apples.body({ give: 100_000, from: "parrot", to: "horse" }))
            yield* c.process(Operation.raw(wants))
            yield* c.discard(wants.id)
            const error = yield* Effect.flip(publish(c, w))
            assert.deepInclude({ ...error }, { _tag: "OwnLogBehind", have: 0, known: 1, by: "discarded" })
            assert.strictEqual((yield* Effect.flip(c.own.confirm(w)))._tag, "OwnLogBehind")
            yield* c.own.acknowledgeFork(w)
            assert.strictEqual((yield* publish(c, w)).seqNum, 1)
          }),
        { witness: false }
      )
    }))
})

describe("a fork of our own key that comes from outside", () => {
  test("is an error in the log, once, is handed on and counted, and keeps us from publishing until it is acknowledged", (file, w) =>
    Effect.gen(function* () {
      const errors: Array<string> = []
      const listening = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ logLevel, message }) => {
          if (LogLevel.greaterThanEqual(logLevel, LogLevel.Error)) errors.push(String(message))
        })
      )
      const other = w.horse.sign(0, undefined, Apples.body({ pick: 1000, by: "parrot" }))
      yield* on(file, (c) =>
        Effect.gen(function* () {
          const told = yield* Effect.fork(Stream.runCollect(Stream.take(c.own.forks, 1)))
          yield* Effect.yieldNow()
          const first = yield* publish(c, w)
          yield* c.process(Operation.raw(other))
          const [fork] = Array.from(yield* Fiber.join(told))
          const expected = { author: w.author, logId: w.logId, seqNum: 0, accepted: first.id, other: other.id }
          assert.deepStrictEqual({ ...fork }, expected)
          assert.lengthOf(errors, 1)
          assert.include(errors[0], first.id)
          assert.include(errors[0], other.id)
          yield* c.process(Operation.raw(other))
          yield* c.replay()
          assert.lengthOf(errors, 1)
          assert.deepInclude(yield* c.status, { forks: 1, ownForks: 1 })
          assert.deepInclude({ ...(yield* Effect.flip(publish(c, w))) }, { _tag: "OwnLogForked", seqNum: 0 })
        })
      ).pipe(Effect.provide(listening))
      yield* on(file, (c) =>
        Effect.gen(function* () {
          assert.lengthOf(errors, 1)
          const child = w.horse.sign(1, other.id, Apples.body({ pick: 5, by: "parrot" }))
          assert.deepInclude({ ...(yield* c.own.acknowledgeFork(w)) }, { problem: undefined, forks: 1, here: 0 })
          assert.strictEqual((yield* publish(c, w)).seqNum, 1)
          // more of the other branch is a new fork
          yield* c.process(Operation.raw(child))
          assert.lengthOf(errors, 2)
          assert.strictEqual((yield* Effect.flip(publish(c, w)))._tag, "OwnLogForked")
        })
      ).pipe(Effect.provide(listening))
    }))

  test("is told when the database is opened, if the process had ended before", (file, w) =>
    Effect.gen(function* () {
      const errors: Array<string> = []
      const listening = Logger.replace(
        Logger.defaultLogger,
        Logger.make(({ logLevel, message }) => {
          if (LogLevel.greaterThanEqual(logLevel, LogLevel.Error)) errors.push(String(message))
        })
      )
      const other = w.horse.sign(0, undefined, Apples.body({ pick: 1000, by: "parrot" }))
      const forget = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE applecart_own SET told_fork = 0`)
      yield* on(file, (c) =>
        publish(c, w).pipe(Effect.zipRight(c.process(Operation.raw(other))), Effect.zipRight(forget))
      )
      yield* on(file, () => Effect.void).pipe(Effect.provide(listening))
      yield* on(file, () => Effect.void).pipe(Effect.provide(listening))
      assert.lengthOf(errors, 1)
    }))
})
