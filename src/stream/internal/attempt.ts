/**
 * One transaction over many operations, and what to do when it fails for the sake of one of them.
 *
 * Most of what can be wrong with an operation is undone by itself inside the batch. Two things are not: a handler that
 * never ends, and a constraint that only the commit checks. Then the batch is undone and run again one by one, so that
 * the guilty operation is found and rejected and the others pass.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import * as Batch from "../../pipeline/Batch.ts"
import type * as Event from "../../pipeline/Event.ts"
import type * as Outcome from "../../pipeline/Outcome.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Transaction from "../../store/Transaction.ts"
import * as Waiting from "../../store/Waiting.ts"
import * as Candidates from "./candidates.ts"
import { blame, isGuilt, watched, type Overdue } from "./guilt.ts"
import { fromInbox } from "./queue.ts"
import * as Settle from "./settle.ts"
import { acknowledge, type Done, type Refused, type Setup, type Source } from "./setup.ts"
import { turn } from "./turn.ts"

/** What is woken in a transaction is decided in it, up to so many operations: its rows are in memory until it ends. */
const wokenAtMost = 1000

/**
 * Processes what `source` gives and then, before anything else, all that was woken by it; gives the outcomes after the
 * commits.
 */
export const attempt = <X extends Extensions.Fields, Out extends Event.Event, A, E, R, Err>(
  setup: Setup<X, Out, A, E, R>,
  source: Source<X, Err>
): Effect.Effect<Done<E>["outcomes"], SqlError | Err, SqlClient | R> =>
  Effect.suspend(() => {
    let taken: ReadonlyArray<Candidates.Candidate<X>> = []
    const noting = Effect.tap(source, (candidates) => {
      taken = candidates
    })
    return Effect.catchIf(
      Effect.flatMap(transaction(setup, noting, wokenAtMost), (done) => caughtUp(setup, done)),
      isGuilt,
      () =>
        Effect.map(
          Effect.forEach(taken, (candidate) =>
            Effect.flatMap(alone(setup, candidate), (done) => caughtUp(setup, done))
          ),
          (outcomes) => outcomes.flat()
        )
    )
  })

// internal

/** With what was left of the woken ones. */
const caughtUp = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  done: Done<E>
): Effect.Effect<Done<E>["outcomes"], SqlError, SqlClient | R> =>
  done.left
    ? Effect.zipWith(turn, attempt(setup, fromInbox(setup)), (_, more) => [...done.outcomes, ...more])
    : Effect.succeed(done.outcomes)

/** One operation in a transaction of its own, rejected when it fails even so. */
const alone = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  candidate: Candidates.Candidate<X>
): Effect.Effect<Done<E>, SqlError, SqlClient | R> =>
  Effect.gen(function* () {
    // Another one of the batch may have woken it, or another process have taken it meanwhile.
    const again = Effect.gen(function* () {
      yield* Inbox.queueDue(yield* Clock.currentTimeMillis)
      return (yield* Candidates.sort([candidate.event])).candidates
    })
    const result = yield* Effect.either(transaction(setup, again, 0))
    if (result._tag === "Right") return result.right
    const failure = result.left
    if (!isGuilt(failure)) return yield* Effect.fail(failure)
    const rejected = { _tag: "Rejected" as const, processor: setup.application.name, error: blame(failure) }
    const settled = Effect.flatMap(again, (candidates) =>
      Settle.settle<X, E>(
        candidates.map((one) => ({ candidate: one, decided: rejected })),
        () => false,
        setup
      )
    )
    return yield* Transaction.run(settled, { busyLimit: setup.busyLimit }).pipe(
      Effect.map(({ outcomes }): Done<E> => ({ outcomes, left: false }))
    )
  })

