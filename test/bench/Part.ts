/** A part of the bench: a program that measures, prints its table, and leaves its rows where `main.ts` collects them. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as Crypto from "../../src/core/Crypto.ts"
import type * as Report from "./Report.ts"

/** Whether it only has to show that it works. */
export const quick = process.argv.includes("--quick")

export const crypto: Effect.Effect<Crypto.Service> = Effect.provide(Crypto.Crypto, Crypto.layer)

/** Since the start of the process. */
export const seconds = () => performance.now() / 1000

/** Leaves the rows, and tells of what was wrong; that alone makes the program fail. */
export const finish = ({ problems, rows }: Report.Results): void => {
  const at = process.argv.indexOf("--rows")
  const name = at < 0 ? undefined : process.argv[at + 1]
  if (name !== undefined) fs.writeFileSync(name, JSON.stringify(rows))
  for (const problem of problems) console.error(`WRONG RESULT: ${problem}`)
  if (problems.size > 0) process.exitCode = 1
}
