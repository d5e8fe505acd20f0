import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/TestClock"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Migrations from "../../src/store/Migrations.ts"
import * as SqlReason from "../../src/store/SqlReason.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"

const one: Migrations.Migration = { name: "one", up: ["CREATE TABLE one (a)", "INSERT INTO one VALUES (1)"] }
const two: Migrations.Migration = { name: "two", up: ["CREATE TABLE two (a)"] }
const three: Migrations.Migration = { name: "three", up: ["INSERT INTO one SELECT a + 1 FROM one"] }
const apples = (...migrations: ReadonlyArray<Migrations.Migration>): ReadonlyArray<Migrations.Owned> => [
  { owner: "apples", migrations }
]

const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "applecart-migrations-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
).pipe(Effect.map((directory) => path.join(directory, "test.db")))

const open = (filename: string) => SqliteClient.make({ filename }).pipe(Effect.provide(Reactivity.layer))

/** Everything in a database, as somebody else sees it. */
const dump = (filename: string) =>
  Effect.sync(() => {
    const database = new Sqlite(filename)
    try {
      const tables = database.prepare<[], string>("SELECT name FROM sqlite_master ORDER BY name").pluck().all()
      return tables
        .filter((name) => !name.startsWith("sqlite_"))
        .map((name) => [name, database.prepare(`SELECT * FROM ${name}`).all()] as const)
    } finally {
      database.close()
    }
  })

/** Runs a test with a counting client on a fresh file. */
const withFaults = <A, E>(
  body: (filename: string, faults: SqlFaults.SqlFaults["Type"]) => Effect.Effect<A, E, SqlClient.SqlClient>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const filename = yield* temporary
      const base = Layer.succeed(SqlClient.SqlClient, yield* open(filename))
      return yield* Effect.flatMap(SqlFaults.SqlFaults, (faults) => body(filename, faults)).pipe(
        Effect.provide(Layer.provide(SqlFaults.layer, base))
      )
    })
  )

