import { describe, expect, it } from "@effect/vitest"
import { blake3 } from "@noble/hashes/blake3.js"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import { cryptos, headers, native, portable, signatures } from "./support.ts"

const hex = Bytes.fromHex

describe.each(cryptos)("Crypto ($name)", (crypto) => {
  it("gives p2panda's verdict on every signature, edge cases included", () => {
    expect(signatures.length).toBe(220)
    for (const vector of signatures) {
      const { message, verifyingKey, signature, valid, keyAccepted } = vector
      expect(crypto.verify(hex(verifyingKey), hex(message), hex(signature)), JSON.stringify(vector)).toBe(valid)
      expect(crypto.isPoint(hex(verifyingKey)), verifyingKey).toBe(keyAccepted)
    }
    expect(new Set(signatures.map(({ valid }) => valid)).size).toBe(2)
  })

  it("signs as p2panda does", () => {
    for (const { secret, signingBytes, signature } of headers)
      expect(Bytes.toHex(crypto.sign(Either.getOrThrow(SigningKey.fromHex(secret)), hex(signingBytes)))).toBe(signature)
  })

  it("wrong lengths are false and never throw", () => {
    const { message, verifyingKey, signature } = signatures.find(({ valid }) => valid) ?? signatures[0]!
    const [key, text, sign] = [hex(verifyingKey), hex(message), hex(signature)]
    expect(crypto.verify(key, text, sign)).toBe(true)
    for (const size of [0, 1, 31, 33, 64]) {
      const other = new Uint8Array(size)
      other.set(key.subarray(0, size))
      expect(crypto.verify(other, text, sign)).toBe(false)
      expect(crypto.isPoint(other)).toBe(false)
    }
    for (const size of [0, 63, 65, 128]) {
      const other = new Uint8Array(size)
      other.set(sign.subarray(0, size))
      expect(crypto.verify(key, text, other)).toBe(false)
    }
    expect(crypto.verify(key, new Uint8Array(0), sign)).toBe(false)
  })

  it("views into larger memory are read where they are", () => {
    FastCheck.assert(
      FastCheck.property(FastCheck.uint8Array({ minLength: 1, maxLength: 100 }), FastCheck.nat(20), (message, at) => {
        const key = Either.getOrThrow(SigningKey.fromBytes(native.randomBytes(32)))
        const space = new Uint8Array(400).fill(0xaa)
        space.set(message, at)
        const view = space.subarray(at, at + message.length)
        const signature = crypto.sign(key, view)
        expect(signature).toEqual(crypto.sign(key, message))
        space.set(signature, 200)
        space.set(hex(crypto.verifyingKey(key)), 300)
        expect(crypto.verify(space.subarray(300, 332), view, space.subarray(200, 264))).toBe(true)
        expect(crypto.hash(view)).toBe(crypto.hash(message))
        view[0] = (view[0] ?? 0) ^ 1
        expect(crypto.verify(space.subarray(300, 332), view, space.subarray(200, 264))).toBe(false)
      }),
      { numRuns: 50 }
    )
  })

  it("the hash is BLAKE3 at every size, also one after the other", () => {
    for (const size of [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 16_384, 16_385, 65_537, 300_001]) {
      const bytes = Uint8Array.from({ length: size }, (_, index) => index % 251)
      expect(crypto.hash(bytes), String(size)).toBe(Bytes.toHex(blake3(bytes)))
    }
  })

  it("random bytes have their size and are random", () => {
    for (const size of [0, 1, 32, 1000]) expect(crypto.randomBytes(size)).toHaveLength(size)
    expect(crypto.randomBytes(32)).not.toEqual(crypto.randomBytes(32))
  })
})

describe("Crypto, the layers", () => {
  it("are what they say", () => {
    expect(native.name).toBe("sodium-native")
    expect(portable.name).toBe("libsodium-wrappers")
  })

  it("agree on forged and damaged signatures", () => {
    FastCheck.assert(
      FastCheck.property(
        FastCheck.constantFrom(...signatures),
        FastCheck.nat(95),
        FastCheck.nat(255),
        ({ message, verifyingKey, signature }, at, byte) => {
          const both = hex(verifyingKey + signature)
          both[at] = byte
          const [key, sign] = [both.subarray(0, 32), both.subarray(32)]
          expect(native.verify(key, hex(message), sign)).toBe(portable.verify(key, hex(message), sign))
        }
      ),
      { numRuns: 3000 }
    )
  })

  it.effect("the default is native where it loads", () =>
    Effect.map(Crypto.Crypto, ({ name }) => expect(name).toBe("sodium-native")).pipe(Effect.provide(Crypto.layer))
  )
})
