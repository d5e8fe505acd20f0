import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Reactivity from "@effect/experimental/Reactivity"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import type { Raw } from "../../src/core/Operation.ts"
import * as Repair from "../../src/store/Repair.ts"
import * as Salvage from "../../src/store/Salvage.ts"
import type * as Verify from "../../src/store/Verify.ts"
import * as Look from "../trust/damage/Look.ts"
import * as World from "../trust/damage/World.ts"
import { edit, repair, test, verify, world } from "../support/Damaged.ts"

const kinds = ({ findings }: Verify.Report) => findings.map(({ kind, mend, table }) => `${table} ${kind} ${mend}`)

describe("Verify", () => {
  test(
    "finds nothing in a database that is whole, and changes nothing",
    Effect.gen(function* () {
      const { file } = yield* world
      const before = Look.fingerprint(file)
      const report = yield* verify(file)
      assert.deepStrictEqual(report.findings, [])
      assert.isAbove(report.operations, 15)
      assert.isAbove(report.inbox, 0)
      assert.isAbove(report.logs, 3)
      assert.strictEqual(Look.fingerprint(file), before)
    })
  )

  const cases: ReadonlyArray<readonly [what: string, edit: string, finding: string]> = [
    [
      "a header",
      "UPDATE applecart_operations SET header = substr(header, 1, 100) WHERE position = 5",
      "applecart_operations Header source"
    ],
    [
      "an id",
      "UPDATE applecart_operations SET id = randomblob(32) WHERE position = 5",
      "applecart_operations Header derived"
    ],
    [
      "a body",
      "UPDATE applecart_operations SET body = x'00' WHERE position = (SELECT max(position) FROM applecart_operations WHERE body IS NOT NULL)",
      "applecart_operations Body source"
    ],
    [
      "a body that is not there",
      "UPDATE applecart_operations SET body = NULL WHERE position = (SELECT max(position) FROM applecart_operations WHERE body IS NOT NULL)",
      "applecart_operations BodyMissing source"
    ],
    [
      "a body that was deleted",
      "INSERT INTO applecart_decisions (id, what, decided_at) SELECT id, 'deleted', 1 FROM applecart_operations WHERE body IS NOT NULL LIMIT 1",
      "applecart_operations BodyKept derived"
    ],
    [
      "a place",
      "UPDATE applecart_operations SET seq_num = seq_num + 9 WHERE position = 5",
      "applecart_operations Column derived"
    ],
    [
      "an operation that is gone",
      "DELETE FROM applecart_operations WHERE position = (SELECT max(position) FROM applecart_operations)",
      "applecart_operations Missing source"
    ],
    ["a head", "UPDATE applecart_logs SET head_id = randomblob(32) WHERE log = 1", "applecart_logs Log derived"],
    ["a prune point", "UPDATE applecart_logs SET pruned_below = 77 WHERE log = 1", "applecart_logs Log derived"],
    ["an author", "UPDATE applecart_logs SET author = randomblob(32) WHERE log = 1", "applecart_logs Log derived"],
    ["what waits", "UPDATE applecart_inbox SET status = 'waiting'", "applecart_inbox Row derived"],
    [
      "the inbox",
      "UPDATE applecart_inbox SET header = x'83' WHERE entry = (SELECT min(entry) FROM applecart_inbox)",
      "applecart_inbox Header source"
    ],
    ["a share", "UPDATE applecart_inbox_shares SET bytes = bytes + 1", "applecart_inbox_shares Row derived"],
    [
      "the numbering",
      "UPDATE sqlite_sequence SET seq = 3 WHERE name = 'applecart_operations'",
      "sqlite_sequence Position derived"
    ],
    [
      "an acknowledgement",
      "UPDATE applecart_consumers SET position = position - 1 WHERE role = 'application'",
      "applecart_consumers Row rebuild"
    ],
    [
      "a decision",
      "UPDATE applecart_decisions SET id = x'00' WHERE decision = (SELECT min(decision) FROM applecart_decisions)",
      "applecart_decisions Row none"
    ],
    ["evidence", "UPDATE applecart_forks SET other_header = accepted_header", "applecart_forks Row none"],
    [
      "the causal graph",
      "UPDATE applecart_causal SET id = randomblob(32) WHERE vertex = (SELECT max(vertex) FROM applecart_causal)",
      "applecart_causal Row rebuild"
    ]
  ]
  for (const [what, statement, expected] of cases) {
    test(
      `finds ${what}`,
      Effect.gen(function* () {
        const { file } = yield* world
        yield* edit(file, statement)
        assert.include(kinds(yield* verify(file)), expected)
      })
    )
  }

  test(
    "reads what can be read of a broken file, and names the rest",
    Effect.gen(function* () {
      const { file, originals } = yield* world
      yield* edit(file, "PRAGMA wal_checkpoint(TRUNCATE)")
      wreck(file)
      const report = yield* verify(file)
      const read = Look.singly(
        file,
        originals.map(({ position }) => position)
      )
      const lost = originals.filter((_, at) => read[at] === undefined)
      assert.isAbove(lost.length, 0)
      for (const { id } of lost)
        assert.isTrue(
          report.findings.some((finding) => finding.id === id),
          id
        )
      assert.strictEqual(report.operations, originals.length - lost.length)
    })
  )
})

