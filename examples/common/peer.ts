/** A peer of a story: a name, a directory and a key. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { Crypto, SigningKey, type VerifyingKey } from "applecart"

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
