import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Runtime from "effect/Runtime"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { isControl } from "../../src/store/internal/control.ts"
import * as SqlReason from "../../src/store/SqlReason.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"

/** A file of its own per test. */
const temporary = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "applecart-transaction-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true, force: true }))
).pipe(Effect.map((directory) => path.join(directory, "test.db")))

const open = (filename: string, options?: { readonly disableWAL?: boolean }) =>
  SqliteClient.make({ filename, ...options }).pipe(Effect.provide(Reactivity.layer))

const tables = (sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    yield* sql`CREATE TABLE t (a TEXT UNIQUE)`
    yield* sql`CREATE TABLE parent (id INTEGER PRIMARY KEY)`
    yield* sql`CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`
  })

/** Runs a test against a client on a fresh file, with tables t, parent, child. */
const withDatabase = <A, E>(
  body: (sql: SqlClient.SqlClient, filename: string) => Effect.Effect<A, E, SqlClient.SqlClient>
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const filename = yield* temporary
      const sql = yield* open(filename)
      yield* tables(sql)
      return yield* Effect.provideService(body(sql, filename), SqlClient.SqlClient, sql)
    })
  )

/** The rows as another connection sees them, one that knows nothing of Effect: what is committed. */
const committed = (filename: string) =>
  Effect.sync(() => {
    const database = new Sqlite(filename)
    try {
      return database.prepare<[], string>("SELECT a FROM t ORDER BY a").pluck().all()
    } finally {
      database.close()
    }
  })

const all = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ a: string }>`SELECT a FROM t ORDER BY a`, (rows) => rows.map((row) => row.a))

const insert = Transaction.statement("INSERT INTO t (a) VALUES (?)")
const orphan = Transaction.statement("INSERT INTO child (id) VALUES (99)")
const read = Transaction.query("SELECT a FROM t ORDER BY a")

/** The typed error of an exit. */
const failure = <A, E>(exit: Exit.Exit<A, E>): E => {
  if (Exit.isFailure(exit)) {
    const error = Cause.failureOption(exit.cause)
    if (error._tag === "Some") return error.value
    throw new Error(`not a typed failure: ${Cause.pretty(exit.cause)}`)
  }
  throw new Error("not a failure")
}

const isDefect = <A, E>(exit: Exit.Exit<A, E>) =>
  Exit.isFailure(exit) && Chunk.isNonEmpty(Cause.defects(exit.cause)) && Cause.failureOption(exit.cause)._tag === "None"

/** The connection is fine: a plain write and a transaction are committed. */
const works = (sql: SqlClient.SqlClient, filename: string) =>
  Effect.gen(function* () {
    yield* sql`INSERT INTO t VALUES ('plain afterwards')`
    yield* Transaction.run(insert("transaction afterwards"))
    const rows = yield* committed(filename)
    assert.include(rows, "plain afterwards")
    assert.include(rows, "transaction afterwards")
  })

const noLogs = LogLevel.None

/** A way to run something in a part of its own. */
type Nest = <A, E>(
  self: Effect.Effect<A, E, SqlClient.SqlClient | Transaction.Transaction>
) => Effect.Effect<A, E | SqlError, SqlClient.SqlClient | Transaction.Transaction>
type Nested = Effect.Effect<
  ReadonlyArray<Fiber.RuntimeFiber<unknown, SqlError>>,
  SqlError,
  SqlClient.SqlClient | Transaction.Transaction
>
const nestedRun: Nest = (self) => Transaction.run(self)

/** Like withDatabase, with faults. */
const withFaults = <A, E>(
  body: (
    sql: SqlClient.SqlClient,
    filename: string,
    faults: SqlFaults.SqlFaults["Type"]
  ) => Effect.Effect<A, E, SqlClient.SqlClient>
) =>
  withDatabase((base, filename) =>
    Effect.gen(function* () {
      const faults = yield* SqlFaults.SqlFaults
      return yield* body(yield* SqlClient.SqlClient, filename, faults)
    }).pipe(Effect.provide(Layer.provide(SqlFaults.layer, Layer.succeed(SqlClient.SqlClient, base))))
  )

/** Plain writes beside transactions that are rolled back; returns, sorted, what was acknowledged. */
const race = (
  sql: SqlClient.SqlClient,
  transact: (
    self: Effect.Effect<never, SqlError | string>
  ) => Effect.Effect<never, SqlError | string, SqlClient.SqlClient>,
  times: number
) =>
  Effect.gen(function* () {
    const acknowledged: Array<string> = []
    const numbers = Array.from({ length: times }, (_, index) => index)
    const plain = (name: string) =>
      Effect.forEach(numbers, (number) => {
        const row = `${name} ${number}`
        return Effect.map(Effect.either(sql`INSERT INTO t VALUES (${row})`), (result) => {
          if (result._tag === "Right") acknowledged.push(row)
        })
      })
    const undone = Effect.forEach(numbers, () =>
      Effect.exit(transact(Effect.zipRight(sql`SELECT 1`, Effect.fail("no"))))
    )
    yield* Effect.all([plain("a"), undone, plain("b"), undone], { concurrency: "unbounded" })
    assert.isAbove(acknowledged.length, times)
    return acknowledged.sort()
  })

/** What PostgreSQL does with a transaction, as far as it matters here. The statement BAD fails. */
const postgres = Effect.gen(function* () {
  const log: Array<string> = []
  let aborted = false
  const run = (text: string) =>
    Effect.suspend(() => {
      log.push(text)
      const ends = text.startsWith("ROLLBACK") || text === "COMMIT"
      if (text === "BAD" || (aborted && !ends)) {
        const code = aborted ? "25P02" : "42601"
        aborted = true
        return Effect.fail(new SqlError({ cause: Object.assign(new Error(text), { code }), message: "failed" }))
      }
      if (ends) aborted = false
      return Effect.succeed([])
    })
  const client = yield* SqlClient.make({
    acquirer: Effect.succeed({
      execute: run,
      executeRaw: run,
      executeValues: run,
      executeUnprepared: run,
      executeStream: () => Stream.empty
    }),
    compiler: Statement.makeCompiler({
      dialect: "pg",
      placeholder: (index) => `$${index}`,
      onIdentifier: (name) => name,
      onCustom: () => ["", []],
      onRecordUpdate: () => ["", []]
    }),
    spanAttributes: []
  })
  return { client, log }
}).pipe(Effect.provide(Reactivity.layer))

