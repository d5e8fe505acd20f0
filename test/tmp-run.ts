import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { environment } from "./trust/environment.ts"
import * as Row from "./trust/Row.ts"
import { rows } from "./trust/rows/index.ts"
import Sqlite from "better-sqlite3"
const spent = new Map<string, [number, number]>()
if (process.env.SPENT) {
  const prepare = Sqlite.prototype.prepare
  const note = (k: string, t: number) => { const o = spent.get(k) ?? [0, 0]; o[0] += t; o[1]++; spent.set(k, o) }
  Sqlite.prototype.prepare = function (this: any, text: string) {
    const p0 = performance.now()
    const s: any = prepare.call(this, text)
    note("PREPARE", performance.now() - p0)
    for (const m of ["all", "run"]) { const f = s[m].bind(s); s[m] = (...a: any) => { const t = performance.now(); try { return f(...a) } finally { note(text, performance.now() - t) } } }
    return s
  } as any
}
process.on("exit", () => { for (const [k, [t, n]] of [...spent].sort((a, b) => b[1][0] - a[1][0]).slice(0, 25)) console.log(t.toFixed(0).padStart(6), String(n).padStart(6), k.trim().replace(/\s+/g, " ").slice(0, 90)) })
const [name, nth] = process.argv.slice(2)
const row = rows.find((one) => one.name === name)!
const main = Effect.gen(function* () {
  const trial = yield* row.prepare
  const t = process.cpuUsage(), w = performance.now()
  const r = yield* Effect.exit(trial(Row.unit(1, Number(nth))))
  const u = process.cpuUsage(t)
  if (r._tag === "Failure") console.log(Cause.squash(r.cause), (Cause.squash(r.cause) as any).cause)
  else { console.log(r.value.trials, r.value.facts, r.value.broken.length); console.log(r.value.broken.slice(0, 10).map((s) => s.slice(0, 700)).join("\n")) }
  console.log(((u.user + u.system) / 1000).toFixed(0), "ms cpu", (performance.now() - w).toFixed(0), "ms wall")
})
await Effect.runPromise(Effect.scoped(Effect.provide(main, environment)))
process.exit(0)
