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
import * as OwnLogs from "../../store/OwnLogs.ts"
import * as Topics from "../../store/Topics.ts"
import type { Transaction } from "../../store/Transaction.ts"
import * as Waiting from "../../store/Waiting.ts"
import * as Wakes from "../../store/Wakes.ts"
import * as Candidates from "./candidates.ts"
import * as Gate from "./gate.ts"
import type { Refused } from "./setup.ts"

/** An operation and what became of it. */
export interface Decision<X extends Extensions.Fields, E> {
  readonly candidate: Candidates.Candidate<X>
  readonly decided: Batch.Decided<E>
}

/** What is decided about operations that were not accepted. */
export interface Rules<E> extends Gate.Capacity {
  readonly policy: (error: E | Rejection.BuiltIn) => Policy.Policy
}

/** What a round leaves. */
export interface Settled<E> {
  readonly outcomes: ReadonlyArray<Outcome.Outcome<E> | Refused>
  /** Those that nobody needs any more: whoever waits for them is met. */
  readonly pruned: ReadonlyArray<Hash>
}

/** What the batch of a round knows. */
export interface InBatch {
  /** Whether an operation was accepted in this batch. */
  readonly accepted: (id: Hash) => boolean
  /** Whether operations went in this batch, so that a processor may have deferred until one that is no more. */
  readonly refreshed: () => boolean
  /** Whether the log of an operation was pruned past it in this batch. */
  readonly outdated: (event: Event.Event) => boolean
}

/**
 * Writes what became of a round of operations. `waking`: the last one of the round, if it wakes something; what waits for it
 * is noted as waiting, and woken with all the others.
 */
export const settle = Effect.fnUntraced(function* <X extends Extensions.Fields, E>(
  all: ReadonlyArray<Decision<X, E>>,
  batch: InBatch,
  waking: Hash | undefined,
  rules: Rules<E>
) {
  const outcomes: Array<Outcome.Outcome<E> | Refused> = []
  const waiting: Array<Waiting.Waits> = []
  const isOutdated = ({ candidate: { event }, decided }: Decision<X, E>) =>
    decided._tag !== "Accepted" && batch.outdated(event)
  const pruned: Array<Hash> = yield* overtaken(all.filter(isOutdated).map(({ candidate }) => candidate))
  outcomes.push(...pruned.map((id) => Outcome.known(id, "pruned")))
  const round = all.filter((one) => !isOutdated(one))
  const { gone, waits } = yield* unmet(round, batch, waking)
  const full = yield* keep(round, waits, rules)
  for (const decision of round) {
    const { candidate, decided } = decision
    const { id } = candidate.event
    const error = full.get(id)
    if (error !== undefined) outcomes.push({ _tag: "Refused", id, error })
    else if (decided._tag === "Accepted") outcomes.push(Outcome.accepted(id, decided.position))
    else if (decided._tag === "Rejected") {
      const rejected = yield* reject(candidate, decided, rules)
      outcomes.push(rejected)
      if (!Outcome.isRefused(rejected) && isPruned(rules.policy(decided.error))) pruned.push(id)
    } else {
      const until = waits.get(decision) ?? []
      if (until.length === 0) outcomes.push(yield* reject(candidate, stuck(decided), rules))
      else {
        waiting.push({ id, processor: decided.processor, until, notBefore: decided.deadline, entry: candidate.entry })
        outcomes.push(Outcome.deferred(id, decided.processor, until))
      }
    }
  }
  yield* Waiting.waitAll(waiting)
  // Only now: it may be one of this round that waits.
  yield* Waiting.meetAll([...pruned, ...gone])
  const settled: Settled<E> = { outcomes, pruned }
  return settled
})

/**
 * New operations that were not accepted go into the inbox, accepted ones leave it, and what was woken waits no more. Gives
 * those that had no room.
 */
const keep = Effect.fnUntraced(function* <X extends Extensions.Fields, E>(
  round: ReadonlyArray<Decision<X, E>>,
  waits: Waits<X, E>,
  rules: Rules<E>
) {
  const staying = round.flatMap((one) => (stays(one, waits.get(one), rules) ? [one.candidate] : []))
  const full = yield* Gate.full(staying, rules)
  yield* Inbox.put(staying.filter(({ event }) => !full.has(event.id)).map(Candidates.incoming))
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
  return full
})

