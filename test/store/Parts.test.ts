/** `Transaction.part`, and statements that are prepared once. */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Deferred from "effect/Deferred"
import * as Prepared from "../../src/store/internal/prepared.ts"
import * as Transaction from "../../src/store/Transaction.ts"

const withTable = <A, E>(body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const sql = yield* SqliteClient.make({ filename: ":memory:" }).pipe(Effect.provide(Reactivity.layer))
      yield* sql`CREATE TABLE t (a TEXT UNIQUE)`
      return yield* Effect.provideService(body(sql), SqlClient.SqlClient, sql)
    })
  )

const insert = Transaction.statement("INSERT INTO t (a) VALUES (?)")
const read = Effect.map(Transaction.query("SELECT a FROM t ORDER BY a")(), (rows) => rows.map((row) => row["a"]))

describe("a part of a transaction", () => {
  it.live("is kept with the rest, and so is what it leaves for after the commit", () =>
    withTable(() =>
      Effect.gen(function* () {
        const heard: Array<string> = []
        yield* Transaction.run(
          Effect.gen(function* () {
            yield* insert("around")
            yield* Transaction.part(
              Effect.zipRight(insert("inside"), Transaction.afterCommit(Effect.sync(() => heard.push("committed"))))
            )
          })
        )
        assert.deepStrictEqual(yield* read, ["around", "inside"])
        assert.deepStrictEqual(heard, ["committed"])
      })
    )
  )

  it.live("that has only read hands its failure on, and the rest goes on", () =>
    withTable(() =>
      Effect.gen(function* () {
        const said = yield* Transaction.run(
          Effect.gen(function* () {
            yield* insert("around")
            const no = yield* Effect.flip(Transaction.part(Effect.zipRight(read, Effect.fail("no"))))
            yield* Transaction.check
            return no
          })
        )
        assert.strictEqual(said, "no")
        assert.deepStrictEqual(yield* read, ["around"])
      })
    )
  )

  const failures: Readonly<Record<string, Effect.Effect<unknown, unknown, Transaction.Transaction>>> = {
    "a failure": Effect.fail("no"),
    "a defect": Effect.die("bug"),
    "an interruption of its own": Effect.interrupt,
    "a constraint that it violates": insert("twice")
  }
  for (const [what, failing] of Object.entries(failures)) {
    it.live(`takes everything along after it has written: ${what}`, () =>
      withTable(() =>
        Effect.gen(function* () {
          const checked: Array<unknown> = []
          const exit = yield* Effect.exit(
            Transaction.run(
              Effect.gen(function* () {
                yield* insert("around")
                const part = yield* Effect.exit(Transaction.part(Effect.zipRight(insert("twice"), failing)))
                assert.isTrue(Exit.isFailure(part))
                checked.push(yield* Effect.flip(Transaction.check))
                // Whoever goes on all the same writes nothing.
                checked.push(yield* Effect.flip(insert("behind")))
              })
            )
          )
          const committing = yield* Effect.flip(exit)
          for (const error of [...checked, committing]) assert.instanceOf(error, Transaction.PartFailed)
          assert.instanceOf(committing, Transaction.TransactionLost)
          assert.deepStrictEqual(yield* read, [])
          yield* Transaction.run(insert("next"))
          assert.deepStrictEqual(yield* read, ["next"])
        })
      )
    )
  }

  it.live("ends: what a fiber that it left behind writes fails, and what it read is no harm", () =>
    withTable(() =>
      Effect.gen(function* () {
        const go = yield* Deferred.make<void>()
        const late = yield* Transaction.run(
          Effect.gen(function* () {
            const fiber = yield* Transaction.part(
              Effect.zipRight(insert("inside"), Effect.forkDaemon(Effect.zipRight(Deferred.await(go), insert("late"))))
            )
            yield* insert("around")
            yield* Deferred.succeed(go, undefined)
            return yield* Effect.flip(Fiber.join(fiber))
          })
        )
        assert.instanceOf(late, Transaction.TransactionClosed)
        assert.deepStrictEqual(yield* read, ["around", "inside"])
      })
    )
  )

  it.live("undoes what a savepoint in it has undone, and no more", () =>
    withTable(() =>
      Effect.gen(function* () {
        yield* Transaction.run(
          Transaction.part(
            Effect.gen(function* () {
              yield* insert("kept")
              yield* Effect.ignore(Transaction.savepoint(Effect.zipRight(insert("undone"), Effect.fail("no"))))
            })
          )
        )
        assert.deepStrictEqual(yield* read, ["kept"])
      })
    )
  )

  it.live("leaves a savepoint that a fiber holds open in it to nobody", () =>
    withTable(() =>
      Effect.gen(function* () {
        const inside = yield* Deferred.make<void>()
        yield* Transaction.run(
          Effect.gen(function* () {
            const fiber = yield* Transaction.part(
              Effect.gen(function* () {
                yield* insert("kept")
                const held = Transaction.savepoint(
                  Effect.zipRight(insert("held"), Effect.zipRight(Deferred.succeed(inside, undefined), Effect.never))
                )
                const fiber = yield* Effect.forkDaemon(held)
                yield* Deferred.await(inside)
                return fiber
              })
            )
            yield* Fiber.interrupt(fiber)
            yield* insert("around")
          })
        )
        assert.deepStrictEqual(yield* read, ["around", "kept"])
      })
    )
  )
})

describe("statements that are prepared once", () => {
  const connection = Effect.flatMap(SqlClient.SqlClient, (sql) => sql.reserve)
  const changed = (base: Connection, executeUnprepared: Connection["executeUnprepared"]): Connection => ({
    ...base,
    executeUnprepared
  })

  it.live("are for connections that prepare at once and read parameters late, and for no others", () =>
    withTable(() =>
      Effect.scoped(
        Effect.gen(function* () {
          const base = yield* connection
          assert.isDefined(yield* Prepared.of(base))
          const early = changed(base, (sql, params, transform) => base.executeUnprepared(sql, [...params], transform))
          assert.isUndefined(yield* Prepared.of(early))
          const late = changed(base, (sql, params, transform) =>
            Effect.suspend(() => base.executeUnprepared(sql, params, transform))
          )
          assert.isUndefined(yield* Prepared.of(late))
          const failing = changed(base, () => Effect.fail(new SqlError({ message: "down" })))
          assert.isUndefined(yield* Prepared.of(failing))
        })
      )
    )
  )

  it.live(
    "give what is there now: with other parameters, after the table has changed, more of them than are kept",
    () =>
      withTable((sql) =>
        Effect.gen(function* () {
          const columns = Transaction.query("SELECT * FROM t WHERE a = ?")
          const of = (a: string) => Transaction.run(columns(a))
          yield* Transaction.run(Effect.zipRight(insert("a"), insert("b")))
          assert.deepStrictEqual(yield* of("a"), [{ a: "a" }])
          assert.deepStrictEqual(yield* of("b"), [{ a: "b" }])
          yield* sql`ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 7`
          assert.deepStrictEqual(yield* of("b"), [{ a: "b", c: 7 }])
          for (let n = 0; n < 300; n++) {
            const [row] = yield* Transaction.run(Transaction.query(`SELECT ${n} AS n, a FROM t WHERE a = ?`)("a"))
            assert.deepStrictEqual(row, { n, a: "a" })
          }
          yield* sql`DROP TABLE t`
          assert.instanceOf(yield* Effect.flip(of("a")), SqlError)
          assert.instanceOf(yield* Effect.flip(Transaction.run(insert("a"))), SqlError)
        })
      )
  )
})
