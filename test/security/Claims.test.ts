/** Operations that claim much: sizes, times, depth, the same key twice. docs/security.md */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Bytes from "../../src/core/Bytes.ts"
import * as CborHead from "../../src/core/internal/CborHead.ts"
import * as Header from "../../src/core/Header.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as CausalGraph from "../../src/store/CausalGraph.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import { signingKey } from "../support/Peer.ts"
import * as Peer from "./Peer.ts"

const logId = Topic.logId(native, Peer.topic)
const extensions = Either.getOrThrow(NodeExtensions.encode(NodeExtensions.draft({ logId, timestamp: 5n })))

describe("a size", () => {
  it.live("that is claimed and not sent costs nothing: no memory, and beyond the limit no row", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const payloadHash = native.hash(Uint8Array.of(1))
        const claim = (payloadSize: number) =>
          Either.getOrThrow(
            Header.build(native, signingKey(1), {
              payloadSize,
              payloadHash,
              seqNum: 0,
              backlink: undefined,
              extensions
            })
          )
        const huge = claim(2 ** 32 - 1)
        const before = yield* Peer.everything
        const memory = process.memoryUsage().arrayBuffers
        assert.deepInclude(yield* controller.process({ header: huge, body: undefined }), { _tag: "Rejected" })
        const answer = yield* controller.receive({ header: huge, body: undefined })
        assert.deepInclude(answer, { _tag: "Rejected", processor: "limits", next: { _tag: "Refused" } })
        for (const body of [new Uint8Array(), new Uint8Array(1000)]) {
          const error = yield* Effect.flip(controller.process({ header: huge, body }))
          assert.deepInclude(error, { _tag: "InvalidPayload", expectedSize: 2 ** 32 - 1, foundSize: body.length })
        }
        assert.deepStrictEqual(yield* Peer.everything, before)
        assert.isBelow(process.memoryUsage().arrayBuffers - memory, 100_000_000)
        // Within the limit a body may be withheld: the header alone is in the log.
        const modest = { header: claim(1000), body: undefined }
        assert.deepInclude(yield* controller.process(modest), { _tag: "Accepted" })
        assert.deepStrictEqual(yield* Peer.notes, [])
      })
    )
  )

  it.live("of extensions beyond the limit is refused, and of a list in them by the format", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: Peer.pipeline({ extensionsSize: 200 }),
          application: Peer.application
        })
        const previous = Array.from({ length: 10 }, (_, n) => native.hash(Uint8Array.of(n)))
        const wide = new Peer.Somebody(1).sign({ previous, body: Peer.body("x") })
        const answer = yield* controller.process(Peer.raw(wide))
        assert.deepInclude(answer, { _tag: "Rejected", processor: "limits", next: { _tag: "Refused" } })
        assert.deepInclude(yield* controller.status, { accepted: 0, queued: 0, waiting: 0, rejected: 0 })
      })
    )
  )
})

describe("a timestamp", () => {
  const times = [0n, 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]

  it.live("in the far future is refused", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        for (const [at, timestamp] of times.entries()) {
          const one = new Peer.Somebody(at + 1).say("hello", { timestamp })
          const answer = yield* controller.process(Peer.raw(one))
          assert.deepInclude(answer, timestamp < 2n ** 50n ? { _tag: "Accepted" } : { processor: "limits" })
          if (answer._tag === "Rejected") {
            assert.deepInclude(answer.error, { _tag: "TimestampAhead", timestamp })
            assert.isAbove(answer.error.message.length, 40)
          }
        }
        assert.deepInclude(yield* controller.status, { accepted: 2, rejected: 0 })
      })
    )
  )

  it.live("is no number that breaks anything where it is allowed: causal order stays one", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* StreamController.make({
          pipeline: Peer.pipeline({ ahead: Infinity }),
          application: Peer.application
        })
        const all = times.map((timestamp, at) => new Peer.Somebody(at + 1).say(`${timestamp}`, { timestamp }))
        for (const answer of yield* controller.processAll(Peer.raws(all)))
          assert.deepInclude(answer, { _tag: "Accepted" })
        const previous = all.map(({ id }) => id)
        const after = new Peer.Somebody(20).say("after all of them", { timestamp: 3n, previous })
        assert.deepInclude(yield* controller.process(Peer.raw(after)), { _tag: "Accepted" })
        const graph = yield* CausalGraph.load([...previous, after.id])
        const clock = graph.get(after.id)?.clock
        for (const id of previous) {
          assert.deepStrictEqual(CausalGraph.later(clock, graph.get(id)?.clock), clock)
        }
        const message = { said: "and more" }
        const published = yield* controller.publish({ key: signingKey(30), topic: Peer.topic, message })
        assert.strictEqual(published.seqNum, 0)
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`PRAGMA integrity_check`, [{ integrity_check: "ok" }])
      })
    )
  )
})

describe("nesting and repetition", () => {
  const nested = (levels: number) => Bytes.concat([new Uint8Array(levels).fill(0x81), Uint8Array.of(0)])
  const twice = Bytes.fromHex("a2617801617802")

  it.live("in the extensions are refused by the format", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        const { header } = new Peer.Somebody(1).sign({ extensions, body: undefined })
        const start = Bytes.concat([
          Bytes.fromHex("860158"),
          Uint8Array.of(32),
          Bytes.fromHex(header.verifyingKey),
          CborHead.bytes(header.signature),
          Uint8Array.of(0, 0)
        ])
        const cases = [
          [nested(63), "UnexpectedEof"],
          [nested(64), "NestingTooDeep"],
          [nested(100_000), "NestingTooDeep"],
          [twice, "NonDeterministic"]
        ] as const
        for (const [bytes, cbor] of cases) {
          const [answer] = yield* controller.processAll([{ header: Bytes.concat([start, bytes]), body: undefined }])
          if (cbor === "UnexpectedEof")
            assert.deepInclude(answer, { _tag: "InvalidHeader", reason: "InvalidSignature" })
          else assert.deepInclude(answer, { _tag: "InvalidHeader", reason: "DecodingHeader", cbor })
        }
        assert.deepInclude(yield* controller.status, { accepted: 0, queued: 0, waiting: 0, rejected: 0 })
      })
    )
  )

  it.live("in a body are a message that is none: rejected, and others go on", () =>
    Peer.fresh(
      Effect.gen(function* () {
        const controller = yield* Peer.open
        for (const [at, body] of [nested(199), nested(200), nested(100_000), twice, Uint8Array.of(0x9f)].entries()) {
          const answer = yield* controller.process(Peer.raw(new Peer.Somebody(at + 1).sign({ body })))
          if (answer._tag !== "Rejected") return assert.fail(answer._tag)
          assert.strictEqual(answer.error._tag, "InvalidMessage")
        }
        assert.deepInclude(yield* controller.process(Peer.raw(new Peer.Somebody(9).say("hello"))), { _tag: "Accepted" })
        assert.deepStrictEqual(yield* Peer.notes, ["hello"])
      })
    )
  )
})
