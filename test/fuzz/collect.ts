/**
 * Adds to the corpus what is not in it yet.
 *
 * - `npx tsx test/fuzz/collect.ts`: fuzzes, and keeps one small input for each kind of answer
 * - `npx tsx test/fuzz/collect.ts TARGET NAME HEX`: this input, under this name; what a failure has printed
 */
import * as Effect from "effect/Effect"
import process from "node:process"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Campaign from "./Campaign.ts"
import * as Corpus from "./corpus.ts"
import { targets } from "./targets.ts"

const [native, portable] = await Promise.all(
  [Crypto.layer, Crypto.layerPortable].map((layer) => Effect.runPromise(Effect.provide(Crypto.Crypto, layer)))
)
if (native === undefined || portable === undefined) throw new Error("two cryptos were asked for")
const all = targets(native, portable)
const [wanted, name, hex] = process.argv.slice(2)
const target = all.find((one) => one.name === wanted)
if (target !== undefined && name !== undefined && hex !== undefined) {
  const bytes = Bytes.fromHex(hex)
  const { verdict } = Campaign.attempt(target, bytes, 0)
  Corpus.add({ target: target.name, name: `${name}.hex`, verdict, bytes })
} else {
  for (const target of all) console.log(`${target.name}: ${collect(target)} added, ${Corpus.size()} bytes in all`)
}

/** Where it is said does not make another kind of answer; nor does the smallest input that is answered so come first. */
function collect(target: Campaign.Target): number {
  const kinds = new Map<string, Uint8Array>()
  for (let seed = 0; seed < 20; seed++) {
    for (const [verdict, bytes] of Campaign.run(target, seed, 2000).verdicts) {
      const kind = verdict
        .replace(/ at \d+\+?/, "")
        .replace(/[^a-z0-9]+/gi, "-")
        .replace(/^-|-$/g, "")
        .toLowerCase()
      const known = kinds.get(kind)
      // The answer must not depend on choices that are made besides.
      const isSure = [0, 1, 2].every((seed) => Campaign.attempt(target, bytes, seed).verdict === verdict)
      if (isSure && (known === undefined || bytes.length < known.length)) kinds.set(kind, bytes)
    }
  }
  let added = 0
  for (const [kind, bytes] of kinds) {
    const { verdict } = Campaign.attempt(target, bytes, 0)
    if (Corpus.add({ target: target.name, name: `${kind}.hex`, verdict, bytes })) added++
  }
  return added
}
