/**
 * `npm run bench -- compare A B`: what changed from one `bench.json` to another. Beyond the noise is a change where every round of
 * the one lies above every round of the other; with five rounds each, noise alone does that once in 126 rows. Where there is a limit
 * or a program by hand, it is their ratio that is compared, round by round, so that a slower machine is no change. The size of a
 * file has no noise; of that a hundredth is a change.
 */
import * as BenchFile from "./BenchFile.ts"
import * as Report from "./Report.ts"
import { median } from "./Timing.ts"

/** With fewer rounds than this, no order of them is unlikely enough. */
const fewest = 4

/** What is compared of a row: more is better. */
interface Side {
  readonly line: Report.Line
  readonly values: ReadonlyArray<number>
  readonly isRatio: boolean
}

const side = (line: Report.Line): Side => {
  const ratio = line.hand ?? line.limit
  const values = Report.isCost(line.row.unit) ? line.row.rounds.map((value) => 1 / value) : line.row.rounds
  return { line, values: ratio?.rounds ?? values, isRatio: ratio !== undefined }
}

const verdict = (a: Side, b: Side): string => {
  if (a.line.row.unit === "bytes") {
    const change = median(b.values) / median(a.values) - 1
    return Math.abs(change) < 0.01 ? "" : change > 0 ? "better" : "WORSE"
  }
  if (Math.min(a.values.length, b.values.length) < fewest) return "too few rounds to tell"
  if (Math.min(...b.values) > Math.max(...a.values)) return "better"
  return Math.max(...b.values) < Math.min(...a.values) ? "WORSE" : ""
}

/** In parts: 0.1 is a tenth more. */
const signed = (part: number): string =>
  Number.isFinite(part) ? `${part >= 0 ? "+" : "−"}${Report.percent(Math.abs(part))}` : ""

const cells = (a: Side, b: Side): ReadonlyArray<string> => [
  a.line.row.name,
  a.line.row.unit,
  Report.number(a.line.median),
  Report.percent(a.line.spread),
  Report.number(b.line.median),
  Report.percent(b.line.spread),
  signed(b.line.median / a.line.median - 1),
  a.isRatio ? median(a.values).toFixed(2) : "",
  b.isRatio ? median(b.values).toFixed(2) : "",
  a.isRatio ? signed(median(b.values) / median(a.values) - 1) : "",
  verdict(a, b)
]

const describe = (name: string, { commit, date, load, machine, node, quick }: BenchFile.File): string =>
  `${name}: ${commit.slice(0, 12)}${commit.endsWith("+") ? "+" : ""}, ${date}, Node ${node}, ${machine.cores} × ${machine.cpu}, \
load ${load.before} to ${load.after}${quick ? ", QUICK: no numbers to go by" : ""}`

const main = (names: ReadonlyArray<string>): void => {
  const [first, second] = names
  if (first === undefined || second === undefined) {
    console.error("Give two files: npm run bench -- compare before.json after.json")
    process.exitCode = 1
    return
  }
  const [before, after] = [BenchFile.read(first), BenchFile.read(second)]
  console.log(`${describe("A", before)}\n${describe("B", after)}\n`)
  const others = new Map(Report.lines(BenchFile.rows(after)).map((line) => [line.row.name, side(line)]))
  const mine = Report.lines(BenchFile.rows(before)).map(side)
  const pairs = mine.flatMap((a) => {
    const b = others.get(a.line.row.name)
    return b === undefined ? [] : [[a, b] as const]
  })
  const head = ["", "unit", "A", "±", "B", "±", "change", "ratio A", "ratio B", "change", "beyond the noise"]
  console.log(
    `${Report.table(
      head,
      pairs.map(([a, b]) => cells(a, b)),
      [0, 1, 10]
    )}\n`
  )
  const told = pairs.map(([a, b]) => verdict(a, b))
  const count = (which: string) => told.filter((one) => one === which).length
  console.log(`${pairs.length} rows: ${count("better")} better, ${count("WORSE")} worse beyond the noise. Only in one of the two: \
${mine.length + others.size - 2 * pairs.length}.`)
}

main(process.argv.slice(process.argv.indexOf("compare") + 1))
