/**
 * The measurement itself; `main.ts` compiles it and starts it. Exits with 1 when a result is wrong, never because it is slow.
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Data from "./Data.ts"
import * as Mode from "./Mode.ts"
import * as Raw from "./Raw.ts"
import * as Report from "./Report.ts"
import * as Subject from "./Subject.ts"

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

const quick: Plan = { rounds: 2, seconds: 50, batched: 2_000, single: 200, published: 100 }
const whole: Plan = { rounds: 5, seconds: 330, batched: 20_000, single: 1_000, published: 500 }

const round = async (crypto: Crypto.Service, data: Data.Data, plan: Plan, results: Report.Results): Promise<void> => {
  for (const mode of Mode.modes) {
    for (const batching of Mode.batchings) {
      const some = Data.first(data, batching === "batched" ? plan.batched : plan.single)
      const name = `${mode}/${batching}`
      const rows = `raw/sqlite/${name}`
      results.add(rows, await Raw.inserts(some, mode, batching))
      results.add(`ingest/${name}`, await Subject.ingest(some, mode, batching), ["raw/signatures", rows])
    }
    const { both, drain, receive } = await Subject.inbox(Data.first(data, plan.batched), mode, "batched")
    const limits = ["raw/signatures", `raw/sqlite/${mode}/batched`]
    results.add(`receive/${mode}/batched`, receive, limits)
    // Signatures were checked on receipt.
    results.add(`drain/${mode}/batched`, drain, limits.slice(1))
    results.add(`receive+drain/${mode}/batched`, both, limits)
  }
  for (const mode of Mode.modes) {
    const measured = await Subject.publish(crypto, data, mode, plan.published)
    // Whatever the database is set to, on the disk before it returns.
    results.add(`publish/${mode}`, measured, ["raw/signing", `raw/sqlite/${mode === "memory" ? mode : "full"}/single`])
  }
}

/** Since the start of the process. */
const seconds = () => performance.now() / 1000

const main = async (): Promise<void> => {
  const plan = process.argv.includes("--quick") ? quick : whole
  const crypto = await Effect.runPromise(Effect.provide(Crypto.Crypto, Crypto.layer))
  const data = Data.make(crypto, plan.batched)
  console.log(`${Report.machine(crypto.name)}
medians of up to ${plan.rounds} rounds; ${plan.batched} operations by ${Data.authors} authors with ${Data.bodySize}-byte bodies, \
100 to a transaction ("batched"), or ${plan.single} with a transaction each ("single"); ${plan.published} published`)

  // Nobody is measured cold.
  await round(crypto, data, { ...plan, batched: 1_000, single: 100, published: 50 }, new Report.Results())
  const results = new Report.Results()
  let rounds = 0
  let longest = 0
  while (rounds < plan.rounds && (rounds === 0 || seconds() + longest < plan.seconds)) {
    const before = seconds()
    results.add("raw/signatures", await Raw.signatures(crypto, data))
    results.add("raw/signing", await Raw.signing(crypto, data))
    await round(crypto, data, plan, results)
    rounds += 1
    longest = Math.max(longest, seconds() - before)
    console.error(`round ${rounds} of ${plan.rounds}, ${Math.round(seconds())} s`)
  }

  const { lines, problems } = results
  console.log(`\n${Report.table(lines)}\n`)
  fs.writeFileSync("bench.json", Report.json(lines))
  console.log(`${rounds} rounds, ${Math.round(seconds())} s, load ${Report.load()}; written to bench.json`)
  for (const problem of new Set(problems)) console.error(`WRONG RESULT: ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}

await main()
