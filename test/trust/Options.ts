/** What the command line of `npm run trust` says. */
import { parseArgs } from "node:util"
import type { Tier } from "./Row.ts"

export interface Options {
  readonly names: ReadonlyArray<string>
  readonly tier: Tier
  readonly seed: number
  readonly only: number | undefined
  readonly mutant: string | undefined
}

export const read = (args: ReadonlyArray<string>): Options => {
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: "boolean", default: false },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      mutant: { type: "string" }
    }
  })
  return {
    names: positionals,
    tier: values.quick ? "quick" : "full",
    seed: whole("seed", values.seed),
    only: values.only === undefined ? undefined : whole("only", values.only),
    mutant: values.mutant
  }
}

// internal

const whole = (name: string, text: string): number => {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`--${name} wants a whole number, not "${text}"`)
  return number
}
