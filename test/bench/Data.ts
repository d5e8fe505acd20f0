/** What is measured: signed operations by several authors, the same in every run, and what has to come out of them. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Cbor from "../../src/core/Cbor.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import type * as Hash from "../../src/core/Hash.ts"
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

export const signingKey = (author: number): SigningKey.SigningKey =>
  Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(author + 1)))

/** Messages that are 200 bytes as canonical CBOR, from a seed. */
export const messages = (count: number, seed: number): ReadonlyArray<Message> => {
  const next = random(seed)
  return Array.from({ length: count }, () => {
    const apples = Math.floor(next() * 1000)
    const owner = `owner-${Math.floor(next() * 1000)}`
    // A text of more than 23 bytes has a head of two.
    const room = bodySize - body({ apples, note: "", owner }).length - 1
    const note = Array.from({ length: room }, () => letters[Math.floor(next() * letters.length)]).join("")
    return { apples, note, owner }
  })
}

/** Operations by ten authors who take turns, each in a log of their own. */
export const make = (crypto: Crypto.Service, count: number): Data => {
  const topic = Topic.named(crypto, "bench")
  const logId = Topic.logId(crypto, topic)
  const keys = Array.from({ length: authors }, (_, author) => signingKey(author))
  const heads: Array<Hash.Hash | undefined> = []
  const items = messages(count, 1).map((message, index): Item => {
    const author = index % authors
    const key = keys[author] ?? signingKey(author)
    const extensions = Either.getOrThrow(
      NodeExtensions.encode(
        NodeExtensions.draft({ logId, timestamp: 1_786_000_000_000_000n + BigInt(index), prune: false, previous: [] })
      )
    )
    const seqNum = Math.floor(index / authors)
    const backlink = heads[author]
    const draft = { seqNum, backlink, extensions, body: body(message) }
    const operation = Either.getOrThrow(Operation.signWith(crypto)(key, draft))
    heads[author] = operation.id
    return {
      operation,
      raw: Operation.raw(operation),
      message,
      key: VerifyingKey.toBytes(operation.header.verifyingKey),
      signed: Header.signingBytes(operation.headerBytes)
    }
  })
  return { items, raws: items.map(({ raw }) => raw), topic, logId: LogId.toBytes(logId) }
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
