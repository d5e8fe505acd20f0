/**
 * A batch: many operations in one transaction, each atomic by itself. It goes operation by operation, since whether the
 * second operation of a log may pass depends on what the application said to the first.
 *
 * Nothing that an operation did is written before it has passed everything: processors' states are values, and the
 * application's statements stand in a part of their own ({@link Handling}). What the accepted ones leave is written at the end, table by
 * table; earlier only before an operation that removes others, which may have come in this very batch.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Hash } from "../core/Hash.ts"
import type * as Log from "../core/Log.ts"
import * as Notices from "../store/Notices.ts"
import * as Removal from "../store/Removal.ts"
import * as Transaction from "../store/Transaction.ts"
import type * as Application from "./Application.ts"
import * as Event from "./Event.ts"
import * as Known from "./internal/known.ts"
import * as Ledger from "./internal/ledger.ts"
import type * as Pipeline from "./Pipeline.ts"
import * as Rejection from "./Rejection.ts"

/** What processes operations: processors, and the application behind them. */
export interface Definition<In, Out, A, E, R> {
  readonly pipeline: Pipeline.Pipeline<In, Out, E, R>
  readonly application: Application.Application<Out, A, E, R>
}

/** What became of one operation, before any policy. */
export type Decided<E> =
  | { readonly _tag: "Accepted"; readonly position: number }
  | Pipeline.Deferred
  | { readonly _tag: "Rejected"; readonly processor: string; readonly error: E | Rejection.BuiltIn }

/**
 * How handlers are run, whose statements go with a rejection:
 *
 * - `apart`: each under a savepoint. A rejection undoes what it wrote, and the batch goes on.
 * - `together`: without, which costs less. What is rejected after it has written fails the batch with `Transaction.PartFailed`: then the
 *   whole batch is to be run again, apart.
 * - `alone`: without, for one operation whose transaction is rolled back by whoever runs it if it is rejected.
 */
export type Handling = "apart" | "together" | "alone"

/** A batch at work, inside a transaction. */
export interface Batch<in In, out E, out R> {
  /** Loads what these events need, all at once. */
  readonly preload: (events: ReadonlyArray<Event.Event>) => Effect.Effect<void, SqlError, SqlClient | R>
  /** Completes an operation of our own before it is signed. */
  readonly complete: (draft: Event.Draft) => Effect.Effect<Event.Draft, E | SqlError, SqlClient | R>
  /**
   * These events as they may be seen and kept: without the bodies that were deleted before they came. To be asked before an
   * operation is stored, and again right before it is processed.
   */
  readonly admit: <Ev extends Event.Event>(
    events: ReadonlyArray<Ev>
  ) => Effect.Effect<ReadonlyArray<Ev>, SqlError, SqlClient | R>
  /**
   * Processors, then the application. A `SqlError` is nobody's verdict: the whole batch is to be rolled back and tried
   * again. Otherwise an operation that is not accepted has left no trace.
   */
  readonly process: (event: In) => Effect.Effect<Decided<E>, SqlError, SqlClient | Transaction.Transaction | R>
  /** Says that what processors have read may have changed: an operation that somebody waited for will not come. */
  readonly refresh: () => void
  /** Whether that was so in this batch: then a processor may have decided about what was there no more. */
  readonly refreshed: () => boolean
  /** Lets only the header of an operation into its log; gives its position. */
  readonly skip: (event: Event.Event) => number
  /** Since when a handler has been running, if one is: nanoseconds of the clock that is never set. */
  readonly handlingSince: () => bigint | undefined
  /** Whether the log of an operation was pruned past it in this batch. */
  readonly outdated: (event: Event.Event) => boolean
  /** Whether an operation was accepted in this batch; its row is written by {@link finish}. */
  readonly accepted: (id: Hash) => boolean
  /** Writes what the accepted operations leave; gives the last position. */
  readonly finish: Effect.Effect<number, SqlError, SqlClient | Transaction.Transaction | R>
}

