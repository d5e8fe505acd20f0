/**
 * A short campaign against everything that reads bytes, beginning with the corpus; `npm run trust -- fuzz` is the long one. What
 * is written out reads back as it was; what is cheap to send is cheap to refuse.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as path from "node:path"
import { Io } from "../../src/cli/Io.ts"
import * as Decode from "../../src/cli/decode.ts"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import type * as Hash from "../../src/core/Hash.ts"
import * as Header from "../../src/core/Header.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as KeyFile from "../../src/store/KeyFile.ts"
import * as Verifier from "../../src/stream/internal/verifier.ts"
import { decodeAll } from "../support/decodeAll.ts"
import * as InputFaults from "../../src/testing/InputFaults.ts"
import { hash, native, portable } from "../core/support.ts"
import { directory } from "../support/Peer.ts"
import * as Campaign from "./Campaign.ts"
import * as Corpus from "./corpus.ts"
import * as EndToEnd from "./EndToEnd.ts"
import * as originals from "./originals.ts"
import { targets } from "./targets.ts"

const withCorpus = (target: Campaign.Target): Campaign.Target => ({
  ...target,
  originals: [...target.originals, ...Corpus.read(target.name).map(({ bytes }) => bytes)]
})
const all = targets(native, portable).map(withCorpus)

describe("a campaign", () => {
  for (const target of all) {
    it(`against ${target.name} finds nothing`, () => {
      const { broken, verdicts } = Campaign.run(target, 20_261_127, target.name === "sequence" ? 800 : 3000)
      assert.deepStrictEqual(
        broken.map(
          (found) => `${Campaign.tell(target, found)}\n  keep it: npx tsx test/fuzz/collect.ts TARGET NAME HEX`
        ),
        []
      )
      assert.isAtLeast(verdicts.size, Math.min(5, Corpus.read(target.name).length))
    })
  }

  it.effect("against a controller finds nothing", () =>
    Effect.gen(function* () {
      const { answers, broken } = yield* EndToEnd.run(native, InputFaults.random(7), 5, 200)
      assert.deepStrictEqual(broken, [])
      for (const tag of ["Accepted", "Known", "Deferred", "Rejected"]) assert.isAbove(answers.get(tag) ?? 0, 5, tag)
      assert.isAbove(answers.get("InvalidPayload PayloadMismatch") ?? 0, 10)
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: ":memory:" })))
  )

  it("finds a reader that throws, and makes the input small", () => {
    const [target] = all
    if (target === undefined) return assert.fail("no target")
    const careless: Campaign.Target = {
      ...target,
      attempt: (bytes, random) => {
        if (bytes.includes(0x9b)) throw new RangeError("Invalid array length")
        return target.attempt(bytes, random)
      }
    }
    const { broken } = Campaign.run(careless, 1, 2000)
    assert.deepInclude(broken[0], { input: Uint8Array.of(0x9b), what: "threw RangeError: Invalid array length" })
  })

  it("is the same again with the same seed", () => {
    const [target] = all
    if (target === undefined) return assert.fail("no target")
    assert.deepStrictEqual(Campaign.run(target, 5, 500), Campaign.run(target, 5, 500))
    assert.notDeepEqual(Campaign.run(target, 5, 500).verdicts, Campaign.run(target, 6, 500).verdicts)
  })
})

describe("what is written reads back as it was", () => {
  const ids = FastCheck.uniqueArray(hash, { maxLength: 5 })
  const micros = FastCheck.bigInt({ min: 0n, max: 2n ** 64n - 1n })
  const logId = FastCheck.uint8Array({ minLength: 32, maxLength: 32 }).map(LogId.fromBytes)

  it("extensions of both formats", () => {
    const fields = FastCheck.record({
      logId,
      timestamp: micros,
      prune: FastCheck.boolean(),
      previous: ids,
      deletes: ids
    })
    FastCheck.assert(
      FastCheck.property(fields, (said) => {
        const draft = Extensions.any.draft(said)
        const read = Either.flatMap(Extensions.any.encode(draft), Extensions.any.decode)
        assert.deepStrictEqual<unknown>(read, Either.right(draft))
      })
    )
  })

  it("operations", () => {
    const fields = FastCheck.record({
      seqNum: FastCheck.oneof(FastCheck.nat(3), FastCheck.nat(2 ** 31 - 1), FastCheck.constant(2 ** 32 - 1)),
      id: hash,
      extensions: FastCheck.constantFrom(undefined, ...originals.extensions(native)),
      body: FastCheck.option(FastCheck.uint8Array({ minLength: 1, maxLength: 400 }), { nil: undefined })
    })
    FastCheck.assert(
      FastCheck.property(fields, ({ body, extensions, id, seqNum }) => {
        const backlink: Hash.Hash | undefined = seqNum === 0 ? undefined : id
        const key = originals.key(1 + (seqNum % 3))
        const made = Either.getOrThrow(Operation.signWith(native)(key, { seqNum, backlink, extensions, body }))
        assert.deepStrictEqual(Operation.decodeWith(portable)(Operation.raw(made)), Either.right(made))
        assert.deepStrictEqual(Header.parse(made.headerBytes), Either.right(made.header))
      }),
      { numRuns: 300 }
    )
  })
})

describe("checking signatures on another thread", () => {
  it.live("says the same of everything as checking them here", () =>
    Effect.gen(function* () {
      const threaded = yield* Verifier.make(native)
      const valid = originals.operations(native).map(Operation.raw)
      for (let seed = 0; seed < 20; seed++) {
        const raws = InputFaults.deliver([...valid, ...valid], InputFaults.random(seed), { damaged: 60 }).map(
          ({ raw }) => raw
        )
        assert.deepStrictEqual(yield* decodeAll(threaded, raws), yield* decodeAll(Verifier.inline(portable), raws))
      }
    }).pipe(Effect.scoped)
  )
})

describe("a key file", () => {
  it.scoped("holds a key, or is refused without a word of what it holds", () =>
    Effect.gen(function* () {
      const file = path.join(yield* directory, "some.key")
      fs.writeFileSync(file, "", { mode: 0o600 })
      const secret = "0123456789abcdef".repeat(4)
      const random = InputFaults.random(3)
      let keys = 0
      for (let times = 0; times < 500; times++) {
        const bytes = InputFaults.mutate(new TextEncoder().encode(`${secret}\n`), random, { times: 3 })
        fs.writeFileSync(file, bytes)
        const found = yield* Effect.either(KeyFile.load(file))
        const text = new TextDecoder().decode(bytes).trim()
        if (Either.isRight(found)) {
          keys++
          assert.strictEqual(SigningKey.toHex(found.right), text.toLowerCase())
        } else {
          assert.strictEqual(found.left._tag, "InvalidKeyFile")
          const told = JSON.stringify(found.left) + found.left.message + String(found.left)
          for (let at = 0; at + 8 <= text.length; at++) assert.notInclude(told, text.slice(at, at + 8))
        }
      }
      assert.isAbove(keys, 10)
    }).pipe(Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer)))
  )
})

describe("the verb decode", () => {
  const decoded = (input: Uint8Array) => {
    let out = ""
    const io = {
      stdin: Stream.make(input),
      out: (data: string | Uint8Array) => Effect.sync(() => void (out += String(data))),
      err: () => Effect.void,
      outIsTerminal: false,
      errIsTerminal: false,
      env: {}
    }
    return Effect.map(Effect.either(Effect.provideService(Decode.decode({ file: "-" }), Io, io)), (end) => ({
      end,
      out
    }))
  }

  it.effect("has a verdict for each line, or says which line is none", () =>
    Effect.gen(function* () {
      const line = ({ body, headerBytes }: Operation.Operation) =>
        JSON.stringify({ h: Bytes.toHex(headerBytes), b: body === undefined ? null : Bytes.toHex(body) })
      const text = new TextEncoder().encode(originals.operations(native).slice(0, 3).map(line).join("\n"))
      const random = InputFaults.random(4)
      let told = 0
      for (let times = 0; times < 200; times++) {
        const input = InputFaults.mutate(text, random)
        const { end, out } = yield* decoded(input)
        const lines = new TextDecoder().decode(input).split("\n").length
        const verdicts = out.split("\n").length - 1
        if (Either.isRight(end)) {
          assert.isTrue(verdicts === lines || verdicts === lines - 1)
          continue
        }
        told++
        if (end.left._tag !== "InvalidLine") return assert.fail(end.left._tag)
        assert.strictEqual(end.left.line, verdicts + 1)
      }
      assert.isAbove(told, 30)
    }).pipe(Effect.provide(Layer.merge(NodeFileSystem.layer, NodePath.layer)))
  )
})

describe("a megabyte of anything", () => {
  const million = 1 << 20
  const filled = (...bytes: ReadonlyArray<number>) =>
    Uint8Array.from({ length: million }, (_, at) => bytes[at % bytes.length] ?? 0)
  const behind = (head: string, bytes: Uint8Array) => Bytes.concat([Bytes.fromHex(head), bytes])
  const inputs: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["arrays in each other", filled(0x81)],
    ["maps in each other", filled(0xa1, 0x00)],
    ["tags", filled(0xc1)],
    ["an array of a million numbers", behind("9a000fffff", filled(0x00))],
    ["a map of equal keys", behind("ba0007ffff", filled(0x00, 0x00))],
    ["a claim of 2^64 elements", behind("9bffffffffffffffff", filled(0x00))],
    ["a claim of 2^53 bytes", behind("5b0020000000000000", filled(0x00))],
    ["a text that is none", behind("7a000fffff", filled(0xe2, 0x82))],
    ["claims of claims", filled(0x9b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff)],
    ["items of an operation file", filled(0x82, 0x40, 0xf6)],
    ["a header in an operation file that never ends", behind("825a7fffffff", filled(0x00))]
  ]
  for (const [name, bytes] of inputs) {
    it(`costs little to read or refuse: ${name}`, () => {
      const { user } = process.cpuUsage()
      const memory = process.memoryUsage().arrayBuffers
      Header.parse(bytes)
      Extensions.any.decode(bytes)
      Cbor.decode(bytes)
      for (const size of [100_000, 4099]) {
        const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
          bytes.slice(at * size, (at + 1) * size)
        )
        const read = Stream.fromIterable(chunks).pipe(OperationSequence.decode(), Stream.runCount, Effect.either)
        assert.isTrue(Either.isEither(Effect.runSync(read)))
      }
      // Far off: a reader that is quadratic takes minutes, and one that believes a claim takes gigabytes.
      assert.isBelow((process.cpuUsage().user - user) / 1e6, 20, "seconds")
      assert.isBelow(process.memoryUsage().arrayBuffers - memory, 200 * million, "bytes")
    })
  }
})