describe("run", () => {
  it.live("1: a failure, a defect, an interruption undo everything and are handed on whole", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const causes = [
          Cause.fail("no" as const),
          Cause.die(new Error("bug")),
          Cause.parallel(Cause.fail("a" as const), Cause.die("b")),
          Cause.sequential(Cause.fail("a" as const), Cause.fail("b" as const))
        ]
        for (const cause of causes) {
          const exit = yield* Effect.exit(Transaction.run(Effect.zipRight(insert("x"), Effect.failCause(cause))))
          assert.deepStrictEqual(exit, Exit.failCause(cause))
        }
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.fork(
          Transaction.run(
            Effect.zipRight(insert("x"), Effect.zipRight(Deferred.succeed(started, undefined), Effect.never))
          )
        )
        yield* Deferred.await(started)
        const exit = yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        assert.deepStrictEqual(yield* committed(filename), [])
        yield* works(sql, filename)
      })
    )
  )

  it.live("commits what templates, captured clients and queries do, as one", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const rows = yield* Transaction.run(
          Effect.gen(function* () {
            yield* insert("a")
            yield* sql`INSERT INTO t VALUES ('b')`
            assert.deepStrictEqual(yield* committed(filename), [])
            return yield* read()
          })
        )
        assert.deepStrictEqual(rows, [{ a: "a" }, { a: "b" }])
        assert.deepStrictEqual(yield* committed(filename), ["a", "b"])
        assert.deepStrictEqual(yield* read(), [{ a: "a" }, { a: "b" }])
      })
    )
  )

  it.live("2: a failing COMMIT is typed and rolled back, and loses nothing of what comes after", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const error = failure(yield* Effect.exit(Transaction.run(Effect.zipRight(insert("x"), orphan()))))
        assert.instanceOf(error, Transaction.CommitFailed)
        assert.isTrue(error instanceof Transaction.CommitFailed && error.rolledBack)
        assert.strictEqual(SqlReason.of(error)._tag, "Constraint")
        yield* sql`INSERT INTO t VALUES ('acknowledged')`
        assert.deepStrictEqual(yield* committed(filename), ["acknowledged"])
        yield* Transaction.run(insert("next"))
        assert.deepStrictEqual(yield* committed(filename), ["acknowledged", "next"])
      })
    )
  )

  it.live("2: a COMMIT that is busy is typed and rolled back (rollback journal, a reader in the way)", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const filename = yield* temporary
        const sql = yield* open(filename, { disableWAL: true })
        yield* tables(sql)
        yield* sql`INSERT INTO t VALUES ('old')`
        yield* sql`PRAGMA busy_timeout = 20`
        const reader = yield* Effect.flatMap(open(filename, { disableWAL: true }), (other) => other.reserve)
        yield* reader.execute("BEGIN", [], undefined)
        yield* reader.execute("SELECT * FROM t", [], undefined)
        const run = Effect.provideService(Transaction.run(insert("x")), SqlClient.SqlClient, sql)
        const error = failure(yield* Effect.exit(run))
        assert.instanceOf(error, Transaction.CommitFailed)
        assert.strictEqual(SqlReason.of(error)._tag, "Busy")
        yield* reader.execute("COMMIT", [], undefined)
        yield* run
        assert.deepStrictEqual(yield* all(sql), ["old", "x"])
      })
    )
  )

  it.live("3: a busy BEGIN is a typed error after the limit, and does not stop the process meanwhile", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const other = yield* Effect.flatMap(open(filename), (client) => client.reserve)
        yield* other.execute("BEGIN IMMEDIATE", [], undefined)
        let ticks = 0
        const timer = setInterval(() => ticks++, 5)
        const exit = yield* Effect.exit(Transaction.run(insert("x"), { busyLimit: "200 millis" }))
        clearInterval(timer)
        assert.strictEqual(SqlReason.of(failure(exit))._tag, "Busy")
        assert.isAbove(ticks, 5)
        assert.deepStrictEqual(yield* sql`PRAGMA busy_timeout`, [{ timeout: 5000 }])
        yield* other.execute("ROLLBACK", [], undefined)
        yield* works(sql, filename)
      }).pipe(Effect.scoped)
    )
  )

  it.live("3: it goes on when the other has finished, and can be interrupted while it waits", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const other = yield* Effect.flatMap(open(filename), (client) => client.reserve)
        yield* other.execute("BEGIN IMMEDIATE", [], undefined)
        const interrupted = yield* Effect.timeoutOption(Transaction.run(insert("x")), "50 millis")
        assert.strictEqual(interrupted._tag, "None")
        const fiber = yield* Effect.fork(Transaction.run(insert("y")))
        yield* Effect.sleep("50 millis")
        yield* other.execute("COMMIT", [], undefined)
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(yield* committed(filename), ["y"])
        yield* works(sql, filename)
      }).pipe(Effect.scoped)
    )
  )

  it.live("begins immediately: two processes that read and then write do not fail each other", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const other = yield* open(filename)
        const add = (client: SqlClient.SqlClient, name: string) =>
          Transaction.run(
            Effect.gen(function* () {
              const rows = yield* read()
              yield* Effect.sleep("5 millis")
              yield* insert(`${name} ${rows.length}`)
            })
          ).pipe(Effect.provideService(SqlClient.SqlClient, client), Effect.repeatN(4))
        yield* Effect.all([add(sql, "a"), add(other, "b")], { concurrency: 2 })
        const rows = yield* committed(filename)
        assert.deepStrictEqual(
          rows.map((row) => Number(row.slice(2))).sort((a, b) => a - b),
          [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live("4: when SQLite rolls back by itself the first error stays, and nothing is committed piece by piece", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        yield* sql`INSERT INTO t VALUES ('old')`
        const collide = Effect.zipRight(insert("x"), sql`INSERT OR ROLLBACK INTO t VALUES ('old')`)
        const first = failure(yield* Effect.exit(Transaction.run(collide)))
        assert.strictEqual(SqlReason.of(first).code, "SQLITE_CONSTRAINT_UNIQUE")
        assert.notInstanceOf(first, Transaction.TransactionLost)

        const caught = Effect.ignore(collide)
        const goesOn = failure(yield* Effect.exit(Transaction.run(Effect.zipRight(caught, insert("y")))))
        assert.instanceOf(goesOn, Transaction.TransactionLost)
        assert.strictEqual(SqlReason.of(goesOn).code, "SQLITE_CONSTRAINT_UNIQUE")
        const stops = failure(yield* Effect.exit(Transaction.run(caught)))
        assert.instanceOf(stops, Transaction.TransactionLost)
        const nested = failure(
          yield* Effect.exit(
            Transaction.run(Effect.zipRight(Transaction.savepoint(caught).pipe(Effect.ignore), insert("y")))
          )
        )
        assert.instanceOf(nested, Transaction.TransactionLost)
        assert.deepStrictEqual(yield* committed(filename), ["old"])
        yield* works(sql, filename)
      })
    )
  )

  it.live("4: an ordinary failing statement that the body handles does not end the transaction", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* insert("a")
            assert.isTrue(Exit.isFailure(yield* Effect.exit(insert("a"))))
            assert.isTrue(Exit.isFailure(yield* Effect.exit(sql`SELECT * FROM nowhere`)))
            yield* insert("b")
          })
        )
        assert.deepStrictEqual(yield* committed(filename), ["a", "b"])
      })
    )
  )

  it.live("a transaction that somebody left open is told of, rolled back, and the next one works", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        yield* sql`BEGIN`.unprepared
        const error = failure(yield* Effect.exit(Transaction.run(insert("x"))))
        assert.include(error.message, "was open on the connection")
        yield* works(sql, filename)
      })
    )
  )

  it.live("durable: synchronous is FULL inside, and as before outside, also after a failure", () =>
    withDatabase((sql) =>
      Effect.gen(function* () {
        const synchronous = Effect.map(sql<{ synchronous: number }>`PRAGMA synchronous`, (rows) => rows[0]?.synchronous)
        yield* sql`PRAGMA synchronous = NORMAL`
        assert.strictEqual(yield* Transaction.run(synchronous, { durable: true }), 2)
        assert.strictEqual(yield* synchronous, 1)
        assert.strictEqual(yield* Transaction.run(synchronous), 1)
        yield* Effect.exit(Transaction.run(Effect.fail("no"), { durable: true }))
        assert.strictEqual(yield* synchronous, 1)
        yield* Effect.exit(Transaction.run(orphan(), { durable: true }))
        assert.strictEqual(yield* synchronous, 1)
        const inside = yield* Effect.exit(Transaction.run(Transaction.run(insert("x"), { durable: true })))
        assert.include(failure(inside).message, "durable")
        yield* Transaction.run(Transaction.run(insert("y"), { durable: true }), { durable: true })
        yield* sql`PRAGMA synchronous = EXTRA`
        assert.strictEqual(yield* Transaction.run(synchronous, { durable: true }), 3)
        assert.deepStrictEqual(yield* all(sql), ["y"])
      })
    )
  )

  it("a write outside a transaction does not compile", () => {
    const needs = (effect: Effect.Effect<unknown, unknown>) => effect
    // @ts-expect-error Transaction is missing in R
    needs(insert("x"))
    // @ts-expect-error it is with a client too
    needs(Effect.provide(insert("x"), SqliteClient.layer({ filename: ":memory:" })))
    // @ts-expect-error a savepoint is no way around it
    needs(Transaction.savepoint(Effect.void))
    needs(Effect.provide(Transaction.run(insert("x")), SqliteClient.layer({ filename: ":memory:" })))
  })

  it.live("a Scope and services that the body needs stay its own", () =>
    withDatabase((sql) =>
      Effect.gen(function* () {
        const closed: Array<string> = []
        const finalizer = Effect.addFinalizer(() => Effect.sync(() => closed.push("now")))
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Transaction.run(Effect.zipRight(finalizer, insert("a")))
            assert.deepStrictEqual(closed, [])
          })
        )
        assert.deepStrictEqual(closed, ["now"])
        assert.deepStrictEqual(yield* all(sql), ["a"])
      })
    )
  )
})

