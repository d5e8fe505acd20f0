import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"
import * as CborWalk from "../../src/core/CborWalk.ts"
import * as Header from "../../src/core/Header.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as CborFaults from "../../src/testing/internal/cborFaults.ts"
import * as InputFaults from "../../src/testing/InputFaults.ts"
import { native } from "../core/support.ts"
import * as originals from "../fuzz/originals.ts"

const operations = originals.operations(native)
const headers = operations.map(({ headerBytes }) => headerBytes)
const raws = operations.map(Operation.raw)
const header = headers[4] ?? new Uint8Array()

describe("InputFaults.mutate", () => {
  it("is decided by the seed, and leaves its input alone", () => {
    const before = header.slice()
    const made = (seed: number) => InputFaults.mutate(header, InputFaults.random(seed), { other: headers[1] })
    for (let seed = 0; seed < 500; seed++) assert.deepStrictEqual(made(seed), made(seed))
    assert.deepStrictEqual(header, before)
    assert.isAbove(new Set(Array.from({ length: 500 }, (_, seed) => Bytes.toHex(made(seed)))).size, 450)
  })

  it("gets past the form as well as it breaks it", () => {
    const reasons = new Map<string, number>()
    const random = InputFaults.random(1)
    for (let times = 0; times < 5000; times++) {
      const parsed = Header.parse(InputFaults.mutate(header, random, { times: 1 }))
      const reason = Either.isRight(parsed) ? "ok" : Header.verdict(parsed.left)
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    }
    // Bits that are flipped blindly break the form nearly always; one that knows it gets to what is behind it.
    for (const reason of [
      "ok",
      "DecodingHeader",
      "TaggedField:seq_num",
      "ExcessiveFields",
      "UnexpectedFieldType:seq_num"
    ]) {
      assert.isAbove(reasons.get(reason) ?? 0, 0, reason)
    }
  })

  it("takes anything", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ maxLength: 200 }), FastCheck.nat(), (bytes, seed) => {
        assert.instanceOf(InputFaults.mutate(bytes, InputFaults.random(seed)), Uint8Array)
      })
    )
    assert.instanceOf(InputFaults.mutate(new Uint8Array(), InputFaults.random(1)), Uint8Array)
  })

  it("sees the items that a walk sees", () => {
    for (const bytes of [...headers, ...originals.values, ...originals.extensions(native)]) {
      for (const { end, start } of CborFaults.items(bytes)) {
        assert.deepStrictEqual(CborWalk.walk(bytes, { offset: start }), Either.right(end))
      }
      assert.isAbove(CborFaults.items(bytes).length, 1)
    }
  })
})

describe("InputFaults.deliver", () => {
  it("says what was done to each", () => {
    const counts = new Map<InputFaults.Fault, number>()
    let moved = 0
    for (let seed = 0; seed < 400; seed++) {
      const delivered = InputFaults.deliver(raws, InputFaults.random(seed), { damaged: 30 })
      assert.deepStrictEqual(delivered, InputFaults.deliver(raws, InputFaults.random(seed), { damaged: 30 }))
      const seen = new Set<number>()
      for (const [at, { fault, from, raw }] of delivered.entries()) {
        counts.set(fault, (counts.get(fault) ?? 0) + 1)
        const original = raws[from]
        const isValid = Either.isRight(Operation.decodeWith(native)(raw))
        if (fault === "None" || fault === "Repeated") {
          assert.strictEqual(raw, original)
          assert.strictEqual(seen.has(from), fault === "Repeated")
          seen.add(from)
        } else assert.strictEqual(isValid, fault === "NoBody")
        const after = delivered[at + 1]
        if (after !== undefined && after.from < from) moved++
      }
    }
    for (const fault of ["None", "Repeated", "Header", "Body", "ForeignBody", "NoBody"] as const) {
      assert.isAbove(counts.get(fault) ?? 0, 50, fault)
    }
    assert.isAbove(moved, 400)
  })

  it("does nothing where nothing is to be done", () => {
    const delivered = InputFaults.deliver(raws, InputFaults.random(1), { damaged: 0, lost: 0, moved: 0, repeated: 0 })
    assert.deepStrictEqual(
      delivered,
      raws.map((raw, from) => ({ raw, from, fault: "None" as const }))
    )
  })
})

describe("the arbitraries", () => {
  it("damage what they are given", () => {
    const first = headers[0] ?? new Uint8Array()
    const failed = FastCheck.check(
      FastCheck.property(InputFaults.mutated([first, header]), (bytes) => Either.isRight(Header.parse(bytes))),
      { seed: 1, numRuns: 200 }
    )
    assert.isTrue(failed.failed)
    assert.isTrue(Either.isLeft(Header.parse(failed.counterexample?.[0] ?? first)))
  })

  it("deliver", () => {
    FastCheck.assert(
      FastCheck.property(InputFaults.delivered(raws), (delivered) => delivered.every(({ from }) => from < raws.length))
    )
  })
})
