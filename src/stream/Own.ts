/**
 * Our own logs: whether it is safe to publish on them, and what to say when it is not. No place in a log of our own is ever given
 * twice, whatever was lost (docs/own-log.md).
 *
 * @example
 * controller.publish(draft).pipe(
 *   Effect.catchTag("OwnLogUnwitnessed", (error) =>
 *     // The peers were asked, and everything of ours that they had was taken in.
 *     Effect.zipRight(controller.own.confirm(error), controller.publish(draft))
 *   )
 * )
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Hash } from "../core/Hash.ts"
import type { LogId } from "../core/LogId.ts"
import type { Topic } from "../core/Topic.ts"
import type { VerifyingKey } from "../core/VerifyingKey.ts"
import type { InsideTransaction } from "./Errors.ts"
import type { OwnLogBehind, OwnLogForked, Unsafe, WitnessFailed } from "./OwnErrors.ts"

export type { Unsafe } from "./OwnErrors.ts"

/** A log, by its topic or by its log id. The errors of `publish` name one too. */
export type Which =
  | { readonly author: VerifyingKey; readonly topic: Topic }
  | { readonly author: VerifyingKey; readonly logId: LogId }

/** A log of our own. */
export interface OwnLog {
  readonly author: VerifyingKey
  readonly logId: LogId
  /** Where it is known. */
  readonly topic: Topic | undefined
  /** The newest place that is here. */
  readonly here: number | undefined
  /** The newest place that the witness knows. */
  readonly witnessed: number | undefined
  /** How much evidence there is that it was written twice. */
  readonly forks: number
  /** Why nothing is published on it, if so. */
  readonly problem: Unsafe | undefined
}

/** Our own key has signed two operations that cannot both be in one log. */
export interface OwnFork {
  readonly author: VerifyingKey
  readonly logId: LogId
  /** The place that both speak about. */
  readonly seqNum: number
  /** The one that stands there. */
  readonly accepted: Hash
  /** The one that came: it stands there too, or builds upon another. */
  readonly other: Hash
}

/** The database, or a call from inside a transaction. */
type Failure = SqlError | InsideTransaction

/** What is known of our own logs, and what can be said of them. */
export interface Own {
  /** Which witness there is: the path of its file. */
  readonly witness: string | undefined
  /** The logs that were published on here, and those that the witness knows. Reads only. */
  readonly status: Effect.Effect<ReadonlyArray<OwnLog>, SqlError | WitnessFailed>
  /**
   * Says that others were asked and hold nothing newer of a log than what is here; the witness is told so. `upTo`: the newest place
   * that they hold. Refused where what is here shows that it is not so.
   */
  readonly confirm: (
    which: Which,
    options?: { readonly upTo?: number | undefined }
  ) => Effect.Effect<OwnLog, OwnLogBehind | OwnLogForked | WitnessFailed | Failure>
  /**
   * Goes on with what stands in the log here, though others hold another branch; what is known from outside by now counts no more.
   * Where the log is not forked yet, the next operation may fork it.
   */
  readonly acknowledgeFork: (which: Which) => Effect.Effect<OwnLog, WitnessFailed | Failure>
  /**
   * Forks of our own key that come from outside, from now on; each is an error in the log as well. Told once each, after the commit;
   * those of before are counted in `status`. Bounded: who lags by more than 256 misses the oldest.
   */
  readonly forks: Stream.Stream<OwnFork>
}
