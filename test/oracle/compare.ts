/**
 * Compares our verdicts with those of the Rust implementation on generated and mutated inputs.
 *
 *   npx tsx test/oracle/compare.ts ORACLE COUNT SEEDS [native|portable]
 *
 * ORACLE: the built program of /work/shared/oracle. COUNT: inputs for each seed. SEEDS: `1..10` or `3,5`.
 * Prints the number of inputs and every disagreement (the first 20 in full); exits with 1 if there was one.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Verdict from "../../src/core/Verdict.ts"
import { agree, type Case } from "./agree.ts"

const [program = "", count = "10000", range = "1", library = "native"] = process.argv.slice(2)
if (program === "") {
  console.error("usage: compare.ts ORACLE COUNT SEEDS [native|portable]")
  process.exit(2)
}

const seeds = (text: string): ReadonlyArray<number> => {
  const [from = "", to] = text.split("..")
  if (to === undefined) return from.split(",").map(Number)
  return Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => Number(from) + index)
}

const layer = library === "portable" ? Crypto.layerPortable : Crypto.layerNative
const crypto = await Effect.runPromise(Effect.provide(Crypto.Crypto, layer))
const verdict = Verdict.verdict(crypto)

const tally = new Map<string, number>()
let inputs = 0
let disagreements = 0
const began = performance.now()

const compare = (line: string): void => {
  // the oracle is our own program; its lines have this form
  const { h, b, verdict: theirs } = JSON.parse(line) as Case
  const ours = verdict({ header: Bytes.fromHex(h), body: b === null ? undefined : Bytes.fromHex(b) })
  inputs++
  const key = theirs.reencodes === false ? "reencodes: false" : theirs.tagged === true ? "tagged" : theirs.header
  tally.set(key, (tally.get(key) ?? 0) + 1)
  if (agree(ours, theirs)) return
  disagreements++
  if (disagreements <= 20) console.log("DISAGREE", JSON.stringify({ ours, theirs, h, b }))
}

for (const seed of seeds(range)) {
  const child = spawn(program, ["mutate", count, String(seed)], { stdio: ["ignore", "pipe", "inherit"] })
  const exit = once(child, "exit")
  for await (const line of createInterface({ input: child.stdout })) compare(line)
  const [code] = await exit
  if (code !== 0) {
    console.error(`the oracle ended with ${String(code)} at seed ${seed}`)
    process.exit(2)
  }
}

const seconds = (performance.now() - began) / 1000
console.log(`${crypto.name}: ${inputs} inputs, ${disagreements} disagreements, ${seconds.toFixed(0)} s`)
for (const [key, times] of [...tally].sort((a, b) => b[1] - a[1])) console.log(`  ${String(times).padStart(8)}  ${key}`)
process.exit(disagreements === 0 && inputs > 0 ? 0 : 1)
