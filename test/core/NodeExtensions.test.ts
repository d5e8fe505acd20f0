import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import { bytes32, hash, headers, verdicts } from "./support.ts"

const hex = (text: string) => Bytes.fromHex(text.replaceAll(" ", ""))
const log = "eb".repeat(32)
const bytes = `5820 ${log}`
const read = (text: string) => NodeExtensions.decode(hex(text))
const ok = (text: string) => Either.getOrThrow(read(text))
const value: NodeExtensions.NodeExtensions = {
  _tag: "Node",
  variant: 0,
  logId: LogId.fromBytes(hex(log)),
  timestamp: 1_786_000_000_000_000n,
  prune: false,
  previous: [],
  deletes: []
}

describe("NodeExtensions", () => {
  it("is p2panda's form, byte for byte", () => {
    const text = `85 01 00 ${bytes} 1b 0006585b8791a000 f4`
    expect(ok(text)).toEqual(value)
    expect(Either.getOrThrow(NodeExtensions.encode(value))).toEqual(hex(text))
    expect(Either.getOrThrow(NodeExtensions.encode({ ...value, prune: true }))).toEqual(hex(text.replace(/f4$/, "f5")))
  })

  it("comes back as it was", () => {
    const timestamp = FastCheck.oneof(
      FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      FastCheck.constantFrom(
        0n,
        23n,
        24n,
        255n,
        256n,
        65_535n,
        65_536n,
        2n ** 32n - 1n,
        2n ** 32n,
        2n ** 53n,
        2n ** 53n + 1n,
        2n ** 64n - 1n
      )
    )
    FastCheck.assert(
      FastCheck.property(bytes32, timestamp, FastCheck.boolean(), (log, timestamp, prune) => {
        const draft = NodeExtensions.draft({ logId: LogId.fromBytes(log), timestamp, prune, previous: [] })
        const encoded = Either.getOrThrow(NodeExtensions.encode(draft))
        expect(NodeExtensions.decode(encoded)).toEqual(Either.right(draft))
        // the position in larger memory says nothing
        expect(
          NodeExtensions.decode(Bytes.concat([hex("ffff"), encoded, hex("00")]).subarray(2, 2 + encoded.length))
        ).toEqual(Either.right(draft))
      }),
      { numRuns: 500 }
    )
  })

  it("reads what p2panda reads: tags, surplus elements, variant 1", () => {
    expect(ok(`86 01 00 ${bytes} 05 f5 07`)).toMatchObject({ timestamp: 5n, prune: true })
    expect(ok(`c1 85 c1 01 d9ffff 00 c2 c1 ${bytes} c1 c1 05 c1 f5`)).toMatchObject({ timestamp: 5n, prune: true })
    expect(ok(`85 01 01 ${bytes} 05 80`)).toEqual({ ...value, variant: 1, timestamp: 5n })
    expect(
      ok(`85 01 01 ${bytes} 05 c1 83 5820 ${"02".repeat(32)} c1 5820 ${"01".repeat(32)} 5820 ${"02".repeat(32)}`)
    ).toMatchObject({
      variant: 1,
      previous: ["02".repeat(32), "01".repeat(32)]
    })
  })

  it.each([
    ["f6", "not an array"],
    ["a0", "not an array"],
    ["80", "version"],
    [`85 02 00 ${bytes} 05 f4`, "version 2"],
    [`85 20 00 ${bytes} 05 f4`, "version"],
    [`85 1a00010000 00 ${bytes} 05 f4`, "version"],
    ["81 01", "variant"],
    [`85 01 02 ${bytes} 05 f4`, "unknown variant 2"],
    ["82 01 00", "log id"],
    [`85 01 00 581f ${log.slice(2)} 05 f4`, "log id"],
    [`85 01 00 7820 ${"61".repeat(32)} 05 f4`, "log id"],
    [`83 01 00 ${bytes}`, "timestamp"],
    [`85 01 00 ${bytes} 24 f4`, "timestamp"],
    [`85 01 00 ${bytes} c249010000000000000000 f4`, "timestamp"],
    [`85 01 00 ${bytes} f90000 f4`, "timestamp"],
    [`84 01 00 ${bytes} 05`, "prune"],
    [`85 01 00 ${bytes} 05 01`, "prune"],
    [`85 01 00 ${bytes} 05 f6`, "prune"],
    [`85 01 00 ${bytes} 05 f7`, "prune"],
    [`85 01 00 ${bytes} 05 f90014`, "prune"],
    [`85 01 00 ${bytes} 05 f8f4`, "prune"],
    [`84 01 01 ${bytes} 05`, "previous"],
    [`85 01 01 ${bytes} 05 f4`, "previous"],
    [`85 01 01 ${bytes} 05 81 4101`, "previous"],
    [`85 01 00 ${bytes} 1805 f4`, "NonDeterministic"],
    [`85 01 00 ${bytes} 05 f4 00`, "InvalidFormat"]
  ])("refuses %s", (text, detail) => {
    const error = Either.getOrThrow(Either.flip(read(text)))
    expect(error).toMatchObject({ reason: "DecodingExtensions" })
    expect(error.message).toContain(detail)
  })

  it("what it cannot say is not written", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.array(hash, { minLength: 1, maxLength: 3 }), (previous) => {
        expect(Either.isLeft(NodeExtensions.encode({ ...value, previous }))).toBe(true)
        expect(Either.isLeft(NodeExtensions.encode({ ...value, variant: 1, previous }))).toBe(true)
      })
    )
    for (const timestamp of [undefined, -1n, 2n ** 64n])
      expect(NodeExtensions.encode({ ...value, timestamp })).toMatchObject(
        Either.left({ reason: "EncodingExtensions" })
      )
    expect(Either.isLeft(NodeExtensions.encode({ ...value, variant: 1 }))).toBe(true)
  })

  it("the vectors have node extensions of every kind", () => {
    const kinds = new Set([...headers, ...verdicts].map(({ verdict }) => verdict.node))
    expect(kinds).toEqual(new Set(["ok", "MissingExtensions", "DecodingExtensions", undefined]))
  })
})
