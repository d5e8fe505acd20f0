/** Pictures of histories: what they show, that they are stable, and that failing properties show them. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Picture from "../../src/testing/Picture.ts"
import * as Snapshot from "../../src/testing/Snapshot.ts"
import { native } from "../core/support.ts"

const deed = (author: number, kind: History.Kind = "say", options: Partial<History.Deed> = {}): History.Deed => ({
  author,
  topic: 0,
  kind,
  after: [],
  deletes: [],
  skew: 0,
  body: Uint8Array.of(author, 1),
  ...options
})

const deeds = [
  deed(0),
  deed(1, "say", { after: [0] }),
  deed(0, "say", { topic: 1, after: [0, 1] }),
  deed(1),
  deed(1, "delete", { deletes: [1], body: undefined }),
  deed(0),
  deed(0, "fork"),
  deed(0, "prune"),
  deed(1, "fork", { body: Uint8Array.of(9) }),
  deed(1, "fork", { body: Uint8Array.of(8) }),
  deed(0, "fork", { body: Uint8Array.of(7) })
]
const history = History.write(native, deeds)

describe("a picture", () => {
  it("has a column for each log and a line for each operation", () => {
    assert.strictEqual(
      Picture.draw(history),
      [
        "a     a/2   b",
        "a0",
        "│           b0      after a0",
        "│     a0/2  │       after a0 b0",
        "│           b1",
        "│           b2      deletes b0, no body",
        "a1          │",
        "a1*         │       fork: another one for the place of a1",
        "a2          │       prunes what is before it",
        "│           b2*     fork: another one for the place of b2",
        "│           b2**    fork: another one for the place of b2",
        "a2*                 fork: another one for the place of a2"
      ].join("\n")
    )
  })

  it("is the same for the same deeds, and never wider than a screen at 25 operations", () => {
    const all = History.arbitrary(native, { topics: 2, kinds: ["say", "say", "say", "prune", "delete", "fork"] })
    FastCheck.assert(
      FastCheck.property(all, (one) => {
        const picture = Picture.draw(one)
        assert.strictEqual(Picture.draw(History.write(native, one.deeds)), picture)
        const lines = picture.split("\n")
        assert.lengthOf(lines, one.entries.length + 1)
        for (const line of lines) assert.isAtMost(line.length, 130)
        for (const [at, { name }] of one.entries.entries()) assert.include(lines[at + 1], name)
      }),
      { seed: 7 }
    )
    assert.strictEqual(Picture.draw(History.write(native, [])), "(nothing was done)")
  })

  it.effect("says where each operation is", () =>
    Effect.gen(function* () {
      const controller = yield* StreamController.make({
        pipeline: Pipeline.make(LogIntegrity.processor).pipe(
          Pipeline.andThen(Pruning.processor),
          Pipeline.andThen(Deletion.processor)
        ),
        application: Journal.application,
        crypto: Layer.succeed(Crypto.Crypto, native)
      })
      const come = history.operations.filter((_, at) => at !== 3)
      yield* controller.processAll(come.map(Operation.raw))
      const notes = Picture.places(history, yield* Snapshot.lasting())
      assert.deepStrictEqual(Object.fromEntries(notes), {
        a0: "pruned",
        b0: "accepted",
        "a0/2": "accepted",
        b1: "nowhere",
        b2: "waiting for b1",
        a1: "pruned",
        "a1*": "pruned",
        a2: "accepted",
        "b2*": "waiting for b1",
        "b2**": "waiting for b1",
        "a2*": "rejected by log-integrity (Fork)"
      })
      assert.include(Picture.draw(history, notes), "b2      deletes b0, no body, — waiting for b1\n")
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" })))
  )

  it("gives ids in a text their names, and keys their authors", () => {
    const [a0, , , b1] = history.operations
    const text = `${a0?.id} by ${a0?.header.verifyingKey} before ${b1?.id.toUpperCase()}, and ${"0".repeat(64)}`
    assert.strictEqual(Picture.named(history, text), `a0 by author a before b1, and ${"0".repeat(64)}`)
  })

  it("is shown by a property that fails, and is nothing that equality sees", () => {
    const details = FastCheck.check(
      FastCheck.property(History.arbitrary(native, { kinds: ["say"] }), ({ entries }) => entries.length < 2),
      { seed: 7 }
    )
    assert.match(FastCheck.defaultReportMessage(details) ?? "", /\na\na0 +no body\na1 +no body\n/)
    assert.deepStrictEqual(History.write(native, deeds), history)
  })
})
