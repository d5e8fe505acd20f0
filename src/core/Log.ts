/**
 * A log: the operations of one author under one log id, a chain without gaps that may begin at a prune point.
 *
 * The rules are p2panda's (`validate_prunable_backlink`), read as a question about a *place*: where an operation stands
 * next to the head of its log. A gap is not an error here, it only means "not yet".
 */
import type * as Brand from "effect/Brand"
import type { Hash } from "./Hash.ts"
import type { LogId } from "./LogId.ts"
import * as LogIds from "./LogId.ts"
import type { VerifyingKey } from "./VerifyingKey.ts"
import * as VerifyingKeys from "./VerifyingKey.ts"

/** The largest sequence number: p2panda holds it in 32 bits. A log that has reached it is full. */
export const maxSeqNum = 0xffff_ffff

/** Names one log: `author/logId`, both as hex. Comparable, so that it can be the key of a map. */
export type Key = string & Brand.Brand<"applecart/Log">

/** The key of the log that `author` writes under `logId`. */
// The one place where a log key is made; both halves are branded, so that nothing else can become one.
export const key = (author: VerifyingKey, logId: LogId): Key => `${author}/${logId}` as Key

/** Whose log it is, and its log id; none if the text is no key of a log. */
export const parse = (text: string): { readonly author: VerifyingKey; readonly logId: LogId } | undefined => {
  const [author = "", logId = "", more] = text.split("/")
  return VerifyingKeys.is(author) && LogIds.is(logId) && more === undefined ? { author, logId } : undefined
}

/** The newest operation of a log, and how far the log was pruned. */
export interface Head {
  readonly seqNum: number
  readonly id: Hash
  /** Operations with a smaller sequence number are gone for good: a prune operation stood here. 0: nothing was pruned. */
  readonly prunedBelow: number
}

/** What an operation says about its own place. */
export interface Claim {
  readonly seqNum: number
  readonly backlink: Hash | undefined
  readonly prune: boolean
}

/**
 * Where an operation stands.
 *
 * - `Next`: it may be appended.
 * - `Gap`: operations before it are missing; `missing` is the one directly before it.
 * - `Fork`: the place is taken by another operation (`taken`), or the place before it is.
 * - `Outdated`: the log was pruned past it.
 */
export type Place =
  | { readonly _tag: "Next" }
  | { readonly _tag: "Gap"; readonly missing: Hash }
  | { readonly _tag: "Fork"; readonly seqNum: number }
  | { readonly _tag: "Outdated"; readonly prunedBelow: number }

const next: Place = { _tag: "Next" }

/**
 * Decides about the place of an operation that is not in the log yet.
 *
 * A prune operation ahead of the head is always next, whatever is missing before it and whatever its backlink says: it
 * makes the rest of the log unnecessary. p2panda also takes one *behind* the head, which lets a relaying peer bring
 * pruned operations back; that one is `Outdated` or a `Fork` here.
 */
export const place = (head: Head | undefined, claim: Claim): Place => {
  if (claim.prune && claim.seqNum > (head?.seqNum ?? -1)) return next
  const expected = head === undefined ? 0 : head.seqNum + 1
  if (claim.seqNum > expected) return claim.backlink === undefined ? fork(claim.seqNum) : gap(claim.backlink)
  if (claim.seqNum === expected) return claim.backlink === head?.id ? next : fork(claim.seqNum - 1)
  return claim.seqNum < (head?.prunedBelow ?? 0)
    ? { _tag: "Outdated", prunedBelow: head?.prunedBelow ?? 0 }
    : fork(claim.seqNum)
}

/** The head after an operation with this claim was appended. */
export const append = (head: Head | undefined, id: Hash, claim: Claim): Head => ({
  seqNum: claim.seqNum,
  id,
  prunedBelow: claim.prune ? claim.seqNum : (head?.prunedBelow ?? 0)
})

// internal

const gap = (missing: Hash): Place => ({ _tag: "Gap", missing })
const fork = (seqNum: number): Place => ({ _tag: "Fork", seqNum })
