/**
 * How many operations a second, next to the limits. `main.ts` compiles it and starts it. Exits with 1 when a result is wrong,
 * never because it is slow.
 */
import * as Effect from "effect/Effect"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Data from "./Data.ts"
import * as Hand from "./Hand.ts"
import * as Mode from "./Mode.ts"
import * as Part from "./Part.ts"
import * as Raw from "./Raw.ts"
import * as Report from "./Report.ts"
import * as Signatures from "./Signatures.ts"
import * as Subject from "./Subject.ts"
import { median as middle } from "./Timing.ts"

/** How much is measured. Operations with a transaction each are fewer: a rate does not need more, and time is short. */
interface Plan {
  /** At the most; fewer where the machine is too slow for them. */
  readonly rounds: number
  /** No round begins that would not end before so many seconds have passed. */
  readonly seconds: number
  readonly batched: number
  readonly single: number
  readonly published: number
}

const quick: Plan = { rounds: 2, seconds: 12, batched: 1_000, single: 50, published: 50 }
const whole: Plan = { rounds: 5, seconds: 480, batched: 20_000, single: 1_000, published: 500 }
const warm: Plan = { ...quick, rounds: 1, batched: 500, single: 50 }

/** What everything is measured with. */
interface With {
  readonly crypto: Crypto.Service
  readonly pool: Signatures.Pool
  readonly data: Data.Data
}

const signatures = "raw/signatures/all cores"

/** What takes operations in, by every way. */
const intake = async ({ crypto, data, pool }: With, mode: Mode.Mode, plan: Plan, results: Report.Results) => {
  for (const batching of Mode.batchings) {
    const some = Data.first(data, batching === "single" ? plan.single : plan.batched)
    const name = `${mode}/${batching}`
    const [rows, hand] = [`raw/sqlite/${name}`, `raw/hand/${name}`]
    results.add(rows, await Raw.inserts(some, mode, batching))
    results.add(hand, await Hand.ingest(crypto, pool, some, mode, batching), { limits: [signatures, rows] })
    results.add(`ingest/${name}`, await Subject.ingest(some, mode, batching), { limits: [signatures, rows], hand })
  }
  const some = Data.first(data, plan.batched)
  const [rows, hand] = [`raw/sqlite/${mode}/batched`, `raw/hand/${mode}/batched`]
  const believed = `raw/hand/${mode}/batched/believed`
  results.add(believed, await Hand.ingest(crypto, undefined, some, mode, "batched"), { limits: [rows] })
  const { both, drain, receive } = await Subject.inbox(some, mode, "batched")
  results.add(`receive/${mode}/batched`, receive, { limits: [signatures, rows] })
  // Signatures were checked on receipt.
  results.add(`drain/${mode}/batched`, drain, { limits: [rows], hand: believed })
  results.add(`receive+drain/${mode}/batched`, both, { limits: [signatures, rows], hand })
}

/** The second half of twice as many: when what runs is compiled, and the database holds something. */
const sustained = async ({ crypto, data, pool }: With, mode: Mode.Mode, plan: Plan, results: Report.Results) => {
  const some = Data.first(data, 2 * plan.batched)
  const hand = `raw/hand/${mode}/sustained`
  const limits = [signatures, `raw/sqlite/${mode}/growing`]
  results.add(hand, await Hand.ingest(crypto, pool, some, mode, "growing", plan.batched), { limits })
  const taken = await Subject.ingest(some, mode, "growing", plan.batched)
  results.add(`ingest/${mode}/sustained`, taken, { limits, hand })
}

/** Whatever the database is set to, what is published is on the disk before the call returns. */
const publishing = async ({ crypto, data }: With, mode: Mode.Mode, plan: Plan, results: Report.Results) => {
  const some = Data.first(data, plan.published)
  const [rows, hand] = [`raw/sqlite/${mode === "memory" ? mode : "full"}/single`, `raw/hand/publish/${mode}`]
  const limits = ["raw/signing", rows]
  results.add(hand, await Hand.publish(crypto, some, mode), { limits })
  results.add(`publish/${mode}`, await Subject.publish(crypto, data, mode, plan.published), { limits, hand })
}

const round = async (using: With, plan: Plan, results: Report.Results): Promise<void> => {
  const { crypto, data, pool } = using
  const some = Data.first(data, plan.batched)
  results.add("raw/signatures/one core", await Raw.signatures(crypto, some))
  results.add(signatures, await Raw.signaturesOnAllCores(pool, some))
  results.add("raw/signing", await Raw.signing(crypto, some))
  for (const mode of Mode.modes) await intake(using, mode, plan, results)
  for (const mode of Mode.modes) await sustained(using, mode, plan, results)
  for (const mode of Mode.modes) await publishing(using, mode, plan, results)
}

/** The rows as a table: rates, and what they are of the limit and of what was written by hand. */
const table = (rows: ReadonlyArray<Report.Row>): string => {
  const head = [
    "",
    "ops/s",
    "±",
    "CPU µs",
    "limit",
    "of it",
    "in a round",
    "by hand",
    "of it",
    "in a round",
    "limited by"
  ]
  const ratio = (of: Report.Ratio | undefined) =>
    of === undefined
      ? ["", "", ""]
      : [
          Report.number(of.median),
          of.ratio.toFixed(2),
          `${Math.min(...of.rounds).toFixed(2)} to ${Math.max(...of.rounds).toFixed(2)}`
        ]
  const cells = Report.lines(rows).map(({ hand, limit, median, row, spread }) => [
    row.name,
    Report.number(median),
    Report.percent(spread),
    Report.number(middle(row.cpu)),
    ...ratio(limit),
    ...ratio(hand),
    limit?.name ?? ""
  ])
  return Report.table(head, cells, [0, 10])
}

const main = async (): Promise<void> => {
  const plan = Part.quick ? quick : whole
  const crypto = await Effect.runPromise(Part.crypto)
  const pool = await Signatures.pool(crypto)
  const using = { crypto, pool, data: Data.make(crypto, 2 * plan.batched) }
  console.log(`## Operations a second

${Report.machine(crypto.name)}, ${pool.size} threads for the limits' signatures
medians of up to ${plan.rounds} rounds; ${plan.batched} operations by ${Data.authors} authors with ${Data.bodySize}-byte bodies, \
100 to a transaction ("batched"), as many as the controller takes on, by hand 500 ("growing"), the same behind as many \
others ("sustained"), or ${plan.single} with a transaction each ("single"); ${plan.published} published`)

  // Nobody is measured cold.
  await round(using, warm, new Report.Results())
  const results = new Report.Results()
  let rounds = 0
  let longest = 0
  while (rounds < plan.rounds && (rounds === 0 || Part.seconds() + longest < plan.seconds)) {
    const before = Part.seconds()
    await round(using, plan, results)
    rounds += 1
    longest = Math.max(longest, Part.seconds() - before)
    console.error(`round ${rounds} of ${plan.rounds}, ${Math.round(Part.seconds())} s`)
  }
  await pool.close()
  console.log(`\n${table(results.rows)}\n\n${rounds} rounds, ${Math.round(Part.seconds())} s, load ${Report.load()}\n`)
  Part.finish(results)
}

await main()
