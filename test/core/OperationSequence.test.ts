import { describe, expect, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Stream from "effect/Stream"
import * as Bytes from "../../src/core/Bytes.ts"
import * as SequenceReader from "../../src/core/internal/SequenceReader.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import { bytesOf, cryptos, logs, mutate, native, random } from "./support.ts"

type Read = {
  readonly items: ReadonlyArray<Operation.Raw>
  readonly error: OperationSequence.InvalidSequence | undefined
}

/** Everything that comes out, and how it ends. */
const read = (chunks: Iterable<Uint8Array>, options?: OperationSequence.Options): Effect.Effect<Read> =>
  Effect.gen(function* () {
    const items: Array<Operation.Raw> = []
    const decoded = Stream.fromIterable(chunks).pipe(OperationSequence.decode(options))
    const end = yield* Effect.either(Stream.runForEach(decoded, (item) => Effect.sync(() => void items.push(item))))
    return { items, error: Either.isLeft(end) ? end.left : undefined }
  })

const pieces = (bytes: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.slice(at * size, (at + 1) * size))

const raw: FastCheck.Arbitrary<Operation.Raw> = FastCheck.record({
  header: FastCheck.uint8Array({ maxLength: 300 }),
  body: FastCheck.option(FastCheck.uint8Array({ maxLength: 300 }), { nil: undefined })
})
const hex = (text: string) => Bytes.fromHex(text.replaceAll(" ", ""))

describe.each(["logs", "pruned"] as const)("OperationSequence, %s.cbor", (name) => {
  const bytes = bytesOf(`${name}.cbor`)
  const expected = logs(name)

  it.effect("reads every operation, all valid, and writes the same bytes", () =>
    Effect.gen(function* () {
      expect(native.hash(bytes)).toBe(expected.blake3OfFile)
      const { items, error } = yield* read(pieces(bytes, 65_536))
      expect(error).toBe(undefined)
      expect(items).toHaveLength(expected.operations)
      expect(Bytes.equals(Bytes.concat(items.map(OperationSequence.encode)), bytes)).toBe(true)
      const heads = new Map<string, { from: number; to: number; head: string }>()
      for (const item of items) {
        const { id, header } = Either.getOrThrow(Operation.decodeWith(native)(item))
        const { logId } = Either.getOrThrow(NodeExtensions.decode(header.extensions))
        const log = `${header.verifyingKey}/${logId}`
        heads.set(log, { from: heads.get(log)?.from ?? header.seqNum, to: header.seqNum, head: id })
      }
      const logged = expected.logs.map(
        ({ author, logId, from, to, head }) => [`${author}/${logId}`, { from, to, head }] as const
      )
      expect(heads).toEqual(new Map(logged))
    })
  )

  it.each(cryptos)("both libraries accept all of it ($name)", async (crypto) => {
    const { items } = await Effect.runPromise(read([bytes]))
    const decode = Operation.decodeWith(crypto)
    expect(items.filter((item) => Either.isLeft(decode(item)))).toEqual([])
  })

  it.effect("any chunking gives the same", () =>
    Effect.gen(function* () {
      const part = bytes.subarray(0, 60_000)
      const whole = yield* read([part])
      expect(whole.items.length).toBeGreaterThan(50)
      for (const size of [1, 7, 64, 1000, 16_384]) expect(yield* read(pieces(part, size))).toEqual(whole)
    })
  )
})

describe("OperationSequence", () => {
  it.effect("every cut, in two chunks: the same operations", () =>
    Effect.gen(function* () {
      const operations: ReadonlyArray<Operation.Raw> = [
        { header: new Uint8Array(0), body: undefined },
        { header: Uint8Array.of(1), body: new Uint8Array(0) },
        { header: new Uint8Array(24).fill(2), body: new Uint8Array(300).fill(3) },
        { header: new Uint8Array(256).fill(4), body: undefined }
      ]
      const bytes = Bytes.concat(operations.map(OperationSequence.encode))
      for (let cut = 0; cut <= bytes.length; cut++) {
        const { items, error } = yield* read([bytes.slice(0, cut), bytes.slice(cut)])
        if (error !== undefined || items.length !== 4) expect.unreachable(`cut at ${cut}`)
        expect(items).toEqual(operations)
      }
    })
  )

  it.effect("every truncation: the whole items, then an error at the end of the bytes", () =>
    Effect.gen(function* () {
      const item = OperationSequence.encode({ header: new Uint8Array(30).fill(1), body: new Uint8Array(260).fill(2) })
      const bytes = Bytes.concat([item, item, item])
      for (let end = 0; end <= bytes.length; end++) {
        const { items, error } = yield* read(pieces(bytes.subarray(0, end), 50))
        expect(items).toHaveLength(Math.floor(end / item.length))
        if (end % item.length === 0) expect(error).toBe(undefined)
        else expect(error).toMatchObject({ reason: "Truncated", offset: end, item: items.length })
      }
    })
  )

  it("written and read back in random chunks", () =>
    FastCheck.assert(
      FastCheck.asyncProperty(
        FastCheck.array(raw, { maxLength: 8 }),
        FastCheck.array(FastCheck.nat(400), { maxLength: 30 }),
        async (operations, cuts) => {
          const bytes = Bytes.concat(operations.map(OperationSequence.encode))
          const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
          const chunks = places.slice(1).map((to, at) => bytes.slice(places[at], to))
          expect(await Effect.runPromise(read(chunks))).toEqual({ items: operations, error: undefined })
        }
      ),
      { numRuns: 500 }
    ))

  it.effect.each([
    ["00", "UnexpectedType", 0],
    ["81 40", "UnexpectedType", 0],
    ["83 40 f6 00", "UnexpectedType", 0],
    ["ff", "UnexpectedType", 0],
    ["9f 40 f6 ff", "NonDeterministic", 0],
    ["9802 40 f6", "NonDeterministic", 0],
    ["82 f6 f6", "UnexpectedType", 1],
    ["82 60 f6", "UnexpectedType", 1],
    ["82 40 f7", "UnexpectedType", 2],
    ["82 40 00", "UnexpectedType", 2],
    ["82 40 60", "UnexpectedType", 2],
    ["82 5c", "UnexpectedType", 1],
    ["82 5f 40 ff f6", "NonDeterministic", 1],
    ["82 5801 00 f6", "NonDeterministic", 1],
    ["82 590001 00 f6", "NonDeterministic", 1],
    ["82 40 5801 00", "NonDeterministic", 2],
    ["82 5bffffffffffffffff", "TooLarge", 1],
    ["82 5a7fffffff", "TooLarge", 1],
    ["82 40 5a0fffffff", "TooLarge", 2],
    ["82", "Truncated", 1],
    ["82 58", "Truncated", 2],
    ["82 40", "Truncated", 2]
  ] as const)("%s: %s at %i, after everything before it", ([text, reason, at]) =>
    Effect.gen(function* () {
      const before = { header: Uint8Array.of(1, 2, 3), body: undefined }
      const start = OperationSequence.encode(before)
      const after = reason === "Truncated" ? [] : [start]
      const bytes = Bytes.concat([start, start, hex(text), ...after])
      for (const chunks of [[bytes], pieces(bytes, 1), pieces(bytes, 5)]) {
        const { items, error } = yield* read(chunks)
        expect(items).toEqual([before, before])
        expect(error).toMatchObject({ _tag: "InvalidSequence", reason, offset: 2 * start.length + at, item: 2 })
        expect(error?.message).toContain(`byte ${2 * start.length + at}`)
      }
    })
  )

  it.effect("the limit counts the item with its heads", () =>
    Effect.gen(function* () {
      const item = OperationSequence.encode({ header: new Uint8Array(50), body: new Uint8Array(100) })
      expect(yield* read([item, item], { maxItemBytes: item.length })).toMatchObject({
        error: undefined,
        items: [{}, {}]
      })
      expect((yield* read([item], { maxItemBytes: item.length - 1 })).error).toMatchObject({ reason: "TooLarge" })
    })
  )

  it.effect("what is emitted is memory of its own", () =>
    Effect.gen(function* () {
      const chunk = OperationSequence.encode({ header: Uint8Array.of(1), body: Uint8Array.of(2) })
      const { items } = yield* read([chunk])
      chunk.fill(0)
      expect(items).toEqual([{ header: Uint8Array.of(1), body: Uint8Array.of(2) }])
      expect(items[0]?.header.buffer.byteLength).toBe(1)
    })
  )

  it.effect("chunks that the source uses again are not written to", () =>
    Effect.gen(function* () {
      const bytes = OperationSequence.encode({ header: new Uint8Array(100).fill(7), body: undefined })
      const chunks = pieces(bytes, 10)
      const copies = chunks.map((chunk) => chunk.slice())
      yield* read(chunks)
      expect(chunks).toEqual(copies)
    })
  )

  it.effect("a run begins anew, and the source's failure comes through after what it gave", () =>
    Effect.gen(function* () {
      const item = OperationSequence.encode({ header: Uint8Array.of(1), body: undefined })
      const broken = Stream.concat(Stream.make(Bytes.concat([item, item.subarray(0, 2)])), Stream.fail("disk"))
      const decoded = broken.pipe(OperationSequence.decode())
      for (const _ of [1, 2]) {
        let items = 0
        const error = yield* Effect.flip(Stream.runForEach(decoded, () => Effect.sync(() => void items++)))
        expect([items, error]).toEqual([1, "disk"])
      }
    })
  )

  it.effect("operations come in chunks, and no more is read than is asked for", () =>
    Effect.gen(function* () {
      const item = OperationSequence.encode({ header: new Uint8Array(100), body: undefined })
      const many = Bytes.concat(Array.from({ length: 500 }, () => item))
      const sizes = yield* Stream.runCollect(
        Stream.map(Stream.chunks(OperationSequence.decode()(Stream.make(many))), Chunk.size)
      )
      expect([...sizes]).toEqual([500])
      let pulled = 0
      const source = Stream.tap(Stream.repeatValue(many), () => Effect.sync(() => void pulled++)).pipe(
        Stream.rechunk(1)
      )
      yield* Stream.runDrain(Stream.take(OperationSequence.decode()(source), 1200))
      expect(pulled).toBeLessThan(8)
    })
  )

  it.effect("memory follows what came, not what was declared, and is given back", () =>
    Effect.gen(function* () {
      // an item of 8 MB in small pieces, again and again: 400 MB in all
      const body = new Uint8Array(8_000_000)
      const chunks = pieces(OperationSequence.encode({ header: Uint8Array.of(1), body }), 40_000)
      const before = process.memoryUsage().arrayBuffers
      let largest = 0
      let items = 0
      const source = Stream.flatMap(Stream.range(1, 50), () => Stream.fromIterable(chunks))
      yield* Stream.runForEach(OperationSequence.decode()(source), () =>
        Effect.sync(() => {
          items++
          largest = Math.max(largest, process.memoryUsage().arrayBuffers - before)
        })
      )
      expect(items).toBe(50)
      expect(largest).toBeLessThan(250_000_000)
    })
  )

  it("100,000 mutations: operations and a typed end, never a throw", async () => {
    const { below } = random(21)
    const seed = bytesOf("logs.cbor").slice(0, 700)
    const ends = new Map<string, number>()
    for (let times = 0; times < 100_000; times++) {
      const bytes = mutate(seed, below)
      const cut = below(bytes.length + 1)
      const { items, failure } = push([bytes.slice(0, cut), bytes.slice(cut)])
      const end = failure?.reason ?? "ok"
      ends.set(end, (ends.get(end) ?? 0) + 1)
      if (failure !== undefined && (failure.item !== items.length || failure.offset > bytes.length))
        expect.unreachable(Bytes.toHex(bytes))
      // what was read is what stands there
      const again = Bytes.concat(items.map(OperationSequence.encode))
      if (!Bytes.equals(again, bytes.subarray(0, again.length))) expect.unreachable(Bytes.toHex(bytes))
      // the stream is this reader and nothing else
      if (times % 100 === 0) {
        const streamed = await Effect.runPromise(read([bytes]))
        expect(streamed.items).toEqual(items)
        expect(streamed.error?.reason).toBe(failure?.reason)
      }
    }
    for (const end of ["ok", "Truncated", "UnexpectedType", "NonDeterministic", "TooLarge"])
      expect(ends.get(end) ?? 0, end).toBeGreaterThan(20)
  })
})

/** The reader without the stream around it. */
const push = (chunks: ReadonlyArray<Uint8Array>) => {
  const reader = SequenceReader.make(1_000_000)
  const items: Array<Operation.Raw> = []
  const failure = SequenceReader.push(reader, Chunk.fromIterable(chunks), items) ?? SequenceReader.end(reader)
  return { items, failure }
}
