import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { directory, last, live, objects, run, vector } from "./cli.ts"

/** A database with the operations of the Rust stack, and an export of it. */
const filled = Effect.gen(function* () {
  const path = yield* directory
  const db = path("a.db")
  yield* run(["ingest", vector("logs.cbor"), "--db", db])
  yield* run(["export", "--db", db, "-o", path("x.cbor")])
  return { path, db, out: path("x.cbor") }
})

const edit = (file: string, text: string) =>
  Effect.sync(() => {
    const db = new Sqlite(file)
    db.exec(text)
    db.close()
  })

describe("verify", () => {
  it.scoped("says that nothing is damaged, and what it did not look at", () =>
    Effect.gen(function* () {
      const { db } = yield* filled
      const ran = yield* run(["verify", "--db", db])
      assert.deepStrictEqual([ran.code, ran.err], [0, ""])
      assert.match(ran.out, /^Nothing is damaged: \d+ accepted operations, \d+ logs, \d+ in the inbox\.\n/)
      assert.match(ran.out, /needs its handler/)
      assert.deepInclude(last(yield* run(["verify", "--db", db, "--json"])), { found: 0 })
    }).pipe(Effect.provide(live))
  )

  it.scoped("names what is damaged, repairs it from an export, and ends with 1 as long as anything is left", () =>
    Effect.gen(function* () {
      const { db, out, path } = yield* filled
      yield* edit(db, "UPDATE applecart_operations SET header = x'00' WHERE position = 2")
      const found = yield* run(["verify", "--db", db, "--json"])
      assert.strictEqual(found.code, 1)
      assert.deepInclude(objects(found.out)[0], {
        kind: "Header",
        table: "applecart_operations",
        key: 2,
        mend: "source"
      })
      assert.match(found.err, /--from FILE/)

      writeFileSync(path("empty.cbor"), "")
      const nothing = yield* run(["verify", "--db", db, "--from", path("empty.cbor")])
      assert.strictEqual(nothing.code, 1)

      const mended = yield* run(["verify", "--db", db, "--from", path("empty.cbor"), "--from", out, "--json"])
      assert.strictEqual(mended.code, 0)
      assert.deepInclude(last(mended), { found: 0, restored: 1 })
      assert.strictEqual((yield* run(["verify", "--db", db])).code, 0)
      assert.match((yield* run(["verify", "--db", db, "--from", path("no.cbor")])).err, /is not there/)
      assert.match((yield* run(["verify", "--db", db, "--from", "-"])).err, /more than once/)
    }).pipe(Effect.provide(live))
  )

  it.scoped("works on a file that other verbs cannot read, and copies what can be read", () =>
    Effect.gen(function* () {
      const { db, out, path } = yield* filled
      const file = new Sqlite(db)
      file.pragma("wal_checkpoint(TRUNCATE)")
      const page = Number(
        file
          .prepare("SELECT pageno FROM dbstat WHERE name = 'applecart_operations' AND pagetype = 'leaf'")
          .pluck()
          .get()
      )
      file.close()
      const bytes = readFileSync(db)
      bytes.fill(0xff, (page - 1) * 4096, (page - 1) * 4096 + 8)
      writeFileSync(db, bytes)

      assert.strictEqual((yield* run(["export", "--db", db, "-o", path("z.cbor")])).code, 1)
      const found = yield* run(["verify", "--db", db])
      assert.strictEqual(found.code, 1)
      assert.match(found.err, /--into FILE/)
      assert.match((yield* run(["verify", "--db", db, "--from", out, "--json"])).err, /NeedsCopy/)

      const copied = yield* run(["verify", "--db", db, "--into", path("new.db"), "--from", out])
      assert.strictEqual(copied.code, 0, copied.out + copied.err)
      assert.isTrue(bytes.equals(readFileSync(db)))
      yield* run(["export", "--db", path("new.db"), "-o", path("y.cbor")])
      assert.isTrue(readFileSync(out).equals(readFileSync(path("y.cbor"))))
      assert.match((yield* run(["verify", "--db", db, "--into", path("new.db")])).err, /exists already/)
    }).pipe(Effect.provide(live))
  )

  it.scoped("is refused what is no database, and makes none", () =>
    Effect.gen(function* () {
      const path = yield* directory
      writeFileSync(path("text"), "a text that is no database")
      assert.match((yield* run(["verify", "--db", path("text")])).err, /it is something else/)
      assert.match((yield* run(["verify", "--db", path("none")])).err, /there is no such file/)
      assert.isFalse(existsSync(path("none")))
    }).pipe(Effect.provide(live))
  )
})
