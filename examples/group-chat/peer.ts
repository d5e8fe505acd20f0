/** A peer: a key, a database, and what it says. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto, SigningKey, Topic, type Hash, type VerifyingKey } from "applecart"
import { Chat } from "./chat.ts"
import * as Transcript from "./transcript.ts"

export interface Peer {
  readonly name: string
  readonly directory: string
  readonly key: SigningKey.SigningKey
  readonly author: VerifyingKey.VerifyingKey
}

/** Somebody new. The key is made of the name, so that the story is the same every time; yours comes from `KeyFile.generate`. */
export const make = (parent: string, name: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const crypto = yield* Crypto.Crypto
    const directory = `${parent}/${name}`
    yield* files.makeDirectory(directory)
    const key = yield* SigningKey.fromHex(crypto.hash(new TextEncoder().encode(name)))
    return { name, directory, key, author: crypto.verifyingKey(key) } satisfies Peer
  })

/** Starts the peer, does something, and stops it; so all that is left is what stands in its database. */
export const run = ({ directory }: Peer) =>
  Effect.provide(Layer.provideMerge(Chat.layer, SqliteClient.layer({ filename: `${directory}/chat.db` })))

/** The one room that all of them talk in. */
export const room = Effect.map(Crypto.Crypto, (crypto) => Topic.named(crypto, "the farm"))

/** Says something, perhaps about what somebody has said. */
export const say = (peer: Peer, text: string, quote?: Hash.Hash) =>
  Effect.gen(function* () {
    const { publish } = yield* Chat
    const message = { _tag: "Say", text, ...(quote === undefined ? {} : { quote }) } as const
    const { id } = yield* publish({ key: peer.key, topic: yield* room, message })
    return id
  }).pipe(run(peer))

/** Takes back what it has said. */
export const takeBack = (peer: Peer, id: Hash.Hash) =>
  Effect.gen(function* () {
    const { publish } = yield* Chat
    return (yield* publish({ key: peer.key, topic: yield* room, deletes: [id] })).id
  }).pipe(run(peer))

/** Throws away all that it has said, but for some messages, which it repeats at their place in the talk. */
export const prune = (peer: Peer, keep: ReadonlyArray<Hash.Hash>) =>
  Effect.gen(function* () {
    const { publish } = yield* Chat
    const kept = (yield* Transcript.read(yield* room)).flatMap(({ counter, id, quote, text, time }) =>
      text === undefined || !keep.includes(id)
        ? []
        : [{ id, text, time, counter, ...(quote === undefined ? {} : { quote }) }]
    )
    const message = { _tag: "Snapshot", kept } as const
    return (yield* publish({ key: peer.key, topic: yield* room, prune: true, message })).id
  }).pipe(run(peer))
