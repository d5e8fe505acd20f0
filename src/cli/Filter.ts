/** Which operations a verb is about: `--topic T`, `--author A`. */
import * as Effect from "effect/Effect"
import * as Crypto from "../core/Crypto.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Filter from "../store/Filter.ts"
import { UsageError } from "./UsageError.ts"

/** As given on the command line. */
export interface Options {
  readonly topic: string | undefined
  readonly author: string | undefined
}

/** What the options mean. */
export interface Which {
  readonly topic: Topic.Topic | undefined
  readonly author: VerifyingKey.VerifyingKey | undefined
}

/** Reads the options: a topic is 64 hex characters or a name, an author a verifying key. */
export const which = ({ author, topic }: Options): Effect.Effect<Which, UsageError, Crypto.Crypto> =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const key = author?.toLowerCase()
    if (key !== undefined && !VerifyingKey.is(key)) {
      return yield* new UsageError({
        message: `--author takes a verifying key, 64 hex characters; this is "${author}".`
      })
    }
    return { topic: topic === undefined ? undefined : Topic.named(crypto, topic), author: key }
  })

/** {@link which}, as the store takes it. */
export const make = (options: Options): Effect.Effect<Filter.Filter, UsageError, Crypto.Crypto> =>
  Effect.flatMap(which(options), (meant) => Effect.map(Crypto.Crypto, (crypto) => Filter.make(crypto, meant)))
