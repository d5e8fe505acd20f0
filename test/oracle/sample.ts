/**
 * Writes test/vectors/oracle-sample.jsonl.gz: inputs of the Rust oracle with its verdicts, one JSON line each, without
 * those whose header has more than 1000 bytes (3 % of them; test/oracle/compare.ts covers these as well).
 *
 *   npx tsx test/oracle/sample.ts ORACLE [COUNT [SEED]]
 */
import { spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { createInterface } from "node:readline"
import { gzipSync } from "node:zlib"
import type { Case } from "./agree.ts"

const [program = "", count = "20000", seed = "424242"] = process.argv.slice(2)
const largest = 1000
const wanted = Number(count)
const child = spawn(program, ["mutate", String(wanted * 2), seed], { stdio: ["ignore", "pipe", "ignore"] })
const kept: Array<string> = []
let skipped = 0
for await (const line of createInterface({ input: child.stdout })) {
  if (kept.length === wanted) break
  // the oracle is our own program; its lines have this form
  const { h, b, verdict } = JSON.parse(line) as Case
  if (h.length > 2 * largest) skipped++
  else kept.push(JSON.stringify({ h, b, verdict }))
}
child.kill()
const packed = gzipSync(kept.join("\n"), { level: 9 })
writeFileSync(new URL("../vectors/oracle-sample.jsonl.gz", import.meta.url), packed)
console.log(`${kept.length} inputs, ${skipped} skipped, ${packed.length} bytes`)
