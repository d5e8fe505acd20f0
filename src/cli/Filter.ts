/** Which operations a verb is about: `--topic T`, `--author A`. */
import * as Effect from "effect/Effect"
import * as Crypto from "../core/Crypto.ts"
import type { LogId } from "../core/LogId.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import { UsageError } from "./UsageError.ts"

/** As given on the command line. */
export interface Options {
  readonly topic: string | undefined
  readonly author: string | undefined
}

/** As the store takes it. */
export interface Filter {
  readonly logId: LogId | undefined
  readonly author: VerifyingKey.VerifyingKey | undefined
}

/** Reads the options: a topic is 64 hex characters or a name, an author a verifying key. */
export const make = ({ author, topic }: Options): Effect.Effect<Filter, UsageError, Crypto.Crypto> =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const key = author?.toLowerCase()
    if (key !== undefined && !VerifyingKey.is(key)) {
      return yield* new UsageError({
        message: `--author takes a verifying key, 64 hex characters; this is "${author}".`
      })
    }
    return { logId: topic === undefined ? undefined : Topic.logId(crypto, Topic.named(crypto, topic)), author: key }
  })