/** Begins a batch in the current transaction. `last`: the last position that was given. */
export const open = <In extends Event.Event, Out extends Event.Event, A, E, R>(
  definition: Definition<In, Out, A, E, R>,
  last: number,
  handling: Handling
): Effect.Effect<Batch<In, E, R>> =>
  Effect.clockWith((clock) => {
    const session = definition.pipeline.open()
    const acceptedAt = clock.unsafeCurrentTimeMillis()
    const ledger = Ledger.make(last, acceptedAt)
    /** Writes what was accepted since it was done last. */
    const flush = Effect.zipRight(session.save, ledger.write)
    let handlingSince: bigint | undefined = undefined
    const prunedBelow = new Map<Log.Key, number>()
    let refreshed = false
    const evidence: Array<Pipeline.Rejected<E, R>["evidence"]> = []

    const refresh = () => {
      refreshed = true
      session.refresh()
    }

    const admit = <Ev extends Event.Event>(events: ReadonlyArray<Ev>) =>
      session.redact === undefined
        ? Effect.succeed(events)
        : Effect.map(session.redact(events), (ids) =>
            events.map((event) => {
              if (!ids.has(event.id)) return event
              ledger.redacted(event.id)
              return Event.withoutBody(event)
            })
          )

    /** What is to be removed has to be in the tables; then the same is decided again, from states that were read back. */
    const decide = (event: In) =>
      Known.flatMap(session.decide(event), (step) => {
        if (step._tag !== "Passed" || step.removes.length === 0 || !ledger.hasUnwritten()) return Effect.succeed(step)
        session.drop()
        return Effect.flatMap(flush, () => session.decide(event))
      })

    /** The application is told, then the processors, and then it goes. */
    const remove = (event: Out, removal: Removal.Removal) => {
      const how = removal._tag === "Prefix" ? "pruned" : "deleted"
      return Removal.each(removal, (operations) =>
        definition.application.forget({ how, operations, event, position: ledger.next() })
      ).pipe(
        Effect.zipRight(session.forget(removal)),
        Effect.zipRight(Effect.suspend(() => Notices.write(removal, ledger.next()))),
        Effect.zipRight(Removal.apply(removal, acceptedAt)),
        Effect.tap(() => Effect.sync(refresh))
      )
    }

    const handle = ({ event, removes }: Pipeline.Passed<Out>) => {
      handlingSince = clock.unsafeCurrentTimeNanos()
      // Suspended, so that a handler that throws before it returns an effect is undone like any other.
      const handled = Effect.suspend(() => definition.application.handle(event, ledger.next()))
      const whole =
        removes.length === 0
          ? handled
          : Effect.zipRight(
              handled,
              Effect.forEach(removes, (removal) => remove(event, removal), { discard: true })
            )
      // What an operation removes it may have to give back.
      const isApart = handling === "apart" || removes.length > 0
      return Effect.matchCauseEffect(isApart ? Transaction.savepoint(whole) : Transaction.part(whole), {
        onSuccess: () => {
          handlingSince = undefined
          session.keep()
          for (const removal of removes) if (removal._tag === "Prefix") prunedBelow.set(removal.log, removal.below)
          return Effect.succeed<Decided<E>>({
            _tag: "Accepted",
            position: ledger.append(event, Event.claim(event), event.operation.body)
          })
        },
        onFailure: (cause) => {
          handlingSince = undefined
          session.drop()
          const rejected = Effect.map(
            Rejection.verdict(cause),
            (error): Decided<E> => ({ _tag: "Rejected", processor: definition.application.name, error })
          )
          return handling === "together" ? Effect.zipLeft(rejected, Transaction.check) : rejected
        }
      })
    }

    return Effect.succeed<Batch<In, E, R>>({
      preload: session.preload,
      complete: session.complete,
      admit,
      process: (event) =>
        Known.flatMap(decide({ ...event, decidedAt: acceptedAt }), (step) => {
          if (step._tag === "Passed") {
            // Behind a removal everything is read anew, what this operation itself has noted of those that went as well.
            return step.removes.length === 0 ? handle(step) : Effect.tap(handle(step), () => flush)
          }
          session.drop()
          if (step._tag === "Rejected") evidence.push(step.evidence)
          return Effect.succeed<Decided<E>>(step)
        }),
      refresh,
      refreshed: () => refreshed,
      // Pruning is an effect, and a skipped operation has none.
      skip: (event) => ledger.append(event, { ...Event.claim(event), prune: false }, undefined),
      handlingSince: () => handlingSince,
      outdated: ({ log, operation }) => operation.header.seqNum < (prunedBelow.get(log) ?? 0),
      accepted: ledger.accepted,
      finish: Effect.suspend(() =>
        flush.pipe(
          // Evidence may speak of operations of this very batch.
          Effect.zipRight(Effect.forEach(evidence, (keep) => keep, { discard: true })),
          Effect.map(() => ledger.next() - 1)
        )
      )
    })
  })