describe("Repair", () => {
  test(
    "puts back what others have, in its place, and makes anew what follows",
    Effect.gen(function* () {
      const { file, originals, raws } = yield* world
      const texts = Look.with_(file, (db) => JSON.stringify(db.prepare("SELECT * FROM texts").all()))
      yield* edit(
        file,
        "UPDATE applecart_operations SET header = x'00', id = x'00' WHERE position = 5",
        "UPDATE applecart_operations SET body = x'00' WHERE position = 9 AND body IS NOT NULL",
        "DELETE FROM applecart_operations WHERE position = (SELECT max(position) FROM applecart_operations)",
        "UPDATE applecart_logs SET head_seq_num = 0 WHERE log = 2"
      )
      const { after, restored } = yield* repair(file, raws)
      assert.deepStrictEqual(kinds(after), [])
      assert.isAbove(restored, 1)
      assert.deepStrictEqual(Look.operations(file), originals)
      assert.strictEqual(
        Look.with_(file, (db) => JSON.stringify(db.prepare("SELECT * FROM texts").all())),
        texts
      )
    })
  )

  test(
    "does not bring back a body that was deleted or skipped",
    Effect.gen(function* () {
      const { file, originals, raws } = yield* world
      const bodies = new Set(
        raws.flatMap(({ body }) => (body === undefined ? [] : [Buffer.from(body).toString("hex")]))
      )
      const gone = originals.find(({ body, header }) => body === null && bodies.size > 0 && has(raws, header))
      assert.isDefined(gone)
      yield* edit(file, `UPDATE applecart_operations SET header = x'00' WHERE position = ${gone?.position}`)
      yield* repair(file, raws)
      assert.deepStrictEqual(Look.operations(file), originals)
    })
  )

  test(
    "queues what was damaged in the inbox again, and leaves what nobody has",
    Effect.gen(function* () {
      const { file, raws } = yield* world
      const before = Look.lasting(file)
      yield* edit(
        file,
        "UPDATE applecart_inbox SET body = x'00' WHERE body IS NOT NULL",
        "UPDATE applecart_inbox SET header = x'00' WHERE body IS NULL"
      )
      const untouched = yield* repair(file, [])
      assert.isAbove(untouched.after.found, 0)
      assert.strictEqual(untouched.restored, 0)
      const { after } = yield* repair(file, raws)
      assert.deepStrictEqual(kinds(after), [])
      yield* World.withFile(file, World.takeIn(raws, 5))
      assert.strictEqual(Look.lasting(file), before)
    })
  )

  test(
    "takes nothing that is not what is missing",
    Effect.gen(function* () {
      const { file, originals, raws } = yield* world
      yield* edit(file, "UPDATE applecart_operations SET header = x'00' WHERE position = 5")
      const forged = raws.map(({ body, header }) => ({
        header,
        body: body === undefined ? undefined : new Uint8Array([9])
      }))
      const { after, restored } = yield* repair(file, forged)
      assert.strictEqual(restored, originals.find(({ position }) => position === 5)?.body === null ? 1 : 0)
      assert.strictEqual(after.found > 0, restored === 0)
    })
  )

  test(
    "does not write to a broken file; a copy of it is repaired",
    Effect.gen(function* () {
      const { file, originals, raws } = yield* world
      yield* edit(file, "PRAGMA wal_checkpoint(TRUNCATE)")
      wreck(file)
      const bytes = fs.readFileSync(file)
      const error = yield* Effect.flip(repair(file, raws))
      assert.strictEqual(error._tag, "NeedsCopy")
      const copy = `${file}.new`
      const target = yield* SqliteClient.make({ filename: copy })
      yield* World.withFile(file, Salvage.copy(target))
      assert.isTrue(bytes.equals(fs.readFileSync(file)))
      const { after } = yield* Effect.provideService(
        Repair.repair(Stream.fromIterable(raws)),
        SqlClient.SqlClient,
        target
      )
      assert.deepStrictEqual(
        after.findings.filter(({ table }) => table === "applecart_operations"),
        []
      )
      assert.deepStrictEqual(Look.operations(copy), originals)
      const again = yield* Effect.flip(World.withFile(file, Salvage.copy(target)))
      assert.strictEqual(again._tag, "TargetNotEmpty")
    }).pipe(Effect.provide(Reactivity.layer))
  )
})

/** Makes a page of the operations unreadable. */
const wreck = (file: string): void => {
  const page = Look.with_(file, (db) =>
    Number(
      db
        .prepare(
          `SELECT pageno FROM dbstat WHERE name = 'applecart_operations' AND pagetype = 'leaf' AND ncell > 1 LIMIT 1`
        )
        .pluck()
        .get()
    )
  )
  const bytes = fs.readFileSync(file)
  bytes.fill(0xff, (page - 1) * 4096, (page - 1) * 4096 + 8)
  fs.writeFileSync(file, bytes)
}

const has = (raws: ReadonlyArray<Raw>, header: string) =>
  raws.some((raw) => raw.body !== undefined && Buffer.from(raw.header).toString("hex") === header)
