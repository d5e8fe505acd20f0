/** Runs of the simulation are the same again, find what is planted, and take no time. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as process from "node:process"
import { beforeAll } from "vitest"
import * as esbuild from "esbuild"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Simulation from "../../src/testing/Simulation.ts"
import * as Forced from "../support/Forced.ts"
import { options, pipeline } from "../support/Simulated.ts"

const provided = <A, E>(self: Effect.Effect<A, E, Crypto.Crypto>) => Effect.provide(self, Crypto.layer)

const seeds = [1, 2, 3, 4, 5, 6]

const logs = Effect.gen(function* () {
  const simulation = yield* Simulation.make(options())
  return yield* Effect.forEach(seeds, (seed) => simulation.run({ seed }))
})

/** The smallest run that shows what is planted. */
const found = <M, E>(planted: Parameters<typeof Simulation.check<M, E>>[0]) =>
  provided(Effect.flip(Simulation.check({ ...planted, runs: 60 })))

describe("a run", () => {
  it.effect("keeps the promises whatever happens, and is the same again to the byte", () =>
    provided(
      Effect.gen(function* () {
        const first = yield* logs
        assert.deepStrictEqual(
          first.flatMap(({ broken }) => broken),
          []
        )
        assert.deepStrictEqual(yield* logs, first)
      })
    )
  )

  describe("in another process", () => {
    let program = ""
    beforeAll(async () => {
      const cache = path.resolve("node_modules/.cache/applecart")
      fs.mkdirSync(cache, { recursive: true })
      program = path.join(fs.mkdtempSync(path.join(cache, "simulation-")), "child.mjs")
      await esbuild.build({
        entryPoints: ["test/testing/Simulation.child.ts"],
        outfile: program,
        bundle: true,
        platform: "node",
        format: "esm",
        external: ["better-sqlite3", "sodium-native"],
        plugins: [Forced.bundled],
        banner: { js: `import { createRequire } from "node:module"\nconst require = createRequire(import.meta.url)` }
      })
    })

    it.effect("is the same as well", () =>
      provided(
        Effect.gen(function* () {
          const first = yield* logs
          const { stderr, stdout } = childProcess.spawnSync(process.execPath, [program, ...seeds.map(String)], {
            encoding: "utf8",
            maxBuffer: 1 << 28
          })
          assert.strictEqual(stderr, "")
          assert.strictEqual(stdout, JSON.stringify(first.map(({ log }) => log)))
        })
      )
    )
  })

  it.effect("takes no time, whatever time passes in it", () =>
    provided(
      Effect.gen(function* () {
        const simulation = yield* Simulation.make(options())
        const real = globalThis.setTimeout
        let timers = 0
        globalThis.setTimeout = Object.assign((...args: Parameters<typeof real>) => {
          timers += 1
          return real(...args)
        }, real)
        const reports = yield* Effect.forEach(seeds, (seed) => simulation.run({ seed })).pipe(
          Effect.ensuring(Effect.sync(() => (globalThis.setTimeout = real)))
        )
        assert.strictEqual(timers, 0)
        for (const { log } of reports) assert.match(log.at(-1) ?? "", /^ +[1-9]\d*\.\d{3}s after \d+ turns$/)
      })
    )
  )

  it.effect("without steps and faults is one where nothing happens", () =>
    provided(
      Effect.gen(function* () {
        const simulation = yield* Simulation.make(options())
        const { broken, facts } = yield* simulation.run({ seed: 1, steps: 0 })
        assert.deepStrictEqual([broken, facts["published"]], [[], undefined])
      })
    )
  )
})

describe("a simulation finds", () => {
  const table = [{ name: "latest", up: [`CREATE TABLE latest (one INTEGER PRIMARY KEY, id TEXT)`] }]

  it.effect("an application whose state depends on the order of arrival", () =>
    Effect.gen(function* () {
      const last = Application.bytes({
        name: "last",
        version: 1,
        migrations: table,
        handle: ({ event }) =>
          Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT OR REPLACE INTO latest VALUES (1, ${event.id})`)
      })
      const failure = yield* found({ ...options(), kinds: ["say"], open: opening(last) })
      assert.instanceOf(failure, Simulation.SimulationFailed)
      assert.match(failure.message, /P6: in latest only a has .*\{"one":1,"id":"[a-g]\d/)
      assert.match(failure.message, /with seed \d+/)
      assert.match(failure.message, /s [a-g] published [a-g]\d/)
      assert.match(failure.message, /once more: simulation\.run\(\{"seed":\d+,"steps":\d+/)
    })
  )

  it.effect("an application that remembers outside the transaction what it has handled", () =>
    Effect.gen(function* () {
      const failure = yield* found({
        ...options(),
        open: (peer) => {
          // Lost with every crash, and not undone where the operation is.
          const seen = new Set<string>()
          return opening({
            ...Journal.application,
            handle: (event, position) =>
              seen.has(event.id)
                ? Effect.void
                : Effect.tap(
                    Effect.sync(() => seen.add(event.id)),
                    () => Journal.application.handle(event, position)
                  )
          })(peer)
        }
      })
      assert.instanceOf(failure, Simulation.SimulationFailed)
      assert.match(failure.message, /P1: accepted and not in the journal/)
    })
  )

  it.effect("a way to exchange operations that forgets one", () =>
    Effect.gen(function* () {
      const failure = yield* found({
        ...options(),
        kinds: ["say"],
        sync: (node) =>
          Simulation.gossip({
            ...node,
            send: (to, message) =>
              node.send(to, { ...message, operations: message.operations.filter(({ body }) => body?.length !== 5) })
          })
      })
      assert.instanceOf(failure, Simulation.SimulationFailed)
      assert.match(failure.message, /I11: [a-g] never accepted/)
    })
  )

  it.effect("a place in a log that is given twice by a disk that lies", () =>
    Effect.gen(function* () {
      const failure = yield* found({
        ...options(),
        peers: [3, 3],
        steps: [30, 60],
        faults: ["lies", "crash"]
      })
      assert.instanceOf(failure, Simulation.SimulationFailed)
      assert.match(failure.message, /P11: [a-g]\d+(\/2)? was given twice/)
    })
  )
})

const opening =
  <E, R extends SqlClient.SqlClient>(
    application: Application.Application<StreamController.Placed, Uint8Array | undefined, E, R>
  ) =>
  (peer: Simulation.Peer) =>
    StreamController.make({ pipeline, application, batchSize: peer.batchSize, poll: "1 hour", crypto: peer.crypto })
