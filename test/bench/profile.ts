/**
 * `npm run bench -- --profile [memory|normal|full] [batched|single]`: where the time of `ingest` goes, in three ways: the
 * stages by themselves (of a batch), the statements by their texts, and the functions by a sampling profile, which is kept
 * for a viewer as `node_modules/.cache/applecart/bench.cpuprofile`.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as inspector from "node:inspector/promises"
import * as Data from "./Data.ts"
import * as Mode from "./Mode.ts"
import * as Part from "./Part.ts"
import { Database } from "./Rows.ts"
import * as Report from "./Report.ts"
import * as Stages from "./Stages.ts"
import * as Subject from "./Subject.ts"
import { median, type Time, timed } from "./Timing.ts"

const batching: Mode.Batching = Mode.batchings.find((one) => process.argv.includes(one)) ?? "batched"
const count = batching === "single" ? 2_000 : 20_000
const rounds = 5

const micros = (seconds: number) => ((seconds / count) * 1e6).toFixed(1).padStart(7)

/** Each stage by itself, in turns. */
const stages = async (input: Stages.Input, mode: Mode.Mode): Promise<void> => {
  const times = new Map<string, Array<Time>>()
  for (let round = -1; round < rounds; round++) {
    const note = (name: string, time: Time) => {
      if (round >= 0) times.set(name, [...(times.get(name) ?? []), time])
    }
    for (const [name, stage] of Stages.stages) {
      const time = await Subject.withController(mode, "batched", () =>
        Effect.flatMap(Effect.context<SqlClient.SqlClient>(), (context) =>
          Effect.promise(() => timed(() => Effect.runPromise(Effect.asVoid(Effect.provide(stage(input), context)))))
        )
      )
      note(name, time)
    }
    note("the whole", await Subject.ingest(input.data, mode, "batched"))
  }
  console.log(`\nµs an operation, medians of ${rounds}\n    CPU    wall`)
  for (const [name, all] of times) {
    const cpu = median(all.map(({ cpu }) => cpu))
    const seconds = median(all.map(({ seconds }) => seconds))
    console.log(`${micros(cpu)} ${micros(seconds)}  ${name}`)
  }
}

/** How long each statement takes inside SQLite, by its text. */
const statements = async (data: Data.Data, mode: Mode.Mode): Promise<void> => {
  const spent = new Map<string, { calls: number; seconds: number }>()
  const db = new Database(":memory:")
  const prototype: object = Object.getPrototypeOf(db.prepare("SELECT 1"))
  db.close()
  const undo = ["run", "all"].map((method) => {
    const original: unknown = Reflect.get(prototype, method)
    if (typeof original !== "function") throw new TypeError(`no method ${method}`)
    Reflect.set(prototype, method, function (this: { readonly source: string }, ...params: ReadonlyArray<unknown>) {
      const start = performance.now()
      try {
        return Reflect.apply(original, this, params)
      } finally {
        const entry = spent.get(this.source) ?? { calls: 0, seconds: 0 }
        entry.calls += 1
        entry.seconds += (performance.now() - start) / 1000
        spent.set(this.source, entry)
      }
    })
    return () => Reflect.set(prototype, method, original)
  })
  await Subject.ingest(data, mode, batching)
  for (const back of undo) back()
  console.log("\nµs an operation (wall), calls, statement")
  for (const [text, { calls, seconds }] of [...spent].sort(([, a], [, b]) => b.seconds - a.seconds).slice(0, 18)) {
    console.log(`${micros(seconds)} ${String(calls).padStart(6)}  ${text.trim().replace(/\s+/g, " ").slice(0, 90)}`)
  }
}

/** Self time by function. */
const functions = async (data: Data.Data, mode: Mode.Mode): Promise<void> => {
  const session = new inspector.Session()
  session.connect()
  await session.post("Profiler.enable")
  await session.post("Profiler.setSamplingInterval", { interval: 200 })
  await session.post("Profiler.start")
  await Subject.ingest(data, mode, batching)
  const { profile } = await session.post("Profiler.stop")
  session.disconnect()
  const file = "node_modules/.cache/applecart/bench.cpuprofile"
  fs.writeFileSync(file, JSON.stringify(profile))
  const names = new Map(profile.nodes.map(({ callFrame, id }) => [id, callFrame]))
  const self = new Map<string, number>()
  for (const [at, id] of (profile.samples ?? []).entries()) {
    const frame = names.get(id)
    const where = frame?.url.replace(/^.*\/build\//, "").replace(/^.*\/node_modules\//, "") ?? ""
    const name = `${frame?.functionName || "(anonymous)"} ${where}${where === "" ? "" : `:${(frame?.lineNumber ?? 0) + 1}`}`
    self.set(name, (self.get(name) ?? 0) + (profile.timeDeltas?.[at] ?? 0) / 1e6)
  }
  console.log(`\nµs an operation (sampled, the check afterwards included), function; whole in ${file}`)
  for (const [name, seconds] of [...self].sort(([, a], [, b]) => b - a).slice(0, 45)) {
    console.log(`${micros(seconds)}  ${name}`)
  }
}

const main = async (): Promise<void> => {
  const mode = Mode.modes.find((mode) => process.argv.includes(mode)) ?? "full"
  const crypto = await Effect.runPromise(Part.crypto)
  console.log(`${Report.machine(crypto.name)}\ningest/${mode}/${batching}, ${count} operations`)
  const data = Data.make(crypto, count)
  if (batching === "batched") await stages(Stages.input(crypto, data), mode)
  await statements(data, mode)
  await functions(data, mode)
}

await main()
