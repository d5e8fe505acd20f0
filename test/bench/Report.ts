/** From many measurements to rows: a number for every round, what bounds it, and how it compares with that. */
import * as os from "node:os"
import { cpuMicros, type Measured, median, rate } from "./Timing.ts"

/** What the numbers are. Of operations a second more is better, of everything else less. */
export type Unit = "ops/s" | "µs" | "ms" | "MB" | "bytes"

/** What was measured under one name. */
export interface Row {
  readonly name: string
  readonly unit: Unit
  /** A number for every round. */
  readonly rounds: ReadonlyArray<number>
  /** Microseconds of processor time for an operation, for every round; none where it was not measured. */
  readonly cpu: ReadonlyArray<number>
  /** The names of the rows that bound it; the worst of them is the limit. */
  readonly limits: ReadonlyArray<string>
  /** The name of the row that was written by hand. */
  readonly hand: string | undefined
}

/** What a row is compared with. */
export interface Bounds {
  readonly limits?: ReadonlyArray<string> | undefined
  readonly hand?: string | undefined
}

/** What was measured, and everything that was wrong. */
export class Results {
  private readonly byName = new Map<string, { -readonly [key in keyof Row]: Row[key] }>()
  readonly problems = new Set<string>()

  /** A rate. */
  add(name: string, measured: Measured, bounds: Bounds = {}): void {
    const row = this.note(name, "ops/s", rate(measured), bounds)
    row.cpu = [...row.cpu, cpuMicros(measured)]
    this.wrong(name, measured.problems)
  }

  /** Any other number; what is none was not measured. */
  note(name: string, unit: Unit, value: number, { hand, limits = [] }: Bounds = {}) {
    const row = this.byName.get(name) ?? { name, unit, rounds: [], cpu: [], limits, hand }
    if (Number.isFinite(value)) row.rounds = [...row.rounds, value]
    else this.wrong(name, [`${value} is no measurement`])
    this.byName.set(name, row)
    return row
  }

  wrong(name: string, problems: ReadonlyArray<string>): void {
    for (const problem of problems) this.problems.add(`${name}: ${problem}`)
  }

  get rows(): ReadonlyArray<Row> {
    return Array.from(this.byName.values())
  }
}

/** A row next to what bounds it. */
export interface Line {
  readonly row: Row
  readonly median: number
  /** Half of what lies between the smallest and the largest round, in parts of the median. */
  readonly spread: number
  readonly limit: Ratio | undefined
  readonly hand: Ratio | undefined
}

/** How a row compares with another one: 1 is as good, 0.5 half as good, whatever the unit. */
export interface Ratio {
  /** The other row. */
  readonly name: string
  readonly median: number
  readonly ratio: number
  /** The ratio in each round; noise that lasts longer than a round is in both numbers and goes. */
  readonly rounds: ReadonlyArray<number>
}

export const lines = (rows: ReadonlyArray<Row>): ReadonlyArray<Line> => {
  const byName = new Map(rows.map((row) => [row.name, row]))
  return rows.map((row): Line => {
    const others = row.limits.flatMap((name) => byName.get(name) ?? [])
    const hand = row.hand === undefined ? undefined : byName.get(row.hand)
    return {
      row,
      median: median(row.rounds),
      spread: (Math.max(...row.rounds) - Math.min(...row.rounds)) / 2 / median(row.rounds),
      limit: others.length === 0 ? undefined : compare(row, others),
      hand: hand === undefined ? undefined : compare(row, [hand])
    }
  })
}

/** Whether less is better. */
export const isCost = (unit: Unit): boolean => unit !== "ops/s"

/** A number with its digits in groups, and no more of them than mean something. */
export const number = (value: number): string => {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export const percent = (part: number): string => `${Math.round(part * 100)} %`

/** A table as Markdown; the columns that are named hold text, all others numbers. */
export const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>, text = [0]): string => {
  const isText = new Set(text)
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => (row[column] ?? "").length), 3))
  const pad = (cell: string, column: number, width: number) =>
    isText.has(column) ? cell.padEnd(width) : cell.padStart(width)
  const line = (row: ReadonlyArray<string>) =>
    `| ${widths.map((width, at) => pad(row[at] ?? "", at, width)).join(" | ")} |`
  const rule = widths.map((width, at) => (isText.has(at) ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`))
  return [line(head), `|${rule.join("|")}|`, ...rows.map(line)].join("\n")
}

/** How many processes wanted to run in the last minute. */
export const load = (): string => (os.loadavg()[0] ?? 0).toFixed(1)

/** What it was measured on. */
export const machine = (crypto: string): string => {
  const [cpu] = os.cpus()
  return `Node ${process.version}, ${os.cpus().length} × ${cpu?.model ?? "unknown"}, load ${load()}, ${crypto}`
}

// internal

/** Next to the worst of the others: in the median, and in each round. */
const compare = (row: Row, others: ReadonlyArray<Row>): Ratio => {
  const cost = isCost(row.unit)
  const worst = cost ? Math.max : Math.min
  const limit = worst(...others.map(({ rounds }) => median(rounds)))
  const ratio = (own: number, other: number) => (cost ? other / own : own / other)
  return {
    name: others.find(({ rounds }) => median(rounds) === limit)?.name ?? "",
    median: limit,
    ratio: ratio(median(row.rounds), limit),
    rounds: row.rounds.map((own, round) => ratio(own, worst(...others.map(({ rounds }) => rounds[round] ?? NaN))))
  }
}
