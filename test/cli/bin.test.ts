/** The program itself, as a process. */
import { assert, it } from "@effect/vitest"
import { SqliteClient } from "@effect/sql-sqlite-node"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { statSync, readdirSync } from "node:fs"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { directory, last, live, objects, read, run, vector } from "./cli.ts"

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

const program = new URL("../../src/cli/bin.ts", import.meta.url).pathname
const root = new URL("../..", import.meta.url).pathname

/**
 * `stopsReading`: somebody else reads standard output, by a pipe, and goes away after the first byte. A pipe holds less than what
 * is written, so that it is still being written then; the sockets that Node takes for pipes hold all of it.
 */
const start = (
  args: ReadonlyArray<string>,
  options: { readonly stdin?: Uint8Array; readonly stopsReading?: boolean } = {}
): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const command = [process.execPath, "--import", "tsx", program, ...args]
    const piped = ["bash", "-c", `set -o pipefail; "$@" | head -c 1`, "bash", ...command]
    const [first = "", ...rest] = options.stopsReading === true ? piped : command
    const child = spawn(first, rest, { cwd: root })
    let out = ""
    let err = ""
    child.stdout.on("data", (data: Buffer) => (out += data.toString("utf8")))
    child.stderr.on("data", (data: Buffer) => (err += data.toString("utf8")))
    child.on("error", reject)
    child.on("close", (code) => resolve({ code, out, err }))
    child.stdin.on("error", () => {})
    child.stdin.end(options.stdin)
  })

it.layer(live)((it) => {
  it.scoped("reads and writes the process's streams and files, and ends with the right code", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      const file = vector("pruned.cbor")
      const [version, keygen, ingest, usage] = yield* Effect.promise(() =>
        Promise.all([
          start(["--version"]),
          start(["keygen", path("key"), "--json"]),
          start(["ingest", "-", "--db", db, "--json"], { stdin: read(file) }),
          start(["ingest"])
        ])
      )
      const { version: expected } = JSON.parse(new TextDecoder().decode(read(`${root}package.json`)))
      assert.deepStrictEqual([version.code, version.out.trim()], [0, expected])
      assert.deepStrictEqual([keygen.code, keygen.err], [0, ""])
      assert.strictEqual(statSync(path("key")).mode & 0o777, 0o600)
      assert.deepStrictEqual([ingest.code, ingest.err], [0, ""])
      assert.strictEqual(objects(ingest.out)[0]?.["accepted"], 326)
      assert.deepStrictEqual([usage.code, usage.out], [1, ""])
      assert.notStrictEqual(usage.err, "")

      const piped = yield* Effect.promise(() => start(["export", "--db", db], { stopsReading: true }))
      assert.deepStrictEqual([piped.code, piped.err], [141, ""], "the reader of a pipe goes away")
    })
  )

  it.scoped("two processes take in the same file at once: each operation is accepted by one of them", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      const args = ["ingest", vector("pruned.cbor"), "--db", db, "--json"]
      const both = yield* Effect.promise(() => Promise.all([start(args), start(args)]))
      const counts = both.map(({ out }) => objects(out).at(-1) ?? {})
      assert.deepStrictEqual(
        both.map(({ code, err }) => [code, err]),
        [
          [0, ""],
          [0, ""]
        ]
      )
      assert.strictEqual(Number(counts[0]?.["accepted"]) + Number(counts[1]?.["accepted"]), 326)
      assert.strictEqual(Number(counts[0]?.["known"]) + Number(counts[1]?.["known"]), 326)
      assert.deepStrictEqual(readdirSync(path("")), ["a.db"])
    })
  )

  it.scoped("does not work on the database of an application, and shows what is in it", () =>
    Effect.gen(function* () {
      const path = yield* directory
      const db = path("a.db")
      const application = Application.bytes({ name: "apples", version: 1, handle: () => Effect.void })
      yield* StreamController.make({ pipeline: Pipeline.make(LogIntegrity.processor), application }).pipe(
        Effect.scoped,
        Effect.provide(SqliteClient.layer({ filename: db }))
      )
      for (const args of [["replay"], ["ingest", vector("pruned.cbor")]]) {
        const refused = yield* run([...args, "--db", db, "--json"])
        assert.deepStrictEqual([refused.code, objects(refused.err)[0]?.["error"]], [1, "WrongApplication"])
      }
      assert.deepInclude(last(yield* run(["status", "--db", db, "--json"])), { accepted: 0 })
    })
  )
})
