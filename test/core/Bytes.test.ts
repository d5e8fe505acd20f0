import { describe, expect, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"

const bytes = FastCheck.uint8Array({ maxLength: 80 })
const check = <A>(property: FastCheck.IProperty<A>) => FastCheck.assert(property, { numRuns: 500 })

describe("Bytes", () => {
  it("hex goes both ways, in either case", () => {
    check(
      FastCheck.property(bytes, (bytes) => {
        const hex = Bytes.toHex(bytes)
        expect(hex).toBe(Buffer.from(bytes).toString("hex"))
        expect(Bytes.fromHex(hex)).toEqual(bytes)
        expect(Bytes.fromHex(hex.toUpperCase())).toEqual(bytes)
        expect(Bytes.isHex(hex) && Bytes.isHex(hex.toUpperCase())).toBe(true)
      })
    )
  })

  it("what is not hex is told, and never read", () => {
    const text = FastCheck.oneof(
      FastCheck.string(),
      FastCheck.string({ unit: FastCheck.constantFrom(..."0aFg`/:@G\u0130") })
    )
    check(
      FastCheck.property(text, (text) => {
        const is = /^([0-9a-fA-F]{2})*$/.test(text)
        expect(Bytes.isHex(text)).toBe(is)
        if (is) expect(Bytes.toHex(Bytes.fromHex(text))).toBe(text.toLowerCase())
        else expect(() => Bytes.fromHex(text)).toThrow(RangeError)
      })
    )
  })

  it("equals and compare are the order of the bytes", () => {
    const near = FastCheck.uint8Array({ maxLength: 4, max: 2 })
    check(
      FastCheck.property(FastCheck.oneof(bytes, near), FastCheck.oneof(bytes, near), (a, b) => {
        expect(Math.sign(Bytes.compare(a, b))).toBe(Buffer.compare(a, b))
        expect(Bytes.equals(a, b)).toBe(Buffer.compare(a, b) === 0)
        expect(Bytes.equals(a, a.slice())).toBe(true)
      })
    )
  })

  it("concat is all parts, in new memory", () => {
    check(
      FastCheck.property(FastCheck.array(bytes, { maxLength: 5 }), (parts) => {
        const all = Bytes.concat(parts)
        expect(all).toEqual(new Uint8Array(Buffer.concat(parts)))
        for (const part of parts) part.fill(1)
        expect(Bytes.concat([all.slice(), all])).toHaveLength(2 * all.length)
      })
    )
  })
})
