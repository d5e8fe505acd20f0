/**
 * A database that grows under an ingest, and beside it one that the program written by hand fills with the same operations. They
 * are made as they are needed, and nothing holds them. At every size that is asked for, some pieces are measured in both, one
 * after the other: what the size of a database costs by itself is in both numbers, and so is what else the machine has to do.
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import type * as Crypto from "../../src/core/Crypto.ts"
import type * as Topic from "../../src/core/Topic.ts"
import * as Data from "./Data.ts"
import * as Hand from "./Hand.ts"
import * as Mode from "./Mode.ts"
import * as Rows from "./Rows.ts"
import type * as Signatures from "./Signatures.ts"
import * as Subject from "./Subject.ts"
import { heap, timed } from "./Timing.ts"

/** What is measured at a size. */
export interface Stand {
  /** Operations that are there. */
  readonly at: number
  /** Microseconds for an operation, in each of the last pieces. */
  readonly own: ReadonlyArray<number>
  readonly hand: ReadonlyArray<number>
  /** Bytes of the database file for an operation. */
  readonly size: { readonly own: number; readonly hand: number }
  /** The heap's peak until now above where it began, in MB, after collections. */
  readonly heap: number
}

/** How many pieces are measured at each size. */
const samples = 5

/** Operations in a piece, at the most. */
const piece = 1000

/** Microseconds for an operation, in each piece. */
interface Times {
  readonly own: Array<number>
  readonly hand: Array<number>
}

/** Both databases, and what fills them. */
interface Pair {
  readonly crypto: Crypto.Service
  readonly pool: Signatures.Pool
  readonly controller: Subject.Controller
  readonly write: Rows.Writer
}

/** Grows to each of these sizes; gives what was measured there, and what is wrong in the end. */
export const grow = (
  crypto: Crypto.Service,
  pool: Signatures.Pool,
  shape: Data.Shape,
  sizes: ReadonlyArray<number>
): Promise<{ readonly stands: ReadonlyArray<Stand>; readonly problems: ReadonlyArray<string> }> =>
  Mode.withFile("normal", (byHand) =>
    Subject.withController("normal", "growing", (controller, filename) =>
      Effect.promise(async () => {
        const db = Rows.open(byHand, "normal")
        const own = new Rows.Database(filename)
        try {
          const pair = { crypto, pool, controller, write: Rows.checking(db) }
          const stands: Array<Stand> = []
          for await (const { at, heap, times } of growing(pair, Data.generate(crypto, shape), sizes)) {
            for (const one of [db, own]) one.pragma("wal_checkpoint(TRUNCATE)")
            const size = { own: fs.statSync(filename).size / at, hand: fs.statSync(byHand).size / at }
            stands.push({ at, ...times, size, heap })
          }
          return { stands, problems: differences(own, db, sizes.at(-1) ?? 0) }
        } finally {
          own.close()
          db.close()
        }
      })
    )
  )

// internal

async function* growing(pair: Pair, source: Generator<Data.Item, never>, sizes: ReadonlyArray<number>) {
  // The source prepares itself when it is asked first; that is no memory of the controller's.
  let at = await step(pair, source, 1)
  const before = heap()
  let peak = before
  for (const size of sizes) {
    const each = Math.max(1, Math.min(piece, Math.floor(size / (2 * samples))))
    const times: Times = { own: [], hand: [] }
    while (at < size) {
      const left = size - at
      const isMeasured = left <= samples * each
      const count = isMeasured ? Math.min(each, left) : Math.min(piece, left - samples * each)
      at += await step(pair, source, count, isMeasured ? times : undefined)
      if (isMeasured || left % (10 * piece) < piece) peak = Math.max(peak, heap())
    }
    yield { at, times, heap: (peak - before) / 1e6 }
  }
}

/** Makes so many operations, and hands them to both; when it returns, nothing holds them. */
const step = async (pair: Pair, source: Generator<Data.Item, never>, count: number, times?: Times): Promise<number> => {
  const items = Data.take(source, count)
  await (times === undefined ? unmeasured(pair, items) : measured(pair, items, times))
  return count
}

