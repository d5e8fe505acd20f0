/** What became of an operation that was processed. */
import type { Hash } from "../core/Hash.ts"
import type * as Rejection from "./Rejection.ts"

/** One of four: accepted, known before, waiting, or rejected with a typed error. */
export type Outcome<E> = Accepted | Known | Deferred | Rejected<E>

/** Committed, with everything it changed. `position`: its place in the local order of acceptance. */
export interface Accepted {
  readonly _tag: "Accepted"
  readonly id: Hash
  readonly position: number
}

/** Where an operation can be; exactly one of these, or nowhere. */
export type Where = "accepted" | "queued" | "waiting" | "rejected" | "discarded" | "pruned"

/** It was here before, and nothing was done. */
export interface Known {
  readonly _tag: "Known"
  readonly id: Hash
  readonly where: Where
}

/** It waits until all of `until` were accepted; then it is decided again. */
export interface Deferred {
  readonly _tag: "Deferred"
  readonly id: Hash
  readonly processor: string
  readonly until: ReadonlyArray<Hash>
}

/** Undone. `processor` (or the application's name) said no with `error`; `next` is what the policy made of it. */
export interface Rejected<out E> {
  readonly _tag: "Rejected"
  readonly id: Hash
  readonly processor: string
  readonly error: E | Rejection.BuiltIn
  /** How often it was tried, this time included; what is refused counts as tried once, since nothing remembers it. */
  readonly attempts: number
  readonly next: Next
}

/** What happens to a rejected operation next. `at`: milliseconds since the epoch. */
export type Next =
  | { readonly _tag: "Held" }
  | { readonly _tag: "Retry"; readonly at: number }
  | { readonly _tag: "Skipped"; readonly position: number }
  | { readonly _tag: "Discarded"; readonly as: "discarded" | "pruned" }
  /** It was not taken in; the sender may send it again. */
  | { readonly _tag: "Refused" }

export const accepted = (id: Hash, position: number): Accepted => ({ _tag: "Accepted", id, position })

/** Said no to, and not taken in. */
export const refused = <E>(id: Hash, processor: string, error: E | Rejection.BuiltIn): Rejected<E> => ({
  _tag: "Rejected",
  id,
  processor,
  error,
  attempts: 1,
  next: { _tag: "Refused" }
})

/** Whether nothing of it was taken in. */
export const isRefused = <E>(outcome: Outcome<E>): boolean =>
  outcome._tag === "Rejected" && outcome.next._tag === "Refused"

export const known = (id: Hash, where: Where): Known => ({ _tag: "Known", id, where })

export const deferred = (id: Hash, processor: string, until: ReadonlyArray<Hash>): Deferred => ({
  _tag: "Deferred",
  id,
  processor,
  until
})