describe("savepoints", () => {
  it.live("are undone as a whole on failure, defect and interruption; what is around them stays", () =>
    withDatabase((_, filename) =>
      Effect.gen(function* () {
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* insert("before")
            yield* Transaction.savepoint(insert("kept"))
            for (const bad of [Effect.fail("no"), Effect.die("bug"), Effect.interrupt]) {
              const exit = yield* Effect.exit(
                Transaction.savepoint(
                  Effect.zipRight(Effect.zipRight(insert("dropped"), Transaction.savepoint(insert("inner"))), bad)
                )
              )
              assert.isTrue(Exit.isFailure(exit))
            }
            yield* Transaction.savepoint(
              Effect.zipRight(Effect.ignore(Transaction.savepoint(Effect.fail(1))), insert("outer"))
            )
            yield* insert("after")
          })
        )
        assert.deepStrictEqual(yield* committed(filename), ["after", "before", "kept", "outer"])
      })
    )
  )

  it.live("5: are released, also those of client(sql) and of a nested run", () =>
    withFaults((sql, _, faults) =>
      Effect.gen(function* () {
        const handlers = Transaction.client(sql)
        yield* faults.reset
        yield* Transaction.run(
          Effect.all([
            Transaction.savepoint(insert("a")),
            handlers.withTransaction(insert("b")),
            Transaction.run(insert("c")),
            Effect.ignore(Transaction.savepoint(Effect.fail("no")))
          ])
        )
        const log = (yield* faults.statements).map((text) => text.replace(/applecart_\w+/, "s"))
        const count = (text: string) => log.filter((one) => one === text).length
        assert.deepStrictEqual(
          [count("SAVEPOINT s"), count("RELEASE s"), count("ROLLBACK TO s"), count("BEGIN IMMEDIATE"), count("COMMIT")],
          [4, 4, 1, 1, 1]
        )
      })
    )
  )

  it.live("6: two at once keep what the one that succeeded wrote, at every level", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const handlers = Transaction.client(sql)
        const nests: ReadonlyArray<Nest> = [Transaction.savepoint, handlers.withTransaction, nestedRun]
        for (const nest of nests) {
          yield* sql`DELETE FROM t`
          const pair = Effect.all(
            [
              Effect.exit(
                nest(Effect.zipRight(insert("A"), Effect.zipRight(Effect.sleep("5 millis"), Effect.fail("no"))))
              ),
              nest(Effect.zipRight(Effect.sleep("1 millis"), insert("B"))),
              nest(nest(Effect.zipRight(Effect.sleep("1 millis"), insert("C"))))
            ],
            { concurrency: "unbounded" }
          )
          yield* Transaction.run(Effect.zipRight(pair, nest(Effect.zipRight(insert("D"), nest(insert("E"))))))
          assert.deepStrictEqual(yield* committed(filename), ["B", "C", "D", "E"])
        }
      })
    )
  )

  it.live("a statement from outside waits for an open savepoint instead of being undone with it", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const slow = Effect.zipRight(insert("undone"), Effect.zipRight(Effect.sleep("10 millis"), Effect.fail("no")))
        yield* Transaction.run(
          Effect.all(
            [
              Effect.exit(Transaction.savepoint(slow)),
              Effect.zipRight(Effect.sleep("2 millis"), insert("kept")),
              sql`SELECT 1`
            ],
            {
              concurrency: "unbounded"
            }
          )
        )
        assert.deepStrictEqual(yield* committed(filename), ["kept"])
      })
    )
  )

  it.live("whoever holds on to the level around does not wait for itself", () =>
    withDatabase((_, filename) =>
      Effect.gen(function* () {
        yield* Transaction.run(
          Effect.gen(function* () {
            const outer = yield* Transaction.Transaction
            yield* Transaction.savepoint(
              Effect.all([outer.execute("INSERT INTO t VALUES ('a')", []), outer.savepoint(insert("b"))])
            )
          })
        )
        assert.deepStrictEqual(yield* committed(filename), ["a", "b"])
      }).pipe(Effect.timeout("30 seconds"))
    )
  )

  it.live("waiting for one can be interrupted, and the next in line gets its turn", () =>
    withDatabase((_, filename) =>
      Effect.gen(function* () {
        yield* Transaction.run(
          Effect.gen(function* () {
            const first = yield* Effect.fork(
              Transaction.savepoint(Effect.zipRight(Effect.sleep("20 millis"), insert("first")))
            )
            yield* Effect.yieldNow()
            const second = yield* Effect.fork(Transaction.savepoint(insert("second")))
            const third = yield* Effect.fork(Transaction.savepoint(insert("third")))
            yield* Effect.sleep("5 millis")
            yield* Fiber.interrupt(second)
            yield* Fiber.join(first)
            yield* Fiber.join(third)
          })
        )
        assert.deepStrictEqual(yield* committed(filename), ["first", "third"])
      }).pipe(Effect.timeout("30 seconds"))
    )
  )

  it.live("the stock withTransaction of a client that was taken earlier nests too", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* sql.withTransaction(insert("a"))
            yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert("b"), Effect.fail("no"))))
            yield* sql.withTransaction(
              Effect.zipRight(Transaction.savepoint(insert("c")), Transaction.run(insert("d")))
            )
          })
        )
        assert.deepStrictEqual(yield* committed(filename), ["a", "c", "d"])
      })
    )
  )

  it.live("run inside a transaction of the stock client is refused, and says what to do", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(sql.withTransaction(Transaction.run(insert("x"))))
        assert.include(failure(exit).message, "Begin that one with Transaction.run")
        yield* Transaction.client(sql).withTransaction(Transaction.run(insert("y")))
        assert.deepStrictEqual(yield* committed(filename), ["y"])
      })
    )
  )
})

