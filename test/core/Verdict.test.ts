import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Verdict from "../../src/core/Verdict.ts"
import { agree, type Case } from "../oracle/agree.ts"
import { cryptos, headers, mutate, native, oracleSample, portable, random, raw, verdicts } from "./support.ts"

const disagreements = (crypto: typeof native, cases: ReadonlyArray<Case>) => {
  const verdict = Verdict.verdict(crypto)
  return cases.flatMap(({ h, b, verdict: theirs }) => {
    const ours = verdict(raw(h, b))
    return agree(ours, theirs) ? [] : [{ ours, theirs, h, b }]
  })
}

describe.each(cryptos)("Verdict ($name)", (crypto) => {
  it("is p2panda's on every vector, in the very same form", () => {
    expect(disagreements(crypto, verdicts)).toEqual([])
    const plain = verdicts.filter(({ verdict }) => verdict.reencodes === undefined && verdict.tagged === undefined)
    expect(plain.length).toBeGreaterThan(3000)
    for (const { h, b, verdict } of plain) expect(Verdict.verdict(crypto)(raw(h, b))).toStrictEqual(verdict)
    for (const { bytes, body, verdict } of headers)
      expect(Verdict.verdict(crypto)(raw(bytes, body))).toStrictEqual(verdict)
  })

  it("is the oracle's on a sample of its mutations", () => {
    const sample = oracleSample()
    expect(sample.length).toBe(20_000)
    expect(disagreements(crypto, sample)).toEqual([])
  })
})

describe("Verdict", () => {
  it("the comparison tells a wrong verdict", () => {
    const lines = verdicts.slice(0, 500)
    for (const { verdict: theirs } of lines) {
      const { reencodes, tagged, ...rest } = theirs
      if (reencodes === false || tagged === true) {
        expect(agree({ ...rest, header: "ok" }, theirs)).toBe(false)
        continue
      }
      expect(agree(rest, theirs)).toBe(true)
      for (const field of Object.keys(rest)) expect(agree({ ...rest, [field]: "other" }, theirs), field).toBe(false)
    }
  })

  it("100,000 mutations: a verdict or a typed error, never a throw, and nothing that is not signed", () => {
    const { below } = random(3)
    const decode = Operation.decodeWith(native)
    const seeds = [
      ...headers.map(({ bytes, body }) => raw(bytes, body)),
      ...verdicts.slice(0, 300).map(({ h, b }) => raw(h, b))
    ]
    const known = new Set(seeds.map(({ header }) => Bytes.toHex(header)))
    const tags = new Map<string, number>()
    for (let times = 0; times < 100_000; times++) {
      const seed = seeds[times % seeds.length] ?? { header: new Uint8Array(0), body: undefined }
      const damaged = below(4) > 0
      const input = {
        header: damaged ? mutate(seed.header, below) : seed.header,
        body: damaged || seed.body === undefined ? seed.body : mutate(seed.body, below)
      }
      const result = decode(input)
      const tag = Either.isRight(result) ? "ok" : result.left._tag
      tags.set(tag, (tags.get(tag) ?? 0) + 1)
      if (Either.isRight(result) && !known.has(Bytes.toHex(input.header))) expect.unreachable(Bytes.toHex(input.header))
      if (Either.isLeft(result) && result.left.message === "") expect.unreachable("an error without a message")
    }
    expect([...tags.keys()].sort()).toEqual(["InvalidHeader", "InvalidPayload", "ok"])
  })

  it("both libraries give the same verdict on mutations", () => {
    const { below } = random(4)
    const [a, b] = [Verdict.verdict(native), Verdict.verdict(portable)]
    for (let times = 0; times < 10_000; times++) {
      const { bytes, body } = headers[times % headers.length] ?? { bytes: "", body: null }
      const input = raw(Bytes.toHex(mutate(Bytes.fromHex(bytes), below)), body)
      const [one, other] = [a(input), b(input)]
      if (JSON.stringify(one) !== JSON.stringify(other)) expect(one).toEqual(other)
    }
  })
})
