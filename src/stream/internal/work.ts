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
import * as Outcome from "../../pipeline/Outcome.ts"
import * as Policy from "../../pipeline/Policy.ts"
import { Fork } from "../../processors/LogIntegrity.ts"
import type * as Filter from "../../store/Filter.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as SqlReason from "../../store/SqlReason.ts"
import * as Transaction from "../../store/Transaction.ts"
import type { Superseded } from "../Errors.ts"
import type { Backlog } from "./backlog.ts"
import * as Live from "./live.ts"
import { attempt, type Report } from "./attempt.ts"
import type { Refused, Setup, Source } from "./setup.ts"
import { fromInbox } from "./queue.ts"
import { skip } from "./skip.ts"
import { turn } from "../../store/internal/turn.ts"

/** What a drain or replay did, and what it leaves. */
export interface Counts {
  /** How many operations it accepted, what was woken and what the policy skipped among them. */
  readonly accepted: number
  /** How many operations of the inbox wait when it ends, whether it came across them or not. */
  readonly waiting: number
  /** How many stand rejected in the inbox when it ends, whether it came across them or not. */
  readonly rejected: number
}

/** What processes the operations of one controller. */
export interface Work<X extends Extensions.Fields, E, R> {
  /**
   * Processes what a source gives and what that wakes, skips what the policy says, and announces what became of it; gives the
   * newest outcome of each operation that was `asked` about, as far as it has one.
   */
  readonly process: <Err>(
    source: Source<X, Err>,
    asked: ReadonlySet<Hash>
  ) => Effect.Effect<Map<Hash, Outcome.Outcome<E> | Refused>, SqlError | Superseded | Err, SqlClient | R>
  readonly announce: (outcomes: ReadonlyArray<Outcome.Outcome<E>>) => Effect.Effect<void>
  /** Says that something was queued. */
  readonly signal: Effect.Effect<void>
  readonly drain: Effect.Effect<Counts, SqlError | Superseded, SqlClient | R>
  readonly run: Effect.Effect<never, Superseded, SqlClient | R>
  /** Queues what is waiting or rejected, all of it or what fits the filter, and drains; counts what it leaves of that. */
  readonly replay: (filter: Filter.Filter | undefined) => Effect.Effect<Counts, SqlError | Superseded, SqlClient | R>
}

export const make = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  backlog: Backlog<R>,
  options: {
    readonly poll: Duration.Duration
    readonly announce: (outcomes: ReadonlyArray<Outcome.Outcome<E>>) => Effect.Effect<void>
    /** Looks whether there is new evidence that our own key wrote a log twice. */
    readonly alarm: Effect.Effect<void, SqlError, SqlClient>
  }
): Effect.Effect<Work<X, E, R>> =>
  Effect.gen(function* () {
    // One signal says as much as many.
    const signals = yield* Queue.dropping<void>(1)

    const told = Effect.fnUntraced(function* (
      note: (outcome: Outcome.Outcome<E> | Refused) => void,
      decided: ReadonlyArray<Outcome.Outcome<E> | Refused>,
      root: number | undefined
    ) {
      const noted = { root, pending: false }
      const outcomes: Array<Outcome.Outcome<E>> = []
      for (const one of decided) {
        const { outcome, root } = yield* skipped(setup, one, noted.root)
        noted.root = root
        noted.pending ||= isSkipped(outcome)
        note(outcome)
        if (isNews(outcome)) outcomes.push(outcome)
      }
      yield* options.announce(outcomes)
      if (decided.some(isFork)) yield* options.alarm
      return noted
    })

    /** Announces what a transaction decided, right after its commit, and lets `note` see it. */
    const reporting =
      (note: (outcome: Outcome.Outcome<E> | Refused) => void): Report<E, R> =>
      (decided, root) =>
        told(note, decided, root)

    const process = Effect.fnUntraced(function* <Err>(source: Source<X, Err>, asked: ReadonlySet<Hash>) {
      const newest = new Map<Hash, Outcome.Outcome<E> | Refused>()
      const report = reporting((outcome) => {
        if (asked.has(outcome.id)) newest.set(outcome.id, outcome)
      })
      yield* attempt(setup, source, report)
      return newest
    })

    /** Works until nothing is pending, queued or due, and nobody is behind; gives how many were accepted. */
    const work = Effect.gen(function* () {
      let accepted = 0
      const report = reporting((outcome) => {
        if (isAccepted(outcome)) accepted += 1
      })
      yield* Live.ensure(setup)
      for (;;) {
        const isDue = yield* Inbox.anyDue(yield* Clock.currentTimeMillis)
        if (isDue) {
          yield* attempt(setup, fromInbox(setup), report)
          yield* turn
        }
        if (!(yield* backlog.step) && !isDue) return accepted
      }
    })

    const drain = Effect.flatMap(work, (accepted) => Effect.map(Inbox.held, (held): Counts => ({ accepted, ...held })))

    const replay = (filter: Filter.Filter | undefined) =>
      Effect.gen(function* () {
        const requeue = filter === undefined ? Inbox.requeue : Inbox.requeueOnly(filter)
        yield* Transaction.run(requeue, { busyLimit: setup.busyLimit })
        const accepted = yield* work
        return { accepted, ...(yield* filter === undefined ? Inbox.held : Inbox.heldOnly(filter)) }
      })

    /** Until something is queued here, an attempt is due, or another process may have queued something. */
    const idle = Effect.gen(function* () {
      const own = yield* Inbox.nextDue
      const theirs = yield* backlog.nextDue
      const due = Math.min(own ?? Infinity, theirs ?? Infinity)
      const now = yield* Clock.currentTimeMillis
      const pause = Math.min(Duration.toMillis(options.poll), Math.max(0, due - now))
      yield* Effect.raceFirst(Queue.take(signals), Effect.sleep(pause))
    })

    return {
      process,
      announce: options.announce,
      signal: Effect.asVoid(Queue.offer(signals, undefined)),
      drain,
      run: Effect.forever(Effect.zipRight(patiently(work), patiently(idle))),
      replay
    }
  })

