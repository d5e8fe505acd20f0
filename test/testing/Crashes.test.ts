/** The driver kills a program many times; it finds one that confirms what is not so, and says all that is needed to look into it. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as process from "node:process"
import * as Crashes from "../../src/testing/Crashes.ts"
import * as History from "../../src/testing/History.ts"
import * as Promises from "../../src/testing/Promises.ts"
import { native } from "../core/support.ts"
import * as Child from "../support/childProcess.ts"
import { directory } from "../support/ScenarioDatabase.ts"
import { deeds } from "./Crashes.history.ts"

const history = History.write(native, deeds)

const open = (filename: string) => SqliteClient.layer({ filename })

const prepare = Effect.gen(function* () {
  const dir = yield* directory
  yield* Child.build(dir, path.join(import.meta.dirname, "Crashes.child.ts"))
  const program = path.join(dir, "child.mjs")
  const looks: Array<Crashes.Known & { readonly accepted: number }> = []
  const options = (how: string) => ({
    command: [process.execPath, program] as const,
    open,
    seed: 20_261_127,
    directory: dir,
    options: () => Effect.map(Random.nextIntBetween(1, 5), (batchSize) => ({ how, batchSize })),
    check: (known: Crashes.Known) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const tables = yield* sql`SELECT 1 FROM sqlite_schema WHERE name = 'journal'`
        const rows = tables.length === 0 ? [] : yield* sql`SELECT id FROM journal`
        looks.push({ ...known, accepted: rows.length })
        const isMissing = known.isOver && rows.length < history.operations.length
        return [
          ...(yield* Promises.broken({ history, told: known.told })),
          ...(isMissing ? [`P3: ${rows.length} of ${history.operations.length}`] : [])
        ]
      })
  })
  return { dir, program, looks, options }
})

const left = (dir: string) => fs.readdirSync(dir).filter((name) => name.startsWith("applecart-crashes-"))

describe("a program that is killed again and again", () => {
  it.live("loses nothing that it has confirmed, and does everything in the end", () =>
    Effect.gen(function* () {
      const { dir, looks, options } = yield* prepare
      const chain = yield* Crashes.run({ ...options("well"), lives: 10 })
      assert.strictEqual(chain.deaths + chain.survived, 10)
      assert.isAbove(chain.deaths, 7)
      assert.isAbove(chain.atStatement, 0)
      assert.lengthOf(looks, 11)
      assert.deepStrictEqual(
        looks.map(({ isOver, nth }) => [nth, isOver]),
        Array.from({ length: 11 }, (_, nth) => [nth, nth === 10])
      )
      const all = looks.at(-1)
      assert.strictEqual(all?.accepted, history.operations.length)
      assert.strictEqual(chain.told, all?.told.length)
      assert.deepInclude(all?.notes ?? [], { rounds: 1 })
      assert.deepStrictEqual(left(dir), [])
    }).pipe(Effect.scoped)
  )

  const moments: ReadonlyArray<Crashes.Moment> = [
    { _tag: "Statement", text: "COMMIT", nth: 3, when: "before" },
    { _tag: "Statement", text: "COMMIT", nth: 3, when: "after" }
  ]
  it.live("dies before or after the very statement", () =>
    Effect.gen(function* () {
      const { looks, options } = yield* prepare
      for (const moment of moments) {
        // The first one brings the tables, the second the application, the third is the first operation's.
        const chain = yield* Crashes.run({ ...options("well"), lives: 1, moment: Effect.succeed(moment) })
        assert.deepInclude(chain, { deaths: 1, atStatement: 1, survived: 0 })
      }
      assert.deepStrictEqual(
        looks.map(({ accepted, told }) => [accepted, told.length]),
        [
          [0, 0],
          [30, 33],
          [1, 0],
          [30, 33]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("is found out if it confirms before it commits", () =>
    Effect.gen(function* () {
      const { options } = yield* prepare
      // At random moments a loaded machine may come too late for ten lives; at a commit it is always found.
      const moment = Effect.map(
        Random.nextIntBetween(1, 6),
        (nth): Crashes.Moment => ({ _tag: "Statement", text: "COMMIT", nth, when: "before" })
      )
      const error = yield* Effect.flip(Crashes.run({ ...options("early"), moment }))
      assert.strictEqual(error._tag, "Broken", error.message)
      if (error._tag !== "Broken") return
      assert.match(error.broken.join(), /P3: .* was confirmed as accepted, and that is not so/)
      assert.match(error.message, /after start \d+ of seed 20261127:/)
      assert.include(error.message, `"how":"early"`)
      assert.include(error.message, "It had confirmed last: [")
      assert.include(error.message, `The file as it was left: ${error.filename}`)
      // As the dead process left it.
      assert.isTrue(fs.existsSync(error.filename))
      const again = yield* Effect.provide(Promises.broken({ history }), open(error.filename))
      assert.deepStrictEqual(again, [])
    }).pipe(Effect.scoped)
  )

  it.live("is not blamed for its promises if it fails by itself", () =>
    Effect.gen(function* () {
      const { options } = yield* prepare
      const moment: Crashes.Moment = { _tag: "Time", confirmations: 99, millis: 0 }
      const error = yield* Effect.flip(Crashes.run({ ...options("exit"), moment: Effect.succeed(moment) }))
      assert.strictEqual(error._tag, "ProgramFailed")
      assert.include(error.message, "ended with 1 at start 0")
      assert.include(error.message, "as it was told")
    }).pipe(Effect.scoped)
  )

  it.live("says what to do when it is started by hand", () =>
    Effect.gen(function* () {
      const { program } = yield* prepare
      const { status, stderr } = childProcess.spawnSync(process.execPath, [program], { encoding: "utf8" })
      assert.strictEqual(status, 1)
      assert.include(stderr, "APPLECART_VICTIM")
    }).pipe(Effect.scoped)
  )

  it.effect("draws the same moments from the same seed, of both kinds", () =>
    Effect.gen(function* () {
      const draw = Effect.withRandom(Effect.replicateEffect(Crashes.moment, 60), Random.make(7))
      const moments = yield* draw
      assert.deepStrictEqual(
        yield* Effect.withRandom(Effect.replicateEffect(Crashes.moment, 60), Random.make(7)),
        moments
      )
      const kinds = new Set(moments.map((one) => (one._tag === "Time" ? "time" : `${one.when} ${one.text}`)))
      assert.isAbove(kinds.size, 8)
    })
  )
})