describe("Migrations", () => {
  it.effect("applies what is missing, in order, and records it", () =>
    withFaults((filename) =>
      Effect.gen(function* () {
        yield* TestClock.setTime(1000)
        yield* Migrations.run(apples(one))
        yield* TestClock.setTime(2000)
        yield* Migrations.run([
          ...apples(one, two, three),
          { owner: "pears", migrations: [{ ...two, up: ["CREATE TABLE pears (a)"] }] }
        ])
        const row = (owner: string, number: number, migration: Migrations.Migration, applied_at: number) => ({
          owner,
          number,
          name: migration.name,
          checksum: Migrations.checksum(migration),
          applied_at
        })
        assert.deepStrictEqual(yield* dump(filename), [
          [
            "applecart_migrations",
            [
              row("apples", 1, one, 1000),
              row("apples", 2, two, 2000),
              row("apples", 3, three, 2000),
              row("pears", 1, { ...two, up: ["CREATE TABLE pears (a)"] }, 2000)
            ]
          ],
          ["one", [{ a: 1 }, { a: 2 }]],
          ["pears", []],
          ["two", []]
        ])
      })
    )
  )

  it.effect("opening a database that is up to date only reads, and so does looking at an empty one", () =>
    withFaults((filename, faults) =>
      Effect.gen(function* () {
        yield* Migrations.run([])
        yield* Migrations.run(apples())
        assert.deepStrictEqual(yield* dump(filename), [])
        yield* Migrations.run(apples(one, two))
        yield* faults.reset
        yield* Migrations.run(apples(one, two))
        assert.deepStrictEqual(
          (yield* faults.statements).filter((text) => !text.startsWith("SELECT")),
          []
        )
        const readonly = yield* SqliteClient.make({ filename, readonly: true, disableWAL: true }).pipe(
          Effect.provide(Reactivity.layer)
        )
        yield* Effect.provideService(Migrations.run(apples(one, two)), SqlClient.SqlClient, readonly)
      }).pipe(Effect.scoped)
    )
  )

  const changed: ReadonlyArray<readonly [string, ReadonlyArray<Migrations.Migration>, number, string]> = [
    ["edited", [one, { ...two, up: ["CREATE TABLE two (b)"] }, three], 2, "statements"],
    ["with a statement more", [{ ...one, up: [...one.up, "SELECT 1"] }, two, three], 1, "statements"],
    ["with its statements cut otherwise", [{ ...one, up: [one.up.join("")] }, two, three], 1, "statements"],
    ["renamed", [one, { ...two, name: "deux" }, three], 2, "two"],
    ["moved", [two, one, three], 1, "one"],
    ["taken out of the middle", [one, three, three], 2, "two"]
  ]
  for (const [what, migrations, number, detail] of changed) {
    it.effect(`one that was ${what} is refused, and nothing is touched`, () =>
      withFaults((filename) =>
        Effect.gen(function* () {
          yield* Migrations.run(apples(one, two))
          const before = yield* dump(filename)
          const other = { owner: "pears", migrations: [{ name: "pears", up: ["CREATE TABLE pears (a)"] }] }
          for (const sets of [
            [...apples(...migrations), other],
            [other, ...apples(...migrations)]
          ]) {
            const error = yield* Effect.flip(Migrations.run(sets))
            assert.instanceOf(error, Migrations.MigrationChanged)
            assert.deepInclude({ ...error }, { owner: "apples", number, name: migrations[number - 1]?.name ?? "" })
            assert.include(error.message, detail)
            assert.include(error.message, "apples")
            assert.deepStrictEqual(yield* dump(filename), before)
          }
        })
      )
    )
  }

  it.effect("a gap in the database is refused", () =>
    withFaults((filename) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* Migrations.run(apples(one, two))
        yield* sql`DELETE FROM applecart_migrations WHERE number = 1`
        const before = yield* dump(filename)
        const error = yield* Effect.flip(Migrations.run(apples(one, two, three)))
        assert.deepInclude(error, { _tag: "MigrationChanged", number: 1, name: "one" })
        assert.deepStrictEqual(yield* dump(filename), before)
      })
    )
  )

  it.effect(
    "a database with more migrations than are known is refused; owners that are not asked for do not matter",
    () =>
      withFaults((filename) =>
        Effect.gen(function* () {
          yield* Migrations.run(apples(one, two, three))
          const before = yield* dump(filename)
          const error = yield* Effect.flip(Migrations.run(apples(one)))
          assert.deepInclude(error, { _tag: "DatabaseNewer", owner: "apples", known: 1, applied: 3 })
          yield* Migrations.run([])
          assert.deepStrictEqual(yield* dump(filename), before)
        })
      )
  )

  it.effect("two sets of one owner are a defect", () =>
    withFaults(() =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Effect.sandbox(Migrations.run([...apples(one), ...apples(two)])))
        assert.include(String(Exit.isFailure(exit) ? exit.cause : ""), "Two sets of migrations")
      })
    )
  )

  it.effect("a failing statement undoes all of them, and says which it was", () =>
    withFaults((filename) =>
      Effect.gen(function* () {
        const bad = { name: "bad", up: ["CREATE TABLE fine (a)", "CREATE TABLE one (a)"] }
        const error = yield* Effect.flip(Migrations.run(apples(one, bad)))
        assert.include(error.message, "Migration 2 (bad) of apples, statement 2")
        assert.include(error.message, "already exists")
        assert.deepStrictEqual(yield* dump(filename), [])
        yield* Migrations.run(apples(one, two))
      })
    )
  )

  it.live("two that open it at once: the second waits, and finds the work done", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      const clients = yield* Effect.all([open(filename), open(filename), open(filename)])
      yield* Effect.forEach(
        clients,
        (sql) => Effect.provideService(Migrations.run(apples(one, two, three)), SqlClient.SqlClient, sql),
        { concurrency: "unbounded" }
      )
      assert.deepInclude(yield* dump(filename), ["one", [{ a: 1 }, { a: 2 }]])
    }).pipe(Effect.scoped)
  )

  it.live("the second waits for a first one that takes its time", () =>
    Effect.gen(function* () {
      const filename = yield* temporary
      const slow = yield* open(filename)
      const second = yield* open(filename)
      const first = yield* Effect.gen(function* () {
        const faults = yield* SqlFaults.SqlFaults
        yield* faults.arm({ at: 9, fault: SqlFaults.delay("50 millis") })
        yield* Migrations.run(apples(one, two, three))
        assert.isAbove(yield* faults.count, 9)
      }).pipe(Effect.provide(Layer.provide(SqlFaults.layer, Layer.succeed(SqlClient.SqlClient, slow))), Effect.fork)
      yield* Effect.sleep("20 millis")
      yield* Effect.provideService(Migrations.run(apples(one, two, three)), SqlClient.SqlClient, second)
      yield* Fiber.join(first)
      assert.deepInclude(yield* dump(filename), ["one", [{ a: 1 }, { a: 2 }]])
    }).pipe(Effect.scoped)
  )

  for (const fault of [SqlFaults.failBefore("full"), SqlFaults.failAfter("io"), SqlFaults.failBefore("busy")]) {
    for (const forever of [false, true]) {
      it.live(
        `${fault._tag}${forever ? " for ever" : ""} at every statement: all or nothing, and a second try works`,
        () =>
          Effect.gen(function* () {
            const hasFewerStatements = (at: number) =>
              withFaults((filename, faults) =>
                Effect.gen(function* () {
                  yield* faults.arm({ at, fault, forever })
                  // Where ROLLBACK fails for ever, the call waits; it is stopped a while after the statement, however late that is.
                  const reached = Effect.repeat(faults.count, {
                    until: (count) => count >= at,
                    schedule: Schedule.spaced("1 millis")
                  })
                  const exit = yield* Effect.exit(
                    Effect.raceFirst(
                      Migrations.run(apples(one, two, three)),
                      Effect.zipRight(reached, Effect.delay(Effect.fail("stopped"), "20 millis"))
                    )
                  )
                  const count = yield* faults.count
                  yield* faults.disarm
                  const rows = yield* dump(filename)
                  assert.include([0, 3], rows.length, `${at}`)
                  if (Exit.isSuccess(exit)) assert.lengthOf(rows, 3)
                  yield* Migrations.run(apples(one, two, three))
                  assert.deepInclude(yield* dump(filename), ["one", [{ a: 1 }, { a: 2 }]])
                  return count < at
                })
              )
            let at = 1
            while (!(yield* hasFewerStatements(at))) at++
            assert.isAbove(at, 12)
          }).pipe(Logger.withMinimumLogLevel(LogLevel.None))
      )
    }
  }

  it.live("an infrastructure error keeps its reason", () =>
    withFaults((_, faults) =>
      Effect.gen(function* () {
        yield* Migrations.run(apples(one))
        yield* faults.reset
        const at = 10
        yield* faults.arm({ at, fault: SqlFaults.failBefore("full") })
        const error = yield* Effect.flip(Migrations.run(apples(one, two)))
        assert.include((yield* faults.statements)[at - 1], "CREATE TABLE two")
        assert.strictEqual(error instanceof SqlError ? SqlReason.of(error)._tag : error._tag, "Full")
      })
    )
  )

  it("the checksum tells statements apart", () => {
    const statements = FastCheck.array(FastCheck.string({ maxLength: 20 }), { maxLength: 4 })
    FastCheck.assert(
      FastCheck.property(statements, statements, FastCheck.string(), FastCheck.string(), (a, b, x, y) => {
        const same = JSON.stringify(a) === JSON.stringify(b)
        const equal = Migrations.checksum({ name: x, up: a }) === Migrations.checksum({ name: y, up: b })
        assert.strictEqual(equal, same)
        assert.match(Migrations.checksum({ name: x, up: a }), /^[0-9a-f]{16}$/)
      }),
      { numRuns: 1000 }
    )
    // Databases that exist hold such values: whatever is done to the function, this stays.
    assert.strictEqual(Migrations.checksum(one), "d3c5bcbc6a9c2570")
  })
})
