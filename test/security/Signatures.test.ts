/** Who wrote it: forged, malleable and weak signatures, and operations that are taken over by somebody else. docs/security.md */
import { assert, describe, it } from "@effect/vitest"
import { ed25519 } from "@noble/curves/ed25519.js"
import * as Effect from "effect/Effect"
import * as Bytes from "../../src/core/Bytes.ts"
import * as CborHead from "../../src/core/internal/CborHead.ts"
import * as Header from "../../src/core/Header.ts"
import type * as Operation from "../../src/core/Operation.ts"
import { native, portable, signatures } from "../core/support.ts"
import * as Peer from "./Peer.ts"

/** Refused for this reason, and the database is as before. */
const refused = (controller: Peer.Controller, raw: Operation.Raw, expected: object) =>
  Effect.gen(function* () {
    const before = yield* Peer.everything
    const [answer] = yield* controller.processAll([raw])
    assert.deepInclude(answer, expected)
    assert.deepInclude(yield* Effect.flip(controller.receive(raw)), expected)
    assert.deepStrictEqual(yield* Peer.everything, before)
  })

/** The bytes of a header in which somebody else's signature and key stand. */
const header = (key: Uint8Array, signature: Uint8Array, timestamp: number): Uint8Array => {
  const log = CborHead.bytes(new Uint8Array(32))
  const extensions = Bytes.concat([Bytes.fromHex("850100"), log, CborHead.unsigned(timestamp), Uint8Array.of(0xf4)])
  const fields = [CborHead.bytes(key), CborHead.bytes(signature), Uint8Array.of(0, 0), extensions]
  return Bytes.concat([Uint8Array.of(0x86, 1), ...fields])
}

const order = 2n ** 252n + 27742317777372353535851937790883648493n

const little = (bytes: Uint8Array): bigint => BigInt(`0x${Bytes.toHex(bytes.slice().reverse())}`)
const toLittle = (value: bigint): Uint8Array => Bytes.fromHex(value.toString(16).padStart(64, "0")).reverse()

describe("a signature", () => {
  it.live("with one bit changed anywhere, or of another operation, is refused", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const { body, header: bytes } = Peer.raw(parrot.say("three apples"))
        const other = parrot.say("four apples").header.signature
        for (let at = 36 + 2; at < 38 + 64; at += 3) {
          const forged = bytes.map((byte, index) => (index === at ? byte ^ (1 << at % 8) : byte))
          yield* refused(controller, { header: forged, body }, { _tag: "InvalidHeader", reason: "InvalidSignature" })
        }
        const borrowed = bytes.slice()
        borrowed.set(other, 38)
        yield* refused(controller, { header: borrowed, body }, { _tag: "InvalidHeader", reason: "InvalidSignature" })
      })
    )
  )

  it.live("in its other form (s + L) is refused: an operation has one id", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const original = new Peer.Somebody(1).say("three apples")
        const bytes = original.headerBytes.slice()
        bytes.set(toLittle(little(bytes.subarray(70, 102)) + order), 70)
        assert.notStrictEqual(native.hash(bytes), original.id)
        const malleable = { header: bytes, body: original.body }
        yield* refused(controller, malleable, { _tag: "InvalidHeader", reason: "InvalidSignature" })
        assert.deepInclude(yield* controller.process(Peer.raw(original)), { _tag: "Accepted" })
        yield* refused(controller, malleable, { _tag: "InvalidHeader", reason: "InvalidSignature" })
      })
    )
  )

  it("is judged as the published vectors say: small order, mixed order, malleable, not canonical", () => {
    const verdicts = { valid: 0, refused: 0 }
    for (const { message, signature, valid, verifyingKey } of signatures) {
      const [key, signed, said] = [verifyingKey, signature, message].map(Bytes.fromHex)
      if (key === undefined || signed === undefined || said === undefined) return assert.fail("three were given")
      for (const crypto of [native, portable]) assert.strictEqual(crypto.verify(key, said, signed), valid)
      verdicts[valid ? "valid" : "refused"]++
    }
    assert.isAbove(verdicts.valid, 10)
    assert.isAbove(verdicts.refused, 100)
  })

  it.live("of a key of small order, which fits one of eight messages, is refused for all", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const small = [
          "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
          "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
          "0100000000000000000000000000000000000000000000000000000000000000",
          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
          "0000000000000000000000000000000000000000000000000000000000000000"
        ].map(Bytes.fromHex)
        let forgeable = 0
        for (const key of small) {
          for (let times = 0; times < 16; times++) {
            const signature = Bytes.concat([small[times % small.length] ?? key, new Uint8Array(32)])
            const raw = { header: header(key, signature, times), body: undefined }
            yield* refused(controller, raw, { _tag: "InvalidHeader" })
            // A verifier that is less strict takes it, so this is more than any wrong signature.
            if (ed25519.verify(signature, Header.signingBytes(raw.header), key, { zip215: true })) forgeable++
          }
        }
        assert.isAbove(forgeable, 10)
      })
    )
  )

  it.live("under a key that is no point is refused, and the key is named", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const bytes = header(new Uint8Array(32).fill(2), new Uint8Array(64), 1)
        yield* refused(controller, { header: bytes, body: undefined }, { reason: "InvalidVerifyingKey" })
      })
    )
  )
})

