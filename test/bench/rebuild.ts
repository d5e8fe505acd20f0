/**
 * What it costs to hand everything that was accepted to a consumer with one table, next to what raw SQLite needs for the same
 * rows: the rate, the memory, and that it is exactly once although the process is killed on the way. And how long a database
 * takes to open, which must not depend on how much is in it.
 *
 * Exits with 1 when a result is wrong, never because it is slow.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { spawn } from "node:child_process"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Consumer from "../../src/pipeline/Consumer.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as Data from "./Data.ts"
import * as History from "./History.ts"
import * as Mode from "./Mode.ts"
import * as Part from "./Part.ts"
import * as Report from "./Report.ts"
import { median } from "./Timing.ts"

const page = 100

const insert = Transaction.statement(`INSERT INTO bench_read (position, owner, apples, note) VALUES (?, ?, ?, ?)`)

const reader = Consumer.make({
  name: "bench",
  version: 1,
  migrations: [{ name: "read", up: [History.readerTable] }],
  reset: Application.emptying("bench_read"),
  message: Data.Message,
  handle: ({ message: { apples, note, owner }, position }) => insert(position, owner, apples, note)
})

const open = StreamController.make({
  pipeline: Pipeline.make(LogIntegrity.processor),
  application: Application.none,
  consumers: [reader],
  batchSize: page
})

/** A controller on a file. */
const on = <A, E>(
  filename: string,
  use: (controller: Effect.Effect.Success<typeof open>) => Effect.Effect<A, E, SqlClient.SqlClient>
): Promise<A> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`PRAGMA synchronous = NORMAL`)
    return yield* use(yield* open)
  }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename })), Effect.runPromise)

interface Built {
  readonly rate: number
  readonly cpu: number
  /** The heap's peak above where it began, in MB. */
  readonly peak: number
}

/** Builds the consumer and looks at the heap, each time an eleventh is done. */
const build = (filename: string, count: number): Promise<Built> =>
  on(filename, (controller) =>
    Effect.gen(function* () {
      const heap: Array<number> = []
      let spent = 0
      const look = () => {
        const before = performance.now()
        globalThis.gc?.()
        heap.push(process.memoryUsage().heapUsed)
        spent += performance.now() - before
      }
      look()
      spent = 0
      const every = Math.ceil(count / 11 / page) * page
      const watching = yield* Effect.fork(
        Stream.runForEach(controller.consumers.progress, ({ position }) =>
          Effect.sync(() => (position % every === 0 ? look() : undefined))
        )
      )
      yield* Effect.yieldNow()
      const cpu = process.cpuUsage()
      const start = performance.now()
      yield* controller.drain
      const seconds = (performance.now() - start - spent) / 1000
      const { system, user } = process.cpuUsage(cpu)
      yield* Fiber.interrupt(watching)
      const [before = 0, ...after] = heap
      return { rate: count / seconds, cpu: (system + user) / count, peak: (Math.max(before, ...after) - before) / 1e6 }
    })
  )

/** How long it takes until a controller could accept something, in milliseconds; the middle of seven times. */
const opening = async (filename: string): Promise<number> => {
  const times: Array<number> = []
  for (let time = 0; time < 7; time++) {
    const start = performance.now()
    await on(filename, () => Effect.sync(() => times.push(performance.now() - start)))
  }
  return median(times)
}

/** The same in processes of their own that are killed at random moments; the last one ends by itself. Gives how many were. */
const killed = async (filename: string, times: number, whole: number): Promise<number> => {
  let kills = 0
  for (;;) {
    const child = spawn(process.execPath, [process.argv[1] ?? "", "--child", filename], { stdio: "inherit" })
    const ended = new Promise<string | null>((resolve) => child.on("exit", (_, signal) => resolve(signal)))
    if (kills < times) {
      // A process needs a while to begin.
      const patience = 400 + (Math.random() * 2 * whole) / times
      await Promise.race([ended, Effect.runPromise(Effect.sleep(Duration.millis(patience)))])
      child.kill("SIGKILL")
    }
    const signal = await ended
    if (signal !== "SIGKILL") return kills
    kills += 1
  }
}

const measure = (crypto: Crypto.Service, count: number, kills: number) =>
  Mode.withFile("normal", async (filename) => {
    History.fill(crypto, filename, count)
    const raw = History.raw(filename, count, page)
    const built = await build(filename, count)
    const problems = [...History.problems(filename, count)]
    const open = await opening(filename)
    await on(filename, ({ consumers }) => consumers.rebuild("bench"))
    const dead = await killed(filename, kills, (count / built.rate) * 1000)
    problems.push(...History.problems(filename, count))
    return { count, raw, ...built, open, dead, problems }
  })

const main = async (): Promise<void> => {
  const crypto = await Effect.runPromise(Part.crypto)
  const rows = []
  for (const count of Part.quick ? [1_000, 10_000] : [1_000, 10_000, 100_000, 1_000_000]) {
    rows.push(await measure(crypto, count, Part.quick ? (count > 1_000 ? 2 : 0) : count > 10_000 ? 20 : 0))
  }
  const results = new Report.Results()
  console.log(
    `## Rebuilding, and opening\n\n| operations | raw/s | rebuild/s | ratio | CPU µs | peak heap, MB | opens in, ms | killed |`
  )
  console.log(`|--:|--:|--:|--:|--:|--:|--:|--:|`)
  for (const { count, cpu, dead, open, peak, problems, rate, raw } of rows) {
    const row = `rebuild/${count.toLocaleString("en")}`
    results.note(`${row}/raw`, "ops/s", raw)
    results.note(`${row}/rate`, "ops/s", rate, { limits: [`${row}/raw`] })
    results.note(`${row}/cpu`, "µs", cpu)
    results.note(`${row}/heap`, "MB", peak)
    results.note(`${row}/opening`, "ms", open)
    results.wrong(row, problems)
    const cells = [
      count,
      Math.round(raw),
      Math.round(rate),
      (rate / raw).toFixed(2),
      cpu.toFixed(1),
      peak.toFixed(1),
      open.toFixed(1),
      dead
    ]
    console.log(`| ${cells.join(" | ")} |`)
  }
  console.log("")
  Part.finish(results)
}

const at = process.argv.indexOf("--child")
const child = at < 0 ? undefined : process.argv[at + 1]
await (child === undefined ? main() : on(child, (controller) => controller.drain))
