import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"
import * as CborWalk from "../../src/core/CborWalk.ts"
import * as Utf8 from "../../src/core/internal/Utf8.ts"
import { headers, mutate, random } from "./support.ts"

const hex = (text: string) => Bytes.fromHex(text.replaceAll(" ", ""))
const reason = (bytes: Uint8Array, limits?: CborWalk.Limits) =>
  Either.match(CborWalk.whole(bytes, limits), { onLeft: ({ reason }) => reason, onRight: () => "ok" })

/** `expect` for loops of many rounds. */
const same = (a: unknown, b: unknown, what: string | Uint8Array) => {
  if (a !== b) expect(a, typeof what === "string" ? what : Bytes.toHex(what)).toBe(b)
}

describe("CborWalk", () => {
  it.each([
    // accepted (core.md 1.5)
    ["00", "ok"],
    ["17", "ok"],
    ["1818", "ok"],
    ["1b0000000100000000", "ok"],
    ["1bffffffffffffffff", "ok"],
    ["3bffffffffffffffff", "ok"],
    ["40", "ok"],
    ["f4", "ok"],
    ["f7", "ok"],
    ["e0", "ok"],
    ["f3", "ok"],
    ["f820", "ok"],
    ["f8ff", "ok"],
    ["f98000", "ok"],
    ["f97e00", "ok"],
    ["f97c01", "ok"],
    ["fa7f800001", "ok"],
    ["fb7ff0000000000001", "ok"],
    ["fb3fb999999999999a", "ok"],
    ["fa47c35000", "ok"],
    ["c201", "ok"],
    ["c249010000000000000000", "ok"],
    ["c3 58 18 01 0000000000000000000000000000000000000000000000", "ok"],
    ["d9d9f700", "ok"],
    ["a0", "ok"],
    ["a2 01 02 03 04", "ok"],
    ["a3 01 00 20 00 41 61 00", "ok"],
    ["a3 61 7a 00 62 61 61 00 80 00", "ok"],
    ["a2 c1 01 00 f4 00", "ok"],
    // not the shortest form
    ["1817", "NonDeterministic"],
    ["1900ff", "NonDeterministic"],
    ["1a0000ffff", "NonDeterministic"],
    ["1b00000000ffffffff", "NonDeterministic"],
    ["3800", "NonDeterministic"],
    ["580161", "NonDeterministic"],
    ["780161", "NonDeterministic"],
    ["9800", "NonDeterministic"],
    ["b800", "NonDeterministic"],
    ["d81700", "NonDeterministic"],
    ["f800", "NonDeterministic"],
    ["f814", "NonDeterministic"],
    ["f817", "NonDeterministic"],
    ["fa3f800000", "NonDeterministic"],
    ["fb3ff0000000000000", "NonDeterministic"],
    ["fa7f800000", "NonDeterministic"],
    ["fa7fc00000", "NonDeterministic"],
    ["fb7ff8000000000000", "NonDeterministic"],
    ["fa33800000", "NonDeterministic"],
    ["5f4100ff", "NonDeterministic"],
    ["7fff", "NonDeterministic"],
    ["9fff", "NonDeterministic"],
    ["bfff", "NonDeterministic"],
    ["a2 03 04 01 02", "NonDeterministic"],
    ["a2 01 02 01 02", "NonDeterministic"],
    ["a2 62 61 61 00 61 7a 00", "NonDeterministic"],
    ["c240", "NonDeterministic"],
    ["c24101", "NonDeterministic"],
    ["c2480102030405060708", "NonDeterministic"],
    ["c249000102030405060708", "NonDeterministic"],
    ["c349000102030405060708", "NonDeterministic"],
    // no CBOR
    ["1c", "Malformed"],
    ["fe", "Malformed"],
    ["1f", "Malformed"],
    ["3f", "Malformed"],
    ["df", "Malformed"],
    ["ff", "Malformed"],
    ["f818", "Malformed"],
    ["f81f", "Malformed"],
    ["81ff", "Malformed"],
    // text
    ["61ff", "InvalidUtf8"],
    ["62c080", "InvalidUtf8"],
    ["63eda080", "InvalidUtf8"],
    ["64f4908080", "InvalidUtf8"],
    // the end
    ["", "UnexpectedEof"],
    ["18", "UnexpectedEof"],
    ["1900", "UnexpectedEof"],
    ["4261", "UnexpectedEof"],
    ["8201", "UnexpectedEof"],
    ["a101", "UnexpectedEof"],
    ["c1", "UnexpectedEof"],
    ["fb00", "UnexpectedEof"],
    ["0000", "InvalidFormat"],
    ["a0ff", "InvalidFormat"],
    // a fault in the value is told before the order of the keys
    ["a2 03 04 01 1817", "NonDeterministic"],
    ["a2 03 04 01 ff", "Malformed"]
  ])("%s: %s", (text, expected) => expect(reason(hex(text))).toBe(expected))

  it("tells the place", () => {
    const place = (text: string) => Either.getOrThrow(Either.flip(CborWalk.whole(hex(text))))
    expect(place("82 01 1817")).toMatchObject({ reason: "NonDeterministic", offset: 2 })
    expect(place("a2 6161 00 6161 00")).toMatchObject({ reason: "NonDeterministic", offset: 4 })
    expect(place("63 61 ff 61")).toMatchObject({ reason: "InvalidUtf8", offset: 2 })
    expect(place("00 00")).toMatchObject({ reason: "InvalidFormat", offset: 1 })
    expect(place("82 01 1817").message).toContain("byte 2")
  })

  it("starts anywhere and tells the end", () => {
    expect(CborWalk.walk(hex("ff 820102 ff"), { offset: 1 })).toEqual(Either.right(4))
    expect(Either.isLeft(CborWalk.walk(hex("00"), { offset: 1 }))).toBe(true)
  })

  it("limits count each item", () => {
    const limits = CborWalk.headerLimits
    const head = (major: number, count: number) => Uint8Array.of((major << 5) | 25, count >> 8, count & 255)
    for (const major of [2, 3])
      for (const [size, expected] of [
        [512, "ok"],
        [513, "LengthTooLarge"]
      ] as const)
        expect(reason(Bytes.concat([head(major, size), new Uint8Array(size)]), limits)).toBe(expected)
    const pairs = (count: number) =>
      Array.from({ length: count }, (_, at) => Uint8Array.of(25, (at + 256) >> 8, at & 255, 0))
    for (const [size, expected] of [
      [512, "ok"],
      [513, "LengthTooLarge"]
    ] as const) {
      expect(reason(Bytes.concat([head(4, size), new Uint8Array(size)]), limits)).toBe(expected)
      expect(reason(Bytes.concat([head(5, size), ...pairs(size)]), limits)).toBe(expected)
    }
    // the length of text is told before its end is missed
    expect(reason(head(3, 513), limits)).toBe("LengthTooLarge")
  })

  it("nesting counts arrays, maps and tags, and the length comes first", () => {
    const nested = (levels: number) =>
      Uint8Array.from([...Array.from({ length: levels }, (_, at) => [0x81, 0xc5][at % 2] ?? 0), 0])
    expect(reason(nested(64), CborWalk.headerLimits)).toBe("ok")
    expect(reason(nested(65), CborWalk.headerLimits)).toBe("NestingTooDeep")
    expect(reason(nested(200))).toBe("ok")
    expect(reason(nested(201))).toBe("NestingTooDeep")
    expect(reason(hex("9a0000ffff"), { recursion: 0, length: 1 })).toBe("NonDeterministic")
    expect(reason(hex("9a00010000"), { recursion: 0, length: 1 })).toBe("LengthTooLarge")
    expect(reason(hex("8100"), { recursion: 0 })).toBe("NestingTooDeep")
  })

  it("hostile depth and length cost nothing", () => {
    for (const byte of [0x81, 0xc1, 0xa1]) {
      const deep = new Uint8Array(10_000_000).fill(byte)
      // The time that was worked, not the time that passed: other processes have the core as well.
      const began = process.cpuUsage()
      expect(reason(deep)).toBe("NestingTooDeep")
      expect(reason(deep, { recursion: 1e9 })).toBe("NestingTooDeep")
      expect(process.cpuUsage(began).user).toBeLessThan(200_000)
    }
    for (const text of ["5bffffffffffffffff", "7b0000ffffffffffff", "9bffffffffffffffff", "bb7fffffffffffffff"]) {
      expect(reason(hex(text))).toBe("LengthTooLarge")
      expect(reason(hex(text), { length: Infinity })).toBe("UnexpectedEof")
    }
    expect(reason(hex("9a3b9aca00"))).toBe("UnexpectedEof")
  })

  it("every half float is shortest, and as 32 or 64 bits it is not", () => {
    const view = new DataView(new ArrayBuffer(9))
    const asBytes = (initial: number, size: number) => {
      view.setUint8(0, initial)
      return new Uint8Array(view.buffer.slice(0, size))
    }
    const singles = new Set<number>()
    for (let bits = 0; bits < 0x1_0000; bits++) {
      view.setUint16(1, bits)
      same(reason(asBytes(0xf9, 3)), "ok", String(bits))
      const wide = widen(bits)
      singles.add(wide)
      view.setUint32(1, wide)
      same(reason(asBytes(0xfa, 5)), "NonDeterministic", wide.toString(16))
    }
    expect(singles.size).toBe(0x1_0000)
    // every other single needs its 32 bits: all neighbours of the halves, and many others
    const { below } = random(1)
    const others = [...singles].flatMap((bits) => [bits ^ 1, bits ^ 0x1000, bits ^ 0x80_0000].map((bits) => bits >>> 0))
    for (const bits of [...others, ...Array.from({ length: 50_000 }, () => below(2 ** 32))]) {
      view.setUint32(1, bits)
      same(reason(asBytes(0xfa, 5)), singles.has(bits) ? "NonDeterministic" : "ok", bits.toString(16))
    }
  })

  it("a double is shortest unless a single keeps all its bits", () => {
    const bits = FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n })
    const single = FastCheck.nat({ max: 0x7fff_ffff })
    const view = new DataView(new ArrayBuffer(9))
    view.setUint8(0, 0xfb)
    const verdict = () => reason(new Uint8Array(view.buffer.slice(0)))
    FastCheck.assert(
      FastCheck.property(bits, single, FastCheck.boolean(), (bits, single, negative) => {
        view.setBigUint64(1, bits)
        const value = view.getFloat64(1)
        const kept = Number.isFinite(value) ? Math.fround(value) === value : (bits & 0x1fff_ffffn) === 0n
        same(verdict(), kept ? "NonDeterministic" : "ok", String(bits))
        // a single made wider by hand, NaN and infinity included
        view.setBigUint64(1, widenSingle((single | (negative ? 0x8000_0000 : 0)) >>> 0))
        same(verdict(), "NonDeterministic", String(single))
        // and a bit below those of a single
        view.setUint32(5, view.getUint32(5) | 1)
        if (Number.isFinite(view.getFloat64(1)) || single >= 0x7f80_0000) same(verdict(), "ok", String(single))
      }),
      { numRuns: 20_000 }
    )
  })

  it("UTF-8 is what a strict decoder takes", () => {
    const strict = new TextDecoder("utf-8", { fatal: true })
    const takes = (bytes: Uint8Array) => {
      try {
        strict.decode(bytes)
        return true
      } catch {
        return false
      }
    }
    const near = FastCheck.uint8Array({ maxLength: 6 }).map((bytes) =>
      bytes.map((byte) => (byte < 64 ? byte : byte | 0x80))
    )
    const text = FastCheck.string({ unit: "binary" }).map((text) => new TextEncoder().encode(text))
    FastCheck.assert(
      FastCheck.property(FastCheck.oneof(near, text, FastCheck.uint8Array()), (bytes) => {
        same(Utf8.invalidAt(bytes, 0, bytes.length) < 0, takes(bytes), bytes)
      }),
      { numRuns: 20_000 }
    )
    for (let lead = 0x80; lead < 0x100; lead++)
      for (let second = 0; second < 0x100; second++)
        for (const tail of [[], [0x80], [0x80, 0x80], [0xbf, 0xbf], [0x80, 0xc0]]) {
          const bytes = Uint8Array.of(lead, second, ...tail)
          if (Utf8.invalidAt(bytes, 0, bytes.length) < 0 !== takes(bytes)) expect.unreachable(Bytes.toHex(bytes))
        }
  })

  it("every prefix of an item is incomplete", () => {
    for (const { bytes } of headers.slice(0, 30)) {
      const whole = Bytes.fromHex(bytes)
      expect(reason(whole)).toBe("ok")
      for (let size = 0; size < whole.length; size++) same(reason(whole.subarray(0, size)), "UnexpectedEof", bytes)
    }
  })

  it("100,000 mutations: an answer, never a throw, never beyond the end", () => {
    const { below } = random(7)
    const seen = new Map<string, number>()
    for (let times = 0; times < 100_000; times++) {
      const bytes = mutate(Bytes.fromHex(headers[times % headers.length]?.extensions ?? "a2616101626262f6"), below)
      const result = CborWalk.walk(bytes)
      if (Either.isRight(result) && result.right > bytes.length) expect.unreachable(Bytes.toHex(bytes))
      const key = Either.isRight(result) ? "ok" : result.left.reason
      seen.set(key, (seen.get(key) ?? 0) + 1)
    }
    // the mutations reach everything
    for (const key of ["ok", "NonDeterministic", "Malformed", "InvalidUtf8", "UnexpectedEof", "LengthTooLarge"])
      expect(seen.get(key) ?? 0, key).toBeGreaterThan(100)
  })
})

/** The 32 bits of a float of 16, made from its number; those of a NaN shifted. */
const widen = (half: number): number => {
  const sign = (half & 0x8000) << 16
  const [exponent, mantissa] = [(half >> 10) & 31, half & 1023]
  if (exponent === 31) return (sign | 0x7f80_0000 | (mantissa << 13)) >>> 0
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15))
  return (view.getUint32(0) | sign) >>> 0
}

const widenSingle = (single: number): bigint => {
  const view = new DataView(new ArrayBuffer(8))
  if ((single & 0x7f80_0000) === 0x7f80_0000)
    return (BigInt(single >>> 31) << 63n) | 0x7ff0_0000_0000_0000n | (BigInt(single & 0x7f_ffff) << 29n)
  view.setUint32(0, single)
  view.setFloat64(0, view.getFloat32(0))
  return view.getBigUint64(0)
}
