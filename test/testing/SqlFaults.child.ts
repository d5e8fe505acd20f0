/** Run by SqlFaults.test.ts: kills itself at the given statement of one transaction. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Transaction from "../../src/store/Transaction.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"

const [filename = "", at = "1"] = process.argv.slice(2)
const insert = Transaction.statement("INSERT INTO t VALUES (?)")

const program = Effect.gen(function* () {
  const faults = yield* SqlFaults.SqlFaults
  yield* faults.arm({ at: Number(at), fault: SqlFaults.kill })
  yield* Transaction.run(Effect.all([insert(1), Transaction.savepoint(insert(2)), insert(3)]))
})

await Effect.runPromise(Effect.provide(program, SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename })))))
