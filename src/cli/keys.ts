/** Verbs about operations of one's own: `keygen`, `publish`. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Bytes from "../core/Bytes.ts"
import * as Crypto from "../core/Crypto.ts"
import * as Topic from "../core/Topic.ts"
import * as KeyFile from "../store/KeyFile.ts"
import * as Database from "./Database.ts"
import * as Input from "./Input.ts"
import * as Output from "./Output.ts"
import { UsageError } from "./UsageError.ts"

/** `keygen FILE`. */
export const keygen = ({ file }: { readonly file: string }) =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const verifyingKey = crypto.verifyingKey(yield* KeyFile.generate(file))
    yield* Output.result(
      `Made a signing key in ${file}, which only you can read. Whoever has it can write in your name.\n` +
        `Its verifying key, for others to know you by:\n  ${verifyingKey}`,
      { verifyingKey, file }
    )
  }).pipe(Effect.provide(Crypto.layer))

/** The body is larger than what `ingest` takes. */
export class BodyTooLarge extends Data.TaggedError("BodyTooLarge")<{ readonly limit: number }> {
  override get message() {
    return `The body is larger than ${this.limit} bytes. Nothing was published; split it.`
  }
}

/** `publish --key FILE --topic T [BODY or -]`. */
export const publish = (options: {
  readonly db: string
  readonly key: string
  readonly topic: string
  readonly body: string | undefined
}) =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    // It must not be told that there is no file of this name.
    if (options.key.length === 64 && Bytes.isHex(options.key)) return yield* new UsageError({ message: notAFile })
    const key = yield* KeyFile.load(options.key)
    const topic = Topic.named(crypto, options.topic)
    const message = yield* body(options.body)
    const published = yield* Database.work(options.db, true, (controller) =>
      // What waited for it is free now.
      Effect.zipLeft(controller.publish({ key, topic, message }), controller.drain)
    )
    const { id, operation, position, seqNum } = published
    const fields = {
      id,
      seqNum,
      position,
      author: operation.header.verifyingKey,
      topic,
      logId: Topic.logId(crypto, topic),
      payloadSize: operation.header.payloadSize
    }
    yield* Output.result(
      `Published ${id}\n  number ${seqNum} in your log of this topic, position ${position} here. To hand it on: applecart export`,
      fields
    )
  }).pipe(Effect.provide(Crypto.layer))

// internal

const notAFile =
  "--key takes the name of a file; this looks like a key itself. What is typed here others can read, and shells remember: if it is your key, make a new one (keygen)."

/** Leaves room for the header in what `OperationSequence` reads by default. */
const limit = 127 * 1024 * 1024

const body = (given: string | undefined) =>
  Effect.gen(function* () {
    if (given === undefined) return undefined
    if (given !== "-") return new TextEncoder().encode(given)
    const { bytes } = yield* Input.open("-")
    const parts: Array<Uint8Array> = []
    let size = 0
    yield* Stream.runForEach(bytes, (part) => {
      parts.push(part)
      size += part.length
      return size > limit ? new BodyTooLarge({ limit }) : Effect.void
    })
    return Bytes.concat(parts)
  })
