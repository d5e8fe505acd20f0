/**
 * Runs units of a row in a process of its own: `ROW SEED ENOUGH`. Their numbers come on stdin, and what each showed goes to stdout as a line
 * of JSON. It ends when stdin does.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as process from "node:process"
import * as readline from "node:readline"
import { environment } from "./environment.ts"
import * as Row from "./Row.ts"
import { rows } from "./rows/index.ts"

const [name, seed, enough] = process.argv.slice(2)

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

const main = Effect.gen(function* () {
  const row = rows.find((one) => one.name === name)
  if (row === undefined) return yield* Effect.dieMessage(`no row ${name}`)
  const trial = yield* row.prepare
  const numbers = readline.createInterface(process.stdin)[Symbol.asyncIterator]()
  for (;;) {
    const { done, value } = yield* Effect.promise(() => numbers.next())
    if (done === true) return
    const nth = Number(value)
    const result = yield* Effect.catchAllCause(trial(Row.unit(Number(seed), nth, Number(enough))), (cause) =>
      Effect.succeed<Row.Result>({ trials: 1, broken: [`typed: the trial itself failed: ${Cause.pretty(cause)}`] })
    )
    say({ nth, ...result, broken: result.broken.slice(0, Number(enough)) })
  }
})

await Effect.runPromise(main.pipe(Effect.scoped, Effect.provide(environment)))
// What a broken library has left running must not keep this open.
process.exit(0)
