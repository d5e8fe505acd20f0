/**
 * What is decided in one transaction, round after round: what an operation wakes is decided right behind it, before the rest,
 * so that the outcome does not depend on how operations are cut into batches. The transaction ends where it has no more room,
 * and notes what it has not come to.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import { turn } from "../../store/internal/turn.ts"
import type * as Batch from "../../pipeline/Batch.ts"
import type * as Event from "../../pipeline/Event.ts"
import type * as Outcome from "../../pipeline/Outcome.ts"
import type * as Transaction from "../../store/Transaction.ts"
import * as Waiting from "../../store/Waiting.ts"
import type * as Candidates from "./candidates.ts"
import * as Frames from "./frames.ts"
import * as Settle from "./settle.ts"
import type { Refused, Setup, Taken } from "./setup.ts"

/** How much a transaction takes on, and how. */
export interface Task<X extends Extensions.Fields, E, R> {
  readonly taken: Taken<X>
  /** Whether anything waits at all. */
  readonly waits: boolean
  /** How many operations it decides at the most. */
  readonly room: number
  readonly decide: (
    event: Event.Event<X>
  ) => Effect.Effect<Batch.Decided<E>, SqlError, SqlClient | Transaction.Transaction | R>
}

/** What the rounds of a transaction leave. */
export interface Decided<X extends Extensions.Fields, E> {
  readonly outcomes: ReadonlyArray<Outcome.Outcome<E> | Refused>
  /** What was taken on and not decided. */
  readonly rest: ReadonlyArray<Candidates.Candidate<X>>
  /** What its wake-ups are noted under. */
  readonly root: number | undefined
  /** Whether wake-ups may be pending. */
  readonly pending: boolean
  /** Whether anything may wait at all. */
  readonly waits: boolean
}

export const rounds = Effect.fnUntraced(function* <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  batch: Batch.Batch<Event.Event<X>, E, R>,
  task: Task<X, E, R>
) {
  const outcomes: Array<Outcome.Outcome<E> | Refused> = []
  const frames = Frames.make(task.taken, task.room)
  const inTurns = yield* sharing(task.decide)
  const preload = (candidates: ReadonlyArray<Candidates.Candidate<X>>) =>
    batch.preload(candidates.map(({ event }) => event))
  let waits = task.waits
  yield* preload(frames.base.candidates.slice(0, task.room))
  for (;;) {
    const frame = yield* Frames.next(setup.codec, frames, preload)
    if (frame === undefined) break
    const { round, waking } = yield* decide(batch, inTurns, frame.candidates.slice(0, frames.room), waits)
    const settled = yield* Settle.settle(yield* redacted(batch, round), batch, waking?.id, setup)
    outcomes.push(...settled.outcomes)
    waits = waits || settled.outcomes.some(({ _tag }) => _tag === "Deferred")
    // Processors may have asked whether one of these was there.
    if (settled.pruned.length > 0) batch.refresh()
    yield* Frames.advance(frames, frame, round.length)
    if (waking !== undefined) Frames.push(frames, waking)
  }
  yield* Frames.note(frames)
  const pending = frames.stack.length > 0 || frames.resuming
  return { outcomes, rest: frames.base.candidates, root: frames.root, pending, waits }
})

// internal

/** Gives the event loop a turn now and then: the transaction is ours alone, the process is not. */
const sharing = <X extends Extensions.Fields, E, R>(
  decide: Task<X, E, R>["decide"]
): Effect.Effect<Task<X, E, R>["decide"]> =>
  Effect.clockWith((clock) => {
    let since = clock.unsafeCurrentTimeNanos()
    const passed = Effect.sync(() => void (since = clock.unsafeCurrentTimeNanos()))
    return Effect.succeed((event) => {
      if (clock.unsafeCurrentTimeNanos() - since < share) return decide(event)
      return Effect.zipRight(Effect.zipRight(turn, passed), decide(event))
    })
  })

/** Nanoseconds. */
const share = 4_000_000n

/** Before new operations go into the inbox: a later one of the round may have deleted their bodies. */
const redacted = Effect.fnUntraced(function* <X extends Extensions.Fields, E, R>(
  batch: Batch.Batch<Event.Event<X>, E, R>,
  round: ReadonlyArray<Settle.Decision<X, E>>
) {
  const staying = round.filter(({ candidate, decided }) => candidate.entry === undefined && decided._tag !== "Accepted")
  if (staying.length === 0) return round
  const admitted = new Map((yield* batch.admit(staying.map(({ candidate }) => candidate.event))).map((e) => [e.id, e]))
  return round.map((decision) => {
    const { candidate } = decision
    return { ...decision, candidate: { ...candidate, event: admitted.get(candidate.event.id) ?? candidate.event } }
  })
})

/** Decides one after the other, until one is accepted that wakes something: `waking`. */
const decide = Effect.fnUntraced(function* <X extends Extensions.Fields, E, R>(
  batch: Batch.Batch<Event.Event<X>, E, R>,
  process: Task<X, E, R>["decide"],
  candidates: ReadonlyArray<Candidates.Candidate<X>>,
  waits: boolean
) {
  const round: Array<Settle.Decision<X, E>> = []
  const deferred: Array<Settle.Decision<X, E>> = []
  for (const [index, given] of candidates.entries()) {
    const [event = given.event] = yield* batch.admit([given.event])
    const candidate = event === given.event ? given : { ...given, event }
    const { entry } = given
    const decision = { candidate, decided: yield* process(event) }
    round.push(decision)
    if (decision.decided._tag === "Deferred") deferred.push(decision)
    const isNextChained = candidates[index + 1]?.follows === true
    if (decision.decided._tag !== "Accepted") {
      if (isNextChained) break
      continue
    }
    if (isNextChained) continue
    const wake = Settle.wakeOf(event)
    const wakes =
      deferred.some((earlier) => Settle.wakes(event, earlier)) || (waits && (yield* Waiting.existsFor(wake, entry)))
    if (wakes) return { round, waking: wake }
  }
  return { round, waking: undefined }
})
