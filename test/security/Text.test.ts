/** Text that somebody else wrote, in every place that takes text: it is stored as it is, or refused, and is never run. docs/security.md */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Consumer from "../../src/pipeline/Consumer.ts"
import * as Inspect from "../../src/store/Inspect.ts"
import * as Rejection from "../../src/pipeline/Rejection.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Cli from "../cli/cli.ts"
import { native } from "../core/support.ts"
import * as Peer from "./Peer.ts"

const texts: ReadonlyArray<string> = [
  "'); DROP TABLE applecart_operations; --",
  `"; DELETE FROM applecart_inbox; --`,
  "' OR '1'='1",
  "`notes`); ATTACH DATABASE 'x.db' AS x; --",
  "[notes]",
  "%",
  "_",
  "?",
  "?1",
  ":name",
  "$1",
  "${1}",
  "\\'; SELECT 1; --",
  "\u0000",
  "a\u0000b'; DROP TABLE notes; --",
  "null",
  "NULL",
  "__proto__",
  "constructor",
  '{"$ne":1}',
  "\ufeffmark",
  "ä€😀",
  "\u202eright to left",
  "\r\n\t\u001b[2J",
  "x".repeat(100_000),
  ""
]

/** The tables and indexes, and that the file is whole. */
const shape = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return {
    schema: yield* sql`SELECT type, name, sql FROM sqlite_schema ORDER BY name`,
    check: yield* sql`PRAGMA integrity_check`
  }
})

/** What is done leaves the tables as they are. */
const harmless = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* shape
    const made = yield* self
    assert.deepStrictEqual(yield* shape, before)
    assert.deepStrictEqual(before.check, [{ integrity_check: "ok" }])
    return made
  })

describe("text from strangers", () => {
  it.live("in a message, and quoted by the error that rejects it, is kept as it is", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        yield* harmless(controller.processAll(Peer.raws(texts.map((text) => parrot.say(text)))))
        assert.deepStrictEqual(new Set(yield* Peer.notes), new Set(texts.filter((text) => !text.startsWith("no"))))
        const horse = new Peer.Somebody(2)
        for (const [at, text] of texts.entries()) {
          const said = `no ${text}`
          const rejected = new Peer.Somebody(10 + at).say(said)
          assert.deepInclude(yield* harmless(controller.process(Peer.raw(rejected))), { _tag: "Rejected" })
          const found = yield* Inspect.show(rejected.id)
          if (found?._tag !== "Rejected") return assert.fail(found?._tag ?? "nowhere")
          const expected = { tag: "Unwelcome", message: `Unwelcome: ${said}`, data: { _tag: "Unwelcome", quote: said } }
          assert.deepStrictEqual(Rejection.decode(found.reason), expected)
        }
        assert.deepInclude(yield* controller.process(Peer.raw(horse.say("hello"))), { _tag: "Accepted" })
      })
    )
  )

  it.live("that is no text is no message", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        // Not UTF-8, half a character, a longer form than needed.
        for (const [at, wrong] of ["61ff", "63eda080", "62c080", "64f5808080"].entries()) {
          const body = Bytes.concat([Bytes.fromHex("a16473616964"), Bytes.fromHex(wrong)])
          const answer = yield* harmless(controller.process(Peer.raw(new Peer.Somebody(at + 1).sign({ body }))))
          if (answer._tag !== "Rejected") return assert.fail(answer._tag)
          assert.strictEqual(answer.error._tag, "InvalidMessage")
        }
        const half = Cbor.encode({ said: "\ud800" })
        assert.deepInclude(Either.isLeft(half) ? half.left : {}, { _tag: "CborEncodeError", reason: "LoneSurrogate" })
        const message = { said: "\udc00" }
        const error = yield* Effect.flip(
          controller.publish({ key: new Peer.Somebody(1).key, topic: Peer.topic, message })
        )
        assert.strictEqual(error._tag, "InvalidMessage")
      })
    )
  )

  it.live("that names a sender is kept as it is", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        for (const [at, source] of texts.entries()) {
          const horse = new Peer.Somebody(at + 1)
          horse.say("missing")
          const waits = horse.say("here")
          yield* harmless(controller.process(Peer.raw(waits), { source }))
          const found = yield* Inspect.show(waits.id)
          assert.deepInclude(found, { _tag: "Waiting", source })
        }
      })
    )
  )

  it.live("with half characters is stored with the sign that stands for what is none (U+FFFD)", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const horse = new Peer.Somebody(1)
        horse.say("missing")
        const waits = horse.say("here")
        yield* harmless(controller.process(Peer.raw(waits), { source: "a\ud800b" }))
        assert.deepInclude(yield* Inspect.show(waits.id), { source: "a\ufffdb" })
        yield* harmless(controller.discard(waits.id, "c\udc00d"))
        assert.deepInclude(yield* Inspect.show(waits.id), { _tag: "Discarded", why: "c\ufffdd" })
      })
    )
  )
})

