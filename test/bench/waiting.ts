/**
 * What waiting and waking cost, as the backlog grows: a log in reverse order, many operations that wait for one, one that waits
 * for many. The cost of an operation and the memory on top of the data must not depend on how many there are.
 *
 * Exits with 1 when a result is wrong, never because it is slow.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Crypto from "../../src/core/Crypto.ts"
import type * as Hash from "../../src/core/Hash.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Dependencies from "../support/Dependencies.ts"
import * as Mode from "./Mode.ts"
import * as Part from "./Part.ts"
import * as Report from "./Report.ts"

/** A delivery, and what of it waits for what. */
interface Delivery {
  readonly raws: Array<Operation.Raw>
  readonly waits: ReadonlyMap<Hash.Hash, ReadonlyArray<Hash.Hash>>
}

/** How it is handed over: received in pieces and drained, or processed in pieces. */
type Way = "receive+drain" | "process"

const pieces = 1000
const bodySize = 200

const signer = (crypto: Crypto.Service) => {
  const logId = Topic.logId(crypto, Topic.named(crypto, "waiting"))
  const body = new Uint8Array(bodySize).fill(7)
  return (author: number, seqNum: number, backlink: Hash.Hash | undefined) => {
    const seed = new Uint8Array(32)
    new DataView(seed.buffer).setUint32(0, author + 1)
    const draft = NodeExtensions.draft({ logId, timestamp: BigInt(seqNum), prune: false, previous: [] })
    const extensions = Either.getOrThrow(NodeExtensions.encode(draft))
    const key = Either.getOrThrow(SigningKey.fromBytes(seed))
    return Either.getOrThrow(Operation.signWith(crypto)(key, { seqNum, backlink, extensions, body }))
  }
}

/** One log. */
const inOrder = (crypto: Crypto.Service, count: number): Delivery => {
  const sign = signer(crypto)
  const raws: Array<Operation.Raw> = []
  for (let seqNum = 0, head: Hash.Hash | undefined = undefined; seqNum < count; seqNum++) {
    const operation = sign(0, seqNum, head)
    head = operation.id
    raws.push(Operation.raw(operation))
  }
  return { raws, waits: new Map() }
}

/** One log, newest first. */
const reversed = (crypto: Crypto.Service, count: number): Delivery => {
  const { raws, waits } = inOrder(crypto, count)
  return { raws: raws.reverse(), waits }
}

/** Many authors' first operations, which wait for the last one that is delivered. */
const forOne = (crypto: Crypto.Service, count: number): Delivery => {
  const sign = signer(crypto)
  const gate = sign(0, 0, undefined)
  const others = Array.from({ length: count - 1 }, (_, index) => sign(index + 1, 0, undefined))
  return {
    raws: [...others, gate].map(Operation.raw),
    waits: new Map(others.map(({ id }) => [id, [gate.id]]))
  }
}

/** Groups of operations, the first of which waits for all the others. */
const forMany = (crypto: Crypto.Service, count: number, size: number): Delivery => {
  const sign = signer(crypto)
  const waits = new Map<Hash.Hash, ReadonlyArray<Hash.Hash>>()
  const raws: Array<Operation.Raw> = []
  for (let at = 0; at + size < count; at += size + 1) {
    const [first, ...others] = Array.from({ length: size + 1 }, (_, index) => sign(at + index, 0, undefined))
    if (first === undefined) break
    waits.set(
      first.id,
      others.map(({ id }) => id)
    )
    raws.push(...[first, ...others].map(Operation.raw))
  }
  return { raws, waits }
}

/** Wall and processor time so far, in microseconds. */
interface Clock {
  readonly wall: number
  readonly cpu: number
}

const now = (): Clock => {
  const { system, user } = process.cpuUsage()
  return { wall: performance.now() * 1000, cpu: system + user }
}

/** Reads the heap every 1,000 operations; the time that takes does not count. */
class Heap {
  handled = 0
  spent: Clock = { wall: 0, cpu: 0 }
  readonly samples: Array<number> = []
  sample(): void {
    const before = now()
    globalThis.gc?.()
    this.samples.push(process.memoryUsage().heapUsed)
    const after = now()
    this.spent = { wall: this.spent.wall + after.wall - before.wall, cpu: this.spent.cpu + after.cpu - before.cpu }
  }
  note(): void {
    this.handled += 1
    if (this.handled % pieces === 0) this.sample()
  }
  /** The peak over what there was before, in MB. */
  get peak(): number {
    const [before = 0, ...after] = this.samples
    return (Math.max(before, ...after) - before) / 1e6
  }
}

interface Measured {
  /** For one operation, in microseconds; what a busy machine disturbs least is the processor time. */
  readonly each: Clock
  readonly heap: Heap
  readonly longest: number
  readonly problems: ReadonlyArray<string>
}

/** Longest time without a turn of the event loop, in milliseconds. */
const watching = (heap: Heap) => {
  let longest = 0
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now() - heap.spent.wall / 1000
    longest = Math.max(longest, now - last)
    last = now
  }, 1)
  return {
    stop: () => {
      clearInterval(timer)
      return longest
    }
  }
}

