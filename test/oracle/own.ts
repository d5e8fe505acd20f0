/**
 * Asks the Rust implementation about inputs of our own making, where its generator does not go: everything signed well,
 * with extensions that are node extensions under tags, with surplus, missing and wrong elements, damaged and signed
 * afterwards; and values that our CBOR writer wrote.
 *
 *   npx tsx test/oracle/own.ts ORACLE COUNT [SEED]
 *
 * Prints the number of inputs and every disagreement (the first 20 in full); exits with 1 if there was one.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Cbor from "../../src/core/Cbor.ts"
import * as CborHead from "../../src/core/internal/CborHead.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Verdict from "../../src/core/Verdict.ts"
import { mutate, random } from "../core/support.ts"
import { agree, type OracleVerdict } from "./agree.ts"

const [program = "", count = "10000", seed = "1"] = process.argv.slice(2)
if (program === "") {
  console.error("usage: own.ts ORACLE COUNT [SEED]")
  process.exit(2)
}

const crypto = await Effect.runPromise(Effect.provide(Crypto.Crypto, Crypto.layerNative))
const { below } = random(Number(seed))
const one = (times: number) => below(times) === 0
const key = Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(Number(seed))))
const author = CborHead.bytes(Bytes.fromHex(crypto.verifyingKey(key)))
const bytes = (size: number) => Uint8Array.from({ length: size }, () => below(256))

/** Something under up to three tags, sometimes. */
const tagged = (item: Uint8Array): Uint8Array =>
  one(5) ? tagged(Bytes.concat([CborHead.head(6, [0, 1, 2, 3, 5, 99, 70_000][below(7)] ?? 0), item])) : item

/** Any value, written by us. */
const value = (depth: number): unknown => {
  switch (below(depth > 3 ? 8 : 11)) {
    case 0:
      return below(2) === 0 ? below(300) : -below(70_000)
    case 1:
      return (below(2) === 0 ? -1n : 1n) * BigInt(below(2 ** 32)) ** BigInt(below(6))
    case 2:
      return new DataView(bytes(8).buffer).getFloat64(0)
    case 3:
      return Math.fround(below(1000) / ([1, 2, 3, 1024, 1e-7, 1e9][below(6)] ?? 1))
    case 4:
      return String.fromCodePoint(...Array.from({ length: below(30) }, () => [65, 233, 0xfeff, 0x1f43c][below(4)] ?? 0))
    case 5:
      return bytes(below(300))
    case 6:
      return [null, undefined, true, false, NaN, -0, Infinity, 5e-324, 2 ** -24][below(9)]
    case 7:
      return new Cbor.Simple({ value: one(2) ? below(20) : 32 + below(224) })
    case 8:
      return Array.from({ length: below(5) }, () => value(depth + 1))
    case 9:
      return new Map(Array.from({ length: below(5) }, () => [value(depth + 1), value(depth + 1)]))
    default:
      return new Cbor.Tagged({ tag: 4 + below(2 ** 32 - 4), value: value(depth + 1) })
  }
}

const written = (): Uint8Array => Either.getOrElse(Cbor.encode(value(0)), () => Uint8Array.of(0xf6))

/** Node extensions with flaws. */
const node = (): Uint8Array => {
  const flaw = (item: Uint8Array) => tagged(one(12) ? written() : item)
  const causal = one(4)
  const id = () => flaw(CborHead.bytes(bytes(one(20) ? 31 : 32)))
  const ids = () => Array.from({ length: below(4) }, id)
  const list = (items: ReadonlyArray<Uint8Array>) => Bytes.concat([CborHead.head(4, items.length), ...items])
  const last = causal ? list(ids()) : Uint8Array.of(one(2) ? 0xf4 : 0xf5)
  const time = BigInt(below(2 ** 32)) ** BigInt(below(3)) % 2n ** 64n
  const items = [
    flaw(CborHead.unsigned(one(20) ? below(70_000) : 1)),
    flaw(CborHead.unsigned(one(20) ? below(70_000) : Number(causal))),
    id(),
    flaw(CborHead.unsigned64(time)),
    flaw(last)
  ]
  if (one(8)) items.splice(below(6), below(2), ...(one(2) ? [written()] : []))
  return tagged(list(items))
}

/** A header around the extensions, signed; sometimes damaged before that. */
const input = (): { readonly h: string; readonly b: null } => {
  const made = below(3) === 0 ? written() : node()
  const extensions = one(6) ? mutate(made, below) : made
  const seq = one(2) ? [Uint8Array.of(0)] : [CborHead.unsigned(1 + below(300)), CborHead.bytes(bytes(32))]
  const rest = Bytes.concat([Uint8Array.of(0), ...seq, extensions])
  const front = Bytes.concat([Uint8Array.of(1), author])
  const elements = 4 + seq.length
  const signature = crypto.sign(key, Bytes.concat([Uint8Array.of(0x80 + elements), front, rest]))
  const header = Bytes.concat([Uint8Array.of(0x80 + elements + 1), front, CborHead.bytes(signature), rest])
  return { h: Bytes.toHex(header), b: null }
}

const verdict = Verdict.verdict(crypto)
const tally = new Map<string, number>()
let [inputs, disagreements] = [0, 0]

const compare = (h: string, line: string): void => {
  // the oracle is our own program; its lines have this form
  const theirs = JSON.parse(line) as OracleVerdict
  const ours = verdict({ header: Bytes.fromHex(h), body: undefined })
  inputs++
  const name = `${theirs.header} ${theirs.cbor ?? theirs.node ?? ""}`
  tally.set(name, (tally.get(name) ?? 0) + 1)
  if (agree(ours, theirs)) return
  disagreements++
  if (disagreements <= 20) console.log("DISAGREE", JSON.stringify({ ours, theirs, h }))
}

while (inputs < Number(count)) {
  const batch = Array.from({ length: 10_000 }, input)
  const child = spawn(program, ["oracle"], { stdio: ["pipe", "pipe", "inherit"] })
  // the oracle answers when its buffer is full or its input ends, never line by line
  child.stdin.end(batch.map((line) => `${JSON.stringify(line)}\n`).join(""))
  let at = 0
  for await (const line of createInterface({ input: child.stdout })) compare(batch[at++]?.h ?? "", line)
  if (at !== batch.length) throw new Error(`the oracle gave ${at} answers to ${batch.length} questions`)
}
console.log(`${inputs} inputs, ${disagreements} disagreements`)
for (const [name, times] of [...tally].sort((a, b) => b[1] - a[1]))
  console.log(`  ${String(times).padStart(8)}  ${name}`)
process.exit(disagreements === 0 && inputs > 0 ? 0 : 1)
