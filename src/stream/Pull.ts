/**
 * The pull interface: accepted operations for readers that are not in the same database. A position is leased to whoever takes
 * it, and is handed out again unless it is acknowledged before the lease runs out.
 *
 * So this one is *at least once*: what the reader does is not in the transaction that acknowledges it, and between the two
 * anything may crash. A {@link Consumer} writes in the very transaction that moves it, and is exactly once. Whoever pulls tells
 * repeats by the operation's id.
 */
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Forgotten } from "../pipeline/Consumer.ts"
import type { InsideTransaction, LeaseLost } from "./Errors.ts"

/** How operations are taken out. */
export interface Options {
  /** Where a name that is new begins: with everything, with what is accepted from now on, or after a position. Default: everything. */
  readonly from?: "beginning" | "now" | number | undefined
  /** How long one may take to acknowledge. Default: 30 seconds. */
  readonly lease?: Duration.DurationInput | undefined
  /** How many positions may be in somebody's hands at a time, over all who pull under this name. Default: 100. */
  readonly inFlight?: number | undefined
}

/** One position. Acknowledging it says nothing of any other. */
export interface Delivery<out Out> {
  readonly position: number
  /** Counts how often it was handed out, or asked for by a replay. 1: the first time. */
  readonly attempt: number
  /** The operation; none where it is gone, or where there is only something to tell. */
  readonly event: Out | undefined
  /** What is gone by this operation, or will not be seen; pages, oldest first, until it is acknowledged. */
  readonly forgotten: Stream.Stream<Forgotten, SqlError>
  /** It is done, and is not handed out again. */
  readonly ack: Effect.Effect<void, LeaseLost | Failure>
  /** It cannot be done: it is parked with its reason, and handed out again after `retryAfter`, or when somebody asks for it. */
  readonly nack: (reason: unknown, retryAfter?: Duration.DurationInput) => Effect.Effect<void, LeaseLost | Failure>
  /** It takes longer: the lease begins anew. */
  readonly extend: (lease?: Duration.DurationInput) => Effect.Effect<void, LeaseLost | Failure>
}

/** The database, or a call from inside a transaction. Nothing was changed. */
export type Failure = SqlError | InsideTransaction