const measure = (delivery: Delivery, way: Way): Promise<Measured> =>
  Mode.withFile("normal", (filename) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe(`PRAGMA synchronous = NORMAL`)
      const heap = new Heap()
      const { raws, waits } = delivery
      const controller = yield* StreamController.make({
        pipeline: Pipeline.make(LogIntegrity.processor).pipe(
          Pipeline.andThen(Dependencies.processor(({ id }) => waits.get(id) ?? []))
        ),
        application: Application.bytes({ name: "waiting", version: 1, handle: () => Effect.sync(() => heap.note()) })
      })
      const count = raws.length
      heap.sample()
      heap.spent = { wall: 0, cpu: 0 }
      const watch = watching(heap)
      const before = now()
      for (let at = 0; at < count; at += pieces) {
        const some = raws.slice(at, at + pieces)
        yield* way === "process" ? controller.processAll(some) : controller.receiveAll(some)
      }
      const counts = yield* controller.drain
      const after = now()
      const each = {
        wall: (after.wall - before.wall - heap.spent.wall) / count,
        cpu: (after.cpu - before.cpu - heap.spent.cpu) / count
      }
      const longest = watch.stop()
      return { each, heap, longest, problems: yield* problems(delivery, heap, way, counts) }
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename })), Effect.runPromise)
  )

const problems = ({ raws, waits }: Delivery, { handled }: Heap, way: Way, counts: StreamController.Counts) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const accepted = way === "process" ? 0 : raws.length
    const found: Array<string> = []
    const expect = (what: string, is: unknown, should: unknown) => {
      if (is !== should) found.push(`${what} is ${String(is)} instead of ${String(should)}`)
    }
    const one = (text: string) => Effect.map(sql.unsafe<{ n: number }>(`SELECT ${text} AS n`), ([row]) => row?.n)
    if (raws.length === 0) found.push("there is nothing to measure")
    expect("handled", handled, raws.length)
    expect("accepted by drain", counts.accepted, accepted)
    expect("left", counts.waiting + counts.rejected, 0)
    expect("the number of operations", yield* one("(SELECT count(*) FROM applecart_operations)"), raws.length)
    for (const table of ["inbox", "waiting", "wakes"]) {
      expect(table, yield* one(`(SELECT count(*) FROM applecart_${table})`), 0)
    }
    const position = new Map(
      (yield* sql.unsafe<{ id: string; position: number }>(
        "SELECT lower(hex(id)) AS id, position FROM applecart_operations"
      )).map((row) => [row.id, row.position])
    )
    const early = Array.from(waits).filter(([id, until]) =>
      until.some((other) => (position.get(other) ?? Infinity) > (position.get(id) ?? 0))
    )
    expect("the number of those that did not wait", early.length, 0)
    const gaps = yield* one(`(SELECT count(*) FROM applecart_operations o JOIN applecart_operations p
      ON p.log = o.log AND p.seq_num = o.seq_num - 1 WHERE p.position > o.position)`)
    expect("the number of those before their backlink", gaps, 0)
    return found
  })

const sizes = Part.quick ? [600, 2_000] : [1_000, 10_000, 100_000]

const scenarios: ReadonlyArray<{
  readonly name: string
  readonly way: Way
  readonly make: (crypto: Crypto.Service, count: number) => Delivery
}> = [
  { name: "a log in order, processed", way: "process", make: inOrder },
  { name: "a log in order, received and drained", way: "receive+drain", make: inOrder },
  { name: "a log in reverse, received and drained", way: "receive+drain", make: reversed },
  { name: "a log in reverse, processed", way: "process", make: reversed },
  { name: "all wait for one, received and drained", way: "receive+drain", make: forOne },
  { name: "all wait for one, processed", way: "process", make: forOne },
  { name: "one of 513 waits for the others", way: "process", make: (crypto, count) => forMany(crypto, count, 512) }
]

const main = async (): Promise<void> => {
  const crypto = await Effect.runPromise(Part.crypto)
  const results = new Report.Results()
  // Nobody is measured cold.
  await measure(reversed(crypto, Part.quick ? 500 : 2_000), "process")
  const head = ["operations", "ops/s", "CPU µs", "of the first", "peak heap", "without a turn"]
  console.log(`## Waiting and waking\n\n${"".padEnd(42)}${head.map((cell) => cell.padStart(15)).join("")}`)
  for (const { make, name, way } of scenarios) {
    let first: number | undefined
    for (const size of sizes) {
      const delivery = make(crypto, size)
      const { each, heap, longest, problems } = await measure(delivery, way)
      first ??= each.cpu
      const cells = [
        String(delivery.raws.length),
        String(Math.round(1e6 / each.wall)),
        each.cpu.toFixed(0),
        (each.cpu / first).toFixed(2),
        `${heap.peak.toFixed(1)} MB`,
        `${longest.toFixed(0)} ms`
      ]
      console.log(`${name.padEnd(42)}${cells.map((cell) => cell.padStart(15)).join("")}`)
      const row = `waiting/${name}/${size.toLocaleString("en")}`
      results.note(`${row}/rate`, "ops/s", 1e6 / each.wall)
      results.note(`${row}/cpu`, "µs", each.cpu)
      results.note(`${row}/heap`, "MB", heap.peak)
      results.note(`${row}/gap`, "ms", longest)
      results.wrong(row, problems)
    }
  }
  if (globalThis.gc === undefined) console.log("The heap was read without a collection before (node --expose-gc).")
  console.log("")
  Part.finish(results)
}

await main()
