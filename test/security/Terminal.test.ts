/** What strangers wrote is shown to people: it must not reach the terminal as anything but text. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Application from "../../src/pipeline/Application.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Cli from "../cli/cli.ts"
import * as Peer from "./Peer.ts"

/** Clears the screen, sets the title, writes from right to left, rings. */
const hostile = "\u001b[2J\u001b]0;owned\u0007\u202eevil\u009b31m"

class Hostile extends Schema.TaggedError<Hostile>()("Hostile", {
  timestamp: Schema.String,
  bodyStart: Schema.String,
  list: Schema.Array(Schema.String),
  inside: Schema.Record({ key: Schema.String, value: Schema.Unknown })
}) {
  override get message() {
    return `It says ${this.timestamp}`
  }
}

/** An application that quotes what it was sent. */
const quoting = Application.make({
  name: "notes",
  version: 1,
  message: Schema.Struct({ said: Schema.String }),
  handle: ({ message: { said } }) =>
    new Hostile({
      timestamp: said,
      bodyStart: said,
      list: [said],
      inside: { [said]: said, many: [{ [said]: [said] }], timestamp: -1e30 }
    })
})

// oxlint-disable-next-line no-control-regex -- these are what is looked for
const obeyed = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/

describe("what a stranger wrote", () => {
  it.scopedLive("is shown on a terminal as text, wherever an error quotes it", () =>
    Effect.gen(function* () {
      const path = yield* Cli.directory
      const db = path("notes.db")
      const parrot = new Peer.Somebody(1)
      const operation = parrot.say(hostile)
      yield* Effect.gen(function* () {
        const controller = yield* StreamController.make({ pipeline: Peer.pipeline(), application: quoting })
        yield* controller.receive(Peer.raw(operation), { source: hostile })
        yield* controller.drain
      }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: db })))
      for (const args of [["show", operation.id], ["rejected"], ["log"], ["status"], ["topics"], ["consumers"]]) {
        const { code, err, out } = yield* Cli.run([...args, "--db", db], { terminal: true })
        assert.strictEqual(code, 0, err)
        assert.notMatch(out + err, obeyed, args.join(" "))
        if (args[0] === "show") assert.include(out, "owned")
        // For programs it is verbatim, and JSON has no control characters.
        const json = yield* Cli.run([...args, "--db", db, "--json"])
        if (args[0] === "show") assert.deepInclude(Cli.last(json)["data"], { timestamp: hostile, list: [hostile] })
      }
    }).pipe(Effect.provide(Cli.live))
  )
})
