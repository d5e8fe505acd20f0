import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Reactivity from "@effect/experimental/Reactivity"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import type { Raw } from "../../src/core/Operation.ts"
import * as Salvage from "../../src/store/Salvage.ts"
import { edit, repair, test, verify, world } from "../support/Damaged.ts"
import * as Look from "../trust/damage/Look.ts"
import * as World from "../trust/damage/World.ts"

/** A row that no longer says which operation it is: of log 1, number 5, with others before and behind. */
const at = 29
const unknown = `UPDATE applecart_operations SET id = zeroblob(32), header = x'00'`

describe("Repair of a row that does not say whose it is", () => {
  for (const [what, seqNum] of [
    ["a number behind the end of its log", "seq_num + 16"],
    ["a number of another log's", "seq_num + 40, log = 4"],
    ["no number", "x''"]
  ]) {
    test(
      `puts the operation back where the row says ${what}`,
      Effect.gen(function* () {
        const { file, originals, raws } = yield* world
        yield* edit(file, `${unknown}, seq_num = ${seqNum} WHERE position = ${at}`)
        const { after, restored } = yield* repair(file, raws)
        assert.deepStrictEqual(after.findings, [])
        assert.strictEqual(restored, 1)
        assert.deepStrictEqual(Look.operations(file), originals)
      })
    )
  }

  test(
    "leaves the head of its log where it is",
    Effect.gen(function* () {
      const { file } = yield* world
      const logs = () => Look.with_(file, (db) => db.prepare("SELECT * FROM applecart_logs").all())
      const before = logs()
      yield* edit(file, `${unknown}, seq_num = seq_num + 16 WHERE position = ${at}`)
      const { findings } = yield* verify(file)
      assert.deepStrictEqual(
        findings.filter(({ table }) => table === "applecart_logs"),
        []
      )
      yield* repair(file, [])
      assert.deepStrictEqual(logs(), before)
    })
  )
})

describe("Bytes of a row that an index contradicts", () => {
  test(
    "are found where they say another log, and mended",
    Effect.gen(function* () {
      const { file, originals, raws } = yield* world
      poke(file, standing(originals, 30), ({ bytes, id }) => (bytes[id + 32] = 3))
      const { findings } = yield* verify(file)
      const told = findings.filter(({ key }) => key === 30)
      assert.deepStrictEqual(
        told.map(({ id, kind, mend }) => ({ id: String(id), kind, mend })),
        [{ id: standing(originals, 30).id, kind: "Column", mend: "derived" }]
      )
      const { after } = yield* repair(file, raws)
      assert.deepStrictEqual(after.findings, [])
      assert.deepStrictEqual(Look.operations(file), originals)
    })
  )

  test(
    "are copied with the id and the place that the indexes say, and whole bytes stay",
    Effect.gen(function* () {
      const { file, originals } = yield* world
      poke(file, standing(originals, 30), ({ bytes, id }) => bytes.fill(0xff, id + 2, id + 34))
      poke(file, standing(originals, 19), ({ bytes, position }) => (bytes[position] = 21))
      assert.strictEqual((yield* Effect.flip(repair(file, [])))._tag, "NeedsCopy")
      const target = yield* SqliteClient.make({ filename: `${file}.new` })
      yield* World.withFile(file, Salvage.copy(target))
      const copied = Look.operations(`${file}.new`)
      assert.deepStrictEqual(standing(copied, 30), standing(originals, 30))
    }).pipe(Effect.provide(Reactivity.layer))
  )

  for (const [from, to] of [
    [19, 21],
    [21, 19],
    [26, 24],
    [26, 28]
  ] as const) {
    for (const isIdToo of [false, true]) {
      test(
        `are found and copied to their own position where they say ${to} instead of ${from}${isIdToo ? ", and another id" : ""}`,
        Effect.gen(function* () {
          const { file, originals, raws } = yield* world
          poke(file, standing(originals, from), ({ bytes, id, position }) => {
            bytes[position] = to
            if (isIdToo) bytes[id + 7] = 0
          })
          const { findings } = yield* verify(file)
          for (const { id } of unread(file, originals))
            assert.isTrue(
              findings.some((one) => one.id === id),
              id
            )
          const { after, copy } = yield* repairedCopy(file, raws)
          assert.deepStrictEqual(after.findings, [])
          assert.deepStrictEqual(Look.operations(copy), originals)
        })
      )
    }
  }
})

