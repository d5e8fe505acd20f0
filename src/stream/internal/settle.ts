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
import type { Transaction } from "../../store/Transaction.ts"
import * as Waiting from "../../store/Waiting.ts"
import * as Wakes from "../../store/Wakes.ts"
import { InboxFull } from "../Errors.ts"
import * as Candidates from "./candidates.ts"

/** An operation and what became of it. */
export interface Decision<X extends Extensions.Fields, E> {
  readonly candidate: Candidates.Candidate<X>
  readonly decided: Batch.Decided<E>
}

/** What is decided about operations that were not accepted. */
export interface Rules<E> {
  readonly policy: (error: E | Rejection.BuiltIn) => Policy.Policy
  /** Operations that the inbox holds at the most. */
  readonly capacity: number
}

/** What a round leaves. */
export interface Settled<E> {
  readonly outcomes: ReadonlyArray<Outcome.Outcome<E>>
  /** Those that nobody needs any more: whoever waits for them is met. */
  readonly pruned: ReadonlyArray<Hash>
}

/** What the batch of a round knows. */
export interface InBatch {
  /** Whether an operation was accepted in this batch. */
  readonly accepted: (id: Hash) => boolean
  /** Whether operations went in this batch, so that a processor may have deferred until one that is no more. */
  readonly refreshed: () => boolean
}

/**
 * Writes what became of a round of operations. `waking`: the last one of the round, if it wakes something; what waits for it
 * is noted as waiting, and woken with all the others.
 */
export const settle = <X extends Extensions.Fields, E>(
  round: ReadonlyArray<Decision<X, E>>,
  batch: InBatch,
  waking: Hash | undefined,
  rules: Rules<E>
): Effect.Effect<Settled<E>, SqlError | InboxFull, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const outcomes: Array<Outcome.Outcome<E>> = []
    const waiting: Array<Waiting.Waits> = []
    const pruned: Array<Hash> = []
    const { gone, waits } = yield* unmet(round, batch, waking)
    yield* keep(round, rules)
    for (const decision of round) {
      const { candidate, decided } = decision
      const { id } = candidate.event
      if (decided._tag === "Accepted") outcomes.push(Outcome.accepted(id, decided.position))
      else if (decided._tag === "Rejected") {
        outcomes.push(yield* reject(candidate, decided, rules))
        if (isPruned(rules.policy(decided.error))) pruned.push(id)
      } else {
        const until = waits.get(decision) ?? []
        if (until.length === 0) outcomes.push(yield* reject(candidate, stuck(decided), rules))
        else {
          waiting.push({ id, processor: decided.processor, until, notBefore: decided.deadline })
          outcomes.push(Outcome.deferred(id, decided.processor, until))
        }
      }
    }
    yield* Waiting.waitAll(waiting)
    // Only now: it may be one of this round that waits.
    yield* Waiting.meetAll([...pruned, ...gone])
    return { outcomes, pruned }
  })

/** New operations that were not accepted go into the inbox, accepted ones leave it, and what was woken waits no more. */
const keep = <X extends Extensions.Fields, E>(
  round: ReadonlyArray<Decision<X, E>>,
  rules: Rules<E>
): Effect.Effect<void, SqlError | InboxFull, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const staying = round.filter((one) => stays(one, rules))
    if (staying.length > 0 && !(yield* Inbox.hasRoom(staying.length, rules.capacity))) {
      return yield* new InboxFull({ capacity: rules.capacity })
    }
    yield* Inbox.put(staying.map(({ candidate }) => Candidates.incoming(candidate)))
    const entries = (which: (decision: Decision<X, E>) => boolean) =>
      round.flatMap((decision) => {
        const { entry } = decision.candidate
        return entry !== undefined && which(decision) ? [entry] : []
      })
    const accepted = entries(({ decided }) => decided._tag === "Accepted")
    yield* Inbox.take(accepted)
    yield* Waiting.forget(
      entries(({ candidate, decided }) => candidate.woken !== undefined && decided._tag !== "Accepted")
    )
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
      yield* Decisions.record(id, chosen.as, isPruned(chosen) ? undefined : Rejection.encode(error), now)
      return outcome({ _tag: "Discarded" })
    }
    const delay = chosen._tag === "Retry" ? yield* Policy.delay(chosen.schedule, attempts, now) : Option.none()
    const notBefore = Option.isSome(delay) ? now + Duration.toMillis(delay.value) : undefined
    yield* Inbox.reject(id, { processor, reason: Rejection.encode(error), attempts, notBefore })
    return outcome(notBefore === undefined ? { _tag: "Held" } : { _tag: "Retry", at: notBefore })
  })

// internal

const isPruned = (policy: Policy.Policy): boolean => policy._tag === "Discard" && policy.as === "pruned"

/**
 * What each of the deferred ones still waits for, and what of that is `gone`: was pruned. Nobody waits for those, but where they
 * went in this very batch (`refreshed`) it was decided without knowing that: it waits, and is woken at once to be decided again.
 */
const unmet = <X extends Extensions.Fields, E>(
  round: ReadonlyArray<Decision<X, E>>,
  batch: InBatch,
  waking: Hash | undefined
): Effect.Effect<
  { readonly waits: ReadonlyMap<Decision<X, E>, ReadonlyArray<Hash>>; readonly gone: ReadonlyArray<Hash> },
  SqlError,
  SqlClient
> =>
  Effect.gen(function* () {
    const waits = new Map<Decision<X, E>, ReadonlyArray<Hash>>()
    const wanted = new Set<Hash>()
    for (const { decided } of round) if (decided._tag === "Deferred") for (const id of decided.until) wanted.add(id)
    if (wanted.size === 0) return { waits, gone: [] }
    const before = yield* Operations.accepted(Array.from(wanted))
    const isMet = (id: Hash) => id !== waking && (before.has(id) || batch.accepted(id))
    const fresh = batch.refreshed()
    const how = yield* Decisions.gone(Array.from(wanted))
    const gone = Array.from(wanted).filter((id) => how.get(id) === "pruned")
    for (const decision of round) {
      const { decided } = decision
      if (decided._tag !== "Deferred") continue
      waits.set(
        decision,
        decided.until.filter((id) => !isMet(id) && (fresh || !gone.includes(id)))
      )
    }
    return { waits, gone: fresh ? gone : [] }
  })

/** Whether a new operation needs a row in the inbox: it was not accepted, and is not to be forgotten. */
const stays = <X extends Extensions.Fields, E>(
  { candidate, decided }: Decision<X, E>,
  { policy }: Rules<E>
): boolean => {
  if (candidate.entry !== undefined) return false
  if (decided._tag === "Rejected") return policy(decided.error)._tag !== "Discard"
  return decided._tag !== "Accepted"
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

/** What an operation that was accepted just now wakes by. */
export const wakeOf = (accepted: Event.Event): Wakes.Accepted => ({
  id: accepted.id,
  place: {
    author: accepted.author,
    logId: accepted.extensions.logId,
    seqNum: accepted.operation.header.seqNum
  }
})

/**
 * Notes that an operation was accepted, for whoever waits for it: to be worked off in another transaction. Gives the root it
 * is noted under, if anybody waits.
 */
export const wakeLater = (
  accepted: Event.Event,
  root: number | undefined
): Effect.Effect<number | undefined, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const wake = wakeOf(accepted)
    const waits = (yield* Waiting.exists) && (yield* Waiting.existsFor(wake, undefined))
    return waits ? yield* Wakes.push(wake, Wakes.begin(wake), root) : root
  })
