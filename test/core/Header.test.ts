import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Bytes from "../../src/core/Bytes.ts"
import * as CborHead from "../../src/core/internal/CborHead.ts"
import * as Header from "../../src/core/Header.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import { backlinks, cryptos, hash, headers, ingest, native } from "./support.ts"

const hex = Bytes.fromHex
const key = Either.getOrThrow(SigningKey.fromHex("f47b55d7a1cc5ee3effd80a4e4a0c33112317d0432da9de6ae019ae7e78e16aa"))
const failure = <A>(result: Either.Either<A, Header.InvalidHeader>) => Either.getOrThrow(Either.flip(result))
const some = native.hash(new Uint8Array(3))
const empty: Header.Fields = {
  payloadSize: 0,
  payloadHash: undefined,
  seqNum: 0,
  backlink: undefined,
  extensions: undefined
}

/** A header of these elements, whatever they are, with a good signature; `around` is put in front of everything. */
const signed = (elements: ReadonlyArray<Uint8Array>, around = new Uint8Array(0)): Uint8Array => {
  const array = (parts: ReadonlyArray<Uint8Array>) => Bytes.concat([CborHead.head(4, parts.length), ...parts])
  const signature = CborHead.bytes(native.sign(key, array(elements)))
  return Bytes.concat([around, array([...elements.slice(0, 2), signature, ...elements.slice(2)])])
}
const front = [Uint8Array.of(1), CborHead.bytes(hex(native.verifyingKey(key)))]
const zero = Uint8Array.of(0)

describe.each(cryptos)("Header ($name)", (crypto) => {
  it("reads p2panda's headers", () => {
    for (const vector of headers) {
      const header = Either.getOrThrow(Header.decode(crypto, hex(vector.bytes)))
      expect(header).toEqual({
        version: 1,
        verifyingKey: vector.verifyingKey,
        signature: hex(vector.signature),
        payloadSize: vector.payloadSize,
        payloadHash: vector.payloadHash ?? undefined,
        seqNum: vector.seqNum,
        backlink: vector.backlink ?? undefined,
        extensions: vector.extensions === null ? undefined : hex(vector.extensions)
      })
      expect(Either.getOrThrow(Header.parse(hex(vector.bytes)))).toEqual(header)
      expect(Bytes.toHex(Header.signingBytes(hex(vector.bytes)))).toBe(vector.signingBytes)
      expect(crypto.hash(hex(vector.bytes))).toBe(vector.id)
    }
  })

  it("makes p2panda's headers", () => {
    for (const vector of headers) {
      const built = Header.build(crypto, Either.getOrThrow(SigningKey.fromHex(vector.secret)), {
        payloadSize: vector.payloadSize,
        payloadHash: vector.payloadHash ?? undefined,
        seqNum: vector.seqNum,
        backlink: vector.backlink ?? undefined,
        extensions: vector.extensions === null ? undefined : hex(vector.extensions)
      })
      expect(Bytes.toHex(Either.getOrThrow(built)), vector.name).toBe(vector.bytes)
    }
  })

  it("reads the headers of the other vectors", () => {
    const all = [...backlinks, ...ingest.flatMap(({ steps }) => steps.map(({ h, seqNum }) => ({ header: h, seqNum })))]
    expect(all.length).toBeGreaterThan(1000)
    for (const { header, seqNum } of all)
      expect(Either.getOrThrow(Header.decode(crypto, hex(header))).seqNum, header).toBe(seqNum)
  })

  it("what is built is read back; one changed bit is not", () => {
    const extensions = FastCheck.constantFrom(undefined, hex("f6"), hex("80"), hex("a1616101"), hex("c101"))
    const fields = FastCheck.record({
      seqNum: FastCheck.nat(0xffff_ffff),
      size: FastCheck.oneof(FastCheck.constant(0), FastCheck.nat(0xffff_ffff)),
      hash,
      extensions
    }).map(({ seqNum, size, hash, extensions }) => ({
      payloadSize: size,
      payloadHash: size === 0 ? undefined : hash,
      seqNum,
      backlink: seqNum === 0 ? undefined : hash,
      extensions
    }))
    FastCheck.assert(
      FastCheck.property(fields, FastCheck.nat(), (fields, at) => {
        const bytes = Either.getOrThrow(Header.build(crypto, key, fields))
        expect(Either.getOrThrow(Header.decode(crypto, bytes))).toMatchObject(fields)
        const bit = at % (bytes.length * 8)
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expect(Either.isLeft(Header.decode(crypto, bytes))).toBe(true)
      }),
      { numRuns: 300 }
    )
  })

  it("refuses to build what nobody can read", () => {
    const build = (fields: Partial<Header.Fields>) => Header.build(crypto, key, { ...empty, ...fields })
    const list = (count: number) => Bytes.concat([CborHead.head(4, count), new Uint8Array(count)])
    const nested = (levels: number) => Uint8Array.from([...Array.from({ length: levels }, () => 0x81), 0])
    expect(Either.isRight(build({ extensions: list(512) }))).toBe(true)
    expect(Either.isRight(build({ extensions: nested(63) }))).toBe(true)
    expect(Either.isRight(Header.decode(crypto, Either.getOrThrow(build({ extensions: nested(63) }))))).toBe(true)
    expect(failure(build({ extensions: list(513) }))).toMatchObject({
      reason: "DecodingHeader",
      cbor: "LengthTooLarge"
    })
    expect(failure(build({ extensions: nested(64) }))).toMatchObject({
      reason: "DecodingHeader",
      cbor: "NestingTooDeep"
    })
    expect(failure(build({ extensions: hex("1801") }))).toMatchObject({ cbor: "NonDeterministic", field: "extensions" })
    expect(failure(build({ extensions: hex("0101") }))).toMatchObject({ cbor: "InvalidFormat" })
    expect(failure(build({ extensions: hex("") }))).toMatchObject({ cbor: "UnexpectedEof" })
    expect(failure(build({ payloadSize: 1 }))).toMatchObject({ reason: "MissingField", field: "payload_hash" })
    expect(failure(build({ payloadHash: some }))).toMatchObject({
      reason: "UnexpectedFieldType",
      field: "payload_hash"
    })
    expect(failure(build({ seqNum: 1 }))).toMatchObject({ reason: "MissingField", field: "backlink" })
    expect(failure(build({ backlink: some }))).toMatchObject({ reason: "UnexpectedFieldType", field: "backlink" })
    for (const wrong of [-1, 0.5, 2 ** 32, NaN, Infinity]) {
      expect(failure(build({ seqNum: wrong, backlink: some })).field).toBe("seq_num")
      expect(failure(build({ payloadSize: wrong, payloadHash: some })).field).toBe("payload_size")
    }
  })

  it("a tag in the envelope is refused, one in the extensions is kept", () => {
    const tagged = (bytes: Uint8Array) => Bytes.concat([Uint8Array.of(0xc1), bytes])
    const valid = [...front, zero, zero, hex("c101")]
    const plain = signed(valid)
    expect(Either.getOrThrow(Header.decode(crypto, plain)).extensions).toEqual(hex("c101"))
    const verdict = (bytes: Uint8Array) => Header.verdict(failure(Header.decode(crypto, bytes)))
    expect(verdict(tagged(plain))).toBe("TaggedField:header")
    expect(verdict(tagged(tagged(plain)))).toBe("TaggedField:header")
    // not covered by the signature, so anybody could add it
    expect(verdict(Bytes.concat([plain.subarray(0, 36), tagged(plain.subarray(36))]))).toBe("TaggedField:signature")
    for (const [at, field] of ["version", "verifying_key", "payload_size", "seq_num"].entries())
      expect(verdict(signed(valid.map((element, index) => (index === at ? tagged(element) : element))))).toBe(
        `TaggedField:${field}`
      )
    // what is wrong behind a tag around everything is told first, as p2panda does
    expect(verdict(tagged(signed([...front, zero])))).toBe("MissingField:seq_num")
    const forged = plain.slice()
    forged[40] = (forged[40] ?? 0) ^ 1
    expect(verdict(tagged(forged))).toBe("InvalidSignature")
    expect(verdict(tagged(zero))).toBe("UnexpectedHeaderType")
    expect(failure(Header.parse(tagged(plain))).reason).toBe("TaggedField")
  })

  it("a key that is no point is told at its place, before everything that comes after", () => {
    const bad = Bytes.concat([Uint8Array.of(1, 0x58, 32, 2), new Uint8Array(31)])
    expect(crypto.isPoint(bad.subarray(3))).toBe(false)
    const verdict = (bytes: Uint8Array) => Header.verdict(failure(Header.decode(crypto, bytes)))
    const array = (...parts: ReadonlyArray<Uint8Array>) => Bytes.concat([Uint8Array.of(0x81 + parts.length), ...parts])
    const signature = CborHead.bytes(new Uint8Array(64))
    expect(verdict(array(bad, signature, zero, zero))).toBe("InvalidVerifyingKey")
    expect(verdict(array(bad))).toBe("InvalidVerifyingKey")
    expect(verdict(array(bad, zero))).toBe("InvalidVerifyingKey")
    expect(verdict(array(bad, signature, zero, zero, zero, zero))).toBe("InvalidVerifyingKey")
    expect(verdict(array(bad.subarray(0, 34)))).toBe("DecodingHeader")
    expect(verdict(array(Bytes.concat([Uint8Array.of(2), bad.subarray(1)])))).toBe("UnsupportedVersion")
  })
})