/** In turns, one first and then the other. */
const measured = async (
  { controller, crypto, pool, write }: Pair,
  items: ReadonlyArray<Data.Item>,
  times: Times
): Promise<void> => {
  const raws = items.map(({ raw }) => raw)
  const micros = (seconds: number) => (seconds * 1e6) / items.length
  const own = async () => {
    const { seconds } = await timed(() => processed(controller, items))
    times.own.push(micros(seconds))
  }
  const hand = async () => {
    const { seconds } = await timed(() => Hand.take(crypto, pool, write, raws, Mode.batchSize("growing")))
    times.hand.push(micros(seconds))
  }
  for (const run of times.own.length % 2 === 0 ? [own, hand] : [hand, own]) await run()
}

/** Only to grow; by hand nothing is verified then, which changes no row. */
const unmeasured = async ({ controller, crypto, write }: Pair, items: ReadonlyArray<Data.Item>): Promise<void> => {
  await processed(controller, items)
  const raws = items.map(({ raw }) => raw)
  await Hand.take(crypto, undefined, write, raws, Mode.batchSize("growing"))
}

/** A call for each topic, all at once, as they come from so many peers. */
const processed = (controller: Subject.Controller, items: ReadonlyArray<Data.Item>): Promise<void> => {
  const topics = new Map<Topic.Topic, Array<Data.Item["raw"]>>()
  for (const { raw, topic } of items) {
    const raws = topics.get(topic) ?? []
    raws.push(raw)
    topics.set(topic, raws)
  }
  return Effect.forEach(topics, ([topic, raws]) => controller.processAll(raws, { topic }), {
    concurrency: "unbounded",
    discard: true
  }).pipe(Effect.runPromise)
}

type Database = ReturnType<typeof Rows.open>

/** Whether both hold the same operations in the same logs with the same rows of the application, and so many of them. */
const differences = (own: Database, hand: Database, count: number): ReadonlyArray<string> => {
  const one = (db: Database, text: string) => db.prepare<[], { n: number }>(`SELECT (${text}) AS n`).get()?.n
  const found: Array<string> = []
  const expect = (what: string, db: Database, text: string) => {
    const n = one(db, text)
    if (n !== count) found.push(`${what}: ${n} instead of ${count}`)
  }
  for (const [name, db] of [
    ["own", own],
    ["by hand", hand]
  ] as const) {
    expect(`${name}, operations`, db, "SELECT count(*) FROM applecart_operations")
    expect(`${name}, rows of the application`, db, "SELECT count(*) FROM bench_apples")
    expect(`${name}, acknowledged`, db, "SELECT position FROM applecart_consumers WHERE role = 'application'")
  }
  expect("left in the inbox besides", own, `SELECT ${count} + count(*) FROM applecart_inbox`)
  const heads = [own, hand].map((db) => db.prepare<[], Head>(headsOf).all())
  const [ours = [], theirs = []] = heads
  if (ours.length !== theirs.length) found.push(`${ours.length} logs instead of ${theirs.length}`)
  const [read, other] = [own.prepare(operationsOf), hand.prepare(operationsOf)]
  const wrong = ours.find((head, nth) => {
    const their = theirs[nth]
    return (
      their === undefined || !same(head, their, ["log"]) || !sameRows(read.iterate(head.log), other.iterate(their.log))
    )
  })
  if (wrong !== undefined) found.push(`the log ${wrong.log} is not what it should be`)
  return found
}

interface Head {
  readonly log: number
}

const headsOf = `SELECT log, author, log_id, head_seq_num, head_id FROM applecart_logs ORDER BY author, log_id`

const operationsOf = `SELECT o.seq_num, o.id, o.header, o.body, a.owner, a.apples, a.note
  FROM applecart_operations AS o LEFT JOIN bench_apples AS a ON a.position = o.position WHERE o.log = ? ORDER BY o.seq_num`

const sameRows = (ours: IterableIterator<unknown>, theirs: IterableIterator<unknown>): boolean => {
  for (;;) {
    const [a, b] = [ours.next(), theirs.next()]
    if (a.done === true || b.done === true) {
      const isEnd = a.done === true && b.done === true
      ours.return?.()
      theirs.return?.()
      return isEnd
    }
    if (!same(a.value, b.value)) {
      ours.return?.()
      theirs.return?.()
      return false
    }
  }
}

/** Whether two rows have the same values, but for these columns. */
const same = (a: unknown, b: unknown, besides: ReadonlyArray<string> = []): boolean => {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false
  const other = new Map<string, unknown>(Object.entries(b))
  return Object.entries(a).every(([column, value]) => besides.includes(column) || sameValue(value, other.get(column)))
}

const sameValue = (a: unknown, b: unknown): boolean =>
  a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b
