/** The promises hold of histories that are delivered in any way, and each check turns red when the database is tampered with. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Promises from "../../src/testing/Promises.ts"
import { native } from "../core/support.ts"
import { shuffled } from "../support/Delivery.ts"

const open = StreamController.make({
  pipeline: Pipeline.make(LogIntegrity.processor).pipe(
    Pipeline.andThen(CausalOrder.processor),
    Pipeline.andThen(Pruning.processor),
    Pipeline.andThen(Deletion.processor)
  ),
  application: Journal.application,
  crypto: Layer.succeed(Crypto.Crypto, native)
})

const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(self, SqliteClient.layer({ filename: ":memory:" })))

const histories = History.arbitrary(native, {
  topics: 2,
  kinds: ["say", "say", "say", "say", "prune", "delete", "fork"]
})

/** Delivers a history in another order; gives what was told. */
const deliver = (history: History.History, order: number) =>
  Effect.gen(function* () {
    const controller = yield* open
    const answers = yield* controller.processAll(shuffled(history.operations, order).map(Operation.raw))
    return answers.flatMap((answer) => Promises.told(answer))
  })

describe("the promises", () => {
  it.effect("hold after any delivery of any history", () =>
    Effect.promise(() =>
      FastCheck.assert(
        FastCheck.asyncProperty(histories, FastCheck.integer(), (history, order) =>
          Effect.runPromise(
            fresh(
              Effect.gen(function* () {
                const told = yield* deliver(history, order)
                assert.deepStrictEqual(yield* Promises.broken({ history, told, causal: true }), [])
              })
            )
          )
        ),
        { numRuns: 60, seed: 20_261_127 }
      )
    )
  )

  const harm: ReadonlyArray<readonly [statement: string, breaks: RegExp]> = [
    [`UPDATE applecart_operations SET body = NULL WHERE position = 2`, /P1: b0 lost its body/],
    [`UPDATE applecart_operations SET seq_num = 7 WHERE position = 1`, /P1: a0 does not stand where/],
    [`UPDATE applecart_operations SET position = 99 WHERE position = 1`, /P1: the last position/],
    [`DELETE FROM applecart_operations WHERE position = 3`, /P5: the head of a log is a1/],
    [`DELETE FROM applecart_operations WHERE position = 1`, /P5: a1 stands in its log after nothing/],
    [`UPDATE applecart_logs SET head_seq_num = 9`, /P5: the head/],
    [`UPDATE applecart_consumers SET position = 2`, /P1: journal has acknowledged 2 of 3/],
    [`DELETE FROM journal WHERE position = 2`, /P1: accepted and not in the journal: b0/],
    [`INSERT INTO journal SELECT * FROM journal WHERE position = 2`, /P2: in the journal and not so accepted: b0/],
    [`DELETE FROM applecart_waiting`, /P3: a4 waits for nothing/],
    [
      `UPDATE applecart_waiting SET until = (SELECT id FROM applecart_operations WHERE position = 1)`,
      /P3: a4 waits for a0/
    ],
    [`UPDATE applecart_inbox SET status = 'queued'`, /P3: a4 is queued and waits for a3/],
    [`DELETE FROM applecart_inbox`, /P3: a4 was confirmed as waiting/],
    [
      `UPDATE applecart_inbox SET id = (SELECT id FROM applecart_operations WHERE position = 1)`,
      /P3: a0 is in several places/
    ],
    [`UPDATE applecart_inbox SET id = x'00'`, /P4: 00 never existed/],
    [`UPDATE applecart_inbox_shares SET operations = 5`, /P10: /],
    [
      `INSERT INTO applecart_decisions (id, what, decided_at) SELECT id, 'deleted', 0 FROM applecart_operations`,
      /P12: the body of a0/
    ]
  ]
  const deed = (author: number) => History.say(author, { body: Uint8Array.of(author + 1, 2) })
  const history = History.write(native, [deed(0), deed(1), deed(0), deed(0), deed(0), deed(0)])

  for (const [statement, breaks] of harm) {
    it.effect(`are broken by ${statement}`, () =>
      fresh(
        Effect.gen(function* () {
          const controller = yield* open
          const [a0, b0, a1, , , a4] = history.operations.map(Operation.raw)
          const answers = yield* controller.processAll([a0, b0, a1, a4].flatMap((raw) => raw ?? []))
          const told = answers.flatMap((answer) => Promises.told(answer))
          assert.deepStrictEqual(yield* Promises.broken({ history, told }), [])
          const sql = yield* SqlClient.SqlClient
          yield* sql.unsafe("PRAGMA foreign_keys = OFF")
          yield* sql.unsafe(statement)
          const broken = yield* Promises.broken({ history, told })
          assert.isTrue(
            broken.some((one) => breaks.test(one)),
            JSON.stringify(broken)
          )
        })
      )
    )
  }
})
