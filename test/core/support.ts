/**
 * Vectors, both cryptos, and what several tests need to make inputs.
 */
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import type * as Hash from "../../src/core/Hash.ts"
import type * as Operation from "../../src/core/Operation.ts"
import * as InputFaults from "../../src/testing/InputFaults.ts"
import type { Case, OracleVerdict } from "../oracle/agree.ts"

const load = (layer: typeof Crypto.layer) => Effect.runPromise(Effect.provide(Crypto.Crypto, layer))

export const native = await Effect.runPromise(Effect.provide(Crypto.Crypto, Crypto.layerNative))
export const portable = await load(Crypto.layerPortable)
export const cryptos = [native, portable]

const file = (name: string) => readFileSync(new URL(`../vectors/${name}`, import.meta.url))
// the vectors are files of this repository; their form is what the tests are about
const json = <A>(name: string): A => JSON.parse(file(name).toString()) as A

export const bytesOf = (name: string): Uint8Array => new Uint8Array(file(name))

export interface HeaderVector {
  readonly name: string
  readonly secret: string
  readonly verifyingKey: string
  readonly payloadSize: number
  readonly payloadHash: Hash.Hash | null
  readonly seqNum: number
  readonly backlink: Hash.Hash | null
  readonly extensions: string | null
  readonly body: string | null
  readonly signingBytes: string
  readonly signature: string
  readonly bytes: string
  readonly id: string
  readonly verdict: OracleVerdict
}
export const headers = json<{ readonly headers: ReadonlyArray<HeaderVector> }>("headers.json").headers

export interface SignatureVector {
  readonly message: string
  readonly verifyingKey: string
  readonly signature: string
  readonly keyAccepted: boolean
  readonly valid: boolean
}
export const signatures = json<{ readonly signatures: ReadonlyArray<SignatureVector> }>("signatures.json").signatures

export const verdicts = json<{ readonly cases: ReadonlyArray<Case> }>("verdicts.json").cases

export interface Logs {
  readonly blake3OfFile: string
  readonly operations: number
  readonly logs: ReadonlyArray<{
    readonly author: string
    readonly topic: string
    readonly logId: string
    readonly from: number
    readonly to: number
    readonly head: string
  }>
}
export const logs = (name: "logs" | "pruned"): Logs => json<Logs>(`${name}.json`)

interface Step {
  readonly h: string
  readonly b: string | null
  readonly id: string
  readonly seqNum: number
  readonly prune: boolean
}
export const ingest = json<{ readonly scenarios: ReadonlyArray<{ readonly steps: ReadonlyArray<Step> }> }>(
  "ingest.json"
).scenarios

interface Backlink {
  readonly header: string
  readonly past: string | null
  readonly seqNum: number
}
export const backlinks = json<{ readonly cases: ReadonlyArray<Backlink> }>("backlinks.json").cases

export const oracleSample = (): ReadonlyArray<Case> =>
  gunzipSync(file("oracle-sample.jsonl.gz"))
    .toString()
    .trimEnd()
    .split("\n")
    // written by test/oracle/sample.ts
    .map((line) => JSON.parse(line) as Case)

export const raw = (h: string, b: string | null): Operation.Raw => ({
  header: Bytes.fromHex(h),
  body: b === null ? undefined : Bytes.fromHex(b)
})

/** A generator of pseudo-random numbers (splitmix32): the same mutations in every run. */
export const random = (seed: number) => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
  return { below: (limit: number) => next() % limit }
}

/** The bytes with one to four damages. */
export const mutate = (bytes: Uint8Array, below: (limit: number) => number): Uint8Array =>
  InputFaults.mutate(bytes, { below })

/** 32 bytes. */
export const bytes32 = FastCheck.uint8Array({ minLength: 32, maxLength: 32 })
export const hash = bytes32.map((bytes) => native.hash(bytes))
