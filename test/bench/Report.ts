/** From many measurements to one table and one file: medians over the rounds, and how far they spread. */
import * as os from "node:os"
import { cpuMicros, type Measured, median, rate } from "./Timing.ts"

/** A row of `bench.json`. Rates are operations a second; `limit` is the rate of what bounds it. */
export interface Row {
  readonly name: string
  readonly rate: number
  readonly limit: number
  readonly ratio: number
}

/** A row of the table. */
export interface Line extends Row {
  /** What the slower limit is called. */
  readonly by: string
  /** The rate of one limit after the other, where there are several. */
  readonly combined: number
  /** Half of what lies between the slowest and the fastest round, in parts of the median. */
  readonly spread: number
  /** Microseconds of processor time for an operation. */
  readonly cpu: number
  /** The smallest and the largest ratio within a round. */
  readonly ratios: readonly [number, number]
}

/** What was measured, by name, a measurement for every round. */
export class Results {
  readonly byName = new Map<string, Array<Measured>>()
  /** What bounds a row: the names of other rows. */
  readonly limits = new Map<string, ReadonlyArray<string>>()

  add(name: string, measured: Measured, limits: ReadonlyArray<string> = []): void {
    this.byName.set(name, [...(this.byName.get(name) ?? []), measured])
    this.limits.set(name, limits)
  }

  /** Everything that was wrong, with the name of the row. */
  get problems(): ReadonlyArray<string> {
    return Array.from(this.byName).flatMap(([name, all]) =>
      all.flatMap(({ problems }) => problems.map((problem) => `${name}: ${problem}`))
    )
  }

  get lines(): ReadonlyArray<Line> {
    return Array.from(this.byName.keys(), (name) => this.line(name))
  }

  private rates(name: string): ReadonlyArray<number> {
    return (this.byName.get(name) ?? []).map(rate)
  }

  private line(name: string): Line {
    const rates = this.rates(name)
    const own = median(rates)
    const names = this.limits.get(name) ?? []
    const bounds = names.length === 0 ? [name] : names
    const limits = bounds.map((bound) => median(this.rates(bound)))
    const limit = Math.min(...limits)
    const inRound = rates.map((one, round) => one / Math.min(...bounds.map((bound) => this.rates(bound)[round] ?? NaN)))
    return {
      name,
      rate: Math.round(own),
      limit: Math.round(limit),
      ratio: Math.round((own / limit) * 1000) / 1000,
      by: names.length === 0 ? "" : (bounds[limits.indexOf(limit)] ?? ""),
      combined: Math.round(1 / limits.reduce((sum, one) => sum + 1 / one, 0)),
      spread: (Math.max(...rates) - Math.min(...rates)) / 2 / own,
      cpu: median((this.byName.get(name) ?? []).map(cpuMicros)),
      ratios: [Math.min(...inRound), Math.max(...inRound)]
    }
  }
}

/** What `bench.json` holds. */
export const json = (lines: ReadonlyArray<Line>): string =>
  `${JSON.stringify(
    lines.map(({ limit, name, rate, ratio }): Row => ({ name, rate, limit, ratio })),
    undefined,
    2
  )}\n`

/** The table, as Markdown. */
export const table = (lines: ReadonlyArray<Line>): string => {
  const head = ["", "ops/s", "±", "CPU µs", "limit", "ratio", "in a round", "both limits", "limited by"]
  const cells = lines.map((line) => [
    line.name,
    String(line.rate),
    `${Math.round(line.spread * 100)} %`,
    line.cpu.toFixed(0),
    ...(line.by === ""
      ? ["", "", "", "", ""]
      : [
          String(line.limit),
          line.ratio.toFixed(2),
          line.ratios.map((ratio) => ratio.toFixed(2)).join(" to "),
          String(line.combined),
          line.by
        ])
  ])
  const widths = head.map((_, column) => Math.max(...[head, ...cells].map((row) => (row[column] ?? "").length), 3))
  const text = (row: ReadonlyArray<string>) =>
    `| ${row.map((cell, at) => pad(cell, at, widths[at] ?? 0)).join(" | ")} |`
  const rule = `|${widths.map((width, at) => (left(at) ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`
  return [text(head), rule, ...cells.map(text)].join("\n")
}

/** How many processes wanted to run in the last minute. */
export const load = (): string => (os.loadavg()[0] ?? 0).toFixed(1)

/** What it was measured on. */
export const machine = (crypto: string): string => {
  const [cpu] = os.cpus()
  return `Node ${process.version}, ${os.cpus().length} × ${cpu?.model ?? "unknown"}, load ${load()}, ${crypto}`
}

// internal

const left = (column: number) => column === 0 || column === 8

const pad = (cell: string, column: number, width: number) => (left(column) ? cell.padEnd(width) : cell.padStart(width))
