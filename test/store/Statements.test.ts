/** Templates inside a transaction of `Transaction.client` go past the client's span, unless somebody would see it. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as Transaction from "../../src/store/Transaction.ts"

const withClient = <A, E>(
  use: (sql: SqlClient.SqlClient) => Effect.Effect<A, E, SqlClient.SqlClient | Transaction.Transaction>,
  config: Omit<SqliteClient.SqliteClientConfig, "filename"> = {}
) =>
  Effect.gen(function* () {
    const sql = Transaction.client(yield* SqlClient.SqlClient)
    const inside = Transaction.run(
      Effect.zipRight(sql`CREATE TABLE t (first_name TEXT, n INTEGER CHECK (n < 10))`, use(sql))
    )
    return yield* Effect.provideService(inside, SqlClient.SqlClient, sql)
  }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", ...config })))

const insert = (sql: SqlClient.SqlClient, n = 1) =>
  sql<{ n: number }>`INSERT INTO t ${sql.insert({ first_name: "Horse", n })} RETURNING n`

/** Sees the names of the spans. */
const recording = (names: Array<string>) =>
  Tracer.make({
    span: (name, parent, context, links, startTime, kind) => {
      names.push(name)
      return {
        _tag: "Span",
        name,
        spanId: String(names.length),
        traceId: "trace",
        parent,
        context,
        status: { _tag: "Started", startTime },
        attributes: new Map(),
        links,
        sampled: true,
        kind,
        end: () => undefined,
        attribute: () => undefined,
        event: () => undefined,
        addLinks: () => undefined
      }
    },
    context: (f) => f()
  })

describe("a template in a transaction", () => {
  it.effect("gives its rows, reads helpers, and fails with a typed error", () =>
    withClient((sql) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* insert(sql), [{ n: 1 }])
        assert.deepStrictEqual(yield* sql`SELECT first_name FROM t WHERE ${sql.in("n", [1, 2])}`, [
          { first_name: "Horse" }
        ])
        const error = yield* Effect.flip(insert(sql, 11))
        assert.strictEqual(error._tag, "SqlError")
        assert.deepStrictEqual(yield* sql`SELECT n FROM t`.values, [[1]])
      })
    )
  )

  it.effect("reads what it is written with each time, whatever was in its place before", () =>
    withClient((sql) =>
      Effect.gen(function* () {
        const select = (a: unknown, b: unknown) => sql<{ a: unknown; b: unknown }>`SELECT ${a} AS a, ${b} AS b`
        const runtime = yield* Effect.context<Transaction.Transaction>()
        const value = FastCheck.oneof(
          FastCheck.string(),
          FastCheck.integer(),
          FastCheck.constant(null),
          FastCheck.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes))
        )
        const other = FastCheck.constantFrom(
          { written: sql.literal("1 + 1"), found: 2 },
          { written: sql.unsafe("3"), found: 3 },
          { written: sql.unsafe("?", [4]), found: 4 }
        )
        const part = FastCheck.oneof(
          value.map((one) => ({ written: one, found: one })),
          other
        )
        yield* Effect.promise(() =>
          FastCheck.assert(
            FastCheck.asyncProperty(part, part, async (a, b) => {
              const rows = await Effect.runPromise(Effect.provide(select(a.written, b.written), runtime))
              assert.deepStrictEqual<unknown>(rows, [{ a: a.found, b: b.found }])
            })
          )
        )
      })
    )
  )

  it.effect("has its span where a tracer looks", () =>
    Effect.gen(function* () {
      const names: Array<string> = []
      yield* Effect.withTracer(withClient(insert), recording(names))
      assert.isTrue(names.filter((name) => name === "sql.execute").length >= 2)
    })
  )

  it.effect("is handed to a transformer", () =>
    withClient((sql) =>
      Effect.gen(function* () {
        const other: Statement.Statement.Transformer = (_, sql) => Effect.succeed(sql`SELECT 'other' AS n`)
        const rows = yield* Effect.locally(insert(sql), Statement.currentTransformer, Option.some(other))
        assert.deepStrictEqual<unknown>(rows, [{ n: "other" }])
      })
    )
  )

  it.effect("has the names of the client's transformations", () =>
    withClient(
      (sql) =>
        Effect.gen(function* () {
          yield* sql`INSERT INTO t ${sql.insert({ firstName: "Cat", n: 3 })}`
          assert.deepStrictEqual(yield* sql`SELECT first_name FROM t`, [{ firstName: "Cat" }])
        }),
      {
        transformResultNames: (name) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
        transformQueryNames: (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
      }
    )
  )
})