// internal

const patience = Schedule.exponential("50 millis").pipe(
  Schedule.union(Schedule.spaced("30 seconds")),
  Schedule.jittered
)

/** A database in trouble is tried again, at most half a minute later; what stands in it is untouched meanwhile. */
const patiently = <B, R>(self: Effect.Effect<B, SqlError | Superseded, R>): Effect.Effect<void, Superseded, R> =>
  SqlReason.typed(self).pipe(
    Effect.tapErrorTag("SqlError", (error) => Effect.logWarning("The database is in trouble, trying again", error)),
    Effect.retry({ schedule: patience, while: ({ _tag }) => _tag === "SqlError" }),
    Effect.asVoid,
    // The schedule never ends, so this is only for the types.
    Effect.catchTag("SqlError", () => Effect.void)
  )

interface Skipped<out E> {
  readonly outcome: Outcome.Outcome<E> | Refused
  readonly root: number | undefined
}

/** The policy's skip is a transaction of its own: the processors' states of the batch did not know of it. */
const skipped = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  outcome: Outcome.Outcome<E> | Refused,
  root: number | undefined
): Effect.Effect<Skipped<E>, SqlError | Superseded, SqlClient | R> => {
  const skips = outcome._tag === "Rejected" && outcome.next._tag === "Held" && isSkip(setup.policy(outcome.error))
  const asItIs: Skipped<E> = { outcome, root }
  if (!skips) return Effect.succeed(asItIs)
  return skip(setup, outcome.id, root).pipe(
    Effect.map(
      ({ position, root }): Skipped<E> => ({ outcome: { ...outcome, next: { _tag: "Skipped", position } }, root })
    ),
    // What has no place in its log, or was taken by another process meanwhile, stays as it is.
    Effect.catchTags({ CannotSkip: () => Effect.succeed(asItIs), NotInInbox: () => Effect.succeed(asItIs) })
  )
}

const isSkip = (policy: Policy.Policy) => Policy.stored(policy)._tag === "Skip"

/** Whoever sends what is refused does not push the news of the others out of the stream of outcomes. */
const isNews = <E>(outcome: Outcome.Outcome<E> | Refused): outcome is Outcome.Outcome<E> =>
  outcome._tag !== "Refused" && outcome._tag !== "Known" && !Outcome.isRefused(outcome)

const isFork = <E>(outcome: Outcome.Outcome<E> | Refused): boolean =>
  outcome._tag === "Rejected" && outcome.error instanceof Fork

const isAccepted = <E>(outcome: Outcome.Outcome<E> | Refused): boolean =>
  outcome._tag === "Accepted" || isSkipped(outcome)

const isSkipped = <E>(outcome: Outcome.Outcome<E> | Refused): boolean =>
  outcome._tag === "Rejected" && outcome.next._tag === "Skipped"
