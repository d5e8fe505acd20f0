/**
 * What is written about operations that were decided: the accepted ones leave the inbox, the others stay there with what
 * they wait for or why they were rejected, and what waited for the accepted ones is woken.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import type * as Batch from "../../pipeline/Batch.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Outcome from "../../pipeline/Outcome.ts"
import * as Policy from "../../pipeline/Policy.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Decisions from "../../store/Decisions.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Operations from "../../store/Operations.ts"
import * as Topics from "../../store/Topics.ts"
import type { Transaction } from "../../store/Transaction.ts"
import * as Waiting from "../../store/Waiting.ts"
import { InboxFull } from "../Errors.ts"
import * as Candidates from "./candidates.ts"

/** An operation and what became of it. */
export interface Decision<X extends Extensions.Fields, E> {
  readonly candidate: Candidates.Candidate<X>
  readonly decided: Batch.Decided<E>
}

/** What a round leaves. */
export interface Settled<X extends Extensions.Fields, E> {
  readonly outcomes: ReadonlyArray<Outcome.Outcome<E>>
  /** To be decided again at once, without ever having been in the inbox. */
  readonly again: ReadonlyArray<Candidates.Candidate<X>>
}

/** What is decided about operations that were not accepted. */
export interface Rules<E> {
  readonly policy: (error: E | Rejection.BuiltIn) => Policy.Policy
  /** Operations that the inbox holds at the most. */
  readonly capacity: number
}

/** Writes what became of a round of operations. `isAccepted`: whether an operation was, in this batch. */
export const settle = <X extends Extensions.Fields, E>(
  round: ReadonlyArray<Decision<X, E>>,
  isAccepted: (id: Hash) => boolean,
  rules: Rules<E>
): Effect.Effect<Settled<X, E>, SqlError | InboxFull, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const outcomes: Array<Outcome.Outcome<E>> = []
    const again: Array<Candidates.Candidate<X>> = []
    const waits = yield* unmet(round, isAccepted)
    const staying = round.filter((one, index) => stays(one, waits.get(index), rules))
    if (staying.length > 0 && !(yield* Inbox.hasRoom(staying.length, rules.capacity))) {
      return yield* new InboxFull({ capacity: rules.capacity })
    }
    yield* Inbox.put(staying.map(({ candidate }) => Candidates.incoming(candidate)))
    yield* Inbox.take(
      round.flatMap(({ candidate, decided }) =>
        decided._tag === "Accepted" && candidate.entry !== undefined ? [candidate.entry] : []
      )
    )
    for (const [index, { candidate, decided }] of round.entries()) {
      const { id } = candidate.event
      if (decided._tag === "Accepted") outcomes.push(Outcome.accepted(id, decided.position))
      else if (decided._tag === "Rejected") outcomes.push(yield* reject(candidate, decided, rules))
      else {
        const until = waits.get(index) ?? { _tag: "Met" }
        if (until._tag === "Again") again.push(candidate)
        else if (until._tag === "Unmet") {
          yield* Waiting.wait(id, decided.processor, until.hashes)
          outcomes.push(Outcome.deferred(id, decided.processor, until.hashes))
        } else outcomes.push(yield* reject(candidate, stuck(decided), rules))
      }
    }
    return { outcomes, again }
  })

