/**
 * Transaction after transaction over what a source gives and what that wakes, and what to do when one fails for the sake of one
 * operation.
 *
 * A batch is tried without a savepoint for each operation first. Where a handler fails after it has written, it is undone and run
 * again with them, so that what is rejected leaves no trace and the others pass. Two things even that does not undo: a handler
 * that never ends, and a constraint that only the commit checks. Then the transaction is run again with one operation at a time, so that
 * the guilty one is found and rejected.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import * as Batch from "../../pipeline/Batch.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Outcome from "../../pipeline/Outcome.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Transaction from "../../store/Transaction.ts"
import * as Wakes from "../../store/Wakes.ts"
import type { Superseded } from "../Errors.ts"
import * as Candidates from "./candidates.ts"
import { blame, isGuilt, watched, type Guilt } from "./guilt.ts"
import * as Live from "./live.ts"
import * as Mood from "./mood.ts"
import { rounds, type Decided } from "./rounds.ts"
import type { Refused, Setup, Source, Taken } from "./setup.ts"
import { together, turn } from "../../store/internal/turn.ts"

/** What was noted since a transaction: `root`, if there is one now, and whether more may be pending under it. */
export interface Noted {
  readonly root: number | undefined
  readonly pending: boolean
}

/** Takes the outcomes of a transaction, right after its commit. */
export type Report<E, R> = (
  outcomes: ReadonlyArray<Outcome.Outcome<E> | Refused>,
  root: number | undefined
) => Effect.Effect<Noted, SqlError | Superseded, SqlClient | R>

/**
 * Processes what `source` gives and then, before anything else, all that was woken by it. The event loop gets a turn after each
 * transaction, and nothing is kept of one that is over but what it has not come to.
 */
export const attempt = Effect.fnUntraced(function* <X extends Extensions.Fields, Out extends Event.Event, A, E, R, Err>(
  setup: Setup<X, Out, A, E, R>,
  source: Source<X, Err>,
  report: Report<E, R>
) {
  let left = yield* step(setup, source, report)
  while (isLeft(left)) {
    yield* turn
    left = yield* step(setup, again(left, left.rest.length), report)
  }
})

// internal

/** What a call has not come to yet. */
interface Left<X extends Extensions.Fields> {
  readonly rest: ReadonlyArray<Event.Event<X>>
  readonly root: number | undefined
  /** Whether wake-ups may be pending. */
  readonly pending: boolean
}

const isLeft = ({ pending, rest }: Left<Extensions.Fields>): boolean => pending || rest.length > 0

/** At least so many operations that were woken are decided in one transaction; a commit for fewer would cost too much. */
const wokenAtLeast = 100

/** One transaction, or many with one operation each where it fails for the sake of one. */
const step = Effect.fnUntraced(function* <X extends Extensions.Fields, Out extends Event.Event, A, E, R, Err>(
  setup: Setup<X, Out, A, E, R>,
  source: Source<X, Err>,
  report: Report<E, R>
) {
  let begun = 0
  let left: Left<X> = { rest: [], root: undefined, pending: false }
  const tried = (handling: Batch.Handling) =>
    transaction(setup, source, handling, (batch, taken, waits) => {
      begun = 0
      left = { rest: taken.candidates.map(({ event }) => event), root: taken.root, pending: taken.resumes }
      const decide = (event: Event.Event<X>) => {
        begun += 1
        return batch.process(event)
      }
      const room = taken.candidates.length + Math.max(setup.batchSize, wokenAtLeast)
      return watched(setup.application, batch.handlingSince, rounds(setup, batch, { taken, waits, room, decide }))
    })
  const run = Mood.tried(setup.mood, tried("apart"), (spoilt) =>
    Effect.catchIf(tried("together"), isPartFailed, () => Effect.zipRight(turn, spoilt))
  )
  const result = yield* Effect.either(run)
  if (result._tag === "Right") return yield* reported(result.right, [], report)
  const failure = result.left
  if (!isGuilt(failure)) return yield* Effect.fail(failure)
  // Nobody is to blame for what fails before anybody's turn.
  if (!isLeft(left) && failure instanceof SqlError) return yield* failure
  for (let tried = 0; tried < Math.max(1, begun) && isLeft(left); tried++) {
    yield* turn
    left = yield* single(setup, left, report)
  }
  return left
})