describe("isOpen", () => {
  it.live("is true inside a transaction of the client, and nowhere else", () =>
    withDatabase((sql) =>
      Effect.gen(function* () {
        const other = yield* open(yield* temporary)
        const inTransaction = Effect.all([sql, Transaction.client(sql), other].map(Transaction.isOpen))
        assert.deepStrictEqual(yield* inTransaction, [false, false, false])
        assert.deepStrictEqual(yield* Transaction.run(inTransaction), [true, true, false])
        assert.deepStrictEqual(yield* Transaction.run(Transaction.savepoint(inTransaction)), [true, true, false])
        const detached = yield* Transaction.run(
          Effect.forkDaemon(Effect.zipRight(Effect.sleep("5 millis"), inTransaction))
        )
        assert.deepStrictEqual(yield* Fiber.join(detached), [false, false, false])
      }).pipe(Effect.scoped)
    )
  )
})

describe("two clients", () => {
  const withTwo = <A, E>(
    body: (a: SqlClient.SqlClient, b: SqlClient.SqlClient) => Effect.Effect<A, E, SqlClient.SqlClient>
  ) =>
    withDatabase((a) =>
      Effect.scoped(
        Effect.gen(function* () {
          const b = yield* open(yield* temporary)
          yield* tables(b)
          return yield* body(a, b)
        })
      )
    )
  const on = (client: SqlClient.SqlClient) => Effect.provideService(SqlClient.SqlClient, client)

  it.live("7: run, query and isolated reach their own database, and back", () =>
    withTwo((a, b) =>
      Effect.gen(function* () {
        const alone = Transaction.isolated(b)
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* insert("a1")
            yield* on(b)(
              Transaction.run(
                Effect.gen(function* () {
                  yield* insert("b1")
                  yield* on(a)(Transaction.run(insert("a2")))
                  yield* on(a)(Effect.map(read(), (rows) => assert.lengthOf(rows, 2)))
                  yield* alone`INSERT INTO t VALUES ('b2')`
                  yield* alone.withTransaction(alone.unsafe("INSERT INTO t VALUES ('b3')"))
                })
              )
            )
            assert.deepStrictEqual(yield* on(b)(read()), [{ a: "b1" }, { a: "b2" }, { a: "b3" }])
            yield* alone`INSERT INTO t VALUES ('b4')`
            yield* alone.withTransaction(alone`INSERT INTO t VALUES ('b5')`)
            yield* on(alone)(Transaction.run(insert("b6")))
            assert.deepStrictEqual(
              Chunk.toReadonlyArray(yield* Stream.runCollect(alone`SELECT count(*) AS n FROM t`.stream)),
              [{ n: 6 }]
            )
            assert.deepStrictEqual(yield* alone`SELECT count(*) FROM t`.values, [[6]])
            yield* insert("a3")
          })
        )
        assert.deepStrictEqual(yield* all(a), ["a1", "a2", "a3"])
        assert.deepStrictEqual(yield* all(b), ["b1", "b2", "b3", "b4", "b5", "b6"])
      }).pipe(Effect.timeout("30 seconds"))
    )
  )

  it.live("7: the inner one is not tied to the outer one", () =>
    withTwo((a, b) =>
      Effect.gen(function* () {
        yield* Effect.exit(
          Transaction.run(Effect.all([insert("a"), on(b)(Transaction.run(insert("b"))), Effect.fail("no")]))
        )
        assert.deepStrictEqual([yield* all(a), yield* all(b)], [[], ["b"]])
      })
    )
  )

  it.live("an isolated client may begin inside a transaction of the stock client", () =>
    withTwo((a, b) =>
      Effect.gen(function* () {
        yield* Effect.exit(
          a.withTransaction(
            Effect.zipRight(on(Transaction.isolated(b))(Transaction.run(insert("b"))), Effect.fail("no"))
          )
        )
        assert.deepStrictEqual([yield* all(a), yield* all(b)], [[], ["b"]])
      })
    )
  )
})