const transaction = <X extends Extensions.Fields, Out extends Event.Event, A, E, R, Err>(
  setup: Setup<X, Out, A, E, R>,
  source: Source<X, Err>,
  room: number
): Effect.Effect<Done<E>, SqlError | Overdue | Err, SqlClient | R> =>
  Transaction.run(
    Effect.gen(function* () {
      const batch = yield* Batch.open(setup)
      const candidates = yield* source
      if (candidates.length === 0) return { outcomes: [], left: false }
      const done = yield* watched(setup, batch, rounds(setup, batch, candidates, room))
      yield* acknowledge(setup, yield* batch.finish)
      return done
    }),
    { busyLimit: setup.busyLimit }
  )

/**
 * Round after round: what an operation wakes is decided right behind it, before the rest of the batch, so that the outcome
 * does not depend on how operations are cut into batches. As long as there is room for it in this transaction, that is;
 * the rest stays queued.
 */
const rounds = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  batch: Batch.Batch<Event.Event<X>, E, R>,
  first: ReadonlyArray<Candidates.Candidate<X>>,
  forWoken: number
) =>
  Effect.gen(function* () {
    const outcomes: Array<Outcome.Outcome<E> | Refused> = []
    let room = forWoken
    let left = false
    let waits = yield* Waiting.exists
    let candidates = first
    yield* batch.preload(first.map(({ event }) => event))
    while (candidates.length > 0) {
      const { round, waking } = yield* decide(batch, candidates, waits)
      const settled = yield* Settle.settle(round, batch.accepted, setup)
      outcomes.push(...settled.outcomes)
      waits = waits || settled.outcomes.some(({ _tag }) => _tag === "Deferred")
      candidates = candidates.slice(round.length)
      if (waking === undefined) continue
      const all = yield* Settle.wake(waking)
      const again = settled.again.slice(0, room)
      yield* Inbox.put(settled.again.slice(room).filter(isNew).map(Candidates.incoming))
      const woken = all.slice(0, room - again.length)
      left = left || again.length + woken.length < settled.again.length + all.length
      room -= again.length + woken.length
      const next = [...(yield* restored(setup, woken)), ...again].sort(byAge)
      yield* batch.preload(next.map(({ event }) => event))
      candidates = [...next, ...candidates]
    }
    return { outcomes, left }
  })

/** Entries as candidates. One that does not read back stays queued; whoever takes it from there says so. */
const restored = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  numbers: ReadonlyArray<number>
) =>
  Effect.map(numbers.length === 0 ? Effect.succeed([]) : Inbox.entries(numbers), (entries) =>
    entries.flatMap((entry) => {
      const candidate = Candidates.restore(setup.codec, entry)
      return candidate._tag === "Right" ? [candidate.right] : []
    })
  )

/** Oldest first; what has no entry came with this batch, and keeps its order. */
const byAge = (a: Candidates.Candidate<Extensions.Fields>, b: Candidates.Candidate<Extensions.Fields>) =>
  (a.entry ?? Number.MAX_SAFE_INTEGER) - (b.entry ?? Number.MAX_SAFE_INTEGER)

const isNew = ({ entry }: Candidates.Candidate<Extensions.Fields>) => entry === undefined

/** Decides one after the other, until one is accepted that wakes something: `waking`. */
const decide = <X extends Extensions.Fields, E, R>(
  batch: Batch.Batch<Event.Event<X>, E, R>,
  candidates: ReadonlyArray<Candidates.Candidate<X>>,
  waits: boolean
) =>
  Effect.gen(function* () {
    const round: Array<Settle.Decision<X, E>> = []
    const deferred: Array<Settle.Decision<X, E>> = []
    for (const given of candidates) {
      const [event = given.event] = yield* batch.admit([given.event])
      const candidate = event === given.event ? given : { ...given, event }
      const decision = { candidate, decided: yield* batch.process(event) }
      round.push(decision)
      if (decision.decided._tag === "Deferred") deferred.push(decision)
      if (decision.decided._tag !== "Accepted") continue
      const wakes =
        deferred.some((earlier) => Settle.wakes(event, earlier)) ||
        (waits && (yield* Waiting.existsFor(Candidates.incoming(candidate))))
      if (wakes) return { round, waking: event }
    }
    return { round, waking: undefined }
  })
