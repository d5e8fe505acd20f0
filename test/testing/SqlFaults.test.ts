import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as SqlReason from "../../src/store/SqlReason.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as Child from "../support/childProcess.ts"

const database = (filename: string) => SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename })))

const fixture = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const faults = yield* SqlFaults.SqlFaults
  yield* sql`CREATE TABLE t (a INTEGER)`
  yield* faults.reset
  const rows = Effect.map(sql<{ a: number }>`SELECT a FROM t`, (found) => found.map((row) => row.a))
  return { sql, faults, rows }
})

const insert = Transaction.statement("INSERT INTO t VALUES (?)")

describe("SqlFaults", () => {
  it.effect("counts all statements: templates of all kinds, reserved connections, transaction control", () =>
    Effect.gen(function* () {
      const { sql, faults } = yield* fixture
      yield* sql`SELECT 1`
      yield* sql`SELECT 2`.values
      yield* sql`SELECT 3`.raw
      yield* sql`SELECT 4`.unprepared
      yield* sql`SELECT 5`.withoutTransform
      yield* sql.withoutTransforms()`SELECT 6`
      yield* sql.safe`SELECT 7`
      yield* Effect.scoped(Effect.flatMap(sql.reserve, (on) => on.execute("SELECT 8", [], undefined)))
      yield* Effect.exit(Stream.runDrain(sql`SELECT 9`.stream))
      const numbers = Array.from({ length: 9 }, (_, index) => `SELECT ${index + 1}`)
      assert.deepStrictEqual(yield* faults.statements, numbers)
      assert.strictEqual(yield* faults.count, 9)

      yield* faults.reset
      yield* sql.withTransaction(Effect.zipRight(Effect.ignore(sql.withTransaction(Effect.fail("no"))), sql`SELECT 1`))
      const stock = ["BEGIN", "SAVEPOINT effect_sql_1", "ROLLBACK TO SAVEPOINT effect_sql_1", "SELECT 1", "COMMIT"]
      assert.deepStrictEqual(yield* faults.statements, stock)

      yield* faults.reset
      yield* Transaction.run(Effect.zipRight(insert(1), Transaction.savepoint(sql`SELECT 1`)))
      assert.deepStrictEqual(yield* faults.statements, [
        "PRAGMA busy_timeout",
        "PRAGMA busy_timeout = 0",
        "BEGIN IMMEDIATE",
        "PRAGMA busy_timeout = 5000",
        "INSERT INTO t VALUES (?)",
        "SAVEPOINT applecart_1_0",
        "SELECT 1",
        "RELEASE applecart_1_0",
        "COMMIT"
      ])
      yield* faults.reset
      assert.deepStrictEqual([yield* faults.count, yield* faults.statements], [0, []])
    }).pipe(Effect.provide(database(":memory:")))
  )

  const kinds = [
    ["busy", "Busy"],
    ["full", "Full"],
    ["io", "Io"],
    ["constraint", "Constraint"]
  ] as const
  for (const [kind, tag] of kinds) {
    it.effect(`${kind}: fails before or after the statement is run, once or for ever, there and nowhere else`, () =>
      Effect.gen(function* () {
        const { sql, faults, rows } = yield* fixture
        for (const fault of [SqlFaults.failBefore(kind), SqlFaults.failAfter(kind)]) {
          for (const forever of [false, true]) {
            for (let at = 1; at <= 5; at++) {
              yield* sql`DELETE FROM t`
              yield* faults.reset
              yield* faults.arm({ at, fault, forever })
              for (let number = 1; number <= 4; number++) {
                const exit = yield* Effect.exit(sql`INSERT INTO t VALUES (${number})`)
                assert.strictEqual(Exit.isFailure(exit), forever ? number >= at : number === at)
                if (Exit.isFailure(exit)) {
                  const error = Cause.squash(exit.cause)
                  assert.strictEqual(error instanceof SqlError ? SqlReason.of(error)._tag : undefined, tag)
                }
              }
              yield* faults.disarm
              const failed = (number: number) => (forever ? number >= at : number === at)
              const expected = [1, 2, 3, 4].filter((number) => fault._tag === "FailAfter" || !failed(number))
              assert.deepStrictEqual(yield* rows, expected)
            }
          }
        }
      }).pipe(Effect.provide(database(":memory:")))
    )
  }

  it.effect("die and delay", () =>
    Effect.gen(function* () {
      const { sql, faults, rows } = yield* fixture
      yield* faults.arm({ at: 1, fault: SqlFaults.die })
      const exit = yield* Effect.exit(sql`INSERT INTO t VALUES (1)`)
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      yield* faults.arm({ at: 2, fault: SqlFaults.delay("1 second") })
      const fiber = yield* Effect.fork(sql`INSERT INTO t VALUES (2)`)
      yield* TestClock.adjust("999 millis")
      assert.strictEqual((yield* Fiber.poll(fiber))._tag, "None")
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* rows, [2])
    }).pipe(Effect.provide(database(":memory:")))
  )

  /** Inserts 1 to n, each by itself; gives which were stored. */
  const inserted = (n: number) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (let number = 1; number <= n; number++) yield* Effect.exit(sql`INSERT INTO t VALUES (${number})`)
      return (yield* sql<{ a: number }>`SELECT a FROM t ORDER BY a`).map(({ a }) => a)
    })

  it.effect("strikes so many times, from the next statement on where no other is said, and counts that", () =>
    Effect.gen(function* () {
      const { faults, sql } = yield* fixture
      yield* sql`SELECT 1`
      yield* faults.arm({ fault: SqlFaults.failBefore("busy"), times: 2 })
      assert.deepStrictEqual(yield* inserted(4), [3, 4])
      assert.strictEqual(yield* faults.struck, 2)
      yield* faults.reset
      yield* faults.arm({ at: 3, fault: SqlFaults.failBefore("busy"), times: 2 })
      yield* sql`DELETE FROM t`
      assert.deepStrictEqual(yield* inserted(4), [1, 4])
      // A plan for what is over strikes nothing.
      yield* faults.arm({ at: 1, fault: SqlFaults.failBefore("busy"), times: 2 })
      yield* sql`DELETE FROM t`
      assert.deepStrictEqual(yield* inserted(2), [1, 2])
      assert.strictEqual(yield* faults.struck, 2)
    }).pipe(Effect.provide(database(":memory:")))
  )

  it.effect("strikes statements by their text", () =>
    Effect.gen(function* () {
      const { faults, rows, sql } = yield* fixture
      yield* faults.arm({ at: 2, text: /^INSERT/, fault: SqlFaults.failBefore("io") })
      assert.deepStrictEqual(yield* rows, [])
      assert.deepStrictEqual(yield* inserted(3), [1, 3])
      yield* sql`DELETE FROM t`
    }).pipe(Effect.provide(database(":memory:")))
  )

  it.effect("a full disk takes nothing until there is room again; what it held can be read and is whole", () =>
    Effect.gen(function* () {
      const { faults, rows } = yield* fixture
      yield* faults.arm(SqlFaults.fullDisk(2))
      const two = Transaction.run(Effect.zipRight(insert(1), insert(2)))
      const exit = yield* Effect.exit(two)
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(yield* rows, [])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(two)))
      yield* faults.disarm
      yield* two
      assert.deepStrictEqual(yield* rows, [1, 2])
    }).pipe(Effect.provide(database(":memory:")))
  )

  it.effect("lose: what was open is rolled back, the transaction says so, and the next one works", () =>
    Effect.gen(function* () {
      const { faults, rows } = yield* fixture
      yield* faults.arm({ text: /^INSERT/, at: 2, fault: SqlFaults.lose })
      const exit = yield* Effect.exit(Transaction.run(Effect.zipRight(insert(1), Effect.ignore(insert(2)))))
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.strictEqual(error instanceof SqlError ? SqlReason.of(error)._tag : undefined, "Connection")
      assert.deepStrictEqual(yield* rows, [])
      yield* Transaction.run(insert(3))
      assert.deepStrictEqual(yield* rows, [3])
    }).pipe(Effect.provide(database(":memory:")))
  )

  it.effect("chaos: about as many as is said, and the same ones with the same seed", () =>
    Effect.gen(function* () {
      const { faults, sql } = yield* fixture
      const struck = (seed: number) =>
        Effect.gen(function* () {
          yield* faults.reset
          yield* faults.arm({ seed, percent: 20, text: /^INSERT/, faults: [SqlFaults.failBefore("io")] })
          yield* sql`DELETE FROM t`
          const stored = yield* inserted(200)
          assert.strictEqual(yield* faults.struck, 200 - stored.length)
          return stored
        })
      const one = yield* struck(1)
      assert.isAbove(one.length, 140)
      assert.isBelow(one.length, 180)
      assert.deepStrictEqual(yield* struck(1), one)
      assert.notDeepEqual(yield* struck(2), one)
    }).pipe(Effect.provide(database(":memory:")))
  )

  it.effect("is no less broken than what it wraps: it finds the stock transaction's defect at COMMIT", () =>
    Effect.gen(function* () {
      const { sql, faults, rows } = yield* fixture
      yield* faults.arm({ at: 3, fault: SqlFaults.failBefore("full") })
      const exit = yield* Effect.exit(sql.withTransaction(sql`INSERT INTO t VALUES (1)`))
      assert.strictEqual((yield* faults.statements)[2], "COMMIT")
      assert.isTrue(Exit.isFailure(exit) && Cause.isDie(exit.cause))
      yield* sql`INSERT INTO t VALUES (2)`
      yield* Effect.exit(sql.withTransaction(sql`INSERT INTO t VALUES (3)`))
      assert.deepStrictEqual(yield* rows, [])
    }).pipe(Effect.provide(database(":memory:")))
  )

  it.live(
    "kill: at every statement of a transaction, the file holds all of it or nothing",
    () =>
      Effect.gen(function* () {
        const directory = yield* Effect.acquireRelease(
          Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "applecart-kill-"))),
          (made) => Effect.sync(() => fs.rmSync(made, { recursive: true, force: true }))
        )
        const start = yield* Child.build(directory, path.join(import.meta.dirname, "SqlFaults.child.ts"))
        const trial = (at: number) =>
          Effect.gen(function* () {
            const filename = path.join(directory, `${at}.db`)
            new Sqlite(filename).exec("CREATE TABLE t (a INTEGER)").close()
            const { code, signal, stderr } = yield* start(filename, String(at)).ended
            assert.strictEqual(stderr, "")
            const after = new Sqlite(filename)
            const count = after.prepare<[], number>("SELECT count(*) FROM t").pluck().get()
            assert.strictEqual(after.pragma("integrity_check", { simple: true }), "ok")
            after.close()
            if (code === 0) assert.strictEqual(count, 3, `finished before ${at}`)
            else assert.deepStrictEqual([signal, count], ["SIGKILL", 0], `killed at ${at}`)
            return code === 0
          })
        const finished = yield* Effect.forEach(
          Array.from({ length: statements + 1 }, (_, index) => index + 1),
          trial,
          {
            concurrency: 2
          }
        )
        assert.deepStrictEqual(finished, [...Array.from({ length: statements }, () => false), true])
      }).pipe(Effect.scoped),
    120_000
  )
})

/** The statements of the child's transaction: three settings, BEGIN, three INSERTs, SAVEPOINT, RELEASE, COMMIT. */
const statements = 10
