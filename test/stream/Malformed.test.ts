/**
 * Whatever arrives: a typed error that names the place, or a known outcome. Never a defect, never a row for what is
 * invalid, and no memory that grows with what was refused.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Bytes from "../../src/core/Bytes.ts"
import * as CborHead from "../../src/core/internal/CborHead.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { mutate, native, random } from "../core/support.ts"
import * as Apples from "../support/Apples.ts"
import { Author, signingKey, state } from "../support/Peer.ts"

const topic = Topic.named(native, "apples")
const sized = (batchSize?: number) =>
  StreamController.make({ pipeline: Pipeline.make(LogIntegrity.processor), application: Application.none, batchSize })
const open = sized()
const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(Effect.zipRight(Apples.tables, self), SqliteClient.layer({ filename: ":memory:" })))

/** A log in p2panda's format, and one in ours. */
const originals = (): ReadonlyArray<Operation.Raw> => {
  const parrot = new Author(native, 1, topic)
  for (let n = 0; n < 12; n++) parrot.next(n % 3 === 0 ? undefined : new Uint8Array(n * 7).fill(n), n === 0)
  const horse: Array<Operation.Operation> = []
  for (let n = 0; n < 6; n++) {
    const before = horse.at(-1)
    const draft = {
      logId: Topic.logId(native, topic),
      timestamp: BigInt(n),
      prune: false,
      previous: before ? [before.id] : []
    }
    const extensions = Either.getOrThrow(OpenExtensions.codec.encode(OpenExtensions.codec.draft(draft)))
    const fields = { seqNum: n, backlink: before?.id, extensions, body: Uint8Array.of(n, n) }
    horse.push(Either.getOrThrow(Operation.signWith(native)(signingKey(2), fields)))
  }
  return [...parrot.operations, ...horse].map(Operation.raw)
}

const invalid = ["InvalidHeader", "InvalidPayload", "InvalidExtensions", "WrongTopic"]
const outcomes = ["Accepted", "Known", "Deferred", "Rejected"]

/** Refused, with an error that says where; gives it. */
const refusal = (controller: Effect.Effect.Success<typeof open>, raw: Operation.Raw) =>
  Effect.gen(function* () {
    const [answer] = yield* controller.processAll([raw])
    if (!(answer instanceof Error)) return assert.fail(`expected an error, got ${answer?._tag}`)
    assert.include(invalid, answer._tag)
    assert.isAbove(answer.message.length, 20)
    // what receive says is the same
    const again = yield* Effect.flip(controller.receive(raw))
    assert.deepStrictEqual<unknown>(again, answer)
    return answer
  })

const bytes = (...parts: ReadonlyArray<number | Uint8Array>) =>
  Bytes.concat(parts.map((part) => (typeof part === "number" ? Uint8Array.of(part) : part)))
const blob = (length: number) => CborHead.bytes(new Uint8Array(length))
const start = bytes(0x86, 0x01, blob(32), blob(64))
const longLength = (major: number) => bytes((major << 5) | 27, Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 0))
const endlessLength = (major: number) => bytes((major << 5) | 27, new Uint8Array(8).fill(0xff))