/** Writes a rejection and what the policy makes of it; the operation is in the inbox unless it is not to be kept. */
const reject = Effect.fnUntraced(function* <X extends Extensions.Fields, E>(
  candidate: Candidates.Candidate<X>,
  rejected: { readonly processor: string; readonly error: E | Rejection.BuiltIn },
  { policy }: Rules<E>
) {
  const { id } = candidate.event
  const { error, processor } = rejected
  const attempts = candidate.attempts + 1
  const said = policy(error)
  const isRefused = said._tag === "Refuse" && candidate.entry === undefined
  const chosen = Policy.stored(said)
  // Nothing else would tell that an operation of our own is out there.
  if (isRefused || (chosen._tag === "Discard" && !isPruned(chosen))) yield* heard(candidate.event)
  if (isRefused) return Outcome.refused<E>(id, processor, error)
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
    if (isPruned(chosen)) yield* Topics.learn([Candidates.told(candidate.event)])
    yield* Decisions.record(id, chosen.as, isPruned(chosen) ? undefined : Rejection.encode(error), now)
    return outcome({ _tag: "Discarded", as: chosen.as })
  }
  const delay = chosen._tag === "Retry" ? yield* Policy.delay(chosen.schedule, attempts, now) : Option.none()
  const notBefore = Option.isSome(delay) ? now + Duration.toMillis(delay.value) : undefined
  const { entry } = candidate
  yield* Inbox.reject(id, { processor, reason: Rejection.encode(error), attempts, notBefore, entry })
  return outcome(notBefore === undefined ? { _tag: "Held" } : { _tag: "Retry", at: notBefore })
})

/** An operation came from outside and is not kept: that counts where it is one of our own. */
export const heard = ({ author, extensions, operation }: Event.Event) =>
  OwnLogs.heard({ author, logId: extensions.logId }, operation.header.seqNum)

// internal

/** Whatever was said of these: a later one of the round has pruned them. */
const overtaken = Effect.fnUntraced(function* (candidates: ReadonlyArray<Candidates.Candidate<Extensions.Fields>>) {
  const ids = candidates.map(({ event }) => event.id)
  if (ids.length === 0) return ids
  yield* Inbox.take(candidates.flatMap(({ entry }) => (entry === undefined ? [] : [entry])))
  yield* Topics.learn(candidates.map(({ event }) => Candidates.told(event)))
  yield* Decisions.pruned(ids, yield* Clock.currentTimeMillis)
  return ids
})

const isPruned = (policy: Policy.Policy): boolean => {
  const stored = Policy.stored(policy)
  return stored._tag === "Discard" && stored.as === "pruned"
}

/** What each of the deferred ones still waits for. */
type Waits<X extends Extensions.Fields, E> = ReadonlyMap<Decision<X, E>, ReadonlyArray<Hash>>

/**
 * What each of the deferred ones still waits for, and what of that is `gone`: was pruned. Nobody waits for those, but where they
 * went in this very batch (`refreshed`) it was decided without knowing that: it waits, and is woken at once to be decided again.
 */
const unmet = Effect.fnUntraced(function* <X extends Extensions.Fields, E>(
  round: ReadonlyArray<Decision<X, E>>,
  batch: InBatch,
  waking: Hash | undefined
) {
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

/** Whether a new operation needs a row in the inbox: it was not accepted, and is to be kept. */
const stays = <X extends Extensions.Fields, E>(
  { candidate, decided }: Decision<X, E>,
  until: ReadonlyArray<Hash> | undefined,
  { policy }: Rules<E>
): boolean => {
  if (candidate.entry !== undefined || decided._tag === "Accepted") return false
  if (until !== undefined && until.length > 0) return true
  const { _tag } = policy(decided._tag === "Rejected" ? decided.error : stuck(decided).error)
  return _tag !== "Discard" && _tag !== "Refuse"
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
    return (yield* Waiting.existsFor(wake, undefined)) ? yield* Wakes.push(wake, Wakes.begin(wake), root) : root
  })
