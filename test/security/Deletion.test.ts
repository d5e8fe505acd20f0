/** Whose words can be taken away: tombstones that are forged, foreign, early; bodies that come back. docs/security.md */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Topic from "../../src/core/Topic.ts"
import { native } from "../core/support.ts"
import * as Peer from "./Peer.ts"

describe("a tombstone", () => {
  it.live("for what somebody else wrote has no effect, before it came and after", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const horse = new Peer.Somebody(2)
        const [here, later] = [parrot.say("here"), parrot.say("later")]
        yield* controller.process(Peer.raw(here))
        const tombstone = horse.say("gone!", { deletes: [here.id, later.id] })
        assert.deepInclude(yield* controller.process(Peer.raw(tombstone)), { _tag: "Accepted" })
        assert.deepInclude(yield* controller.process(Peer.raw(later)), { _tag: "Accepted" })
        assert.deepStrictEqual(yield* Peer.notes, ["gone!", "here", "later"])
        assert.deepInclude(yield* controller.status, { accepted: 3, deleted: 0 })
      })
    )
  )

  it.live("that its author did not sign has no effect and is not stored", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const here = parrot.say("here")
        const other = parrot.say("other")
        yield* controller.processAll(Peer.raws([here, other]))
        const before = yield* Peer.everything
        const honest = parrot.say("bye", { deletes: [other.id] })
        const bytes = honest.headerBytes.slice()
        const at = Buffer.from(bytes).indexOf(Buffer.from(other.id, "hex"), 140)
        bytes.set(Buffer.from(here.id, "hex"), at)
        const [forged] = yield* controller.processAll([{ header: bytes, body: honest.body }])
        assert.deepInclude(forged, { _tag: "InvalidHeader", reason: "InvalidSignature" })
        assert.deepStrictEqual(yield* Peer.everything, before)
      })
    )
  )

  it.live("of one's own that comes first is kept, and the body is never stored", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const early = parrot.say("a secret")
        const tombstone = parrot.sign({ topic: Peer.otherTopic, deletes: [early.id], body: Peer.body("bye") })
        assert.deepInclude(yield* controller.process(Peer.raw(tombstone)), { _tag: "Accepted" })
        yield* controller.receive(Peer.raw(early))
        yield* controller.drain
        assert.deepStrictEqual(yield* Peer.notes, ["bye"])
        assert.notInclude(
          JSON.stringify(yield* Peer.everything),
          JSON.stringify(Buffer.from(Peer.body("a secret")).toJSON().data)
        )
        assert.deepInclude(yield* controller.status, { accepted: 2 })
      })
    )
  )

  it.live("holds against everybody who still has the body", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const parrot = new Peer.Somebody(1)
        const regretted = parrot.say("regretted")
        yield* controller.processAll(Peer.raws([regretted, parrot.say("bye", { deletes: [regretted.id] })]))
        const before = yield* Peer.everything
        for (const source of ["horse", "cow"]) {
          assert.deepInclude(yield* controller.process(Peer.raw(regretted), { source }), { _tag: "Known" })
          assert.deepInclude(yield* controller.receive(Peer.raw(regretted), { source }), { _tag: "Known" })
        }
        yield* controller.replay()
        assert.deepStrictEqual(yield* Peer.everything, before)
        assert.deepStrictEqual(yield* Peer.notes, ["bye"])
      })
    )
  )

  it("names 512 operations at the most", () => {
    const ids = Array.from({ length: 513 }, (_, n) => native.hash(Uint8Array.of(n, n >> 8)))
    const draft = { logId: Topic.logId(native, Peer.topic) }
    const encoded = (deletes: typeof ids) => OpenExtensions.encode(OpenExtensions.draft({ ...draft, deletes }))
    assert.isTrue(Either.isRight(encoded(ids.slice(1))))
    assert.deepInclude(Either.flip(encoded(ids)), { _tag: "Right" })
  })
})
