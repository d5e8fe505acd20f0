/**
 * How fast operations are checked, with both libraries: `npx tsx test/bench/crypto.ts`. One core; the median of 7 runs.
 */
import * as cborg from "cborg"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import * as Cbor from "../../src/core/Cbor.ts"
import * as CborWalk from "../../src/core/CborWalk.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Header from "../../src/core/Header.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"

const load = (layer: Crypto.Service["name"]) =>
  Effect.runPromise(
    Effect.provide(Crypto.Crypto, layer === "sodium-native" ? Crypto.layerNative : Crypto.layerPortable)
  )
const file = new Uint8Array(readFileSync(new URL("../vectors/logs.cbor", import.meta.url)))
const sequence = Stream.runCollect(Stream.make(file).pipe(OperationSequence.decode()))
const all = [...(await Effect.runPromise(sequence))]
const raws = all.slice(0, 2000)
const bodies = raws.flatMap(({ body }) => (body === undefined ? [] : [body]))

/** Each second of the median run: how often `work`, which does `times` of them, was done. */
const rate = (times: number, work: () => void): number => {
  work()
  const runs = Array.from({ length: 7 }, () => {
    const began = performance.now()
    work()
    return performance.now() - began
  })
  return (times * 1000) / (runs.sort((a, b) => a - b)[3] ?? NaN)
}
const print = (what: string, perSecond: number): void =>
  console.log(
    `  ${what.padEnd(52)} ${Math.round(perSecond).toLocaleString("en").padStart(12)} /s ${(1e6 / perSecond).toFixed(2).padStart(9)} µs`
  )
const each = <A>(items: ReadonlyArray<A>, use: (item: A) => unknown) =>
  rate(items.length, () => {
    for (const item of items) use(item)
  })

console.log(`Node ${process.version}, ${raws.length} operations of logs.cbor`)
for (const name of ["sodium-native", "libsodium-wrappers"] as const) {
  const crypto = await load(name)
  const key = Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(1)))
  const signed = raws.map(({ header }) => {
    const parsed = Either.getOrThrow(Header.parse(header))
    return { key: header.subarray(4, 36), message: Header.signingBytes(header), signature: parsed.signature }
  })
  const decode = Operation.decodeWith(crypto)
  const damaged = raws.slice(0, 200).map(({ header, body }) => {
    const copy = header.slice()
    copy[60] = (copy[60] ?? 0) ^ 1
    return { header: copy, body }
  })
  console.log(name)
  print(
    "verify",
    each(signed, (one) => crypto.verify(one.key, one.message, one.signature))
  )
  print(
    "sign (public key derived each time)",
    each(signed.slice(0, 500), ({ message }) => crypto.sign(key, message))
  )
  print(
    "hash, a header of some 190 bytes",
    each(raws, ({ header }) => crypto.hash(header))
  )
  const megabyte = new Uint8Array(1 << 20)
  print(
    "hash, MiB",
    rate(20, () => void Array.from({ length: 20 }, () => crypto.hash(megabyte)))
  )
  print("Operation.decodeWith (header, signature, body)", each(raws, decode))
  print("Operation.decodeWith, forged (names the reason)", each(damaged, decode))
  print(
    "Operation.signWith",
    each(bodies.slice(0, 500), (body) =>
      Operation.signWith(crypto)(key, { seqNum: 0, backlink: undefined, extensions: undefined, body })
    )
  )
}
console.log("the same for both")
const extensions = raws.map(({ header }) => Either.getOrThrow(Header.parse(header)).extensions)
const values = bodies.map((body) => Either.getOrThrow(Cbor.decode(body)))
print(
  "CborWalk.whole, a header",
  each(raws, ({ header }) => CborWalk.whole(header, CborWalk.headerLimits))
)
print(
  "Header.parse",
  each(raws, ({ header }) => Header.parse(header))
)
print("NodeExtensions.decode", each(extensions, NodeExtensions.decode))
print(
  "Cbor.decode, a body (checked)",
  each(bodies, (body) => Cbor.decode(body))
)
print(
  "  cborg, strict (not checked for canonical form)",
  each(bodies, (body) => cborg.decode(body, { strict: true }))
)
print(
  "Cbor.encode, a body",
  each(values, (value) => Cbor.encode(value))
)
print(
  "  cborg",
  each(values, (value) => cborg.encode(value))
)
const stream = await (async () => {
  const began = performance.now()
  for (let times = 0; times < 5; times++) await Effect.runPromise(sequence)
  return (5 * all.length * 1000) / (performance.now() - began)
})()
print("OperationSequence.decode", stream)
