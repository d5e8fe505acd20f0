/**
 * Batch after batch, with a turn of the event loop between them. That there is one writer at a time the transactions see
 * to: whoever else writes waits for the connection, or for the database.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import type * as Event from "../../pipeline/Event.ts"
import type * as Outcome from "../../pipeline/Outcome.ts"
import type * as Filter from "../../store/Filter.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Transaction from "../../store/Transaction.ts"
import { attempt } from "./attempt.ts"
import type { Refused, Setup, Source } from "./setup.ts"
import { fromInbox } from "./queue.ts"
import { skip } from "./skip.ts"
import { turn } from "./turn.ts"

/** How many operations came to which end. Each is counted where it ended up. */
export interface Counts {
  readonly accepted: number
  readonly waiting: number
  readonly rejected: number
}

/** What processes the operations of one controller. */
export interface Work<X extends Extensions.Fields, E, R> {
  /** Processes what a source gives, skips what the policy says, and announces what became of it. */
  readonly process: <Err>(
    source: Source<X, Err>
  ) => Effect.Effect<ReadonlyArray<Outcome.Outcome<E> | Refused>, SqlError | Err, SqlClient | R>
  readonly announce: (outcomes: ReadonlyArray<Outcome.Outcome<E>>) => Effect.Effect<void>
  /** Says that something was queued. */
  readonly signal: Effect.Effect<void>
  readonly drain: Effect.Effect<Counts, SqlError, SqlClient | R>
  readonly run: Effect.Effect<never, never, SqlClient | R>
  /** Queues what is waiting or rejected, all of it or what fits the filter, and drains. */
  readonly replay: (filter: Filter.Filter | undefined) => Effect.Effect<Counts, SqlError, SqlClient | R>
}

export const make = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  options: {
    readonly poll: Duration.Duration
    readonly announce: (outcomes: ReadonlyArray<Outcome.Outcome<E>>) => Effect.Effect<void>
  }
): Effect.Effect<Work<X, E, R>> =>
  Effect.gen(function* () {
    // One signal says as much as many.
    const signals = yield* Queue.dropping<void>(1)

    const process = <Err>(source: Source<X, Err>) =>
      Effect.gen(function* () {
        const decided = yield* attempt(setup, source)
        const outcomes = yield* Effect.forEach(decided, (outcome) => skipped(setup, outcome))
        yield* options.announce(outcomes.flatMap((outcome) => (outcome._tag === "Refused" ? [] : [outcome])))
        return outcomes
      })

    const drain = Effect.gen(function* () {
      const ends = new Map<Hash, keyof Counts>()
      for (;;) {
        const now = yield* Clock.currentTimeMillis
        if (!(yield* Inbox.anyDue(now))) return count(ends)
        for (const outcome of yield* process(fromInbox(setup))) note(ends, outcome)
        yield* turn
      }
    })

    const replay = (filter: Filter.Filter | undefined) => {
      const requeue = filter === undefined ? Effect.asVoid(Inbox.requeue) : Inbox.requeueOnly(filter)
      return Effect.zipRight(Transaction.run(requeue, { busyLimit: setup.busyLimit }), drain)
    }

    /** Until something is queued here, an attempt is due, or another process may have queued something. */
    const idle = Effect.gen(function* () {
      const due = yield* Inbox.nextDue
      const now = yield* Clock.currentTimeMillis
      const pause = Math.min(Duration.toMillis(options.poll), due === undefined ? Infinity : Math.max(0, due - now))
      yield* Effect.raceFirst(Queue.take(signals), Effect.sleep(pause))
    })

    return {
      process,
      announce: options.announce,
      signal: Effect.asVoid(Queue.offer(signals, undefined)),
      drain,
      run: Effect.forever(Effect.zipRight(patiently(drain), patiently(idle))),
      replay
    }
  })

// internal

const patience = Schedule.exponential("50 millis").pipe(
  Schedule.union(Schedule.spaced("30 seconds")),
  Schedule.jittered
)

/** A database in trouble is tried again, at most half a minute later; what stands in it is untouched meanwhile. */
const patiently = <B, R>(self: Effect.Effect<B, SqlError, R>): Effect.Effect<void, never, R> =>
  self.pipe(
    Effect.tapError((error) => Effect.logWarning("The database is in trouble, trying again", error)),
    Effect.retry(patience),
    // The schedule never ends, so this is only for the types.
    Effect.ignore
  )

/** The policy's skip is a transaction of its own: the processors' states of the batch did not know of it. */
const skipped = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  outcome: Outcome.Outcome<E> | Refused
): Effect.Effect<Outcome.Outcome<E> | Refused, SqlError, SqlClient | R> =>
  outcome._tag === "Rejected" && outcome.next._tag === "Held" && setup.policy(outcome.error)._tag === "Skip"
    ? skip(setup, outcome.id).pipe(
        Effect.map((position): Outcome.Outcome<E> => ({ ...outcome, next: { _tag: "Skipped", position } })),
        // What has no place in its log, or was taken by another process meanwhile, stays as it is.
        Effect.catchTags({
          CannotSkip: () => Effect.succeed(outcome),
          NotInInbox: () => Effect.succeed(outcome)
        })
      )
    : Effect.succeed(outcome)

const note = <E>(ends: Map<Hash, keyof Counts>, outcome: Outcome.Outcome<E> | Refused) => {
  if (outcome._tag === "Accepted") ends.set(outcome.id, "accepted")
  else if (outcome._tag === "Deferred") ends.set(outcome.id, "waiting")
  else if (outcome._tag === "Rejected") ends.set(outcome.id, "rejected")
}

const count = (ends: ReadonlyMap<Hash, keyof Counts>): Counts => {
  const counts = { accepted: 0, waiting: 0, rejected: 0 }
  for (const end of ends.values()) counts[end] += 1
  return counts
}
