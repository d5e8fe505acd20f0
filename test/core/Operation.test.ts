import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Header from "../../src/core/Header.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import { cryptos, hash, headers, native, raw } from "./support.ts"

const key = Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(5)))

describe.each(cryptos)("Operation ($name)", (crypto) => {
  const decode = Operation.decodeWith(crypto)

  it("reads p2panda's operations and gives their bytes back", () => {
    for (const { bytes, body, id } of headers) {
      const input = raw(bytes, body)
      const operation = Either.getOrThrow(decode(input))
      expect(operation.id).toBe(id)
      expect(Operation.raw(operation)).toEqual(input)
      expect(Either.getOrThrow(Operation.trusted(operation.id, input))).toEqual(operation)
    }
  })

  it("signs p2panda's operations", () => {
    for (const vector of headers.filter(({ body, payloadSize }) => (body === null) === (payloadSize === 0))) {
      const operation = Operation.signWith(crypto)(Either.getOrThrow(SigningKey.fromHex(vector.secret)), {
        seqNum: vector.seqNum,
        backlink: vector.backlink ?? undefined,
        extensions: vector.extensions === null ? undefined : Bytes.fromHex(vector.extensions),
        body: vector.body === null ? undefined : Bytes.fromHex(vector.body)
      })
      expect(Either.getOrThrow(operation)).toMatchObject({ id: vector.id, headerBytes: Bytes.fromHex(vector.bytes) })
    }
  })

  it("what is signed is valid; another body is not", () => {
    const draft = FastCheck.record({
      seqNum: FastCheck.nat(9),
      hash,
      body: FastCheck.option(FastCheck.uint8Array({ maxLength: 200 }), { nil: undefined })
    })
    FastCheck.assert(
      FastCheck.property(draft, FastCheck.uint8Array({ maxLength: 200 }), ({ seqNum, hash, body }, other) => {
        const backlink = seqNum === 0 ? undefined : hash
        const operation = Either.getOrThrow(
          Operation.signWith(crypto)(key, { seqNum, backlink, extensions: undefined, body })
        )
        expect(decode(Operation.raw(operation))).toEqual(Either.right(operation))
        // the body may be gone
        expect(Either.isRight(decode({ header: operation.headerBytes, body: undefined }))).toBe(true)
        const swapped = decode({ header: operation.headerBytes, body: other })
        const same = operation.body !== undefined && Bytes.equals(operation.body, other)
        expect(Either.isRight(swapped)).toBe(same)
        if (Either.isLeft(swapped))
          expect(swapped.left).toMatchObject({
            _tag: "InvalidPayload",
            reason: "PayloadMismatch",
            expectedSize: operation.body?.length ?? 0,
            foundSize: other.length
          })
      }),
      { numRuns: 200 }
    )
  })

  it("an empty body is a mismatch when read and no body when signed", () => {
    const empty = new Uint8Array(0)
    const operation = Either.getOrThrow(
      Operation.signWith(crypto)(key, { seqNum: 0, backlink: undefined, extensions: undefined, body: empty })
    )
    expect(operation).toMatchObject({ body: undefined, header: { payloadSize: 0, payloadHash: undefined } })
    const read = decode({ header: operation.headerBytes, body: empty })
    expect(Either.flip(read)).toMatchObject(Either.right({ reason: "PayloadMismatch", expectedSize: 0, foundSize: 0 }))
  })

  it("the header's fault is told before the body's", () => {
    const { bytes } = headers[0] ?? { bytes: "" }
    const damaged = Bytes.fromHex(bytes)
    damaged[50] = (damaged[50] ?? 0) ^ 1
    expect(Either.flip(decode({ header: damaged, body: new Uint8Array(9) }))).toMatchObject(
      Either.right({ _tag: "InvalidHeader", reason: "InvalidSignature" })
    )
  })

  it("contradictions are not signed", () => {
    const sign = (draft: Partial<Operation.Draft>) =>
      Operation.signWith(crypto)(key, {
        seqNum: 0,
        backlink: undefined,
        extensions: undefined,
        body: undefined,
        ...draft
      })
    expect(Either.isLeft(sign({ seqNum: 1 }))).toBe(true)
    expect(Either.isLeft(sign({ backlink: native.hash(Uint8Array.of(1)) }))).toBe(true)
    expect(Either.isLeft(sign({ extensions: Uint8Array.of(0x18) }))).toBe(true)
  })
})

describe("Operation", () => {
  it.effect("decode takes the crypto of the context", () =>
    Effect.gen(function* () {
      const { bytes, body, id } = headers[1] ?? { bytes: "", body: null, id: "" }
      expect((yield* Operation.decode(raw(bytes, body))).id).toBe(id)
      const error = yield* Effect.flip(Operation.decode(raw(bytes, "00")))
      expect(error._tag).toBe("InvalidPayload")
    }).pipe(Effect.provide(Crypto.layer))
  )

  it("trusted checks the form and nothing else", () => {
    const { bytes, id } = headers[0] ?? { bytes: "", id: "" }
    const damaged = Bytes.fromHex(bytes)
    damaged[50] = (damaged[50] ?? 0) ^ 1
    const name = native.hash(Uint8Array.of(1))
    expect(Either.getOrThrow(Operation.trusted(name, { header: damaged, body: Uint8Array.of(1) })).id).toBe(name)
    expect(Either.isLeft(Operation.trusted(name, { header: damaged.subarray(1), body: undefined }))).toBe(true)
    expect(id).not.toBe(name)
  })

  it("errors survive being stored", () => {
    const { bytes } = headers[1] ?? { bytes: "" }
    const payload = Either.getOrThrow(Either.flip(Operation.decodeWith(native)(raw(bytes, "00"))))
    const header = Either.getOrThrow(Either.flip(Operation.decodeWith(native)(raw("8118", null))))
    const both = Schema.Union(Header.InvalidHeader, Operation.InvalidPayload)
    for (const error of [payload, header]) {
      const stored = JSON.stringify(Schema.encodeSync(both)(error))
      const back = Schema.decodeUnknownSync(both)(JSON.parse(stored))
      expect(back).toEqual(error)
      expect(back.message).toBe(error.message)
      expect(back.message).toMatch(/\.$/)
    }
  })
})
