import { assert, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import Sqlite from "better-sqlite3"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { chmodSync, copyFileSync, existsSync, readdirSync, writeFileSync } from "node:fs"
import * as Database from "../../src/cli/Database.ts"
import { directory, items, last, live, objects, read, run, vector } from "./cli.ts"

/** A key and two databases with different first operations of the same author in one log. */
const forked = Effect.gen(function* () {
  const path = yield* directory
  yield* run(["keygen", path("key")])
  const publish = (db: string, body: string) =>
    run(["publish", "--db", path(db), "--key", path("key"), "--topic", "apples", body, "--json"])
  const ours = last(yield* publish("a.db", "one"))
  const theirs = last(yield* publish("b.db", "two"))
  const after = last(yield* publish("b.db", "three"))
  yield* run(["export", "--db", path("b.db"), "-o", path("b.cbor")])
  return { path, db: path("a.db"), file: path("b.cbor"), ours, theirs, after }
})

it.layer(live)((it) => {
  it.scoped("publishes, lists and shows an operation", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      const { verifyingKey } = last(yield* run(["keygen", path("key"), "--json"]))
      const publish = ["publish", "--db", db, "--key", path("key"), "--topic", "apples"]
      const first = yield* run([...publish, "hello", "--json"])
      assert.strictEqual(first.code, 0)
      assert.deepInclude(last(first), { seqNum: 0, position: 1, author: verifyingKey, payloadSize: 5 })
      const second = yield* run([...publish, "-", "--json"], { stdin: "from a pipe" })
      assert.deepInclude(last(second), { seqNum: 1, position: 2, payloadSize: 11 })
      assert.deepInclude(last(yield* run([...publish, "--json"])), { seqNum: 2, position: 3, payloadSize: 0 })

      const listed = objects((yield* run(["log", "--db", db, "--json"])).out)
      assert.deepStrictEqual(
        listed.map(({ bodySize, position, seqNum }) => [position, seqNum, bodySize]),
        [
          [1, 0, 5],
          [2, 1, 11],
          [3, 2, undefined]
        ]
      )
      const count = (...more: ReadonlyArray<string>) =>
        Effect.map(run(["log", "--db", db, "--json", ...more]), ({ out }) => objects(out).length)
      assert.strictEqual(yield* count("--limit", "1"), 1)
      assert.strictEqual(yield* count("--topic", "apples", "--author", String(verifyingKey)), 3)
      assert.strictEqual(yield* count("--topic", "pears"), 0)

      const { id, topic } = last(second)
      const shown = last(yield* run(["show", String(id).slice(0, 10), "--db", db, "--json"]))
      const body = Buffer.from("from a pipe").toString("hex")
      assert.deepInclude(shown, { id, topic, where: "accepted", position: 2, seqNum: 1, bodyStart: body })
      assert.strictEqual(shown["backlink"], last(first)["id"])
      assert.match((yield* run(["show", String(id), "--db", db])).out, /from a pipe/)

      const exported = yield* run(["export", "--db", db, "--topic", "apples", "-o", path("x.cbor"), "--json"])
      assert.deepInclude(last(exported), { exported: 3, bytes: read(path("x.cbor")).length })
      assert.deepStrictEqual(
        readdirSync(path("")).filter((name) => name.includes("partial")),
        []
      )
      assert.strictEqual((yield* run(["export", "--db", db, "--topic", "pears"])).bytes.length, 0)
    })
  )

  it.scoped("makes a key that only its owner can read, never over anything, and uses no other", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      const made = yield* run(["keygen", path("key")])
      const secret = new TextDecoder().decode(read(path("key"))).trim()
      assert.notInclude(made.out + made.err, secret)
      const again = yield* run(["keygen", path("key"), "--json"])
      assert.deepStrictEqual([again.code, objects(again.err)[0]?.["error"]], [1, "KeyFileExists"])
      assert.strictEqual(new TextDecoder().decode(read(path("key"))).trim(), secret)

      const publish = ["publish", "--db", db, "--key", path("key"), "--topic", "t", "x"]
      chmodSync(path("key"), 0o640)
      const exposed = yield* run(publish)
      assert.strictEqual(exposed.code, 1)
      assert.include(exposed.err, `chmod 600 ${path("key")}`)
      chmodSync(path("key"), 0o600)
      writeFileSync(path("key"), secret.slice(1))
      const wrong = yield* run(publish)
      assert.strictEqual(wrong.code, 1)
      assert.notInclude(wrong.err, secret.slice(1, 9))
      assert.isFalse(existsSync(db), "nothing was made for nothing")
      // Whoever mistakes the key for another input does not see it on the screen.
      assert.notInclude((yield* run(["decode", path("key")])).err, secret.slice(1, 9))
    })
  )

  it.scoped("rejects a fork, says who, why and how often, and lets go of it", () =>
    Effect.gen(function* () {
      const { db, file, theirs } = yield* forked
      const ingested = yield* run(["ingest", file, "--db", db, "--json"])
      assert.strictEqual(ingested.code, 1)
      assert.deepInclude(last(ingested), { received: 2, rejected: 2, accepted: 0 })
      assert.deepInclude(objects(ingested.out)[0], { id: theirs["id"], item: 0, outcome: "rejected", error: "Fork" })

      const [rejected] = objects((yield* run(["rejected", "--db", db, "--json"])).out)
      assert.deepInclude(rejected, { id: theirs["id"], processor: "log-integrity", error: "Fork", attempts: 1 })
      assert.match(String(rejected?.["message"]), /Fork/)
      assert.match((yield* run(["rejected", "--db", db])).out, /log-integrity said Fork, tried once/)
      assert.deepInclude(last(yield* run(["status", "--db", db, "--json"])), { accepted: 1, rejected: 2, forks: 2 })

      const replayed = yield* run(["replay", "--db", db, "--json"])
      assert.deepStrictEqual([replayed.code, last(replayed)], [1, { accepted: 0, waiting: 0, rejected: 2 }])
      const skipped = yield* run(["skip", String(theirs["id"]), "--db", db, "--json"])
      assert.deepStrictEqual([skipped.code, objects(skipped.err)[0]?.["error"]], [1, "CannotSkip"])
      // Opening replays, and what was not skipped has its answer again: nothing is left queued.
      assert.deepInclude(last(yield* run(["status", "--db", db, "--json"])), { queued: 0, rejected: 2 })

      const discarded = yield* run(["discard", String(theirs["id"]), "--why", "a fork", "--db", db, "--json"])
      assert.deepInclude(last(discarded), { id: theirs["id"], discarded: 1 })
      assert.strictEqual(discarded.code, 0)
      const shown = last(yield* run(["show", String(theirs["id"]), "--db", db, "--json"]))
      assert.deepInclude(shown, { where: "discarded", why: "a fork" })
      const again = yield* run(["discard", String(theirs["id"]), "--db", db, "--json"])
      assert.deepStrictEqual([again.code, objects(again.err)[0]?.["error"]], [1, "NotInInbox"])
      assert.deepInclude(last(yield* run(["status", "--db", db, "--json"])), { discarded: 1, rejected: 1 })
    })
  )

  it.scoped(
    "publishes nothing on a log that goes on elsewhere, says so in status, and goes on when that is confirmed",
    () =>
      Effect.gen(function* () {
        const path = yield* directory
        const db = path("a.db")
        yield* run(["keygen", path("key")])
        const publish = ["publish", "--db", db, "--key", path("key"), "--topic", "t", "x", "--json"]
        const { author, logId } = last(yield* run(publish))
        copyFileSync(db, path("backup"))
        yield* run(publish)
        copyFileSync(path("backup"), db)
        const refused = yield* run(publish)
        assert.deepStrictEqual([refused.code, objects(refused.err).at(-1)?.["error"]], [1, "OwnLogBehind"])
        const before = read(path("a.db-own"))
        const status = last(yield* run(["status", "--db", db, "--json"]))
        assert.deepInclude(status, { ownLogs: 1, ownForks: 0 })
        assert.deepInclude(
          JSON.stringify(status["unsafe"]),
          `{"author":"${author}","logId":"${logId}","error":"OwnLogBehind"`
        )
        assert.include((yield* run(["status", "--db", db])).out, "nothing is published on some of them")
        assert.deepStrictEqual(read(path("a.db-own")), before)
        const confirm = ["confirm", "--author", String(author), "--topic", "t", "--db", db, "--json"]
        const more = yield* run([...confirm, "--up-to", "1"])
        assert.deepStrictEqual([more.code, objects(more.err).at(-1)?.["error"]], [1, "OwnLogBehind"])
        assert.deepInclude(last(yield* run(confirm)), { author, logId, here: 0 })
        assert.deepInclude(last(yield* run(publish)), { seqNum: 1 })
        assert.notInclude((yield* run(["status", "--db", db])).out, "nothing is published")
      })
  )

  it.scoped("lists topics, and replays by topic and author", () =>
    Effect.gen(function* () {
      const { db, file, path, theirs } = yield* forked
      assert.include((yield* run(["topics", "--db", db])).out, String(theirs["topic"]))
      yield* run(["ingest", file, "--db", db])
      // a gap in the log of another topic
      const elsewhere = ["publish", "--db", path("c.db"), "--key", path("key"), "--topic", "pears"]
      yield* run([...elsewhere, "one"])
      yield* run([...elsewhere, "two"])
      yield* run(["export", "--db", path("c.db"), "--topic", "pears", "-o", path("c.cbor")])
      const [, second] = yield* items(path("c.cbor"))
      yield* run(["ingest", "-", "--db", db], { stdin: second ?? new Uint8Array() })

      const { out } = yield* run(["topics", "--db", db, "--json"])
      assert.deepStrictEqual(objects(out), [
        { topic: theirs["topic"], logs: 1, operations: 1, queued: 0, waiting: 0, rejected: 2 }
      ])
      const attempts = Effect.map(run(["rejected", "--db", db, "--json"]), ({ out }) =>
        objects(out).map(({ attempts }) => attempts)
      )
      const before = yield* attempts
      const pears = yield* run(["replay", "--db", db, "--topic", "pears", "--json"])
      assert.deepStrictEqual([pears.code, last(pears)], [0, { accepted: 0, waiting: 1, rejected: 0 }])
      assert.deepStrictEqual(yield* attempts, before)
      const apples = yield* run(["replay", "--db", db, "--topic", "apples", "--json"])
      assert.deepStrictEqual([apples.code, last(apples)], [1, { accepted: 0, waiting: 0, rejected: 2 }])
      assert.deepStrictEqual(
        yield* attempts,
        before.map((n) => Number(n) + 1)
      )
      const author = String(theirs["author"])
      const mine = yield* run(["replay", "--db", db, "--author", author, "--json"])
      assert.deepStrictEqual(last(mine), { accepted: 0, waiting: 1, rejected: 2 })
      const nobody = yield* run(["replay", "--db", db, "--author", "0".repeat(64)])
      assert.deepStrictEqual([nobody.code, nobody.out], [0, "Nothing of that is waiting or rejected.\n"])
      for (const [list, count] of [
        ["log", 0],
        ["waiting", 1],
        ["rejected", 0]
      ] as const) {
        assert.lengthOf(objects((yield* run([list, "--db", db, "--topic", "pears", "--json"])).out), count)
      }
      assert.strictEqual((yield* run(["replay", "--db", db, "--author", "me"])).code, 1)
    })
  )

  it.scoped("collects what nobody needs, and says what that was", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      yield* run(["ingest", vector("pruned.cbor"), "--db", db])
      const before = last(yield* run(["status", "--db", db, "--json"]))
      const collected = yield* run(["collect", "--vacuum", "--older-than", "90 days", "--db", db, "--json"])
      assert.deepStrictEqual([collected.code, collected.err], [0, ""])
      const { bytesAfter } = last(collected)
      assert.deepInclude(last(collected), { pruned: 0, discarded: 0, topics: 0, vacuumed: true, wal: "emptied" })
      assert.strictEqual(bytesAfter, read(db).length)
      assert.deepStrictEqual(last(yield* run(["status", "--db", db, "--json"])), before)
      const people = yield* run(["collect", "--db", db])
      assert.match(people.out, /^Collected:\n  pruned +0 +ids forgotten; --older-than says/)
      assert.include(people.out, `The file has ${bytesAfter} bytes now, ${bytesAfter} before; 0 pages given back`)

      const reader = new Sqlite(db)
      reader.exec("BEGIN")
      reader.prepare("SELECT count(*) FROM applecart_operations").get()
      yield* run(["keygen", path("key")])
      yield* run(["publish", "--db", db, "--key", path("key"), "--topic", "apples", "x"])
      const blocked = yield* Effect.withClock(run(["collect", "--db", db, "--json"]), Clock.make())
      reader.close()
      assert.deepStrictEqual([blocked.code, objects(blocked.err)[0]?.["error"]], [1, "Incomplete"])
      assert.deepInclude(objects(blocked.out)[0], { wal: "blocked" })
    })
  )

  it.scoped("takes the database before or after the verb, or from the environment", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("status")
      yield* run(["ingest", "--db", db, "-"], { stdin: "" })
      const said = (yield* run(["status", "--db", db, "--json"])).out
      assert.deepInclude(objects(said)[0], { accepted: 0, queued: 0, position: 0, logs: 0 })
      for (const args of [
        ["--db", db, "status", "--json"],
        ["--json", `--db=${db}`, "status"],
        ["status", "--json", `--db=${db}`]
      ]) {
        assert.strictEqual((yield* run(args)).out, said)
      }
      assert.strictEqual((yield* run(["status", "--json"], { env: { APPLECART_DB: db } })).out, said)
      // A value may be called like a verb.
      assert.match((yield* run(["--db", "status", "log"])).err, /^status is no applecart database/)
    })
  )

  it.effect("says in one form what is wrong with the command line", () =>
    Effect.gen(function* () {
      for (const args of [
        ["status"],
        ["no-such-verb"],
        ["status", "--no-such-option", "--db", "x"],
        ["log", "--limit", "0", "--db", "x"],
        ["log", "--limit", "many", "--db", "x"],
        ["ingest", "--db", "x"],
        ["publish", "--topic", "t", "--db", "x"],
        ["collect", "--older-than", "long", "--db", "x"]
      ]) {
        const human = yield* run(args)
        assert.strictEqual(human.code, 1, args.join(" "))
        assert.strictEqual(human.out, "")
        assert.notStrictEqual(human.err.trim(), "")
        const program = yield* run([...args, "--json"])
        assert.strictEqual(program.code, 1)
        assert.strictEqual(program.out, "")
        const [error, ...more] = objects(program.err)
        assert.deepStrictEqual([error?.["error"], more], ["UsageError", []])
      }
    })
  )

  it.effect("helps, and says its version", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* run(["--version"])).out.trim(), "1.2.3")
      const help = yield* run(["--help"])
      assert.strictEqual(help.code, 0)
      for (const verb of [
        "keygen",
        "publish",
        "ingest",
        "export",
        "status",
        "log",
        "waiting",
        "rejected",
        "show",
        "consumers",
        "parked",
        "retry",
        "pause",
        "resume",
        "replay",
        "cancel",
        "collect"
      ]) {
        assert.include(help.out, `- ${verb} `)
        const one = yield* run([verb, "--help"])
        assert.strictEqual(one.code, 0)
        assert.notInclude(one.out, "\u001b")
      }
    })
  )

  it.scoped("looks without making, changing or leaving anything", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      for (const verb of [
        "status",
        "log",
        "waiting",
        "rejected",
        "show abcdef",
        "export",
        "replay",
        "skip abcdef",
        "collect"
      ]) {
        const ran = yield* run([...verb.split(" "), "--db", db, "--json"])
        assert.deepStrictEqual([ran.code, objects(ran.err)[0]?.["error"]], [1, "NoDatabase"], verb)
        assert.include(String(objects(ran.err)[0]?.["message"]), db)
      }
      assert.deepStrictEqual(readdirSync(path("")), [])
      yield* run(["ingest", vector("pruned.cbor"), "--db", db])
      const before = read(db)
      for (const verb of ["status", "log", "waiting", "rejected", "export"]) {
        assert.strictEqual((yield* run([verb, "--db", db])).code, 0, verb)
      }
      assert.deepStrictEqual(read(db), before)
      assert.deepStrictEqual(readdirSync(path("")), ["a.db"])
    })
  )

  it.scoped("gives verbs that only look a database that takes no writes", () =>
    Effect.gen(function* () {
      const path = yield* directory
      yield* run(["ingest", vector("pruned.cbor"), "--db", path("a.db")])
      const writes = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM applecart_operations`)
      const error = yield* Effect.flip(Database.look(path("a.db"), writes))
      assert.strictEqual(error._tag, "SqlError")
      assert.deepInclude(last(yield* run(["status", "--db", path("a.db"), "--json"])), { accepted: 326 })
    })
  )

  it.scoped("judges operations line by line, as the Rust stack does", () =>
    Effect.gen(function* () {
      const { cases } = JSON.parse(new TextDecoder().decode(read(vector("verdicts.json"))))
      const sample: ReadonlyArray<{ h: string; b: string | null; verdict: Record<string, unknown> }> = cases
        .filter((one: { verdict: object }) => !("reencodes" in one.verdict) && !("tagged" in one.verdict))
        .slice(0, 500)
      const lines = sample.map(({ b, h }) => JSON.stringify({ h, b }))
      const ran = yield* run(["decode"], { stdin: lines.join("\n") })
      assert.strictEqual(ran.code, 0)
      assert.deepStrictEqual(
        objects(ran.out),
        sample.map(({ verdict }) => verdict)
      )

      for (const wrong of ["", "{}", "[]", "null", '{"h":"00"}', '{"h":"0","b":null}', '{"h":"00","b":1}']) {
        const stopped = yield* run(["decode", "-", "--json"], { stdin: `${lines[0]}\n${wrong}\n${lines[1]}\n` })
        assert.strictEqual(stopped.code, 1, wrong)
        assert.strictEqual(objects(stopped.out).length, 1)
        assert.strictEqual(objects(stopped.err)[0]?.["error"], "InvalidLine")
        assert.match(String(objects(stopped.err)[0]?.["message"]), /^Line 2 /)
      }
    })
  )

  it.scoped("ends quietly when nobody reads any more, and not with 0", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      yield* run(["ingest", vector("pruned.cbor"), "--db", db])
      const ran = yield* run(["export", "--db", db], { closesAfter: 0 })
      assert.deepStrictEqual([ran.code, ran.err], [141, ""])
      const refused = yield* run(["export", "--db", db], { terminal: true })
      assert.deepStrictEqual([refused.code, refused.out], [1, ""])
    })
  )
})
