/**
 * A batch: many operations in one transaction, each atomic by itself. It goes operation by operation, since whether the
 * second operation of a log may pass depends on what the application said to the first.
 *
 * Nothing that an operation did is written before it has passed everything: processors' states are values, and the
 * application's statements stand under a savepoint. What the accepted ones leave is written at the end, a statement per
 * table.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Hash } from "../core/Hash.ts"
import * as Log from "../core/Log.ts"
import * as Operations from "../store/Operations.ts"
import * as SqlReason from "../store/SqlReason.ts"
import * as Transaction from "../store/Transaction.ts"
import type * as Application from "./Application.ts"
import * as Event from "./Event.ts"
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

/** A batch at work, inside a transaction. */
export interface Batch<in In, out E, out R> {
  /** Loads what these events need, all at once. */
  readonly preload: (events: ReadonlyArray<Event.Event>) => Effect.Effect<void, SqlError, SqlClient | R>
  /** Completes an operation of our own before it is signed. */
  readonly complete: (draft: Event.Draft) => Effect.Effect<Event.Draft, E | SqlError, SqlClient | R>
  /**
   * Processors, then the application. A `SqlError` is nobody's verdict: the whole batch is to be rolled back and tried
   * again. Otherwise an operation that is not accepted has left no trace.
   */
  readonly process: (event: In) => Effect.Effect<Decided<E>, SqlError, SqlClient | Transaction.Transaction | R>
  /** Lets only the header of an operation into its log; gives its position. */
  readonly skip: (event: Event.Event) => number
  /** Since when a handler has been running, in milliseconds since the epoch, if one is. */
  readonly handlingSince: () => number | undefined
  /** Whether an operation was accepted in this batch; its row is written by {@link finish}. */
  readonly accepted: (id: Hash) => boolean
  /** Writes what the accepted operations leave; gives the last position. */
  readonly finish: Effect.Effect<number, SqlError, SqlClient | Transaction.Transaction | R>
}

/** Begins a batch in the current transaction. */
export const open = <In extends Event.Event, Out extends Event.Event, A, E, R>(
  definition: Definition<In, Out, A, E, R>
): Effect.Effect<Batch<In, E, R>, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const session = definition.pipeline.open()
    const clock = yield* Effect.clock
    const acceptedAt = clock.unsafeCurrentTimeMillis()
    let position = yield* Operations.lastPosition
    let handlingSince: number | undefined = undefined
    const rows = new Map<Hash, Operations.Accepted>()
    const evidence: Array<Pipeline.Rejected<E, R>["evidence"]> = []

    const append = (event: Event.Event, body: Uint8Array | undefined): number => {
      position += 1
      rows.set(event.id, row(event, body, position, acceptedAt))
      return position
    }

    const handle = (event: Out): Effect.Effect<Decided<E>, SqlError, SqlClient | Transaction.Transaction | R> => {
      handlingSince = clock.unsafeCurrentTimeMillis()
      return Effect.matchCauseEffect(Transaction.savepoint(definition.application.handle(event, position + 1)), {
        onSuccess: () => {
          handlingSince = undefined
          session.keep()
          return Effect.succeed<Decided<E>>({ _tag: "Accepted", position: append(event, event.operation.body) })
        },
        onFailure: (cause) => {
          handlingSince = undefined
          session.drop()
          return Effect.map(
            verdict(cause),
            (error): Decided<E> => ({ _tag: "Rejected", processor: definition.application.name, error })
          )
        }
      })
    }

    return {
      preload: session.preload,
      complete: session.complete,
      process: (event) =>
        Effect.flatMap(session.decide(event), (step) => {
          if (step._tag === "Passed") return handle(step.event)
          session.drop()
          if (step._tag === "Rejected") evidence.push(step.evidence)
          return Effect.succeed<Decided<E>>(step)
        }),
      skip: (event) => append(event, undefined),
      handlingSince: () => handlingSince,
      accepted: (id) => rows.has(id),
      finish: Effect.suspend(() =>
        session.save.pipe(
          Effect.zipRight(Operations.append(Array.from(rows.values()))),
          // Evidence may speak of operations of this very batch.
          Effect.zipRight(Effect.forEach(evidence, (keep) => keep, { discard: true })),
          Effect.map(() => position)
        )
      )
    }
  })

// internal

const row = (
  event: Event.Event,
  body: Uint8Array | undefined,
  position: number,
  acceptedAt: number
): Operations.Accepted => ({
  position,
  operation: event.operation,
  body,
  acceptedAt,
  log: event.log,
  author: event.author,
  logId: event.extensions.logId,
  topic: event.topic,
  head: Log.append(undefined, event.id, Event.claim(event))
})

/**
 * What a handler's failure means. An infrastructure error, wherever in the cause it stands, is the batch's failure. An
 * interruption that arrives here is the handler's own (one from outside never gets this far) and so counts as a bug.
 */
const verdict = <E>(cause: Cause.Cause<E | SqlError>): Effect.Effect<E | Rejection.BuiltIn, SqlError> => {
  const infrastructure = SqlReason.inCause(cause)
  if (Option.isSome(infrastructure)) return Effect.fail(infrastructure.value)
  const failure = Cause.failureOption(cause)
  if (Option.isNone(failure)) return Effect.succeed(Rejection.defect(cause))
  return Effect.succeed(failure.value instanceof SqlError ? Rejection.statementFailed(failure.value) : failure.value)
}
