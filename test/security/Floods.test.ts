/** A peer that sends much: what it costs, and that others do not pay for it. docs/security.md, docs/limits.md */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../src/core/Crypto.ts"
import * as InputFaults from "../../src/testing/InputFaults.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import * as Peer from "./Peer.ts"

/** Signing and checking a hundred thousand operations is not what these are about. */
const quick = Crypto.Crypto.of({
  ...native,
  sign: (key, message) => {
    const hash = native.hash(message)
    return new TextEncoder().encode(`${native.verifyingKey(key).slice(0, 32)}${hash.slice(0, 32)}`)
  },
  verify: (key, message, signature) => {
    const author = Buffer.from(key).toString("hex").slice(0, 32)
    return new TextDecoder().decode(signature) === `${author}${native.hash(message).slice(0, 32)}`
  }
})

const many = process.env["TRUST"] === "full" ? 100_000 : 10_000

describe("a flood", () => {
  it.live("of what is not valid leaves no row behind", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const valid = Peer.raw(new Peer.Somebody(1).say("hello"))
        const before = yield* Peer.everything
        const random = InputFaults.random(5)
        const damaged = Array.from({ length: 3000 }, () => ({
          ...valid,
          header: InputFaults.mutate(valid.header, random)
        }))
        const broken = damaged.filter(({ header }) => native.hash(header) !== native.hash(valid.header))
        for (const answer of yield* controller.processAll(broken)) assert.include(["InvalidHeader"], answer._tag)
        for (const answer of yield* controller.receiveAll(broken)) assert.include(["InvalidHeader"], answer._tag)
        assert.deepStrictEqual(yield* Peer.everything, before)
        assert.isAbove(broken.length, 2500)
      })
    )
  )

  it.live("of one author that waits for ever fills his share of the inbox, and nobody else's", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: Peer.pipeline(),
          application: Peer.application,
          capacityPerAuthor: 100,
          capacity: 300
        })
        const flooder = new Peer.Somebody(1)
        const nowhere = native.hash(Uint8Array.of(1))
        const flood = Array.from({ length: 400 }, (_, n) => flooder.sign({ seqNum: 5 + n, backlink: nowhere }))
        const answers = yield* controller.receiveAll(Peer.raws(flood), { source: "flooder" })
        const full = answers.filter(({ _tag }) => _tag === "InboxFull")
        assert.lengthOf(full, 300)
        assert.deepInclude(full[0], { capacity: 100, author: flooder.author })
        const horse = new Peer.Somebody(2)
        horse.say("one")
        const waits = horse.say("two")
        assert.deepInclude(yield* controller.receive(Peer.raw(waits)), { _tag: "Queued" })
        assert.deepInclude(yield* controller.process(Peer.raw(horse.operations[0] ?? waits)), { _tag: "Accepted" })
        yield* controller.drain
        assert.deepStrictEqual(yield* Peer.notes, ["one", "two"])
        assert.deepInclude(yield* controller.status, { accepted: 2, waiting: 100 })
      })
    )
  )

  it.live("of many authors fills the inbox, and what needs no room there still gets in", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: Peer.pipeline(),
          application: Peer.application,
          capacityPerAuthor: 10,
          capacity: 60
        })
        const nowhere = native.hash(Uint8Array.of(1))
        const flood = Array.from({ length: 100 }, (_, n) =>
          new Peer.Somebody(10 + n).sign({ seqNum: 1, backlink: nowhere })
        )
        const answers = yield* controller.processAll(Peer.raws(flood))
        assert.lengthOf(
          answers.filter(({ _tag }) => _tag === "InboxFull"),
          40
        )
        assert.deepInclude(yield* controller.process(Peer.raw(new Peer.Somebody(1).say("hello"))), { _tag: "Accepted" })
        const message = { said: "mine" }
        yield* controller.publish({ key: new Peer.Somebody(2).key, topic: Peer.topic, message })
        assert.deepStrictEqual(yield* Peer.notes, ["hello", "mine"])
      })
    )
  )

  it.live("that is accepted is held to a rate", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: Peer.pipeline({ rate: { operations: 20, per: "1 day" } }),
          application: Peer.application
        })
        const parrot = new Peer.Somebody(1)
        const all = Array.from({ length: 50 }, (_, n) => parrot.say(`number ${n}`))
        const tags = (yield* controller.processAll(Peer.raws(all))).map((one) =>
          one._tag === "Rejected" ? one.error._tag : one._tag
        )
        assert.lengthOf(
          tags.filter((tag) => tag === "Accepted"),
          20
        )
        assert.isAbove(tags.filter((tag) => tag === "RateExceeded").length, 0)
        assert.deepInclude(yield* controller.process(Peer.raw(new Peer.Somebody(2).say("hello"))), { _tag: "Accepted" })
      })
    )
  )

  it.live(`of ${many} that wait for one is woken by it, each once`, () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: Peer.pipeline(),
          application: Peer.application,
          crypto: Layer.succeed(Crypto.Crypto, quick)
        })
        const parrot = new Peer.Somebody(1, quick)
        const all = Array.from({ length: many + 1 }, (_, n) => parrot.say(`${n}`))
        const [first, ...rest] = Peer.raws(all)
        if (first === undefined) return assert.fail("there is a first one")
        for (let at = 0; at < rest.length; at += 5000) yield* controller.receiveAll(rest.slice(at, at + 5000))
        yield* controller.drain
        assert.deepInclude(yield* controller.status, { accepted: 0, waiting: many })
        assert.deepInclude(yield* controller.process(first), { _tag: "Accepted" })
        yield* controller.drain
        assert.deepInclude(yield* controller.status, { accepted: many + 1, waiting: 0, queued: 0, rejected: 0 })
        assert.lengthOf(yield* Peer.notes, many + 1)
      })
    )
  )
})
