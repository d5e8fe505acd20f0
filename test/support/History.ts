/** The topic that tests of the system layers are about, and operations in it that are written by hand. */
import * as Either from "effect/Either"
import type { Hash } from "../../src/core/Hash.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as History from "../../src/testing/History.ts"
import { native } from "../core/support.ts"

/** That of `History.write`. */
export const topic = History.topic(native, 0)
export const logId = Topic.logId(native, topic)

/** Signs an operation of an author with open extensions. */
export const sign = (
  author: number,
  draft: {
    readonly seqNum: number
    readonly backlink: Hash | undefined
    readonly extensions: OpenExtensions.OpenExtensions
    readonly body: Uint8Array | undefined
  }
): Operation.Operation =>
  Either.getOrThrow(
    Operation.signWith(native)(History.signingKey(author), {
      ...draft,
      extensions: Either.getOrThrow(OpenExtensions.encode(draft.extensions))
    })
  )
