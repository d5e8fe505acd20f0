import { SqlError } from "@effect/sql/SqlError"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as SqlReason from "../../src/store/SqlReason.ts"
import * as Transaction from "../../src/store/Transaction.ts"

const withCode = (code: string) => new SqlError({ cause: Object.assign(new Error(code), { code }), message: "failed" })

/** Codes and what they mean, from sqlite.org/rescode.html and PostgreSQL's appendix A. */
const known: ReadonlyArray<readonly [SqlReason.SqlReason["_tag"], ReadonlyArray<string>]> = [
  [
    "Busy",
    [
      "SQLITE_BUSY",
      "SQLITE_BUSY_SNAPSHOT",
      "SQLITE_BUSY_RECOVERY",
      "SQLITE_LOCKED_SHAREDCACHE",
      "40001",
      "40P01",
      "55P03"
    ]
  ],
  ["Full", ["SQLITE_FULL", "53100", "ENOSPC"]],
  ["Io", ["SQLITE_IOERR", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_WRITE", "58030", "EIO"]],
  ["Memory", ["SQLITE_NOMEM", "53200"]],
  ["ReadOnly", ["SQLITE_READONLY", "SQLITE_READONLY_DBMOVED", "25006"]],
  [
    "Connection",
    ["SQLITE_CANTOPEN", "08006", "08P01", "53300", "57P01", "57P03", "ECONNREFUSED", "ECONNRESET", "CONNECTION_CLOSED"]
  ],
  ["Corrupt", ["SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "SQLITE_NOTADB", "XX001"]],
  [
    "Constraint",
    [
      "SQLITE_CONSTRAINT",
      "SQLITE_CONSTRAINT_UNIQUE",
      "SQLITE_CONSTRAINT_TRIGGER",
      "23505",
      "23514",
      "23503",
      "40002",
      "P0001"
    ]
  ],
  [
    "Statement",
    ["SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_RANGE", "SQLITE_TOOBIG", "42P01", "22P02", "42601", "25P02", "57014"]
  ]
]
const verdicts: ReadonlySet<string> = new Set(["Constraint", "Statement", "Closed"])

describe("SqlReason", () => {
  for (const [tag, codes] of known) {
    it(`${tag}: ${codes.join(" ")}`, () => {
      for (const code of codes) {
        assert.deepStrictEqual(SqlReason.of(withCode(code)), { _tag: tag, code })
        assert.strictEqual(SqlReason.isInfrastructure(withCode(code)), !verdicts.has(tag), code)
      }
    })
  }

  it("looks through what clients and transactions wrap around the driver's error", () => {
    for (const [tag, codes] of known) {
      for (const code of codes) {
        const error = withCode(code)
        const wrapped = [
          new SqlError({ cause: error, message: "outer" }),
          new SqlError({ cause: new Error("outer", { cause: error.cause }), message: "outer" }),
          new Transaction.CommitFailed({ cause: error, rolledBack: true }),
          new Transaction.TransactionLost({ original: error }),
          new Transaction.CommitFailed({
            cause: new Transaction.TransactionLost({ original: error }),
            rolledBack: true
          })
        ]
        for (const one of wrapped) assert.deepStrictEqual(SqlReason.of(one), { _tag: tag, code })
      }
    }
  })

  it("our own errors", () => {
    assert.strictEqual(SqlReason.of(new Transaction.TransactionClosed({ statement: "x" }))._tag, "Closed")
    assert.strictEqual(SqlReason.of(new Transaction.TransactionControl({ statement: "x" }))._tag, "Statement")
    assert.strictEqual(SqlReason.of(new Transaction.TransactionLost({ original: new Error("bug") }))._tag, "Statement")
  })

  it("takes anything as a cause, and in doubt it is the statement's fault", () => {
    const cyclic = new Error("cyclic")
    cyclic.cause = cyclic
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(FastCheck.anything(), FastCheck.constant(cyclic)), (cause) => {
        assert.strictEqual(SqlReason.of(new SqlError({ cause, message: "failed" }))._tag, "Statement")
      })
    )
  })

  it("finds an infrastructure error anywhere in a cause, and only there", () => {
    const cause: FastCheck.Arbitrary<Cause.Cause<unknown>> = FastCheck.letrec<{ cause: Cause.Cause<unknown> }>(
      (tie) => ({
        cause: FastCheck.oneof(
          { depthSize: "small", withCrossShrink: true },
          FastCheck.constantFrom(
            Cause.empty,
            Cause.fail("no"),
            Cause.die(new Error("bug")),
            Cause.fail(withCode("SQLITE_CONSTRAINT_CHECK")),
            Cause.die(withCode("42P01"))
          ),
          FastCheck.tuple(tie("cause"), tie("cause")).map(([a, b]) => Cause.parallel(a, b)),
          FastCheck.tuple(tie("cause"), tie("cause")).map(([a, b]) => Cause.sequential(a, b))
        )
      })
    ).cause
    const full = withCode("SQLITE_FULL")
    const guilty = FastCheck.constantFrom(Cause.fail(full), Cause.die(full))
    FastCheck.assert(
      FastCheck.property(cause, cause, guilty, (a, b, one) => {
        assert.deepStrictEqual(SqlReason.inCause(Cause.sequential(a, b)), Option.none())
        assert.deepStrictEqual(SqlReason.inCause(Cause.sequential(a, Cause.parallel(one, b))), Option.some(full))
      })
    )
  })

  it.effect("what better-sqlite3 throws", () =>
    Effect.gen(function* () {
      const reason = (effect: Effect.Effect<unknown, SqlError>) => Effect.map(Effect.flip(effect), SqlReason.of)
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE t (a INTEGER CHECK (a > 0))`
      assert.deepStrictEqual(yield* reason(sql`INSERT INTO t VALUES (0)`), {
        _tag: "Constraint",
        code: "SQLITE_CONSTRAINT_CHECK"
      })
      assert.deepStrictEqual(yield* reason(sql`SELECT * FROM nowhere`), { _tag: "Statement", code: "SQLITE_ERROR" })
      assert.deepStrictEqual(yield* reason(sql`INSERT INTO t VALUES (${true})`), { _tag: "Statement", code: undefined })
      assert.deepStrictEqual(yield* reason(sql.unsafe("INSERT INTO t VALUES (?)")), {
        _tag: "Statement",
        code: undefined
      })
      yield* sql`PRAGMA query_only = ON`
      assert.strictEqual((yield* reason(sql`INSERT INTO t VALUES (1)`))._tag, "ReadOnly")
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" })))
  )

  it.effect("a database that was closed", () =>
    Effect.gen(function* () {
      const sql = yield* Effect.provide(SqlClient.SqlClient, SqliteClient.layer({ filename: ":memory:" }))
      assert.strictEqual(SqlReason.of(yield* Effect.flip(sql`SELECT 1`))._tag, "Connection")
    })
  )
})