const isPartFailed = (error: unknown): boolean => error instanceof Transaction.PartFailed

/** One operation in a transaction of its own, rejected when it fails even so. */
const single = Effect.fnUntraced(function* <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  left: Left<X>,
  report: Report<E, R>
) {
  const source = again(left, 1)
  const others = left.rest.slice(1)
  const tried = transaction(setup, source, "apart", (batch, taken, waits) =>
    watched(
      setup.application,
      batch.handlingSince,
      rounds(setup, batch, { taken, waits, room: 1, decide: batch.process })
    )
  )
  const rejected = (guilt: Guilt) =>
    transaction(setup, source, "apart", (batch, taken, waits) => {
      const verdict = { _tag: "Rejected" as const, processor: setup.application.name, error: blame(guilt) }
      return rounds(setup, batch, { taken, waits, room: 1, decide: () => Effect.succeed(verdict) })
    })
  return yield* reported(yield* Effect.catchIf(tried, isGuilt, rejected), others, report)
})

/** Hands on what a transaction decided; gives what is left. */
const reported = <X extends Extensions.Fields, E, R>(
  done: Decided<X, E>,
  others: ReadonlyArray<Event.Event<X>>,
  report: Report<E, R>
): Effect.Effect<Left<X>, SqlError | Superseded, SqlClient | R> =>
  Effect.map(report(done.outcomes, done.root), ({ pending, root }) => ({
    rest: [...done.rest.map(({ event }) => event), ...others],
    root,
    pending: done.pending || pending
  }))

/** What is left of a call, at most so many of its operations; another process or call may have been quicker with them. */
const again = Effect.fnUntraced(function* <X extends Extensions.Fields>(
  { pending, rest, root }: Left<X>,
  count: number
) {
  if (count === 0) return { candidates: [], known: [], resumes: pending, root }
  yield* Inbox.queueDue(yield* Clock.currentTimeMillis)
  const { candidates, known } = yield* Candidates.sort(rest.slice(0, count))
  const found = Array.from(known, ([id, where]) => Outcome.known(id, where))
  return { candidates, known: found, resumes: pending, root }
})

/** Decides what was taken. */
type Decide<X extends Extensions.Fields, E, R, Err> = (
  batch: Batch.Batch<Event.Event<X>, E, R>,
  taken: Taken<X>,
  waits: boolean
) => Effect.Effect<Decided<X, E>, Err, SqlClient | Transaction.Transaction | R>

/** Reads what there is to do, decides, and writes what the accepted ones leave. */
const transaction = <X extends Extensions.Fields, Out extends Event.Event, A, E, R, Err, Err2>(
  setup: Setup<X, Out, A, E, R>,
  source: Source<X, Err>,
  handling: Batch.Handling,
  decide: Decide<X, E, R, Err2>
): Effect.Effect<Decided<X, E>, SqlError | Superseded | Err | Err2, SqlClient | R> => {
  let since = 0
  const decided = Live.run(setup, (standing) =>
    // Whoever waits for the database is not slow.
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      since = now
      return inside(setup, source, handling, decide, standing)
    })
  )
  const paced = ({ outcomes }: Decided<X, E>) =>
    Effect.map(Clock.currentTimeMillis, (now) => setup.pace.took(outcomes.length, now - since))
  return Effect.tap(decided, paced)
}

const inside = Effect.fnUntraced(function* <X extends Extensions.Fields, Out extends Event.Event, A, E, R, Err, Err2>(
  setup: Setup<X, Out, A, E, R>,
  source: Source<X, Err>,
  handling: Batch.Handling,
  decide: Decide<X, E, R, Err2>,
  { last, waits }: Consumers.Standing
) {
  const batch = yield* Batch.open(setup, last, handling)
  const taken = yield* source
  // Where there are many the event loop gets a turn between the steps.
  const share = taken.candidates.length > together ? turn : Effect.void
  yield* share
  const done = yield* decide(batch, taken, waits)
  yield* share
  const outcomes = [...taken.known, ...done.outcomes]
  if (done.outcomes.length === 0) return { ...done, outcomes }
  const position = yield* batch.finish
  // A processor may have met some that will never come.
  const pending = done.pending || (done.waits && (yield* Wakes.next(undefined)) !== undefined)
  yield* Consumers.acknowledge(position)
  // The commit is the longest single piece.
  yield* share
  return { ...done, outcomes, pending }
})