describe("what comes too late or from elsewhere", () => {
  it.live("8: a detached fiber's statement fails instead of writing into the next transaction", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const handlers = Transaction.client(sql)
        const go = yield* Deferred.make<void>()
        const late: ReadonlyArray<Effect.Effect<unknown, SqlError, SqlClient.SqlClient | Transaction.Transaction>> = [
          insert("late"),
          sql`INSERT INTO t VALUES ('late')`,
          Transaction.savepoint(insert("late")),
          Transaction.run(insert("late")),
          handlers.withTransaction(insert("late")),
          Effect.scoped(
            Effect.flatMap(handlers.reserve, (on) => on.execute("INSERT INTO t VALUES ('late')", [], undefined))
          )
        ]
        for (const level of [
          (self: Nested) => Transaction.run(self),
          (self: Nested) => Transaction.run(Transaction.savepoint(self))
        ]) {
          const fibers = yield* level(
            Effect.zipLeft(
              Effect.forEach(late, (one) => Effect.forkDaemon(Effect.zipRight(Deferred.await(go), one))),
              insert("on time")
            )
          )
          yield* Effect.exit(
            Transaction.run(
              Effect.gen(function* () {
                yield* insert("next")
                yield* Deferred.succeed(go, undefined)
                for (const fiber of fibers) {
                  assert.instanceOf(failure(yield* Fiber.await(fiber)), Transaction.TransactionClosed)
                }
                return yield* Effect.fail("rolled back")
              })
            )
          )
          assert.deepStrictEqual(yield* committed(filename), ["on time"])
          yield* sql`DELETE FROM t`
        }
      }).pipe(Effect.timeout("30 seconds"))
    )
  )

  for (const around of ["run", "savepoint"] as const) {
    it.live(`8: a savepoint that a detached fiber left open in a ${around} is undone, the rest is committed`, () =>
      withDatabase((sql, filename) =>
        Effect.gen(function* () {
          const go = yield* Deferred.make<void>()
          const wrote = yield* Deferred.make<void>()
          const slow = Transaction.savepoint(
            Effect.gen(function* () {
              yield* insert("half")
              yield* Transaction.savepoint(insert("half of it"))
              yield* Deferred.succeed(wrote, undefined)
              yield* Deferred.await(go)
            })
          )
          const whole = Effect.gen(function* () {
            yield* insert("whole")
            const fiber = yield* Effect.forkDaemon(slow)
            yield* Deferred.await(wrote)
            return fiber
          })
          const inner = around === "run" ? whole : Effect.zipLeft(Transaction.savepoint(whole), insert("after"))
          const fiber = yield* Transaction.run(inner)
          assert.deepStrictEqual(yield* committed(filename), around === "run" ? ["whole"] : ["after", "whole"])
          yield* Deferred.succeed(go, undefined)
          assert.instanceOf(failure(yield* Fiber.await(fiber)), Transaction.TransactionClosed)
          yield* works(sql, filename)
        }).pipe(Effect.timeout("30 seconds"))
      )
    )
  }

  it.live("9: a runtime taken inside, and reserve of client(sql), join instead of waiting for ever", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const handlers = Transaction.client(sql)
        yield* Transaction.run(
          Effect.gen(function* () {
            const runtime = yield* Effect.runtime<never>()
            yield* Effect.promise(() => Runtime.runPromise(runtime)(sql`INSERT INTO t VALUES ('a')`))
            yield* Effect.scoped(
              Effect.flatMap(handlers.reserve, (on) => on.execute("INSERT INTO t VALUES ('b')", [], undefined))
            )
            assert.deepStrictEqual(yield* committed(filename), [])
          })
        )
        assert.deepStrictEqual(yield* committed(filename), ["a", "b"])
        yield* Effect.scoped(Effect.flatMap(handlers.reserve, (on) => on.execute("SELECT 1", [], undefined)))
      }).pipe(Effect.timeout("30 seconds"))
    )
  )

  it.live("10: statements at once work, and one failure undoes all", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const many = Array.from({ length: 50 }, (_, index) => sql`INSERT INTO t VALUES (${`${index}`})`)
        yield* Transaction.run(Effect.all(many, { concurrency: "unbounded" }))
        assert.lengthOf(yield* committed(filename), 50)
        yield* sql`DELETE FROM t`
        const one = Effect.all([...many, sql`INSERT INTO t VALUES ('7')`], { concurrency: "unbounded" })
        assert.strictEqual(SqlReason.of(failure(yield* Effect.exit(Transaction.run(one))))._tag, "Constraint")
        assert.deepStrictEqual(yield* committed(filename), [])
      })
    )
  )

  it.live("11: a plain statement that was given the connection and not run yet does not land in the transaction", () =>
    withDatabase((base, filename) =>
      Effect.gen(function* () {
        // A client as the stock one, that yields where that may be made to.
        const hesitant = Effect.map(Effect.scoped(base.reserve), (on) => ({
          ...on,
          execute: (...args: Parameters<typeof on.execute>) => Effect.zipRight(Effect.yieldNow(), on.execute(...args))
        }))
        const sql = yield* SqlClient.make({
          acquirer: hesitant,
          transactionAcquirer: base.reserve,
          compiler: Statement.makeCompilerSqlite(),
          spanAttributes: []
        })
        const plain = sql`INSERT INTO t VALUES ('acknowledged')`
        const undone = <E>(transact: Effect.Effect<never, E, SqlClient.SqlClient>) =>
          Effect.gen(function* () {
            yield* base`DELETE FROM t`
            const fiber = yield* Effect.fork(plain)
            yield* Effect.yieldNow()
            yield* Effect.exit(Effect.provideService(transact, SqlClient.SqlClient, sql))
            yield* Fiber.join(fiber)
            return yield* committed(filename)
          })
        const fails = Effect.zipRight(Effect.yieldNow(), Effect.zipRight(Effect.yieldNow(), Effect.fail("no")))
        assert.deepStrictEqual(yield* undone(Transaction.run(fails)), ["acknowledged"])
        // For comparison: the stock transaction takes it along.
        assert.deepStrictEqual(yield* undone(sql.withTransaction(fails)), [])
      }).pipe(Effect.provide(Reactivity.layer))
    )
  )

  // Values at which the stock client loses writes; see the comparison below.
  for (const steps of [11, 13, 17, 24, 33, 48, 64]) {
    it.live(`11: a plain write that is acknowledged stays, with fibers that yield every ${steps} steps`, () =>
      withDatabase((sql, filename) =>
        Effect.gen(function* () {
          const acknowledged = yield* race(sql, (self) => Transaction.run(self), 60).pipe(
            Effect.withMaxOpsBeforeYield(steps)
          )
          assert.deepStrictEqual(yield* committed(filename), acknowledged)
        })
      )
    )
  }

  it.live("13: a syntax error is typed, prepared or not", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        for (const bad of [sql`SELEKT 1`, sql`SELEKT 1`.unprepared, sql`SELEKT 1`.values, sql`SELEKT 1`.raw]) {
          const error = failure(yield* Effect.exit(Transaction.run(Effect.zipRight(insert("x"), bad))))
          assert.instanceOf(error, SqlError)
          assert.strictEqual(SqlReason.of(error)._tag, "Statement")
        }
        assert.deepStrictEqual(yield* committed(filename), [])
      })
    )
  )

  it.live("14: a stream of rows works", () =>
    withDatabase((sql) =>
      Effect.gen(function* () {
        const rows = yield* Transaction.run(
          Effect.zipRight(
            Effect.all([insert("a"), insert("b")]),
            Stream.runCollect(sql`SELECT a FROM t ORDER BY a`.stream)
          )
        )
        assert.deepStrictEqual(Chunk.toReadonlyArray(rows), [{ a: "a" }, { a: "b" }])
      })
    )
  )

  it("control statements are recognised, however they are written", () => {
    const space = FastCheck.constantFrom("", " ", "\n\t", "-- BEGIN\n", "/* COMMIT */", ";", "\n  -- x\n /* y */ ")
    const cased = (text: string) =>
      FastCheck.constantFrom(text, text.toLowerCase(), text[0] + text.slice(1).toLowerCase())
    const control = FastCheck.constantFrom(
      "BEGIN",
      "BEGIN IMMEDIATE",
      "COMMIT",
      "COMMIT TRANSACTION",
      "END",
      "END;",
      "ROLLBACK",
      "ROLLBACK;",
      "ROLLBACK TRANSACTION",
      "START TRANSACTION",
      "ABORT",
      "ROLLBACK WORK",
      "BEGIN -- TO"
    ).chain(cased)
    const other = FastCheck.constantFrom(
      "ROLLBACK TO a",
      "ROLLBACK TO SAVEPOINT a",
      "ROLLBACK TRANSACTION TO a",
      "RELEASE a",
      "SAVEPOINT a",
      "SELECT 1",
      "CREATE TRIGGER x BEGIN SELECT 1; END",
      "BEGINNING",
      "ENDING",
      "EXPLAIN COMMIT",
      "COMMITMENT",
      "ANALYZE",
      "",
      "STARTS"
    ).chain(cased)
    FastCheck.assert(FastCheck.property(space, control, (before, text) => isControl(before + text)))
    FastCheck.assert(FastCheck.property(space, other, (before, text) => !isControl(before + text)))
  })

  it.live("a handler cannot end or begin the transaction", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        for (const text of ["COMMIT", "rollback", "BEGIN", "END"]) {
          const statements = [
            sql.unsafe(text),
            sql.unsafe(text).unprepared,
            sql.unsafe(text).raw,
            Transaction.statement(text)()
          ]
          for (const one of statements) {
            const error = failure(yield* Effect.exit(Transaction.run(Effect.zipRight(insert("x"), one))))
            assert.instanceOf(error, Transaction.TransactionControl)
          }
        }
        assert.deepStrictEqual(yield* committed(filename), [])
        yield* works(sql, filename)
      })
    )
  )
})

