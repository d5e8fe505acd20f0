/** Bugs that are planted on purpose, one at a time: a harness that finds none of them would show nothing. */
import * as os from "node:os"
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

/** Plants each, some at a time; gives whether it was caught, and by what, and tells of each as it ends. */
export const all = async (
  rows: ReadonlyArray<Row>,
  options: Options,
  tell: (planted: Planted) => void
): Promise<ReadonlyArray<Planted>> => {
  const planted = new Map<Mutant, Planted>()
  const left = [...mutants]
  const core = async () => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      const one = await plant(mutant, rows, options)
      tell(one)
      planted.set(mutant, one)
    }
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, core))
  return mutants.flatMap((mutant) => planted.get(mutant) ?? [])
}

// internal

/** In one process, so that the first unit that shows it is the first in any run. */
const plant = async (mutant: Mutant, rows: ReadonlyArray<Row>, options: Options): Promise<Planted> => {
  const began = performance.now()
  const asked = mutant.rows.map((name) => {
    const row = rows.find((one) => one.name === name)
    if (row === undefined) throw new Error(`The mutant "${mutant.name}" names the row "${name}", which is not there`)
    return row
  })
  const build = await Build.make(mutant.changes, { victim: asked.some(({ victim }) => victim) })
  let caught: Planted["caught"]
  let trials = 0
  for (const row of asked) {
    const [ran] = await Run.all(build, [row], { ...options, tier: "quick" }, { processes: 1, stop: true })
    trials += ran?.trials ?? 0
    const first = ran?.broken[0]
    if (first === undefined) continue
    caught = { row: row.name, nth: first.nth, trials, what: first.what }
    break
  }
  build.remove()
  return { mutant, seed: options.seed, seconds: (performance.now() - began) / 1000, caught }
}
