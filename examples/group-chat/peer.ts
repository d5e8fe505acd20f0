/** A peer: a key, a database, and what it says. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto, Topic, type Hash } from "applecart"
import type { Peer } from "../common/peer.ts"
import { Chat } from "./chat.ts"
import * as Transcript from "./transcript.ts"

export { make, type Peer } from "../common/peer.ts"

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