describe("text from whoever runs it", () => {
  it.live("why something is discarded, and the names of topics and readers, are kept as they are", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        yield* controller.process(Peer.raw(new Peer.Somebody(200).say("something to read")))
        for (const [at, text] of texts.entries()) {
          const horse = new Peer.Somebody(at + 1)
          horse.say("missing")
          const waits = horse.say("here")
          yield* controller.process(Peer.raw(waits))
          yield* harmless(controller.discard(waits.id, text))
          assert.deepInclude(yield* Inspect.show(waits.id), { _tag: "Discarded", why: text })
          const named = Topic.named(native, text)
          const published = yield* harmless(
            controller.publish({ key: horse.key, topic: named, message: { said: `about ${at}` } })
          )
          assert.deepInclude(yield* Inspect.show(published.id), { topic: named })
          const taken = yield* harmless(Stream.runHead(controller.pull(text)))
          assert.strictEqual(taken._tag, "Some")
        }
        const sql = yield* SqlClient.SqlClient
        const rows = yield* sql<{ name: string }>`SELECT name FROM applecart_consumers WHERE role = 'puller'`
        assert.deepStrictEqual(new Set(rows.map(({ name }) => name)), new Set(texts))
      })
    )
  )

  it.scopedLive("the names of application and consumers are kept as they are, also when it is opened again", () =>
    Effect.gen(function* () {
      const path = yield* Cli.directory
      for (const [at, name] of texts.entries()) {
        const application = Application.make({
          name,
          version: 1,
          migrations: [{ name, up: ["CREATE TABLE IF NOT EXISTS kept (said TEXT)"] }],
          message: Schema.Struct({ said: Schema.String }),
          handle: () => Effect.void
        })
        const consumer = Consumer.bytes({ name: `${name} reader`, version: 1, handle: () => Effect.void })
        const run = Effect.gen(function* () {
          const controller = yield* StreamController.make({
            pipeline: Peer.pipeline(),
            application,
            consumers: [consumer]
          })
          yield* controller.process(Peer.raw(new Peer.Somebody(1).say("hello")))
          yield* controller.drain
          const all = yield* controller.consumers.status
          return all.map(({ name }) => name).filter((one) => !one.startsWith("processor:"))
        }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: path(`${at}.db`) })))
        assert.deepStrictEqual(yield* run, [name, `${name} reader`])
        assert.deepStrictEqual(yield* run, [name, `${name} reader`])
      }
    }).pipe(Effect.provide(Cli.live))
  )

  it.scopedLive("is taken by the command line as what it is, or refused", () =>
    Effect.gen(function* () {
      const path = yield* Cli.directory
      const db = path("notes.db")
      yield* Cli.run(["keygen", path("parrot.key")])
      const tried = texts.filter((text) => !text.includes("\u0000") && text !== "")
      for (const text of tried) {
        const published = yield* Cli.run([
          "publish",
          "--db",
          db,
          "--key",
          path("parrot.key"),
          "--topic",
          text,
          "--json",
          "--",
          text
        ])
        assert.strictEqual(published.code, 0, published.err)
        assert.deepInclude(Cli.last(published), { topic: Topic.named(native, text) })
        const id = String(Cli.last(published)["id"])
        const shown = yield* Cli.run(["show", "--db", db, "--json", id])
        assert.strictEqual(shown.code, 0, shown.err)
        const start = new TextEncoder().encode(text).slice(0, 1024)
        assert.deepInclude(Cli.last(shown), { bodyStart: Bytes.toHex(start) })
        const log = yield* Cli.run(["log", "--db", db, `--topic=${text}`, "--json"])
        assert.lengthOf(Cli.objects(log.out), 1)
        for (const wrong of [
          ["log", "--author", text],
          ["show", text],
          ["skip", text],
          ["discard", text, "--why", text],
          ["pause", text]
        ]) {
          const ran = yield* Cli.run([...wrong, "--db", db])
          assert.notStrictEqual(ran.code, 0, wrong.join(" "))
          assert.notInclude(ran.err, "A bug in applecart", wrong.join(" ").slice(0, 100))
        }
      }
      const status = yield* Cli.run(["status", "--db", db, "--json"])
      assert.deepInclude(Cli.last(status), { accepted: tried.length })
      const sound = yield* Effect.provide(shape, SqliteClient.layer({ filename: db }))
      assert.deepStrictEqual(sound.check, [{ integrity_check: "ok" }])
    }).pipe(Effect.provide(Cli.live))
  )
})
