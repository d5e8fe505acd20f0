import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Header from "../../src/core/Header.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import { bytes32, hash, headers, native } from "./support.ts"

const encode = (value: unknown) => Either.getOrThrow(Cbor.encode(value))
const log = new Uint8Array(32).fill(1)
const read = (value: unknown) => OpenExtensions.decode(encode(value))
const value = OpenExtensions.draft({ logId: LogId.fromBytes(log), timestamp: undefined, prune: false, previous: [] })
const refused = (result: Either.Either<unknown, { readonly reason: string; readonly message: string }>) =>
  Either.getOrThrow(Either.flip(result))

const rest = FastCheck.dictionary(
  FastCheck.string({ unit: "binary", maxLength: 12 }).filter(
    (key) => !["log", "timestamp", "prune", "previous"].includes(key)
  ),
  FastCheck.oneof(FastCheck.jsonValue({ maxDepth: 2 }), FastCheck.uint8Array({ maxLength: 40 })),
  { maxKeys: 4 }
).map((object) => new Map(Object.entries(object).map(([key, value]) => [key, encode(value)])))

const extensions = FastCheck.record({
  _tag: FastCheck.constant("Open" as const),
  logId: bytes32.map(LogId.fromBytes),
  timestamp: FastCheck.option(FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined }),
  prune: FastCheck.boolean(),
  previous: FastCheck.uniqueArray(hash, { maxLength: 5 }),
  deletes: FastCheck.uniqueArray(hash, { maxLength: 5 }),
  rest
})

describe("OpenExtensions", () => {
  it("comes back as it was, and so do its bytes", () => {
    FastCheck.assert(
      FastCheck.property(extensions, (value) => {
        const bytes = Either.getOrThrow(OpenExtensions.encode(value))
        expect(OpenExtensions.decode(bytes)).toEqual(Either.right(value))
        expect(Cbor.whole(bytes)).toEqual(Either.void)
        expect(OpenExtensions.encode(Either.getOrThrow(OpenExtensions.decode(bytes)))).toEqual(Either.right(bytes))
      }),
      { numRuns: 500 }
    )
  })

  it("reads p2panda's vector, the unknown key included", () => {
    const { extensions } = headers.find(({ name }) => name === "open map") ?? { extensions: null }
    const bytes = Bytes.fromHex(extensions ?? "")
    const read = Either.getOrThrow(OpenExtensions.decode(bytes))
    expect(read).toMatchObject({ logId: "01".repeat(32), timestamp: 1_786_000_000_000_000n, prune: true })
    expect(read.previous).toHaveLength(1)
    expect(read.rest).toEqual(new Map([["x", Uint8Array.of(0xa0)]]))
    expect(OpenExtensions.encode(read)).toEqual(Either.right(bytes))
  })

  it("what says nothing survives as well", () => {
    for (const extra of [
      { prune: false },
      { previous: [] },
      { prune: false, previous: [], timestamp: 0 },
      { "": null }
    ]) {
      const bytes = encode({ log, ...extra })
      const read = Either.getOrThrow(OpenExtensions.decode(bytes))
      expect(read).toMatchObject({ prune: false, previous: [] })
      expect(OpenExtensions.encode(read)).toEqual(Either.right(bytes))
    }
    // changed afterwards, the new value counts
    const read = Either.getOrThrow(OpenExtensions.decode(encode({ log, prune: false })))
    expect(OpenExtensions.encode({ ...read, prune: true })).toEqual(Either.right(encode({ log, prune: true })))
  })

  it.each([
    [{}, "`log` is missing"],
    [[], "not a map"],
    [{ log: log.subarray(1) }, "`log`"],
    [{ log: new Cbor.Tagged({ tag: 9, value: log }) }, "`log`"],
    [{ log: "x".repeat(32) }, "`log`"],
    [{ log, timestamp: -1 }, "`timestamp`"],
    [{ log, timestamp: 1.5 }, "`timestamp`"],
    [{ log, timestamp: 2n ** 64n }, "`timestamp`"],
    [{ log, prune: null }, "`prune`"],
    [{ log, prune: 1 }, "`prune`"],
    [{ log, previous: log }, "`previous`"],
    [{ log, previous: [log.subarray(1)] }, "`previous`"],
    [{ log, previous: [log, log] }, "`previous`"],
    [{ log, previous: [new Cbor.Tagged({ tag: 1, value: log })] }, "`previous`"],
    [{ log, previous: [log, "x".repeat(32)] }, "`previous`"],
    [
      new Map<unknown, unknown>([
        ["log", log],
        [1, 2]
      ]),
      "not a text"
    ],
    [new Cbor.Tagged({ tag: 1, value: { log } }), "not a map"]
  ])("refuses %#", (value, detail) => {
    const error = refused(read(value))
    expect(error.reason).toBe("DecodingExtensions")
    expect(error.message).toContain(detail)
  })

  it("bytes that are not canonical or not there are refused", () => {
    expect(refused(OpenExtensions.decode(undefined)).reason).toBe("MissingExtensions")
    const bytes = encode({ log })
    expect(refused(OpenExtensions.decode(Bytes.concat([bytes, Uint8Array.of(0)]))).message).toContain("InvalidFormat")
    expect(refused(OpenExtensions.decode(Bytes.concat([Uint8Array.of(0xb8, 1), bytes.subarray(1)]))).message).toContain(
      "NonDeterministic"
    )
  })

  it("writes only what a header can hold", () => {
    const many = (count: number) =>
      Array.from({ length: count }, (_, at) => native.hash(Uint8Array.of(at >> 8, at & 255)))
    const largest = Either.getOrThrow(OpenExtensions.encode({ ...value, previous: many(512) }))
    expect(Either.getOrThrow(OpenExtensions.decode(largest)).previous).toHaveLength(512)
    expect(Either.isRight(Header.parse(header(largest)))).toBe(true)
    expect(refused(OpenExtensions.encode({ ...value, previous: many(513) })).message).toContain("LengthTooLarge")
    for (const timestamp of [-1n, 2n ** 64n])
      expect(refused(OpenExtensions.encode({ ...value, timestamp })).reason).toBe("EncodingExtensions")
  })

  it("what is put into `rest` cannot change the rest", () => {
    const wrong: ReadonlyArray<readonly [string, Uint8Array]> = [
      ["log", encode(log)],
      ["timestamp", encode(1)],
      ["prune", encode(true)],
      ["previous", encode([log])],
      ["x", new Uint8Array(0)],
      ["x", Uint8Array.of(1, 1)],
      ["x", Uint8Array.of(0x18, 1)]
    ]
    for (const entry of wrong)
      expect(refused(OpenExtensions.encode({ ...value, rest: new Map([entry]) })).reason).toBe("EncodingExtensions")
  })
})

const header = (extensions: Uint8Array) =>
  Bytes.concat([Bytes.fromHex(`86015820${"00".repeat(32)}5840${"00".repeat(64)}0000`), extensions])