describe("afterCommit", () => {
  it.live("runs after the outermost commit, in order; what was rolled back is dropped", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const note = (name: string) =>
          Transaction.afterCommit(
            Effect.map(Effect.orDie(committed(filename)), (rows) => seen.push(`${name}: ${rows.join()}`))
          )
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* note("1")
            yield* Transaction.savepoint(Effect.zipRight(note("2"), Transaction.savepoint(note("3"))))
            yield* Effect.ignore(
              Transaction.savepoint(
                Effect.all([note("dropped"), Transaction.savepoint(note("dropped")), Effect.fail(1)])
              )
            )
            yield* Transaction.run(note("4"))
            yield* insert("a")
            assert.deepStrictEqual(seen, [])
          })
        )
        assert.deepStrictEqual(seen, ["1: a", "2: a", "3: a", "4: a"])
        const bads: ReadonlyArray<Effect.Effect<unknown, unknown, Transaction.Transaction>> = [
          Effect.fail("no"),
          Effect.die("bug"),
          orphan()
        ]
        for (const bad of bads) {
          yield* Effect.exit(Transaction.run(Effect.zipRight(note("never"), bad)))
        }
        assert.lengthOf(seen, 4)
        yield* works(sql, filename)
      })
    )
  )

  it.live("comes behind what runs at the commit itself, before anybody else gets the connection", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const read = Effect.map(sql`SELECT * FROM t`, (rows) => void seen.push(`somebody else sees ${rows.length}`))
        // Another connection sees that it was committed; this one is not free yet, and who waits for it goes on waiting.
        const at = Effect.gen(function* () {
          seen.push(`committed ${yield* Effect.orDie(committed(filename))}`)
          yield* Effect.sleep("20 millis")
          seen.push("noted")
        })
        const reader = yield* Effect.fork(Effect.delay(read, "5 millis"))
        const slow = Effect.zipRight(Effect.sleep("20 millis"), insert("a"))
        const after = Transaction.afterCommit(Effect.sync(() => seen.push("after")))
        yield* Transaction.run(Effect.zipRight(slow, after), { committed: at })
        yield* Fiber.join(reader)
        assert.deepStrictEqual(seen.slice(0, 2), ["committed a", "noted"])
        assert.sameMembers(seen.slice(2), ["after", "somebody else sees 1"])
        seen.length = 0
        const note = Effect.sync(() => void seen.push("noted"))
        yield* Effect.exit(Transaction.run(Effect.zipRight(insert("b"), Effect.fail("no")), { committed: note }))
        assert.deepStrictEqual(seen, [])
        // Inside another one it is that one's commit which counts; a defect does not undo it.
        yield* Transaction.run(
          Effect.zipRight(
            Transaction.run(insert("c"), { committed: note }),
            Effect.sync(() => assert.deepStrictEqual(seen, []))
          ),
          { committed: Effect.die("bug") }
        )
        assert.deepStrictEqual(seen, ["noted"])
        assert.deepStrictEqual(yield* committed(filename), ["a", "c"])
        yield* works(sql, filename)
      })
    )
  )

  it.live("can use the database and begin anew; finds its services; a defect in it disturbs nobody", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        class Name extends Context.Tag("Name")<Name, string>() {}
        const logged: Array<unknown> = []
        const logger = Logger.replace(
          Logger.defaultLogger,
          Logger.make(({ message }) => logged.push(message))
        )
        const hooks = Effect.all([
          Transaction.afterCommit(Effect.die("bug")),
          Transaction.afterCommit(Effect.orDie(sql`INSERT INTO t VALUES ('plain')`)),
          Transaction.afterCommit(Effect.orDie(Effect.flatMap(Name, (name) => Transaction.run(insert(name))))),
          Transaction.afterCommit(
            Effect.map(Effect.exit(insert("x")), (exit) =>
              assert.instanceOf(failure(exit), Transaction.TransactionClosed)
            )
          )
        ])
        const value = yield* Transaction.run(Effect.as(hooks, 42)).pipe(
          Effect.provideService(Name, "own"),
          Effect.provide(logger)
        )
        assert.strictEqual(value, 42)
        assert.lengthOf(logged, 1)
        assert.deepStrictEqual(yield* committed(filename), ["own", "plain"])
      }).pipe(Effect.timeout("30 seconds"))
    )
  )

  it.live("15: a live query on another connection sees the committed rows", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const reader = yield* open(filename)
        const reactivity = yield* Reactivity.Reactivity
        const live = yield* reactivity.query(
          ["t"],
          Effect.map(all(reader), (rows) => rows.length)
        )
        assert.strictEqual(yield* live.take, 0)
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* insert("a")
            yield* Transaction.afterCommit(reactivity.invalidate(["t"]))
            yield* Effect.sleep("10 millis")
          })
        )
        assert.strictEqual(yield* live.take, 1)
      }).pipe(Effect.scoped, Effect.provide(Reactivity.layer), Effect.timeout("30 seconds"))
    )
  )

  it.live("16: subscribers hear of what is committed, and of nothing else", () =>
    withDatabase((_, filename) =>
      Effect.gen(function* () {
        const news = yield* PubSub.unbounded<string>()
        const subscriber = yield* PubSub.subscribe(news)
        const seen = yield* Effect.fork(
          Effect.map(
            Effect.zip(
              Queue.take(subscriber),
              Effect.suspend(() => committed(filename))
            ),
            ([name, rows]) => [name, rows] as const
          )
        )
        const tell = (name: string) =>
          Effect.zipRight(insert(name), Transaction.afterCommit(PubSub.publish(news, name)))
        yield* Effect.exit(Transaction.run(Effect.zipRight(tell("undone"), Effect.fail("no"))))
        yield* Transaction.run(Effect.zipLeft(tell("done"), Effect.sleep("10 millis")))
        assert.deepStrictEqual(yield* Fiber.join(seen), ["done", ["done"]])
      }).pipe(Effect.scoped, Effect.timeout("30 seconds"))
    )
  )
})