describe("A copy", () => {
  test(
    "keeps a body away whose decision cannot be read",
    Effect.gen(function* () {
      const { file, originals, raws } = yield* world
      const last = skipped(file).at(-1) ?? assert.fail("nothing was skipped")
      assert.isNull(originals.find(({ id }) => id === last.id)?.body)
      poke(file, last, ({ bytes, position }) => (bytes[position] = 1), "applecart_decisions")
      const { copy } = yield* repairedCopy(file, raws)
      assert.deepStrictEqual(Look.operations(copy), originals)
    })
  )
})

describe("A letter that is large in the schema", () => {
  for (const [what, text, changed] of [
    ["the name of a table", "applecart_decisionsapplecart_decisions", "applecart_decisiOnsapplecart_decisions"],
    ["what made a table", "CREATE TABLE applecart_operations", "CREATE TABLE applecart_opErations"],
    ["the type of a table", "tableapplecart_operations", "tabLeapplecart_operations"]
  ] as const) {
    test(
      `in ${what} hides nothing of it`,
      Effect.gen(function* () {
        const { file, originals, raws } = yield* world
        yield* edit(file, `UPDATE applecart_operations SET header = x'00' WHERE position = ${at}`)
        const bytes = fs.readFileSync(file)
        const damaged = bytes.toString("latin1").replace(text, changed)
        assert.notStrictEqual(damaged, bytes.toString("latin1"))
        fs.writeFileSync(file, Buffer.from(damaged, "latin1"))
        const { findings } = yield* verify(file)
        assert.isTrue(findings.some(({ id }) => id === standing(originals, at).id))
        const target = yield* SqliteClient.make({ filename: `${file}.new` })
        yield* World.withFile(file, Salvage.copy(target))
        for (const one of [file, `${file}.new`]) {
          const { after } = yield* repair(one, raws)
          assert.deepStrictEqual(after.findings, [])
          assert.deepStrictEqual(Look.operations(one), originals)
        }
      }).pipe(Effect.provide(Reactivity.layer))
    )
  }
})

/** Decisions that took bodies away. */
const skipped = (file: string) =>
  Look.with_(file, (db) =>
    db
      .prepare<
        [],
        Pick<Look.Stored, "position" | "id">
      >(`SELECT decision AS position, lower(hex(id)) AS id FROM applecart_decisions WHERE what = 'skipped' ORDER BY decision`)
      .all()
  )

/** Repairs a copy of a file that must not be written to. */
const repairedCopy = (file: string, raws: ReadonlyArray<Raw>) =>
  Effect.gen(function* () {
    assert.strictEqual((yield* Effect.flip(repair(file, raws)))._tag, "NeedsCopy")
    const copy = `${file}.new`
    const target = yield* SqliteClient.make({ filename: copy })
    yield* World.withFile(file, Salvage.copy(target))
    return { copy, ...(yield* repair(copy, raws)) }
  }).pipe(Effect.provide(Reactivity.layer))

const standing = (originals: ReadonlyArray<Look.Stored>, at: number) => {
  const found = originals.find(({ position }) => position === at)
  return found ?? assert.fail(`nothing stood at ${at}`)
}

/** The operations that cannot be read where they stood. */
const unread = (file: string, originals: ReadonlyArray<Look.Stored>) => {
  const now = Look.singly(
    file,
    originals.map(({ position }) => position)
  )
  return originals.filter(({ id }, at) => now[at]?.id !== id)
}

/** Where the row of an operation is in the file: its position, and its id, which its log comes behind. */
interface Cell {
  readonly bytes: Buffer
  readonly position: number
  readonly id: number
}

/** Changes bytes of a row that begins with a number and an id, and of none of the indexes. */
const poke = (
  file: string,
  { position, id: hex }: Pick<Look.Stored, "position" | "id">,
  change: (cell: Cell) => void,
  table = "applecart_operations"
): void => {
  const bytes = fs.readFileSync(file)
  const wanted = Buffer.from(hex, "hex")
  const leaves = Look.with_(file, (db) =>
    db.prepare(`SELECT pgoffset FROM dbstat WHERE name = ? AND pagetype = 'leaf'`).pluck().all(table)
  )
  for (const page of leaves.map(Number)) {
    for (let id = bytes.indexOf(wanted, page); id >= 0 && id < page + 4096; id = bytes.indexOf(wanted, id + 1)) {
      // Before the cells there is their header, which begins with its own length, and before that the position.
      const length = lengths.find((one) => bytes[id - one] === one && bytes[id - one - 1] === position)
      if (length === undefined) continue
      change({ bytes, id, position: id - length - 1 })
      return fs.writeFileSync(file, bytes)
    }
  }
  throw new Error(`no row of position ${position}`)
}

const lengths = Array.from({ length: 10 }, (_, n) => n + 6)
