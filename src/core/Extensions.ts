/**
 * What an application's operations carry besides their body: the log, a timestamp, flags, and whatever a format adds.
 * The header's signature covers them. A format is a `Codec`: `NodeExtensions` (p2panda's node), `OpenExtensions` (ours).
 */
import * as Either from "effect/Either"
import * as CborHead from "./internal/CborHead.ts"
import * as Base from "./internal/ExtensionsCodec.ts"
import * as CborWalk from "./CborWalk.ts"
import * as NodeExtensions from "./NodeExtensions.ts"
import * as OpenExtensions from "./OpenExtensions.ts"

export { InvalidExtensions } from "./internal/ExtensionsCodec.ts"
export type { Codec, Draft, Fields } from "./internal/ExtensionsCodec.ts"

/** Either format, told apart by its `_tag`. */
export type Any = NodeExtensions.NodeExtensions | OpenExtensions.OpenExtensions

/**
 * Reads both formats: an array is taken for node extensions, a map for open ones (behind any tags). Own operations get
 * node extensions, which every p2panda peer reads; only what those have no place for (`previous`, `deletes`) is written as
 * open ones.
 */
export const any: Base.Codec<Any> = {
  decode: (extensions) => {
    if (extensions === undefined) return Either.left(failures.missing)
    // the bytes are from anywhere here, and heads are read only where a walk has been
    const walked = CborWalk.walk(extensions)
    if (Either.isLeft(walked)) return Either.left(failures.decoding(walked.left.message))
    const major = untaggedMajor(extensions)
    if (major === 4) return NodeExtensions.decode(extensions)
    return major === 5
      ? OpenExtensions.decode(extensions)
      : Either.left(failures.decoding("neither an array nor a map"))
  },
  encode: (value) => (value._tag === "Node" ? NodeExtensions.encode(value) : OpenExtensions.encode(value)),
  draft: (fields) =>
    (fields.previous ?? []).length + (fields.deletes ?? []).length > 0
      ? OpenExtensions.draft(fields)
      : NodeExtensions.draft(fields),
  ownsLog: (crypto, topic, value) =>
    (value._tag === "Node"
      ? NodeExtensions.codec.ownsLog?.(crypto, topic, value)
      : OpenExtensions.codec.ownsLog?.(crypto, topic, value)) ?? false
}

// internal

const failures = Base.failures("node or open")

const untaggedMajor = (bytes: Uint8Array): number => {
  let head = CborHead.read(bytes, 0)
  while (head.major === 6) head = CborHead.read(bytes, head.end)
  return head.major
}