describe("a fault at every statement", () => {
  const scenario = Transaction.run(
    Effect.gen(function* () {
      yield* insert("a")
      yield* Transaction.savepoint(Effect.zipRight(insert("b"), Transaction.savepoint(insert("c"))))
      yield* Effect.ignore(Transaction.savepoint(Effect.zipRight(insert("x"), Effect.fail("no"))))
      // An application that takes a failing part lightly must not end up with half of it.
      yield* Effect.exit(Transaction.savepoint(Effect.zipRight(insert("d1"), insert("d2"))))
    }),
    { durable: true, busyLimit: "5 millis" }
  )
  const outcomeUnknown = (error: unknown) => error instanceof Transaction.CommitFailed && !error.rolledBack
  const allowed = [[], ["a", "b", "c"], ["a", "b", "c", "d1", "d2"]]

  for (const kind of ["busy", "full", "io", "constraint"] as const) {
    for (const fault of [SqlFaults.failBefore(kind), SqlFaults.failAfter(kind), SqlFaults.die]) {
      if (fault._tag === "Die" && kind !== "io") continue
      for (const forever of [false, true]) {
        it.live(
          `${fault._tag} ${kind}${forever ? " for ever" : ""}: all or nothing, and the next transaction works`,
          () =>
            withFaults((sql, filename, faults) =>
              Effect.gen(function* () {
                yield* sql`PRAGMA synchronous = NORMAL`
                yield* faults.reset
                yield* scenario
                const statements = yield* faults.count
                assert.isAbove(statements, 20)
                for (let at = 1; at <= statements; at++) {
                  yield* sql`DELETE FROM t`
                  yield* faults.reset
                  yield* faults.arm({ at, fault, forever })
                  const exit = yield* Effect.exit(scenario)
                  yield* faults.disarm
                  const where = `${at}: ${(yield* faults.statements)[at - 1]}`
                  // The driver's defect in the body's own statement is the body's exit; nothing of ours is a defect.
                  const from = (yield* faults.statements).slice(at - 1, forever ? undefined : at)
                  const ofBody = fault._tag === "Die" && from.some((text) => text.startsWith("INSERT"))
                  if (!ofBody) assert.isFalse(isDefect(exit), where)
                  const rows = yield* committed(filename)
                  assert.deepInclude(allowed, rows, where)
                  // What was committed although it failed is a COMMIT that was done and reported as failed, and says so.
                  const unknown = Exit.isFailure(exit) && !isDefect(exit) && outcomeUnknown(failure(exit))
                  assert.isTrue(unknown || Exit.isSuccess(exit) === rows.length > 0, where)
                  const next = yield* Effect.exit(Transaction.run(insert("next")))
                  assert.deepStrictEqual(next, Exit.succeed([]), where)
                  assert.deepStrictEqual(yield* committed(filename), [...rows, "next"], where)
                  assert.deepStrictEqual(yield* sql`PRAGMA busy_timeout`, [{ timeout: 5000 }], where)
                }
              }).pipe(Logger.withMinimumLogLevel(noLogs))
            )
        )
      }
    }
  }
})

