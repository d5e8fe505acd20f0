import { assert, it } from "@effect/vitest"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqliteClient } from "@effect/sql-sqlite-node"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Hash from "../../src/core/Hash.ts"
import * as Header from "../../src/core/Header.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Rejection from "../../src/pipeline/Rejection.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Inspect from "../../src/store/Inspect.ts"
import * as StreamController from "../../src/stream/StreamController.ts"

class No extends Data.TaggedError("No")<{ readonly body: string }> {}

/** Says no to bodies that begin with `no`. */
const application = Application.bytes({
  name: "picky",
  version: 1,
  handle: ({ message }) => {
    const body = new TextDecoder().decode(message)
    return body.startsWith("no") ? new No({ body }) : Effect.void
  }
})

const controller = StreamController.make({ pipeline: Pipeline.make(LogIntegrity.processor), application })

/** A log of one author, with these bodies. */
const log = (name: string, bodies: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const key = yield* SigningKey.generate
    const topic = Topic.named(crypto, name)
    const logId = Topic.logId(crypto, topic)
    const operations: Array<Operation.Operation> = []
    for (const [seqNum, body] of bodies.entries()) {
      const fields = { logId, timestamp: 1n, prune: false, previous: [] }
      const extensions = yield* NodeExtensions.encode(NodeExtensions.draft(fields))
      const backlink = operations.at(-1)?.id
      const draft = { seqNum, backlink, extensions, body: new TextEncoder().encode(body) }
      operations.push(yield* Operation.signWith(crypto)(key, draft))
    }
    return { operations, raws: operations.map(Operation.raw), topic, logId, author: crypto.verifyingKey(key) }
  })

/** One operation in each place. */
const scenario = Effect.gen(function* () {
  const one = yield* log("one", ["a0", "a1", "a2"])
  const two = yield* log("two", ["b0", "no b1", "b2"])
  const three = yield* log("three", ["no c0", "c1"])
  const { discard, processAll, receiveAll, skip } = yield* controller
  yield* processAll([...one.raws, ...two.raws], { source: "test" })
  yield* processAll(three.raws, { topic: three.topic })
  const id = (operation: Operation.Operation | undefined) => operation?.id ?? Hash.fromHexUnsafe("")
  yield* discard(id(three.operations[0]), "for a test")
  const four = yield* log("four", ["no d0", "d1"])
  yield* processAll(four.raws)
  yield* skip(id(four.operations[0]))
  const five = yield* log("five", ["e0"])
  yield* receiveAll(five.raws, { topic: five.topic, source: "peer" })
  return { one, two, three, four, five, id }
})

const database = (file: string) => SqliteClient.layer({ filename: file })

const files = Layer.merge(NodeFileSystem.layer, Crypto.layer)