/** Headers that are wrong in one way each, and what has to be said of them. */
const cases: ReadonlyArray<readonly [name: string, header: Uint8Array, expected: object]> = [
  ["nothing", bytes(), { reason: "DecodingHeader" }],
  ["a number", bytes(0x01), { reason: "UnexpectedHeaderType" }],
  ["a map", bytes(0xa1, 0x01, 0x02), { reason: "UnexpectedHeaderType" }],
  ["text", bytes(0x63, 0x61, 0x62, 0x63), { reason: "UnexpectedHeaderType" }],
  ["an empty array", bytes(0x80), { reason: "MissingField", field: "version" }],
  ["an unknown version", bytes(0x86, 0x02, start.subarray(2), 0, 0, 0xf6), { reason: "UnsupportedVersion" }],
  ["a version that is text", bytes(0x81, 0x61, 0x31), { reason: "UnexpectedFieldType", field: "version" }],
  ["a key that is text", bytes(0x82, 0x01, 0x61, 0x31), { reason: "UnexpectedFieldType", field: "verifying_key" }],
  ["a key that is short", bytes(0x82, 0x01, blob(31)), { reason: "InvalidBytesLen", field: "verifying_key" }],
  [
    "a key that is no point",
    bytes(0x85, 0x01, CborHead.bytes(new Uint8Array(32).fill(2)), blob(64), 0, 0),
    { reason: "InvalidVerifyingKey" }
  ],
  [
    "a signature that is long",
    bytes(0x83, 0x01, blob(32), blob(65)),
    { reason: "InvalidBytesLen", field: "signature" }
  ],
  ["a negative size", bytes(start, 0x20, 0, 0xf6), { reason: "UnexpectedFieldType", field: "payload_size" }],
  [
    "a size that is a float",
    bytes(start, 0xf9, 0x3c, 0x00, 0, 0xf6),
    { reason: "UnexpectedFieldType", field: "payload_size" }
  ],
  ["an endless array", bytes(0x9f, 0x01, 0xff), { reason: "DecodingHeader" }],
  ["an array of 2^64 elements", bytes(endlessLength(4)), { reason: "DecodingHeader" }],
  ["an array of 2^32 elements", bytes(longLength(4)), { reason: "DecodingHeader" }],
  ["a key of 2^64 bytes", bytes(0x87, 0x01, endlessLength(2)), { reason: "DecodingHeader" }],
  ["a key of 2^32 bytes", bytes(0x87, 0x01, longLength(2)), { reason: "DecodingHeader" }],
  ["a map of 2^64 entries", bytes(start, 0, 0, endlessLength(5)), { reason: "DecodingHeader" }],
  ["100,000 arrays in each other", bytes(new Uint8Array(100_000).fill(0x81), 0x00), { reason: "DecodingHeader" }],
  ["100,000 tags before a number", bytes(new Uint8Array(100_000).fill(0xc1), 0x00), {}],
  [
    "maps in each other",
    bytes(start, 0, 0, ...Array.from({ length: 5000 }, () => bytes(0xa1, 0x00)), 0x00),
    { reason: "DecodingHeader" }
  ],
  [
    "a number that is not in its shortest form",
    bytes(0x87, 0x18, 0x01, start.subarray(2), 0, 0, 0xf6),
    { reason: "DecodingHeader" }
  ],
  ["a reserved head", bytes(0x87, 0x1c), { reason: "DecodingHeader" }],
  ["a megabyte of zeros", new Uint8Array(1 << 20), { reason: "DecodingHeader" }]
]

describe("a header that is", () => {
  for (const [name, header, expected] of cases) {
    it.effect(name, () =>
      fresh(
        Effect.gen(function* () {
          const controller = yield* open
          const error = yield* refusal(controller, { header, body: undefined })
          assert.deepInclude(error, { _tag: "InvalidHeader", ...expected })
          assert.deepInclude(yield* controller.status, { accepted: 0, queued: 0, waiting: 0, rejected: 0 })
        })
      )
    )
  }
})

describe("a valid operation that is", () => {
  it.effect("cut anywhere, or has something behind it", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open
        for (const raw of originals().filter((_, index) => index % 5 === 1)) {
          for (let length = 0; length < raw.header.length; length++) {
            const [answer] = yield* controller.processAll([{ ...raw, header: raw.header.slice(0, length) }])
            if (answer?._tag !== "InvalidHeader") return assert.fail(`${answer?._tag} for ${length} bytes`)
            assert.strictEqual(answer.reason, "DecodingHeader")
            assert.isDefined(answer.offset)
          }
          for (const trailing of [0x00, 0x80, 0xff]) {
            const error = yield* refusal(controller, { ...raw, header: bytes(raw.header, trailing) })
            assert.deepInclude(error, { _tag: "InvalidHeader", reason: "DecodingHeader", offset: raw.header.length })
          }
        }
        assert.deepStrictEqual((yield* state).inbox, [])
      })
    )
  )

  it.effect("given with another body", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open
        for (const raw of originals()) {
          const size = raw.body?.length ?? 0
          for (const body of [
            new Uint8Array(0),
            new Uint8Array(size + 1),
            new Uint8Array(Math.max(1, size)).fill(99)
          ]) {
            const error = yield* refusal(controller, { ...raw, body })
            assert.deepInclude(error, { _tag: "InvalidPayload", expectedSize: size, foundSize: body.length })
          }
        }
        assert.deepStrictEqual((yield* state).inbox, [])
      })
    )
  )

  it.effect("signed over extensions that are none", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open
        const logId = blob(32)
        const nested = bytes(new Uint8Array(14).fill(0x81), 0x00)
        const wrong: ReadonlyArray<Uint8Array | undefined> = [
          undefined,
          bytes(0x00),
          bytes(0x80),
          bytes(0xa0),
          bytes(0x62, 0x68, 0x69),
          bytes(0xf6),
          nested,
          bytes(0x85, 0x02, 0x00, logId, 0x00, 0xf4),
          bytes(0x85, 0x01, 0x07, logId, 0x00, 0xf4),
          bytes(0x85, 0x01, 0x00, blob(31), 0x00, 0xf4),
          bytes(0x85, 0x01, 0x00, logId, 0x20, 0xf4),
          bytes(0x85, 0x01, 0x00, logId, 0x00, 0x01),
          bytes(0x83, 0x01, 0x00, logId)
        ]
        for (const extensions of wrong) {
          const fields = { seqNum: 0, backlink: undefined, extensions, body: undefined }
          const signed = Either.getOrThrow(Operation.signWith(native)(signingKey(3), fields))
          const error = yield* refusal(controller, Operation.raw(signed))
          assert.strictEqual(error._tag, "InvalidExtensions")
        }
        assert.deepInclude(yield* controller.status, { accepted: 0, queued: 0, waiting: 0, rejected: 0 })
      })
    )
  )
})

