import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Hash from "../../src/core/Hash.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import { bytes32, cryptos, logs } from "./support.ts"

const sevens = "07".repeat(32)
const utf8 = (text: string) => new TextEncoder().encode(text)

describe.each([
  ["Hash", Hash, Schema.make<string>(Hash.Schema.ast)],
  ["VerifyingKey", VerifyingKey, Schema.make<string>(VerifyingKey.Schema.ast)],
  ["LogId", LogId, Schema.make<string>(LogId.Schema.ast)],
  ["Topic", Topic, Schema.make<string>(Topic.Schema.ast)]
] as const)("%s", (name, module, schema) => {
  it("is 64 lower-case hex characters for 32 bytes", () => {
    FastCheck.assert(
      FastCheck.property(bytes32, (bytes) => {
        const value = module.fromBytes(bytes)
        expect(value).toBe(Bytes.toHex(bytes))
        expect(module.toBytes(value as never)).toEqual(bytes)
        expect(module.is(value)).toBe(true)
        expect(module.short(value as never)).toBe(value.slice(0, 8))
      })
    )
  })

  it("the schema takes that and nothing else, and makes its own examples", () => {
    const decode = Schema.decodeUnknownEither(schema)
    for (const wrong of [
      "",
      sevens.slice(1),
      `${sevens}0`,
      sevens.slice(2) + "AB",
      `${sevens}\n`,
      sevens.slice(1) + "g",
      7,
      null
    ])
      expect(Either.isLeft(decode(wrong)), String(wrong)).toBe(true)
    FastCheck.assert(
      FastCheck.property(Arbitrary.make(schema), (value) => {
        expect(decode(value)).toEqual(Either.right(value))
        expect(value).toMatch(/^[0-9a-f]{64}$/)
      })
    )
    expect(String(Either.getLeft(decode("x")))).toContain(name)
  })

  it("other sizes are the caller's mistake", () => {
    for (const size of [0, 31, 33]) expect(() => module.fromBytes(new Uint8Array(size))).toThrow(RangeError)
  })
})

describe.each(cryptos)("derivations ($name)", (crypto) => {
  it("the hash is BLAKE3 (core.md, A.4)", () => {
    expect(crypto.hash(utf8("p2panda"))).toBe("f745f8f284789fe66264d6c84e284f5eae080c1b54c3f69f84f04fd0012b8476")
    expect(crypto.hash(utf8("global-groups-context"))).toBe(
      "c5ebf95979a6420d9e4330271f37fe10c0da49138c81f4ef4a19628b4c43ed73"
    )
  })

  it("a topic's log id is its hash", () => {
    const topic = Topic.fromBytes(new Uint8Array(32).fill(7))
    expect(Topic.logId(crypto, topic)).toBe("ebaf85b465a09de21b398fb112c1500f2cbe658c42f379e0c0f18d24b819f637")
    for (const log of [...logs("logs").logs, ...logs("pruned").logs])
      expect(Topic.logId(crypto, Topic.named(crypto, log.topic))).toBe(log.logId)
  })

  it("64 hex characters name themselves, every other text its hash", () => {
    expect(Topic.named(crypto, sevens)).toBe(sevens)
    expect(Topic.named(crypto, "AB".repeat(32))).toBe("ab".repeat(32))
    for (const text of ["", "p2panda", "07".repeat(31), `${sevens}07`, "zz".repeat(32), "Äpfel"])
      expect(Topic.named(crypto, text)).toBe(crypto.hash(utf8(text)))
  })
})

it.effect("a generated topic is new", () =>
  Effect.gen(function* () {
    const [a, b] = [yield* Topic.generate, yield* Topic.generate]
    expect(a).not.toBe(b)
    expect(Topic.is(a) && Topic.is(b)).toBe(true)
  }).pipe(Effect.provide(Crypto.layer))
)
