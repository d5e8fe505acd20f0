/** Bugs that are planted on purpose, one at a time: a harness that finds none of them would show nothing. */
import * as Build from "./Build.ts"
import type { Options } from "./Options.ts"
import * as Run from "./Run.ts"
import type { Row } from "./Row.ts"
import { mutants } from "./planted.ts"

/** A bug, and the rows that must find it within the quick tier. */
export interface Mutant {
  readonly name: string
  readonly changes: ReadonlyArray<Build.Change>
  /** What is wrong with it, in a few words. */
  readonly what: string
  /** Tried one after the other until one finds it. */
  readonly rows: ReadonlyArray<string>
}

/** What became of it. */
export interface Planted {
  readonly mutant: Mutant
  readonly seed: number
  readonly seconds: number
  readonly caught:
    | { readonly row: string; readonly nth: number; readonly trials: number; readonly what: string }
    | undefined
}

export const named = (name: string): Mutant => {
  const mutant = mutants.find((one) => one.name === name)
  if (mutant === undefined)
    throw new Error(`No mutant "${name}". There are: ${mutants.map(({ name }) => name).join(", ")}`)
  return mutant
}

/** Plants each; gives whether it was caught, and by what, and tells of each as it ends. */
export const all = async (
  rows: ReadonlyArray<Row>,
  options: Options,
  tell: (planted: Planted) => void
): Promise<ReadonlyArray<Planted>> => {
  const planted: Array<Planted> = []
  for (const mutant of mutants) {
    const one = await plant(mutant, rows, options)
    tell(one)
    planted.push(one)
  }
  return planted
}

// internal

const plant = async (mutant: Mutant, rows: ReadonlyArray<Row>, options: Options): Promise<Planted> => {
  const began = performance.now()
  const build = await Build.make(mutant.changes)
  const quick: Options = { ...options, tier: "quick" }
  let caught: Planted["caught"]
  let trials = 0
  for (const name of mutant.rows) {
    const row = rows.find((one) => one.name === name)
    if (row === undefined) throw new Error(`The mutant "${mutant.name}" names the row "${name}", which is not there`)
    const ran = await Run.row(build, row, quick, { stop: true })
    trials += ran.trials
    const [first] = ran.broken
    if (first !== undefined) {
      caught = { row: name, nth: first.nth, trials, what: first.what }
      break
    }
  }
  build.remove()
  return { mutant, seed: options.seed, seconds: (performance.now() - began) / 1000, caught }
}