describe("somebody else's operation", () => {
  it.live("with the body of another one is refused", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const one = parrot.say("three apples")
        const two = parrot.say("nine apples")
        yield* refused(controller, { header: one.headerBytes, body: two.body }, { _tag: "InvalidPayload" })
        yield* refused(controller, { header: one.headerBytes, body: new Uint8Array() }, { _tag: "InvalidPayload" })
        assert.deepInclude(yield* controller.process(Peer.raw(one)), { _tag: "Accepted" })
        yield* refused(controller, { header: one.headerBytes, body: two.body }, { _tag: "InvalidPayload" })
        assert.deepStrictEqual(yield* Peer.notes, ["three apples"])
      })
    )
  )

  it.live("under one's own key needs one's own signature", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const one = new Peer.Somebody(1).say("three apples")
        const thief = native.verifyingKey(new Peer.Somebody(2).key)
        const bytes = one.headerBytes.slice()
        bytes.set(Bytes.fromHex(thief), 4)
        yield* refused(controller, { header: bytes, body: one.body }, { reason: "InvalidSignature" })
      })
    )
  )

  it.live("signed again is the thief's own, in the thief's own log, and changes nothing for its author", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const all = ["one", "two", "three"].map((said) => parrot.say(said))
        yield* controller.processAll(Peer.raws(all))
        const thief = new Peer.Somebody(2)
        const copies = all.map(({ body, header }) =>
          thief.sign({ seqNum: header.seqNum, backlink: header.backlink, body })
        )
        const [first, ...rest] = yield* controller.processAll(Peer.raws(copies))
        assert.deepInclude(first, { _tag: "Accepted" })
        // They name a predecessor that is in another log: it is a fork of the thief's, or waits for nothing.
        for (const answer of rest) assert.include(["Rejected", "Deferred"], answer._tag)
        assert.deepStrictEqual(yield* Peer.notes, ["one", "one", "three", "two"])
        assert.deepInclude(yield* controller.process(Peer.raw(parrot.say("four"))), { _tag: "Accepted" })
        assert.deepInclude(yield* controller.status, { accepted: 5, logs: 2, authors: 2 })
      })
    )
  )

  it.live("says what another one says as well: both are accepted, each its author's", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const both = [new Peer.Somebody(1).say("hello"), new Peer.Somebody(2).say("hello")]
        const answers = yield* controller.processAll(Peer.raws(both))
        assert.deepStrictEqual(
          answers.map(({ _tag }) => _tag),
          ["Accepted", "Accepted"]
        )
        assert.notStrictEqual(both[0]?.id, both[1]?.id)
        assert.deepStrictEqual(yield* Peer.notes, ["hello", "hello"])
      })
    )
  )

  it.live("sent again under another name or topic stays where it is, and whose it is", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        parrot.say("one")
        const waits = parrot.say("two")
        const first = { source: "parrot", topic: Peer.topic }
        yield* controller.process(Peer.raw(waits), first)
        const before = yield* Peer.everything
        const wrong = yield* Effect.flip(
          controller.process(Peer.raw(waits), { source: "thief", topic: Peer.otherTopic })
        )
        assert.deepInclude(wrong, { _tag: "WrongTopic", id: waits.id, topic: Peer.otherTopic })
        assert.deepInclude(yield* controller.process(Peer.raw(waits), { source: "thief" }), { _tag: "Known" })
        assert.deepInclude(yield* controller.receive(Peer.raw(waits), { source: "thief" }), { _tag: "Known" })
        assert.deepStrictEqual(yield* Peer.everything, before)
        assert.deepInclude(before["applecart_inbox"]?.[0], { source: "parrot" })
      })
    )
  )
})
