/** A peer: a key, a database, and mail that is written to files and read from files. */
import { FileSystem } from "@effect/platform"
import { SqliteClient } from "@effect/sql-sqlite-node"
import { Crypto, KeyFile, Operations, OperationSequence, Topic, type SigningKey, type VerifyingKey } from "applecart"
import { Effect, Layer, Stream } from "effect"
import { AppleController } from "./apples.ts"

export interface Peer {
  readonly name: string
  readonly directory: string
  readonly key: SigningKey.SigningKey
  /** The public half of the key: under this name the others know the peer. */
  readonly author: VerifyingKey.VerifyingKey
}

/** Somebody new, with a directory and a signing key of their own. */
export const make = (parent: string, name: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const crypto = yield* Crypto.Crypto
    const directory = `${parent}/${name}`
    yield* files.makeDirectory(directory)
    const key = yield* KeyFile.generate(`${directory}/signing.key`)
    return { name, directory, key, author: crypto.verifyingKey(key) } satisfies Peer
  })

/** The database of the peer that lives in this directory. */
export const database = (directory: string) => SqliteClient.layer({ filename: `${directory}/apples.db` })

/** A running peer: its database, and the controller that writes to it. */
export const layer = (directory: string) => Layer.provideMerge(AppleController.layer, database(directory))

/** Starts the peer, does something, and stops it; so all that is left is what stands in its database. */
export const run = (peer: Peer) => Effect.provide(layer(peer.directory))

const topic = (name: string) => Effect.map(Crypto.Crypto, (crypto) => Topic.named(crypto, name))

/** Tells the world that this peer has picked apples. */
export const pick = ({ key }: Peer, apples: number) =>
  Effect.gen(function* () {
    const { publish } = yield* AppleController
    return yield* publish({ key, topic: yield* topic("orchard"), message: { _tag: "Pick", apples } })
  })

/** Tells the world that this peer gives apples to another. */
export const give = ({ key }: Peer, to: Peer, apples: number) =>
  Effect.gen(function* () {
    const { publish } = yield* AppleController
    return yield* publish({ key, topic: yield* topic("gifts"), message: { _tag: "Give", apples, to: to.author } })
  })

/** Writes all that the peer knows about a topic into a file, as it was signed; gives the file's name. */
export const send = ({ directory }: Peer, about: "orchard" | "gifts") =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const logId = Topic.logId(yield* Crypto.Crypto, yield* topic(about))
    const file = `${directory}/${about}.operations`
    yield* Operations.stream({ logId }).pipe(Stream.map(OperationSequence.encode), Stream.run(files.sink(file)))
    return file
  })

/** Takes in the operations of a file. They are only put into the inbox, durably; `drain` processes them. */
export const receive = (file: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const controller = yield* AppleController
    const received = yield* files.stream(file).pipe(
      OperationSequence.decode(),
      Stream.mapEffect((operation) => controller.receive(operation, { source: file })),
      Stream.runCollect
    )
    return Array.from(received)
  })