/** Writes a rejection and what the policy makes of it; the operation is in the inbox unless it is to be discarded. */
const reject = <X extends Extensions.Fields, E>(
  candidate: Candidates.Candidate<X>,
  rejected: { readonly processor: string; readonly error: E | Rejection.BuiltIn },
  { policy }: Rules<E>
): Effect.Effect<Outcome.Rejected<E>, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const { id } = candidate.event
    const { error, processor } = rejected
    const attempts = candidate.attempts + 1
    const chosen = policy(error)
    const now = yield* Clock.currentTimeMillis
    const outcome = (next: Outcome.Next): Outcome.Rejected<E> => ({
      _tag: "Rejected",
      id,
      processor,
      error,
      attempts,
      next
    })
    if (chosen._tag === "Discard") {
      yield* Inbox.take(candidate.entry === undefined ? [] : [candidate.entry])
      if (chosen.as === "pruned") {
        yield* Topics.learn([Candidates.told(candidate.event)])
        yield* Decisions.pruned([id], now)
        yield* Waiting.meetAll([id])
      } else yield* Decisions.record(id, "discarded", Rejection.encode(error), now)
      return outcome({ _tag: "Discarded" })
    }
    const delay = chosen._tag === "Retry" ? yield* Policy.delay(chosen.schedule, attempts, now) : Option.none()
    const notBefore = Option.isSome(delay) ? now + Duration.toMillis(delay.value) : undefined
    yield* Inbox.reject(id, { processor, reason: Rejection.encode(error), attempts, notBefore })
    return outcome(notBefore === undefined ? { _tag: "Held" } : { _tag: "Retry", at: notBefore })
  })

// internal

/** What of a deferral is left: some hashes, nothing since it was accepted in this very round, or nothing at all. */
type Wait =
  | { readonly _tag: "Unmet"; readonly hashes: ReadonlyArray<Hash> }
  | { readonly _tag: "Again" }
  | { readonly _tag: "Met" }

const unmet = <X extends Extensions.Fields, E>(
  round: ReadonlyArray<Decision<X, E>>,
  accepted: (id: Hash) => boolean
): Effect.Effect<ReadonlyMap<number, Wait>, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const waits = new Map<number, Wait>()
    const wanted = new Set<Hash>()
    for (const { decided } of round) if (decided._tag === "Deferred") for (const id of decided.until) wanted.add(id)
    if (wanted.size === 0) return waits
    const before = yield* Operations.accepted(Array.from(wanted))
    const gone = yield* Decisions.gone(Array.from(wanted))
    const inRound = new Map<Hash, number>()
    for (const [index, { candidate, decided }] of round.entries()) {
      if (decided._tag === "Accepted") inRound.set(candidate.event.id, index)
    }
    for (const [index, { decided }] of round.entries()) {
      if (decided._tag !== "Deferred") continue
      const hashes = decided.until.filter((id) => !before.has(id) && !accepted(id) && gone.get(id) !== "pruned")
      const later = decided.until.some((id) => (inRound.get(id) ?? -1) > index)
      waits.set(index, hashes.length > 0 ? { _tag: "Unmet", hashes } : { _tag: later ? "Again" : "Met" })
    }
    return waits
  })

/** Whether a new operation needs a row in the inbox: it was not accepted, and is not decided again at once. */
const stays = <X extends Extensions.Fields, E>(
  { candidate, decided }: Decision<X, E>,
  wait: Wait | undefined,
  { policy }: Rules<E>
): boolean => {
  if (candidate.entry !== undefined) return false
  if (decided._tag === "Accepted") return false
  if (decided._tag === "Rejected") return policy(decided.error)._tag !== "Discard"
  return wait?._tag !== "Again"
}

const stuck = (deferred: { readonly processor: string; readonly until: ReadonlyArray<Hash> }) => ({
  processor: deferred.processor,
  error: new Rejection.NothingToWaitFor({ until: deferred.until })
})

/** Whether an operation that was accepted just now lets an earlier one be decided again, which is not in the inbox yet. */
export const wakes = <X extends Extensions.Fields, E>(accepted: Event.Event, earlier: Decision<X, E>): boolean => {
  const { candidate, decided } = earlier
  if (decided._tag !== "Deferred") return false
  if (decided.until.includes(accepted.id)) return true
  const isInLog = candidate.event.log === accepted.log
  return isInLog && candidate.event.operation.header.seqNum <= accepted.operation.header.seqNum + 1
}

/** Queues what waited for an operation that was accepted just now, or for the place behind it; gives the entries. */
export const wake = (accepted: Event.Event): Effect.Effect<ReadonlyArray<number>, SqlError, SqlClient | Transaction> =>
  Effect.flatMap(Waiting.exists, (waits) =>
    waits ? Waiting.wake({ operation: accepted.operation, logId: accepted.extensions.logId }) : Effect.succeed([])
  )
