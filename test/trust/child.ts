/**
 * Runs a share of a row's units in a process of its own: `ROW TIER SEED FROM STEP [ONLY]`. What each unit showed goes to stdout,
 * a line of JSON each. With `STOP=1` it ends at the first unit that shows something broken.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as process from "node:process"
import { environment } from "./environment.ts"
import * as Row from "./Row.ts"
import { rows } from "./rows/index.ts"

const [name, tier, seed, from, step, only] = process.argv.slice(2)

/** Whole: a pipe takes a long line in pieces. */
const say = (line: unknown) => {
  let left: Uint8Array = new TextEncoder().encode(JSON.stringify(line) + "\n")
  while (left.length > 0) left = left.subarray(write(left))
}

const write = (bytes: Uint8Array): number => {
  try {
    return fs.writeSync(1, bytes)
  } catch (error) {
    // The reader is slower than we are.
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return 0
    throw error
  }
}

/** So much of what is broken in one unit is told. */
const most = 20

const main = Effect.gen(function* () {
  const row = rows.find((one) => one.name === name)
  if (row === undefined) return yield* Effect.dieMessage(`no row ${name}`)
  const trial = yield* row.prepare
  const last = row.units[tier === "full" ? "full" : "quick"]
  const numbers =
    only === undefined
      ? Array.from({ length: last }, (_, nth) => nth).filter((nth) => nth % Number(step) === Number(from))
      : [Number(only)]
  for (const nth of numbers) {
    const result = yield* Effect.catchAllCause(trial(Row.unit(Number(seed), nth)), (cause) =>
      Effect.succeed<Row.Result>({ trials: 1, broken: [`typed: the trial itself failed: ${Cause.pretty(cause)}`] })
    )
    say({ nth, ...result, broken: result.broken.slice(0, most) })
    if (process.env["STOP"] === "1" && result.broken.length > 0) return
  }
})

await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(environment)))
// What a broken library has left running must not keep this open.
process.exit(0)