it.layer(files)("Inspect", (it) => {
  const scoped = <A, E>(name: string, self: Effect.Effect<A, E, SqlClient.SqlClient | Crypto.Crypto>) =>
    it.scoped(name, () =>
      Effect.gen(function* () {
        const fileSystem = yield* FileSystem.FileSystem
        const file = `${yield* fileSystem.makeTempDirectoryScoped()}/a.db`
        return yield* Effect.provide(self, database(file))
      })
    )

  scoped(
    "tells of every place where an operation can be",
    Effect.gen(function* () {
      const { five, four, id, one, three, two } = yield* Effect.scoped(scenario)
      const found = (operation: Operation.Operation | undefined) =>
        Effect.map(Inspect.show(id(operation)), (shown) => {
          if (shown === undefined || shown._tag === "Discarded" || shown._tag === "Pruned") return shown
          assert.deepStrictEqual(Header.parse(shown.header), Header.parse(operation?.headerBytes ?? new Uint8Array()))
          const { bodyStart, header, ...rest } = shown
          assert.deepStrictEqual(header, operation?.headerBytes)
          const kept = shown._tag === "Accepted" && shown.skipped ? undefined : operation?.body
          assert.deepStrictEqual(bodyStart, kept)
          return rest
        })

      const accepted = yield* found(one.operations[2])
      assert.deepInclude(accepted, { _tag: "Accepted", position: 3, seqNum: 2, bodySize: 2, skipped: false })
      assert.deepInclude(accepted, { author: one.author, logId: one.logId, topic: undefined })

      const rejected = yield* found(two.operations[1])
      assert.deepInclude(rejected, { _tag: "Rejected", processor: "picky", attempts: 1, source: "test" })
      if (rejected?._tag !== "Rejected") return assert.fail("it is rejected")
      assert.deepInclude(Rejection.decode(rejected.reason), { tag: "No" })

      const waiting = yield* found(two.operations[2])
      const until = [id(two.operations[1])]
      assert.deepInclude(waiting, { _tag: "Waiting", processor: "log-integrity", until, attempts: 0 })

      const discarded = yield* found(three.operations[0])
      assert.deepInclude(discarded, { _tag: "Discarded", why: "for a test" })
      assert.deepInclude(yield* found(three.operations[1]), { _tag: "Waiting", topic: three.topic })
      const skipped = yield* found(four.operations[0])
      assert.deepInclude(skipped, { _tag: "Accepted", skipped: true, bodySize: undefined })
      assert.deepInclude(yield* found(five.operations[0]), { _tag: "Queued", topic: five.topic, source: "peer" })
      assert.isUndefined(yield* Inspect.show(Hash.fromHexUnsafe("0".repeat(64))))
    })
  )

  scoped(
    "lists the newest last, no more than asked for, of one author or log",
    Effect.gen(function* () {
      const { one, two } = yield* Effect.scoped(scenario)
      const places = (filter?: Inspect.Filter) =>
        Effect.map(Inspect.log(filter), (listed) => listed.map(({ position }) => position))
      const all = yield* places()
      assert.deepStrictEqual(
        all,
        Array.from(all, (_, index) => index + 1)
      )
      assert.isAbove(all.length, 4)
      for (const limit of [0, 1, 2, 100]) {
        assert.deepStrictEqual(yield* places({ limit }), limit === 0 ? [] : all.slice(-limit))
      }
      assert.deepStrictEqual(yield* places({ author: one.author }), [1, 2, 3])
      assert.deepStrictEqual(yield* places({ author: one.author, limit: 1 }), [3])
      assert.deepStrictEqual(yield* places({ logId: two.logId }), [4])
      assert.deepStrictEqual(yield* places({ logId: two.logId, author: one.author }), [])

      const waiting = yield* Inspect.waiting({ author: two.author })
      assert.deepStrictEqual(
        waiting.map(({ seqNum, until }) => [seqNum, until]),
        [[2, two.operations.slice(1, 2).map(({ id }) => id)]]
      )
      const rejected = yield* Inspect.rejected({ logId: two.logId })
      assert.deepStrictEqual(
        rejected.map(({ id, processor, seqNum }) => [id, processor, seqNum]),
        [[two.operations[1]?.id, "picky", 1]]
      )
      assert.deepStrictEqual(yield* Inspect.rejected({ author: one.author }), [])
    })
  )

  scoped(
    "finds ids by how they begin, in every place",
    Effect.gen(function* () {
      const { five, four, one, three, two } = yield* Effect.scoped(scenario)
      const ids = [one, two, three, four, five].flatMap(({ operations }) => operations.map(({ id }) => id))
      for (const id of ids) {
        for (const length of [1, 2, 7, 63, 64]) {
          const prefix = id.slice(0, length)
          const expected = ids.filter((one) => one.startsWith(prefix)).sort()
          assert.deepStrictEqual(yield* Inspect.find(prefix, 100), expected)
          assert.deepStrictEqual(yield* Inspect.find(prefix, 1), expected.slice(0, 1))
        }
      }
    })
  )

  it.scoped("reads while another connection writes, and changes no byte", () =>
    Effect.gen(function* () {
      const fileSystem = yield* FileSystem.FileSystem
      const file = `${yield* fileSystem.makeTempDirectoryScoped()}/a.db`
      yield* Effect.provide(Effect.scoped(scenario), database(file))
      const before = createHash("sha256").update(readFileSync(file)).digest("hex")
      const writer = yield* Layer.build(database(file))
      const reads = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`PRAGMA query_only = ON`
        assert.isTrue(yield* Inspect.isStore)
        return [yield* Inspect.log(), yield* Inspect.waiting(), yield* Inspect.rejected(), yield* Inspect.find("", 100)]
      })
      const quiet = yield* Effect.provide(reads, database(file))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`BEGIN IMMEDIATE`
        yield* sql`DELETE FROM applecart_inbox`
        assert.deepStrictEqual(yield* Effect.provide(reads, database(file)), quiet)
        yield* sql`ROLLBACK`
      }).pipe(Effect.provide(writer))
      assert.strictEqual(createHash("sha256").update(readFileSync(file)).digest("hex"), before)
    })
  )

  it.scoped("says that an empty database is no store, and makes none of it", () =>
    Effect.gen(function* () {
      assert.isFalse(yield* Inspect.isStore)
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT name FROM sqlite_master`, [])
    }).pipe(Effect.provide(database(":memory:")))
  )
})
