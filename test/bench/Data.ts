/** What is measured: signed operations by several authors, the same in every run, and what has to come out of them. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Cbor from "../../src/core/Cbor.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Hash from "../../src/core/Hash.ts"
import * as Header from "../../src/core/Header.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"

/** The body of every operation. */
export const Message = Schema.Struct({ apples: Schema.Int, note: Schema.String, owner: Schema.String })
export type Message = typeof Message.Type

/** An operation, its message, and what its signature is checked with. */
export interface Item {
  readonly operation: Operation.Operation
  readonly raw: Operation.Raw
  readonly message: Message
  readonly topic: Topic.Topic
  readonly logId: LogId.LogId
  readonly key: Uint8Array
  readonly signed: Uint8Array
}

export interface Data {
  readonly items: ReadonlyArray<Item>
  readonly raws: ReadonlyArray<Operation.Raw>
  readonly topic: Topic.Topic
  readonly logId: Uint8Array
}

export const authors = 10
export const bodySize = 200

export const signingKey = (author: number): SigningKey.SigningKey => {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(0, author + 1)
  return Either.getOrThrow(SigningKey.fromBytes(bytes))
}

/** Messages that are so many bytes as canonical CBOR, one with every call, from a seed. */
export const writer = (size: number, seed: number): (() => Message) => {
  const next = random(seed)
  // Where a note begins in it is random: a letter at a time would take longer than signing.
  const text = Array.from({ length: size + 1000 }, () => letters[Math.floor(next() * letters.length)]).join("")
  return () => {
    const apples = Math.floor(next() * 1000)
    const owner = `owner-${Math.floor(next() * 1000)}`
    const from = Math.floor(next() * 1000)
    const room = noteSize(size - body({ apples, note: "", owner }).length)
    return { apples, note: text.slice(from, from + room), owner }
  }
}

/** Messages that are 200 bytes as canonical CBOR, from a seed. */
export const messages = (count: number, seed: number): ReadonlyArray<Message> =>
  Array.from({ length: count }, writer(bodySize, seed))

/** Who writes about what, and how much at a time. */
export interface Shape {
  readonly authors: number
  readonly topics: number
  readonly bodySize: number
}

/** Operations of one topic before the next one has its turn. */
export const turn = 100

/**
 * Operations without end, made as they are asked for: authors take turns, and topics do, {@link turn} operations each. An author
 * has a log in every topic.
 */
export function* generate(crypto: Crypto.Service, shape: Shape): Generator<Item, never> {
  const message = writer(shape.bodySize, 1)
  const keys = Array.from({ length: shape.authors }, (_, author) => signingKey(author))
  const topics = Array.from({ length: shape.topics }, (_, nth) =>
    Topic.named(crypto, nth === 0 ? "bench" : `bench ${nth}`)
  )
  // What it remembers does not grow: somebody may be looking at the heap.
  const heads = new Uint8Array(32 * shape.authors * shape.topics)
  const lengths = new Uint32Array(shape.authors * shape.topics)
  for (let index = 0; ; index++) {
    const author = index % shape.authors
    const nth = Math.floor(index / turn) % shape.topics
    const log = author * shape.topics + nth
    const key = keys[author] ?? signingKey(author)
    const topic = topics[nth] ?? Topic.named(crypto, "bench")
    const seqNum = lengths[log] ?? 0
    const head = heads.subarray(32 * log, 32 * log + 32)
    const backlink = seqNum === 0 ? undefined : Hash.fromBytes(head)
    const one = item(crypto, key, topic, { index, seqNum, backlink, message: message() })
    head.set(Hash.toBytes(one.operation.id))
    lengths[log] = seqNum + 1
    yield one
  }
}

/** The next so many. */
export const take = (from: Generator<Item, never>, count: number): ReadonlyArray<Item> =>
  Array.from({ length: count }, () => from.next().value)

/** Operations by ten authors who take turns, each in a log of their own. */
export const make = (crypto: Crypto.Service, count: number): Data => {
  const items = take(generate(crypto, { authors, topics: 1, bodySize }), count)
  const topic = Topic.named(crypto, "bench")
  return { items, raws: items.map(({ raw }) => raw), topic, logId: LogId.toBytes(Topic.logId(crypto, topic)) }
}

/** The first so many of them. */
export const first = (data: Data, count: number): Data => ({
  ...data,
  items: data.items.slice(0, count),
  raws: data.raws.slice(0, count)
})

// internal

const letters = "abcdefghijklmnopqrstuvwxyz "

const body = (message: Message): Uint8Array => Either.getOrThrow(Cbor.encode(message))

/** How long a note is that makes a body longer by so many bytes; the head of a text grows with it. */
const noteSize = (more: number): number => {
  const fits = [
    [0, 23],
    [1, 0xff],
    [2, 0xffff],
    [4, 0xffff_ffff]
  ] as const
  const [head] = fits.find(([head, most]) => more - head <= most) ?? [0]
  return Math.max(0, more - head)
}

/** What an operation says. */
interface Saying {
  readonly index: number
  readonly seqNum: number
  readonly backlink: Hash.Hash | undefined
  readonly message: Message
}

const item = (
  crypto: Crypto.Service,
  key: SigningKey.SigningKey,
  topic: Topic.Topic,
  { backlink, index, message, seqNum }: Saying
): Item => {
  const logId = Topic.logId(crypto, topic)
  const timestamp = 1_786_000_000_000_000n + BigInt(index)
  const extensions = Either.getOrThrow(
    NodeExtensions.encode(NodeExtensions.draft({ logId, timestamp, prune: false, previous: [] }))
  )
  const draft = { seqNum, backlink, extensions, body: body(message) }
  const operation = Either.getOrThrow(Operation.signWith(crypto)(key, draft))
  return {
    operation,
    raw: Operation.raw(operation),
    message,
    topic,
    logId,
    key: VerifyingKey.toBytes(operation.header.verifyingKey),
    signed: Header.signingBytes(operation.headerBytes)
  }
}

/** mulberry32: small, and the same everywhere. */
const random = (seed: number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