describe("two faults", () => {
  it.live("a savepoint left behind by one is not mistaken for another: nothing that succeeded is undone silently", () =>
    withFaults((_, filename, faults) =>
      Effect.gen(function* () {
        const failNext = Effect.flatMap(faults.count, (count) =>
          faults.arm({ at: count + 1, fault: SqlFaults.failAfter() })
        )
        const exit = yield* Effect.exit(
          Transaction.run(
            Effect.gen(function* () {
              yield* failNext
              yield* Effect.exit(Transaction.savepoint(insert("x")))
              yield* Transaction.savepoint(insert("kept"))
              yield* Effect.exit(Transaction.savepoint(Effect.zipRight(insert("y"), failNext)))
            })
          )
        )
        assert.instanceOf(failure(exit), Transaction.TransactionLost)
        assert.deepStrictEqual(yield* committed(filename), [])
      })
    )
  )
})

describe("a database that goes on after a failure only to roll back at COMMIT, as PostgreSQL does", () => {
  it.effect("a transaction whose statement failed is not reported as committed", () =>
    Effect.gen(function* () {
      const { client, log } = yield* postgres
      const on = Effect.provideService(SqlClient.SqlClient, client)
      const bad = Transaction.statement("BAD")()
      const lost = yield* Effect.exit(on(Transaction.run(Effect.ignore(bad))))
      assert.instanceOf(failure(lost), Transaction.TransactionLost)
      assert.deepStrictEqual(log.splice(0), ["BEGIN", "BAD", "SELECT 1", "ROLLBACK"])
      yield* on(Transaction.run(Effect.ignore(Transaction.savepoint(bad))))
      yield* on(Transaction.run(Effect.ignore(client.withTransaction(bad))))
      assert.deepStrictEqual(
        log.map((text) => text.replace(/ (SAVEPOINT )?(applecart|effect)\w+/, "")),
        [
          "BEGIN",
          "SAVEPOINT",
          "BAD",
          "ROLLBACK TO",
          "RELEASE",
          "COMMIT",
          "BEGIN",
          "SAVEPOINT",
          "BAD",
          "ROLLBACK TO",
          "COMMIT"
        ]
      )
    })
  )
})

describe("stock withTransaction, for comparison", () => {
  it.live("2: a failing COMMIT is a defect, and acknowledged writes are lost with the next transaction", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const orphaned = sql.withTransaction(sql`INSERT INTO child (id) VALUES (99)`)
        assert.isTrue(isDefect(yield* Effect.exit(orphaned)))
        yield* sql`INSERT INTO t VALUES ('acknowledged')`
        assert.isTrue(Exit.isFailure(yield* Effect.exit(sql.withTransaction(sql`INSERT INTO t VALUES ('next')`))))
        assert.deepStrictEqual(yield* committed(filename), [])
      })
    )
  )

  it.live("4: an automatic rollback is a defect, and what follows it is committed by itself", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        yield* sql`INSERT INTO t VALUES ('old')`
        const caught = Effect.ignore(sql`INSERT OR ROLLBACK INTO t VALUES ('old')`)
        assert.isTrue(
          isDefect(yield* Effect.exit(sql.withTransaction(Effect.zipRight(caught, sql`INSERT INTO t VALUES ('half')`))))
        )
        assert.deepStrictEqual(yield* committed(filename), ["half", "old"])
      })
    )
  )

  it.live("6: two nested at once keep the row of the one that failed", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const a = sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`INSERT INTO t VALUES ('A')`
            yield* Effect.sleep("10 millis")
            return yield* Effect.fail("no")
          })
        )
        const b = sql.withTransaction(Effect.zipRight(Effect.sleep("2 millis"), sql`INSERT INTO t VALUES ('B')`))
        yield* sql.withTransaction(Effect.all([Effect.exit(a), b], { concurrency: 2 }))
        assert.notDeepEqual(yield* committed(filename), ["B"])
      })
    )
  )

  it.live("7: a statement on another client runs on the first one's database", () =>
    withDatabase((a) =>
      Effect.gen(function* () {
        const b = yield* open(yield* temporary)
        yield* tables(b)
        yield* a.withTransaction(b`INSERT INTO t VALUES ('for b')`)
        assert.deepStrictEqual([yield* all(a), yield* all(b)], [["for b"], []])
      }).pipe(Effect.scoped)
    )
  )

  it.live("8: a detached fiber's write vanishes with another's rollback", () =>
    withDatabase((sql, filename) =>
      Effect.gen(function* () {
        const go = yield* Deferred.make<void>()
        const fiber = yield* sql.withTransaction(
          Effect.forkDaemon(Effect.zipRight(Deferred.await(go), sql`INSERT INTO t VALUES ('late')`))
        )
        yield* Effect.exit(
          sql.withTransaction(
            Effect.gen(function* () {
              yield* Deferred.succeed(go, undefined)
              yield* Fiber.join(fiber)
              return yield* Effect.fail("no")
            })
          )
        )
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(fiber)))
        assert.deepStrictEqual(yield* committed(filename), [])
      })
    )
  )

  it.live("9: reserve inside waits for ever", () =>
    withDatabase((sql) =>
      Effect.gen(function* () {
        const waits = sql.withTransaction(Effect.scoped(sql.reserve).pipe(Effect.timeoutOption("30 millis")))
        assert.strictEqual((yield* waits)._tag, "None")
      })
    )
  )

  it.live("11: acknowledged plain writes are lost when fibers yield after few steps", () =>
    Effect.gen(function* () {
      let lost = 0
      for (const steps of [11, 13, 17, 24, 33, 48, 64]) {
        lost += yield* withDatabase((sql, filename) =>
          Effect.gen(function* () {
            const acknowledged = yield* race(sql, sql.withTransaction, 60).pipe(Effect.withMaxOpsBeforeYield(steps))
            const kept = new Set(yield* committed(filename))
            return acknowledged.filter((name) => !kept.has(name)).length
          })
        )
      }
      assert.isAbove(lost, 0)
    })
  )

  it.live("13, 14: an unprepared syntax error and a stream are defects", () =>
    withDatabase((sql) =>
      Effect.gen(function* () {
        assert.isTrue(isDefect(yield* Effect.exit(sql.withTransaction(sql`SELEKT 1`.unprepared))))
        assert.isTrue(isDefect(yield* Effect.exit(sql.withTransaction(Stream.runCollect(sql`SELECT 1`.stream)))))
      })
    )
  )
})
