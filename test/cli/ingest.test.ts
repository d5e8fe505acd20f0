import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawnSync } from "node:child_process"
import { existsSync, writeFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import { directory, items, last, live, objects, read, run, vector } from "./cli.ts"

const logs = vector("logs.cbor")
const none = { accepted: 0, known: 0, waiting: 0, rejected: 0, invalid: 0, refused: 0 }
const totals = (ran: Parameters<typeof last>[0]) => {
  const { seconds, ...counts } = last(ran)
  assert.isNumber(seconds)
  return counts
}

it.layer(live)((it) => {
  it.scoped("accepts all of logs.cbor once, changes nothing the second time, and gives the same bytes back", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      const first = yield* run(["ingest", logs, "--db", db, "--json"])
      assert.deepStrictEqual(totals(first), { ...none, received: 5000, accepted: 5000 })
      assert.deepStrictEqual([first.code, first.err, objects(first.out).length], [0, "", 1])
      const before = yield* run(["status", "--db", db, "--json"])

      const again = yield* run(["--json", "--db", db, "ingest", logs])
      assert.deepStrictEqual(totals(again), { ...none, received: 5000, known: 5000 })
      assert.strictEqual(again.code, 0)
      assert.strictEqual((yield* run(["status", "--db", db, "--json"])).out, before.out)

      const exported = yield* run(["export", "--db", db])
      const { blake3OfFile } = JSON.parse(new TextDecoder().decode(read(vector("logs.json"))))
      const crypto = yield* Crypto.Crypto
      assert.strictEqual(crypto.hash(exported.bytes), blake3OfFile)
      assert.strictEqual((yield* run(["export", "--db", db, "-o", path("a.cbor"), "--json"])).code, 0)
      assert.strictEqual(crypto.hash(read(path("a.cbor"))), blake3OfFile)
    })
  )

  it.scoped("takes in logs that begin at a prune point, from standard input", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      const file = vector("pruned.cbor")
      const ran = yield* run(["ingest", "-", "--db", db, "--json"], { stdin: read(file) })
      const { length } = yield* items(file)
      assert.deepStrictEqual(totals(ran), { ...none, received: length, accepted: length })
      assert.strictEqual(ran.code, 0)
      assert.isTrue(Bytes.equals((yield* run(["export", "--db", db])).bytes, read(file)))
    })
  )

  it.scoped("reads a named pipe, which has neither a size nor places to read at", () =>
    Effect.gen(function* () {
      const path = yield* directory
      assert.strictEqual(spawnSync("mkfifo", [path("pipe")]).status, 0)
      const bytes = read(vector("pruned.cbor"))
      const [ran] = yield* Effect.all(
        [
          run(["ingest", path("pipe"), "--db", path("a.db"), "--json"]),
          Effect.promise(() => writeFile(path("pipe"), bytes))
        ],
        { concurrency: 2 }
      )
      assert.deepStrictEqual([ran.code, totals(ran)["accepted"]], [0, 326])
    })
  )

  it.scoped("takes in what comes before a cut, says where the cut is, and exits 1", () =>
    Effect.gen(function* () {
      const path = yield* directory
      writeFileSync(path("cut.cbor"), read(logs).subarray(0, 100_000))
      const ran = yield* run(["ingest", path("cut.cbor"), "--db", path("a.db"), "--json"])
      assert.deepStrictEqual(totals(ran), { ...none, received: 218, accepted: 218 })
      assert.strictEqual(ran.code, 1)
      const [error] = objects(ran.err)
      assert.strictEqual(error?.["error"], "InvalidSequence")
      assert.match(String(error?.["message"]), /Item 218 .*byte 100000/)
    })
  )

  it.scoped("stops at garbage between operations, and keeps what came before", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const some = (yield* items(logs)).slice(0, 10)
      writeFileSync(path("g.cbor"), Buffer.concat([...some, Buffer.from("garbage"), ...some]))
      const ran = yield* run(["ingest", path("g.cbor"), "--db", path("a.db")])
      assert.strictEqual(ran.code, 1)
      assert.match(ran.out, /10 operations/)
      assert.match(ran.err, /Item 10 .*UnexpectedType/)
      assert.strictEqual(last(yield* run(["status", "--db", path("a.db"), "--json"]))["accepted"], 10)
    })
  )

  it.scoped("does not care for the order: what came too early counts as accepted in the end", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const some = (yield* items(logs)).slice(0, 1000)
      const twice = [...some.toReversed(), ...some]
      writeFileSync(path("s.cbor"), Buffer.concat(twice))
      const ran = yield* run(["ingest", path("s.cbor"), "--db", path("a.db"), "--json"])
      assert.deepStrictEqual(totals(ran), { ...none, received: 2000, accepted: 1000, known: 1000 })
      assert.deepStrictEqual([ran.code, objects(ran.out).length], [0, 1])
    })
  )

  it.scoped("keeps what is too early, tells what it waits for, and lets it in when that comes", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      writeFileSync(path("later.cbor"), Buffer.concat((yield* items(logs)).slice(200, 260)))
      const ran = yield* run(["ingest", path("later.cbor"), "--db", db, "--json"])
      const counts = totals(ran)
      assert.strictEqual(ran.code, 0, "waiting is no failure")
      assert.deepStrictEqual(counts, { ...none, received: 60, waiting: 60 })
      const told = objects(ran.out).slice(0, -1)
      assert.deepStrictEqual(new Set(told.map(({ outcome }) => outcome)), new Set(["waiting"]))
      assert.deepStrictEqual(
        told.map(({ item }) => item).sort(byNumber),
        Array.from({ length: 60 }, (_, n) => n)
      )

      const waiting = objects((yield* run(["waiting", "--db", db, "--json"])).out)
      assert.strictEqual(waiting.length, 20)
      assert.isTrue(waiting.every(({ until, processor }) => Array.isArray(until) && processor === "log-integrity"))
      const [{ id, until } = {}] = waiting
      const shown = last(yield* run(["show", String(id), "--db", db, "--json"]))
      assert.deepStrictEqual([shown["where"], shown["until"], shown["source"]], ["waiting", until, "later.cbor"])

      // Let in by what this run brings, in one transaction with that.
      writeFileSync(path("all.cbor"), Buffer.concat((yield* items(logs)).slice(0, 260)))
      const all = yield* run(["ingest", path("all.cbor"), "--db", db, "--json"])
      assert.deepStrictEqual(totals(all), { ...none, received: 260, accepted: 260 })
      assert.strictEqual(last(yield* run(["status", "--db", db, "--json"]))["accepted"], 260)
    })
  )

  it.scoped("does not store what is invalid, tells of each to programs and of some to people, and exits 1", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const some = (yield* items(logs)).slice(0, 20)
      // The last byte of the signature.
      const forged = some.map((item) => Uint8Array.from(item, (byte, at) => (at === 105 ? byte ^ 1 : byte)))
      writeFileSync(path("f.cbor"), Buffer.concat([...forged, ...some.slice(0, 5)]))
      const ran = yield* run(["ingest", path("f.cbor"), "--db", path("a.db"), "--json"])
      assert.deepStrictEqual(totals(ran), { ...none, received: 25, invalid: 20, accepted: 5 })
      assert.strictEqual(ran.code, 1)
      const told = objects(ran.out).slice(0, -1)
      assert.deepStrictEqual(
        told.map(({ error, item, outcome }) => [error, item, outcome]),
        Array.from({ length: 20 }, (_, item) => ["InvalidHeader", item, "invalid"])
      )
      assert.strictEqual(objects(ran.err)[0]?.["error"], "Incomplete")
      const human = yield* run(["ingest", path("f.cbor"), "--db", path("b.db")])
      assert.strictEqual(human.code, 1)
      assert.strictEqual(human.err.split("\n").filter((line) => line.startsWith("invalid: item")).length, 5)
      assert.match(human.err, /15 more/)
      assert.strictEqual(last(yield* run(["status", "--db", path("a.db"), "--json"]))["accepted"], 5)
    })
  )

  it.scoped("makes no database for a file that is not there, and none out of another file", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const missing = yield* run(["ingest", path("nothing"), "--db", path("a.db")])
      assert.strictEqual(missing.code, 1)
      assert.include(missing.err, path("nothing"))
      assert.isFalse(existsSync(path("a.db")))
      writeFileSync(path("text"), "this is no database, and shall stay what it is")
      const foreign = yield* run(["ingest", logs, "--db", path("text"), "--json"])
      assert.strictEqual(objects(foreign.err)[0]?.["error"], "NoDatabase")
      assert.strictEqual(foreign.code, 1)
      assert.match(new TextDecoder().decode(read(path("text"))), /^this is no database/)
    })
  )
})

const byNumber = (a: unknown, b: unknown) => Number(a) - Number(b)
