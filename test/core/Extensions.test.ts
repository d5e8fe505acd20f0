import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as Topic from "../../src/core/Topic.ts"
import { bytes32, hash, mutate, native, random } from "./support.ts"

const codec = Extensions.any
const fields = FastCheck.record({
  logId: bytes32.map(LogId.fromBytes),
  timestamp: FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  prune: FastCheck.boolean(),
  previous: FastCheck.constant([])
})

describe("Extensions.any", () => {
  it("own operations get node extensions, which come back as they were", () => {
    FastCheck.assert(
      FastCheck.property(fields, (fields) => {
        const draft = codec.draft(fields)
        expect(draft).toMatchObject({ _tag: "Node", ...fields })
        expect(codec.decode(Either.getOrThrow(codec.encode(draft)))).toEqual(Either.right(draft))
      })
    )
  })

  it("tells the formats apart by what they are, behind any tags", () => {
    const zeros = "00".repeat(32)
    const read = (text: string) => Either.map(codec.decode(Bytes.fromHex(text)), ({ _tag }) => _tag)
    expect(read(`8501005820${zeros}00f4`)).toEqual(Either.right("Node"))
    expect(read(`c1d9ffff8501005820${zeros}00f4`)).toEqual(Either.right("Node"))
    expect(read(`a1636c6f675820${zeros}`)).toEqual(Either.right("Open"))
    for (const wrong of [
      "",
      "00",
      "f6",
      "80",
      "a0",
      "61",
      `c1a1636c6f675820${zeros}`,
      `a1636c6f675820${zeros}00`,
      "c1"
    ])
      expect(read(wrong), wrong).toMatchObject(Either.left({ _tag: "InvalidExtensions", reason: "DecodingExtensions" }))
    expect(codec.decode(undefined)).toMatchObject(Either.left({ reason: "MissingExtensions" }))
  })

  it("knows the log of a topic in both formats", () => {
    FastCheck.assert(
      FastCheck.property(bytes32, bytes32, hash, (topic, other, id) => {
        const name = Topic.fromBytes(topic)
        const common = { logId: Topic.logId(native, name), timestamp: 1n, prune: false, deletes: [] }
        const both = [
          codec.draft({ ...common, previous: [] }),
          Either.getOrThrow(codec.decode(open({ ...common, previous: [id] })))
        ]
        expect(both.map(({ _tag }) => _tag)).toEqual(["Node", "Open"])
        for (const value of both) {
          expect(codec.ownsLog?.(native, name, value)).toBe(true)
          expect(codec.ownsLog?.(native, Topic.fromBytes(other), value)).toBe(Bytes.equals(topic, other))
        }
      })
    )
  })

  it("100,000 mutations: a value that is written again, or a typed error", () => {
    const { below } = random(8)
    const seeds = FastCheck.sample(FastCheck.tuple(fields, FastCheck.array(hash, { maxLength: 3 })), {
      numRuns: 50,
      seed: 1
    }).flatMap(([fields, previous]) => [
      Either.getOrThrow(codec.encode(codec.draft(fields))),
      open({ ...fields, previous, deletes: [] })
    ])
    const read = { Node: 0, Open: 0 }
    for (let times = 0; times < 100_000; times++) {
      const bytes = mutate(seeds[times % seeds.length] ?? new Uint8Array(0), below)
      const result = codec.decode(bytes)
      if (Either.isLeft(result)) {
        if (result.left.message === "") expect.unreachable("an error without a message")
        continue
      }
      read[result.right._tag]++
      if (result.right._tag === "Open" && !Bytes.equals(Either.getOrThrow(codec.encode(result.right)), bytes))
        expect.unreachable(Bytes.toHex(bytes))
    }
    expect(read.Node).toBeGreaterThan(1000)
    expect(read.Open).toBeGreaterThan(1000)
  })
})

function open(fields: Extensions.Fields): Uint8Array {
  return Either.getOrThrow(codec.encode({ _tag: "Open", ...fields, rest: new Map() }))
}