describe("InvalidHeader", () => {
  it("names the place", () => {
    const error = failure(Header.parse(signed([...front, zero, Uint8Array.of(1), hex("4101")])))
    expect(error).toMatchObject({ reason: "InvalidBytesLen", field: "backlink", offset: 104 })
    expect(error.message).toMatch(/InvalidBytesLen backlink at byte 104.*1 bytes instead of 32/)
    const cbor = failure(Header.parse(hex("8118")))
    expect(cbor).toMatchObject({ reason: "DecodingHeader", cbor: "UnexpectedEof", offset: 1 })
    expect(cbor.message).toContain("byte 1")
  })

  it("every number in an element's place", () => {
    const verdict = (...elements: ReadonlyArray<Uint8Array>) =>
      Either.match(Header.parse(signed(elements)), { onLeft: Header.verdict, onRight: () => "ok" })
    expect(verdict(...front, CborHead.unsigned(2 ** 32), zero)).toBe("UnexpectedFieldType:payload_size")
    expect(verdict(...front, zero, CborHead.unsigned(2 ** 32))).toBe("UnexpectedFieldType:seq_num")
    expect(verdict(...front, zero, CborHead.unsigned(2 ** 32 - 1))).toBe("MissingField:backlink")
    expect(verdict(...front, zero, hex("f90000"))).toBe("UnexpectedFieldType:seq_num")
    expect(verdict(CborHead.unsigned(65_536), ...front.slice(1), zero, zero)).toBe("UnexpectedFieldType:version")
    expect(verdict(CborHead.unsigned(65_535), ...front.slice(1), zero, zero)).toBe("UnsupportedVersion")
    expect(verdict(...front, zero, zero, zero, zero)).toBe("ExcessiveFields")
    expect(verdict(...front, zero, zero, CborHead.bytes(new Uint8Array(32)))).toBe("ok")
  })
})