/** Damaged in one of the ways that `mutate` knows, crossed with another one, or given a body of another one. */
const damage = (all: ReadonlyArray<Operation.Raw>, below: (limit: number) => number): Operation.Raw => {
  const pick = (): Operation.Raw => all[below(all.length)] ?? { header: new Uint8Array(), body: undefined }
  const [one, two] = [pick(), pick()]
  switch (below(8)) {
    case 0:
      return { ...one, body: mutate(one.body ?? new Uint8Array(), below) }
    case 1:
      return { ...one, body: two.body }
    case 2: {
      const at = below(one.header.length)
      return { ...one, header: bytes(one.header.subarray(0, at), two.header.subarray(at)) }
    }
    case 3: {
      // one bit, anywhere: these come as far as the signature
      const at = below(one.header.length)
      return { ...one, header: one.header.map((byte, index) => (index === at ? byte ^ (1 << below(8)) : byte)) }
    }
    default:
      return { ...one, header: mutate(one.header, below) }
  }
}

setFlagsFromString("--expose_gc")
const gc: unknown = runInNewContext("gc")
/** Bytes in use, after everything that nobody holds is gone. */
const inUse = () => {
  if (typeof gc === "function") gc()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

describe("100,000 mutations of valid operations", () => {
  it.effect("are answered, each, and leave no row and no memory behind", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* sized(500)
        const all = originals()
        const allowed = new Set(all.map(({ header }) => native.hash(header).toUpperCase()))
        const { below } = random(20_260_724)
        const answers = new Map<string, number>()
        const round = (size: number) =>
          Effect.gen(function* () {
            const raws = Array.from({ length: size }, () => damage(all, below))
            const given = yield* controller.processAll(raws)
            // Nothing here waits: Vitest, too, gets a turn.
            yield* Effect.promise(() => new Promise<void>((done) => setImmediate(done)))
            assert.lengthOf(given, size)
            for (const answer of given) {
              const tag =
                answer instanceof Error ? `${answer._tag} ${"reason" in answer ? answer.reason : ""}` : answer._tag
              assert.isTrue(
                answer instanceof Error ? invalid.includes(answer._tag) : outcomes.includes(answer._tag),
                tag
              )
              answers.set(tag, (answers.get(tag) ?? 0) + 1)
            }
          })
        for (let n = 0; n < 10; n++) yield* round(1000)
        const before = inUse()
        for (let n = 10; n < 100; n++) yield* round(1000)
        const grown = inUse() - before
        assert.isBelow(grown, 24 * 1024 * 1024, "bytes more in use after 90,000 more")

        const { decisions, inbox, operations } = yield* state
        // mutations that happened to change nothing are the operations themselves; nothing else may stand anywhere
        assert.isTrue([...operations, ...inbox, ...decisions].every((row) => allowed.has(String(row["id"]))))
        assert.isAtMost(operations.length + inbox.length, all.length)
        // all the ways to be wrong occurred
        for (const reason of [
          "DecodingHeader",
          "InvalidSignature",
          "InvalidVerifyingKey",
          "MissingField",
          "UnexpectedFieldType"
        ]) {
          assert.isAbove(answers.get(`InvalidHeader ${reason}`) ?? 0, 0, reason)
        }
        assert.isAbove(answers.get("InvalidPayload PayloadMismatch") ?? 0, 1000)
        // and the database is as usable as before
        const rest = yield* controller.processAll(all)
        assert.isTrue(rest.every(({ _tag }) => outcomes.includes(_tag)))
        assert.deepInclude(yield* controller.status, { accepted: all.length, waiting: 0, queued: 0, rejected: 0 })
      })
    )
  )
})
