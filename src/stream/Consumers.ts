/**
 * What can be asked of the consumers of a controller: how far they are, what they have parked, and that they are handed
 * accepted operations again. What is asked for is recorded in the database, and carried out by `run` and `drain`.
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type * as Rejection from "../pipeline/Rejection.ts"
import type * as Store from "../store/Consumers.ts"
import type * as Deliveries from "../store/Deliveries.ts"
import type * as Replays from "../store/Replays.ts"
import type { CannotRebuild, InsideTransaction, UnknownConsumer } from "./Errors.ts"
import type { Progress } from "./Progress.ts"

export type { Progress } from "./Progress.ts"
export type { Plan, Replay as Replaying } from "../store/Replays.ts"

/** How far a consumer is, and how fast. */
export interface Status extends Store.Status {
  /** Operations a second that it handled here in the last ten seconds. */
  readonly perSecond: number
}

/** A position that a consumer has rejected. */
export interface Parked extends Omit<Deliveries.Parked, "reason"> {
  readonly reason: Rejection.Encoded
}

/**
 * Which accepted operations a consumer is to be handed again: of those it was handed before, the ones of which all holds that is
 * said. Times in milliseconds since the epoch; one that is not a number (an invalid date) is a mistake, a `RangeError`.
 */
export interface Replay extends Replays.Asked {
  /** The name of the application, of a consumer, or of a puller. */
  readonly consumer: string
}

/** The database, or a call from inside a transaction. Nothing was changed. */
type Failure = SqlError | InsideTransaction

/** The consumers of a controller. */
export interface Consumers {
  /** How far each is: the application, the processors that can be rebuilt, the consumers, and whoever pulls. */
  readonly status: Effect.Effect<ReadonlyArray<Status>, SqlError>
  /** How far they come, told after each transaction. Bounded: who lags misses the oldest. */
  readonly progress: Stream.Stream<Progress>
  /** Hands nothing to a consumer until it is resumed, also after a restart. The others go on. */
  readonly pause: (name: string) => Effect.Effect<void, UnknownConsumer | Failure>
  readonly resume: (name: string) => Effect.Effect<void, UnknownConsumer | Failure>
  /**
   * Forgets a consumer or puller that nobody needs any more, with its position and all that was kept for it; until then it is noted
   * what it is to be told. Its own tables stay. One that is still among the controller's consumers is begun anew when that is
   * opened again.
   */
  readonly remove: (name: string) => Effect.Effect<void, UnknownConsumer | Failure>
  /** What a consumer has rejected, oldest first: `limit` (default 20) after a position. */
  readonly parked: (
    name: string,
    page?: { readonly after?: number | undefined; readonly limit?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<Parked>, UnknownConsumer | SqlError>
  /** Hands parked positions over again, these or all of them, with the next `run` or `drain`. Gives how many. */
  readonly retry: (name: string, positions?: ReadonlyArray<number>) => Effect.Effect<number, UnknownConsumer | Failure>
  /**
   * Empties a consumer, the application, or a processor (`processor:` and its name) and hands it everything again, as a new version
   * would.
   */
  readonly rebuild: (name: string) => Effect.Effect<void, UnknownConsumer | CannotRebuild | Failure>
  /** What {@link replay} would hand over. Changes nothing. */
  readonly plan: (replay: Replay) => Effect.Effect<Replays.Plan, UnknownConsumer | Failure>
  /**
   * Hands accepted operations over again, in the order of their positions, with `event.replay` set; nothing is emptied, so that a
   * handler that counts counts them again. What is rejected is parked, what was parked and is handled now is so no more. Nobody's
   * position moves. It leaves room for other work, ends early when it is interrupted, and is then carried on by `run` and `drain`
   * unless it is cancelled; so it is after a crash.
   */
  readonly replay: (replay: Replay) => Effect.Effect<Replays.Replay, UnknownConsumer | Failure>
  /** The replays that are not done. */
  readonly replays: Effect.Effect<ReadonlyArray<Replays.Replay>, SqlError>
  /** Ends a replay; whether it was running. What it has done stays done. */
  readonly cancel: (replay: number) => Effect.Effect<boolean, Failure>
}
