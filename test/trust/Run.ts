/**
 * Runs rows: a process on each core is handed one unit after the other, and where a row has none left, it makes way for one of the
 * next row. So no core waits for a long unit on another.
 */
import * as childProcess from "node:child_process"
import * as os from "node:os"
import * as process from "node:process"
import * as readline from "node:readline"
import type { Build } from "./Build.ts"
import type { Options } from "./Options.ts"
import type { Result, Row } from "./Row.ts"

/** What a row showed. */
export interface Ran {
  readonly row: Row
  readonly trials: number
  readonly facts: Readonly<Record<string, number>>
  readonly broken: ReadonlyArray<Broken>
  /** Why it means nothing: a process that did not end well, a fault that never struck. */
  readonly trouble: ReadonlyArray<string>
  readonly seconds: number
}

/** Something that does not hold, and the unit that shows it. */
export interface Broken {
  readonly nth: number
  readonly what: string
}

/** How rows are run. */
export interface How {
  /** Default: one for each core. */
  readonly processes?: number
  /** Whether a row ends with the first unit that shows something broken. */
  readonly stop?: boolean
  /** Is told of each row as it ends. */
  readonly tell?: (ran: Ran) => void
}

export const isClean = ({ broken, trouble }: Ran): boolean => broken.length === 0 && trouble.length === 0

/** Runs rows one after the other; gives what they showed, in their order. */
export const all = async (
  build: Build,
  rows: ReadonlyArray<Row>,
  options: Options,
  { processes = os.availableParallelism(), stop = false, tell = () => {} }: How = {}
): Promise<ReadonlyArray<Ran>> => {
  const works = rows.map((row) => begin(row, options, stop))
  const told = new Map<Work, Ran>()
  const core = async () => {
    for (let work = works.find(hasMore); work !== undefined; work = works.find(hasMore)) {
      await run(build, work, options)
      if (hasMore(work) || work.running.size > 0 || told.has(work)) continue
      const ran = shown(work, options)
      told.set(work, ran)
      tell(ran)
    }
  }
  await Promise.all(Array.from({ length: processes }, core))
  return works.flatMap((work) => told.get(work) ?? [])
}

// internal

/** So much of what is broken in one unit is told. */
const enough = 20

interface Line extends Result {
  readonly nth: number
}

/** A row at work. */
interface Work {
  readonly row: Row
  /** The units that nobody has yet. */
  readonly left: Array<number>
  readonly expected: number
  readonly stop: boolean
  readonly running: Set<childProcess.ChildProcess>
  readonly lines: Array<Line>
  readonly trouble: Array<string>
  began: number | undefined
}

const begin = (row: Row, { only, tier }: Options, stop: boolean): Work => {
  const left = only === undefined ? Array.from({ length: row.units[tier] }, (_, nth) => nth) : [only]
  return { row, left, expected: left.length, stop, running: new Set(), lines: [], trouble: [], began: undefined }
}

/** Once a process has died nobody knows what another would die of. */
const hasMore = ({ left, trouble }: Work): boolean => left.length > 0 && trouble.length === 0

/** A process, until there is no unit left for it. */
const run = (build: Build, work: Work, { only, seed }: Options): Promise<void> =>
  new Promise((resolve) => {
    // What effects leave behind is short-lived garbage. Stacks are for whoever repeats a unit.
    const flags = ["--expose-gc", "--max-semi-space-size=64", ...(only === undefined ? ["--stack-trace-limit=0"] : [])]
    const args = [work.row.name, seed, work.stop ? 1 : enough].map(String)
    const child = childProcess.spawn(process.execPath, [...flags, build.program, ...args])
    work.began ??= performance.now()
    work.running.add(child)
    const hand = () => {
      const nth = work.left.shift()
      if (nth === undefined) child.stdin.end()
      else child.stdin.write(`${nth}\n`)
    }
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    // One that has died reads no more.
    child.stdin.on("error", () => {})
    readline.createInterface(child.stdout).on("line", (text) => {
      // Written by child.ts.
      const line = JSON.parse(text) as Line
      work.lines.push(line)
      if (work.stop && line.broken.length > 0) work.left.length = 0
      hand()
    })
    child.on("close", (code, signal) => {
      work.running.delete(child)
      if (code !== 0 || stderr !== "")
        work.trouble.push(`a process ended with ${signal ?? code}: ${stderr.slice(0, 2000)}`)
      resolve()
    })
    hand()
  })

/** What the units of a row showed together. */
const shown = ({ began = 0, expected, lines, row, stop, trouble }: Work, { only, tier }: Options): Ran => {
  const facts: Record<string, number> = {}
  for (const line of lines)
    for (const [name, count] of Object.entries(line.facts ?? {})) facts[name] = (facts[name] ?? 0) + count
  const missing = stop || lines.length === expected ? [] : [`${lines.length} of ${expected} units came to an end`]
  const vacuous = stop || only !== undefined ? [] : (row.vacuous?.(facts, tier) ?? [])
  return {
    row,
    trials: lines.reduce((sum, { trials }) => sum + trials, 0),
    facts,
    broken: lines.flatMap(({ broken, nth }) => broken.map((what) => ({ nth, what }))).sort((a, b) => a.nth - b.nth),
    trouble: [...trouble, ...missing, ...vacuous],
    seconds: (performance.now() - began) / 1000
  }
}
