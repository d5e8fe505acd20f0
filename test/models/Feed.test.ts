/** Feeds: what is stored, how it is listed, and when it goes. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import type { Hash } from "../../src/core/Hash.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Feed from "../../src/models/Feed.ts"
import * as Filter from "../../src/store/Filter.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import { native } from "../core/support.ts"
import { signingKey } from "../support/Peer.ts"
import { Authors, deliver, delivery, fresh, logId, open, seeded, topic } from "../support/Models.ts"

const Message = Schema.Struct({ text: Schema.String })
const posts = Feed.make({ name: "posts", version: 1, message: Message })
const key = signingKey(1)
const author = native.verifyingKey(key)
const other = Topic.named(native, "another topic")

const texts = (entries: ReadonlyArray<Feed.Entry<typeof Message.Type>>) => entries.map(({ message }) => message.text)
const pages = (limit: number) =>
  Effect.gen(function* () {
    const all: Array<Feed.Entry<typeof Message.Type>> = []
    for (;;) {
      const page = yield* posts.list({ limit, before: all.at(-1)?.position })
      all.push(...page)
      if (page.length < limit) return all
    }
  })

describe("a feed", () => {
  it("lists the newest first, by page, author, log and topic", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open(posts)
        assert.deepStrictEqual(yield* posts.list(), [])
        const say = (seed: number, about: Topic.Topic, text: string) =>
          controller.publish({ key: signingKey(seed), topic: about, message: { text } })
        const first = yield* say(1, topic, "a")
        yield* say(2, topic, "b")
        yield* say(1, other, "c")
        yield* say(2, topic, "d")
        assert.deepStrictEqual(texts(yield* posts.list()), ["d", "c", "b", "a"])
        assert.deepStrictEqual(texts(yield* posts.list({ limit: 3 })), ["d", "c", "b"])
        assert.deepStrictEqual(texts(yield* posts.list({ before: 3 })), ["b", "a"])
        assert.deepStrictEqual(texts(yield* posts.list({ author })), ["c", "a"])
        assert.deepStrictEqual(texts(yield* posts.list({ author, logId })), ["a"])
        assert.deepStrictEqual(texts(yield* posts.list(Filter.make(native, { topic }))), ["d", "b", "a"])
        assert.deepStrictEqual(texts(yield* posts.list({ ...Filter.make(native, { topic, author }), limit: 1 })), ["a"])
        const [entry] = yield* posts.list({ before: 2 })
        assert.deepInclude(entry, { position: 1, id: first.id, author, logId, message: { text: "a" } })
        assert.closeTo(entry?.timestamp ?? 0, Date.now() * 1000, 60_000_000)
        for (const limit of [1, 2, 4, 5]) {
          assert.deepStrictEqual(texts(yield* pages(limit)), ["d", "c", "b", "a"])
        }
      })
    ))

  it("reads back what its schema wrote", async () => {
    const Anything = Schema.Struct({
      bytes: Schema.Uint8ArrayFromSelf,
      at: Schema.Date.pipe(Schema.validDate()),
      list: Schema.Array(Schema.Union(Schema.Int, Schema.String, Schema.Null)),
      maybe: Schema.optionalWith(Schema.Boolean, { exact: true })
    })
    const things = Feed.make({ name: "things", version: 1, message: Anything })
    await FastCheck.assert(
      FastCheck.asyncProperty(FastCheck.array(Arbitrary.make(Anything), { maxLength: 5 }), (messages) =>
        fresh(
          Effect.gen(function* () {
            const controller = yield* open(things)
            for (const message of messages) yield* controller.publish({ key, topic, message })
            const found = yield* things.list()
            assert.deepStrictEqual(
              found.map(({ message }) => message),
              messages.toReversed()
            )
          })
        )
      ),
      { numRuns: 20, ...seeded }
    )
  })

  it("keeps a timestamp only where it can be one", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open(posts)
        const authors = new Authors()
        authors.write({ author: 0, message: { text: "now" }, timestamp: 5n })
        authors.write({ author: 0, message: { text: "never" }, timestamp: 0xffff_ffff_ffff_ffffn })
        yield* controller.processAll(authors.written.map(Operation.raw))
        assert.deepStrictEqual(
          (yield* posts.list()).map(({ timestamp }) => timestamp),
          [undefined, 5]
        )
      })
    ))

  it("says which message another schema cannot read", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open(posts)
        yield* controller.publish({ key, topic, message: { text: "a" } })
        const later = Feed.make({ name: "posts", version: 2, message: Schema.Struct({ title: Schema.String }) })
        const error = yield* Effect.flip(later.list())
        assert.deepInclude(error, { _tag: "UnreadableMessage", position: 1 })
        assert.include(error.message, "raise the application's version")
      })
    ))

  it("cannot be named like no table can", () => {
    for (const name of ["", "a-b", "1a", "a;b", "sqlite", "applecart_x", "x".repeat(41)]) {
      assert.throws(() => Feed.make({ name, version: 1, message: Message }), RangeError)
    }
  })
})

class TooLong extends Schema.TaggedError<TooLong>()("TooLong", { length: Schema.Int }) {}
class Most extends Context.Tag("Most")<Most, number>() {}

const strict = Feed.make({
  name: "strict",
  version: 1,
  message: Message,
  migrations: [{ name: "lengths", up: ["CREATE TABLE lengths (position INTEGER PRIMARY KEY, length INTEGER)"] }],
  reset: Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM lengths`),
  handle: ({ message: { text }, position }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const stored = yield* sql`SELECT 1 FROM strict_messages WHERE position = ${position}`
      assert.lengthOf(stored, 1)
      yield* sql`INSERT INTO lengths VALUES (${position}, ${text.length})`
      if (text.length > (yield* Most)) return yield* new TooLong({ length: text.length })
    }),
  forget: ({ operations }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const positions = operations.map(({ position }) => position)
      const stored = yield* sql`SELECT position FROM strict_messages WHERE ${sql.in("position", positions)}`
      assert.lengthOf(stored, positions.length)
      yield* sql`DELETE FROM lengths WHERE ${sql.in("position", positions)}`
    })
})
const rows = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.map(sql`SELECT * FROM ${sql(table)}`, ({ length }) => length))

describe("a handler of one's own", () => {
  it("has a veto, services, and tables that go with the messages", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open(strict)
        const say = (text: string) => controller.publish({ key, topic, message: { text } })
        const { id } = yield* say("abc")
        assert.deepStrictEqual(yield* Effect.flip(say("abcd")), new TooLong({ length: 4 }))
        yield* say("x")
        assert.deepStrictEqual([yield* rows("lengths"), yield* rows("strict_messages")], [2, 2])
        yield* controller.publish({ key, topic, deletes: [id] })
        assert.deepStrictEqual([yield* rows("lengths"), yield* rows("strict_messages")], [1, 1])
        yield* Transaction.run(strict.reset ?? Effect.void)
        assert.deepStrictEqual([yield* rows("lengths"), yield* rows("strict_messages")], [0, 0])
      }).pipe(Effect.provideService(Most, 3))
    ))
})

const deed = FastCheck.record({
  author: FastCheck.nat({ max: 2 }),
  kind: FastCheck.constantFrom("say", "say", "say", "say", "prune", "delete"),
  which: FastCheck.nat()
})

describe("any delivery of the same operations", () => {
  it("leaves the same messages: those whose operations are left", async () => {
    await FastCheck.assert(
      FastCheck.asyncProperty(FastCheck.array(deed, { maxLength: 30 }), delivery, async (deeds, way) => {
        const authors = new Authors()
        const deleted = new Set<Hash>()
        for (const [at, { author, kind, which }] of deeds.entries()) {
          const own = authors.written.filter(({ by }) => by === author)
          const target = kind === "delete" ? own[which % Math.max(1, own.length)] : undefined
          if (target === undefined) {
            authors.write({ author, message: { text: `said ${at}` }, prune: kind === "prune" })
          } else {
            deleted.add(target.id)
            authors.write({ author, message: undefined, deletes: [target.id] })
          }
        }
        const listed = await fresh(
          Effect.zipRight(
            deliver(posts, authors.written, way),
            Effect.gen(function* () {
              const all = yield* posts.list({ limit: 100 })
              assert.deepStrictEqual(yield* pages(1 + (way.changes.length % 5)), all)
              return all.map(({ id }) => id).toSorted()
            })
          )
        )
        assert.deepStrictEqual(
          listed,
          authors
            .left(deleted)
            .map(({ id }) => id)
            .toSorted()
        )
      }),
      { numRuns: 60, ...seeded }
    )
  })
})
