/** Runs a row: its units shared out to as many processes as there are cores. */
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

export const isClean = ({ broken, trouble }: Ran): boolean => broken.length === 0 && trouble.length === 0

export const row = async (
  build: Build,
  row: Row,
  options: Options,
  { processes = os.availableParallelism(), stop = false }: { readonly processes?: number; readonly stop?: boolean } = {}
): Promise<Ran> => {
  const began = performance.now()
  const shares = options.only === undefined ? Math.max(1, Math.min(processes, row.units[options.tier])) : 1
  const found = await Promise.all(
    Array.from({ length: shares }, (_, from) => share(build, row, options, from, shares, stop))
  )
  const lines = found.flatMap(({ lines }) => lines)
  const facts: Record<string, number> = {}
  for (const line of lines)
    for (const [name, count] of Object.entries(line.facts ?? {})) facts[name] = (facts[name] ?? 0) + count
  const expected = options.only === undefined ? row.units[options.tier] : 1
  const trouble = found.flatMap(({ trouble }) => trouble)
  if (!stop && lines.length !== expected) trouble.push(`${lines.length} of ${expected} units came to an end`)
  if (options.only === undefined && !stop) trouble.push(...(row.vacuous?.(facts, options.tier) ?? []))
  return {
    row,
    trials: lines.reduce((sum, { trials }) => sum + trials, 0),
    facts,
    broken: lines.flatMap(({ broken, nth }) => broken.map((what) => ({ nth, what }))).sort((a, b) => a.nth - b.nth),
    trouble,
    seconds: (performance.now() - began) / 1000
  }
}

// internal

interface Line extends Result {
  readonly nth: number
}

/** One process, and every so manieth unit. */
const share = (build: Build, row: Row, { only, seed, tier }: Options, from: number, step: number, stop: boolean) =>
  new Promise<{ readonly lines: ReadonlyArray<Line>; readonly trouble: Array<string> }>((resolve) => {
    const args = [row.name, tier, seed, from, step, ...(only === undefined ? [] : [only])].map(String)
    const child = childProcess.spawn(process.execPath, ["--expose-gc", build.program, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, STOP: stop ? "1" : "0" }
    })
    const lines: Array<Line> = []
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    // Written by child.ts.
    readline.createInterface(child.stdout).on("line", (line) => lines.push(JSON.parse(line) as Line))
    child.on("close", (code, signal) => {
      const well = code === 0 && stderr === ""
      resolve({ lines, trouble: well ? [] : [`a process ended with ${signal ?? code}: ${stderr.slice(0, 2000)}`] })
    })
  })
