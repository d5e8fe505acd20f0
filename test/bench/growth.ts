/**
 * `npm run bench -- --growth`: what an operation costs as there are more of them, of authors, of topics, and as bodies get longer:
 * time, bytes on the disk, memory. None of it should depend on how much there is already.
 *
 * Exits with 1 when a result is wrong, never because it is slow.
 */
import * as Effect from "effect/Effect"
import type * as Data from "./Data.ts"
import * as Growing from "./Growing.ts"
import * as Part from "./Part.ts"
import * as Report from "./Report.ts"
import * as Signatures from "./Signatures.ts"

/** What grows, and the sizes at which it is measured. */
interface Case {
  readonly name: string
  readonly shape: Data.Shape
  readonly sizes: ReadonlyArray<number>
  readonly quick: ReadonlyArray<number>
}

const base: Data.Shape = { authors: 10, topics: 1, bodySize: 100 }

const cases: ReadonlyArray<Case> = [
  { name: "10 authors, 100 bytes", shape: base, sizes: [10_000, 100_000, 1_000_000], quick: [500, 3_000] },
  {
    name: "10,000 authors, 100 bytes",
    shape: { ...base, authors: 10_000 },
    sizes: [10_000, 100_000],
    quick: [1_000]
  },
  {
    name: "10 authors, 1,000 topics, 100 bytes",
    shape: { ...base, topics: 1_000 },
    sizes: [10_000, 100_000],
    quick: [1_000]
  },
  { name: "10 authors, 10 kB", shape: { ...base, bodySize: 10_000 }, sizes: [1_000, 10_000], quick: [200] },
  { name: "10 authors, 1 MB", shape: { ...base, bodySize: 1_000_000 }, sizes: [50, 300], quick: [10] }
]

const note = (results: Report.Results, name: string, { at, hand, heap, own, size }: Growing.Stand): void => {
  const of = (what: string) => `growth/${name}/${at.toLocaleString("en")}/${what}`
  const byHand = (what: string) => `${of(what)} by hand`
  for (const value of hand) results.note(byHand("time"), "µs", value)
  for (const value of own) results.note(of("time"), "µs", value, { hand: byHand("time") })
  results.note(byHand("size"), "bytes", size.hand)
  results.note(of("size"), "bytes", size.own, { hand: byHand("size") })
  results.note(of("heap"), "MB", heap)
}

/** A line for a case and a size. `first`: the time next to that of the case's first size. */
const table = (rows: ReadonlyArray<Report.Row>): string => {
  const lines = new Map(Report.lines(rows).map((line) => [line.row.name, line]))
  const cells: Array<ReadonlyArray<string>> = []
  for (const { name } of cases) {
    let first: number | undefined
    for (const line of lines.values()) {
      const [, of, at = "", what] = line.row.name.match(/^growth\/(.*)\/(.*)\/(.*)$/) ?? []
      if (of !== name || what !== "time") continue
      const [size, heap] = ["size", "heap"].map((what) => lines.get(`growth/${name}/${at}/${what}`))
      first ??= line.median
      cells.push([
        name,
        at,
        Report.number(line.median),
        Report.percent(line.spread),
        Report.number(line.hand?.median ?? NaN),
        (line.hand?.ratio ?? NaN).toFixed(2),
        (line.median / first).toFixed(2),
        Report.number(size?.median ?? NaN),
        Report.number(size?.hand?.median ?? NaN),
        Report.number(heap?.median ?? NaN)
      ])
    }
  }
  const head = [
    "",
    "operations",
    "µs each",
    "±",
    "by hand",
    "of it",
    "of the first",
    "bytes each",
    "by hand",
    "peak heap, MB"
  ]
  return Report.table(head, cells)
}

const main = async (): Promise<void> => {
  const crypto = await Effect.runPromise(Part.crypto)
  const pool = await Signatures.pool(crypto)
  console.log(`## Growth

Verified, as many to a transaction as the controller takes on (by hand 500), synchronous NORMAL. Time: of the last pieces before a size, next to the same pieces by hand into \
a database of the same size. Bytes: of the file. Heap: the peak above where it began, after collections.`)
  // Nobody is measured cold.
  await Growing.grow(crypto, pool, base, [Part.quick ? 500 : 5_000])
  const results = new Report.Results()
  for (const { name, quick, shape, sizes } of cases) {
    const { problems, stands } = await Growing.grow(crypto, pool, shape, Part.quick ? quick : sizes)
    for (const stand of stands) note(results, name, stand)
    results.wrong(`growth/${name}`, problems)
    console.error(`${name}, ${Math.round(Part.seconds())} s`)
  }
  await pool.close()
  console.log(`\n${table(results.rows)}\n\n${Math.round(Part.seconds())} s, load ${Report.load()}\n`)
  Part.finish(results)
}

await main()
