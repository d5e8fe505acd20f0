/** What a stranger can do to logs: forged and foreign prune operations, forks, places at the end of numbers. docs/security.md */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Bytes from "../../src/core/Bytes.ts"
import * as CborHead from "../../src/core/internal/CborHead.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import * as Peer from "./Peer.ts"

const count = (table: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql.unsafe<{ n: number }>(`SELECT count(*) AS n FROM ${table}`)
    return row?.n
  })

describe("a prune operation", () => {
  it.live("that its author did not sign, or that has another body, prunes nothing", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        yield* controller.processAll(Peer.raws(["one", "two", "three"].map((said) => parrot.say(said))))
        const before = yield* Peer.everything
        const plain = parrot.say("four")
        const flag = plain.headerBytes.lastIndexOf(0xf4)
        const flagged = plain.headerBytes.map((byte, at) => (at === flag ? 0xf5 : byte))
        const [forged] = yield* controller.processAll([{ header: flagged, body: plain.body }])
        assert.deepInclude(forged, { _tag: "InvalidHeader", reason: "InvalidSignature" })
        // p2panda prunes by this one: the flag is genuine, and what it belongs to was not taken in.
        const genuine = parrot.sign({ seqNum: 3, backlink: plain.header.backlink, prune: true, body: Peer.body("x") })
        const [swapped] = yield* controller.processAll([{ header: genuine.headerBytes, body: Peer.body("y") }])
        assert.deepInclude(swapped, { _tag: "InvalidPayload" })
        assert.deepStrictEqual(yield* Peer.everything, before)
      })
    )
  )

  it.live("of somebody else prunes somebody else's log", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const all = ["one", "two", "three"].map((said) => parrot.say(said))
        yield* controller.processAll(Peer.raws(all))
        const horse = new Peer.Somebody(2)
        const last = all[2]?.id
        const prune = horse.sign({ seqNum: 3, backlink: last, prune: true, body: Peer.body("mine") })
        assert.deepInclude(yield* controller.process(Peer.raw(prune)), { _tag: "Accepted" })
        assert.deepStrictEqual(yield* Peer.notes, ["mine", "one", "three", "two"])
        assert.deepInclude(yield* controller.status, { accepted: 4, pruned: 0 })
        assert.deepInclude(yield* controller.process(Peer.raw(parrot.say("four"))), { _tag: "Accepted" })
      })
    )
  )

  it.live("that was pruned is not brought back by anybody, nor is what it pruned", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const all = [
          parrot.say("one"),
          parrot.say("two", { prune: true }),
          parrot.say("three"),
          parrot.say("four", { prune: true })
        ]
        yield* controller.processAll(Peer.raws(all))
        assert.deepStrictEqual(yield* Peer.notes, ["four"])
        const before = yield* Peer.everything
        for (const raw of Peer.raws(all.slice(0, 3))) {
          assert.deepInclude(yield* controller.process(raw), { _tag: "Known", where: "pruned" })
          assert.deepInclude(yield* controller.receive(raw), { _tag: "Known", where: "pruned" })
        }
        const late = parrot.sign({ seqNum: 2, backlink: all[1]?.id, prune: true, body: Peer.body("late") })
        assert.deepInclude(yield* controller.process(Peer.raw(late)), { _tag: "Rejected" })
        assert.deepStrictEqual((yield* Peer.everything)["applecart_operations"], before["applecart_operations"])
        assert.deepStrictEqual(yield* Peer.notes, ["four"])
      })
    )
  )
})

describe("an author who forks", () => {
  it.live("proves it: what was accepted stays, both headers are kept, and others do not notice", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const one = parrot.say("one")
        yield* controller.processAll(Peer.raws([one, parrot.say("two")]))
        const fork = parrot.sign({ seqNum: 1, backlink: one.id, body: Peer.body("another two") })
        assert.deepInclude(yield* controller.process(Peer.raw(fork)), { _tag: "Rejected", processor: "log-integrity" })
        assert.strictEqual(yield* count("applecart_forks"), 1)
        assert.deepStrictEqual(yield* Peer.notes, ["one", "two"])
        assert.deepInclude(yield* controller.process(Peer.raw(parrot.say("three"))), { _tag: "Accepted" })
        assert.deepInclude(yield* controller.process(Peer.raw(new Peer.Somebody(2).say("hello"))), { _tag: "Accepted" })
      })
    )
  )

  it.live("without end fills his share and eight pieces of evidence, and no more", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: Peer.pipeline(),
          application: Peer.application,
          capacityPerAuthor: 50
        })
        const parrot = new Peer.Somebody(1)
        yield* controller.process(Peer.raw(parrot.say("one")))
        const forks = Array.from({ length: 500 }, (_, n) => parrot.sign({ body: Peer.body(`another one ${n}`) }))
        const tags = (yield* controller.processAll(Peer.raws(forks))).map(({ _tag }) => _tag)
        assert.strictEqual(tags.filter((tag) => tag === "Rejected").length, 50)
        assert.strictEqual(tags.filter((tag) => tag === "InboxFull").length, 450)
        assert.strictEqual(yield* count("applecart_forks"), 8)
        assert.strictEqual(yield* count("applecart_inbox"), 50)
        assert.deepInclude(yield* controller.process(Peer.raw(parrot.say("two"))), { _tag: "Accepted" })
        assert.deepInclude(yield* controller.process(Peer.raw(new Peer.Somebody(2).say("hello"))), { _tag: "Accepted" })
      })
    )
  )
})

describe("a sequence number", () => {
  it.live("of 2^32-1 waits for what comes before it, or with the prune flag ends the log of its author", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const horse = new Peer.Somebody(2)
        const far = horse.sign({ seqNum: 2 ** 32 - 1, backlink: native.hash(Uint8Array.of(1)), body: Peer.body("far") })
        assert.deepInclude(yield* controller.process(Peer.raw(far)), { _tag: "Deferred" })
        const parrot = new Peer.Somebody(1)
        const nowhere = native.hash(Uint8Array.of(2))
        const last = parrot.sign({ seqNum: 2 ** 32 - 1, backlink: nowhere, prune: true, body: Peer.body("last") })
        assert.deepInclude(yield* controller.process(Peer.raw(last)), { _tag: "Accepted" })
        const message = { said: "more" }
        const full = yield* Effect.flip(controller.publish({ key: parrot.key, topic: Peer.topic, message }))
        assert.deepInclude(full, { _tag: "LogFull" })
        const other = yield* controller.publish({ key: parrot.key, topic: Peer.otherTopic, message })
        assert.strictEqual(other.seqNum, 0)
        assert.deepStrictEqual(yield* Peer.notes, ["last", "more"])
      })
    )
  )

  it.live("beyond that is refused, and so is a backlink without a place for it", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const bytes = new Peer.Somebody(1).say("one").headerBytes
        // version, key, signature, size and hash of the body come before
        const at = 2 + 34 + 66 + CborHead.unsigned(Peer.body("one").length).length + 34
        assert.strictEqual(bytes[at], 0)
        for (const seqNum of [2 ** 32, 2 ** 53 - 1]) {
          const header = Bytes.concat([bytes.subarray(0, at), CborHead.unsigned(seqNum), bytes.subarray(at + 1)])
          const [answer] = yield* controller.processAll([{ header, body: undefined }])
          assert.deepInclude(answer, {
            _tag: "InvalidHeader",
            reason: "UnexpectedFieldType",
            field: "seq_num",
            offset: at
          })
        }
        assert.deepInclude(yield* controller.status, { accepted: 0, queued: 0, waiting: 0, rejected: 0 })
      })
    )
  )
})
