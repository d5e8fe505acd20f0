/** The verb `show`: one operation taken apart, and where it is. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Bytes from "../core/Bytes.ts"
import * as Extensions from "../core/Extensions.ts"
import * as Header from "../core/Header.ts"
import * as Rejection from "../pipeline/Rejection.ts"
import * as Inspect from "../store/Inspect.ts"
import * as Database from "./Database.ts"
import * as Id from "./Id.ts"
import { iso } from "./lists.ts"
import * as Output from "./Output.ts"

/** `show ID`. */
export const show = (options: { readonly db: string; readonly id: string }) =>
  Effect.gen(function* () {
    const found = yield* Database.look(
      options.db,
      Effect.gen(function* () {
        const id = yield* Id.find(options.id)
        return (yield* Inspect.show(id)) ?? (yield* new Id.NotFound({ id }))
      })
    )
    const fields = { id: found.id, ...place(found), ...content(found) }
    yield* Output.result(text(fields), fields)
  })

// internal

/** Where it is. */
const place = (found: Inspect.Found): Output.Fields => {
  switch (found._tag) {
    case "Accepted":
      return {
        where: found.skipped ? "skipped" : "accepted",
        ...(found.deleted ? { body: "deleted" } : {}),
        position: found.position,
        acceptedAt: iso(found.acceptedAt),
        why: found.why
      }
    case "Queued":
      return { where: "queued", ...received(found) }
    case "Waiting":
      return { where: "waiting", processor: found.processor, until: found.until, ...received(found) }
    case "Rejected": {
      const { data, message, tag } = Rejection.decode(found.reason)
      const notBefore = found.notBefore === undefined ? undefined : iso(found.notBefore)
      return { where: "rejected", processor: found.processor, error: tag, message, data, notBefore, ...received(found) }
    }
    case "Discarded":
      return { where: "discarded", why: found.why, discardedAt: iso(found.goneAt) }
    case "Pruned":
      return { where: "pruned", prunedAt: iso(found.goneAt) }
  }
}

const received = ({ attempts, receivedAt, source }: Inspect.Received): Output.Fields => ({
  attempts,
  receivedAt: iso(receivedAt),
  source
})

/** What it says. */
const content = (found: Inspect.Found): Output.Fields => {
  if (found._tag === "Discarded" || found._tag === "Pruned") return {}
  const { bodySize, bodyStart, logId, topic } = found
  const body = { bodySize: bodySize ?? null, bodyStart: bodyStart === undefined ? undefined : Bytes.toHex(bodyStart) }
  const parsed = Header.parse(found.header)
  if (Either.isLeft(parsed)) return { damaged: parsed.left.message, ...body }
  const { backlink, extensions, payloadHash, payloadSize, seqNum, signature, verifyingKey, version } = parsed.right
  return {
    author: verifyingKey,
    logId,
    topic,
    seqNum,
    backlink,
    version,
    signature: Bytes.toHex(signature),
    payloadSize,
    payloadHash,
    extensions: carried(extensions),
    headerSize: found.header.length,
    ...body
  }
}

const carried = (extensions: Uint8Array | undefined): Output.Fields | undefined => {
  if (extensions === undefined) return undefined
  const bytes = Bytes.toHex(extensions)
  const decoded = Extensions.any.decode(extensions)
  if (Either.isLeft(decoded)) return { bytes }
  const { _tag, previous, prune, timestamp } = decoded.right
  // Microseconds in 64 bits are more than a JSON number holds.
  return { format: _tag.toLowerCase(), timestamp: timestamp?.toString(), prune, previous, bytes }
}

/** Field by field, nested ones further in. */
const text = (fields: Output.Fields): string => Output.table(rows(fields, "", "").map(([name, value]) => [name, value]))

/** `path`: of the field that these are in. Names, too, may be what somebody else wrote: an error is stored with all it holds. */
const rows = (fields: Output.Fields, indent: string, path: string): ReadonlyArray<readonly [string, string]> =>
  Object.entries(fields).flatMap(([key, value]) => {
    const name = indent + Output.safe(key)
    const where = `${path}/${key}`
    if (value === undefined || value === null) return []
    if (Array.isArray(value))
      return value.length === 0 ? [] : [[name, Output.safe(value.map(plain).join(" "))] as const]
    if (typeof value === "object") return [[name, ""] as const, ...rows({ ...value }, `${indent}  `, where)]
    return [[name, readable(where, String(value))] as const]
  })

/** In a list there is no room for the fields of an object. */
const plain = (value: unknown): string =>
  typeof value === "object" && value !== null ? JSON.stringify(value) : String(value)

/** Bodies are often text or hold some; times are told in words beside the number. */
const readable = (where: string, value: string): string => {
  if (where === "/bodyStart") return `${value}  ${Output.safe(new TextDecoder().decode(Bytes.fromHex(value)))}`
  if (where === "/extensions/timestamp") return `${value}${inWords(Number(value) / 1000)}`
  return Output.safe(value)
}

const inWords = (millis: number): string => (millis < 8.64e15 ? `  ${Output.time(millis)} by its author's clock` : "")
