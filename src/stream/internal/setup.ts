/** What the parts of the controller share: what it was made of, and what goes into and comes out of a transaction. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import type * as Batch from "../../pipeline/Batch.ts"
import type * as Consumer from "../../pipeline/Consumer.ts"
import type * as Event from "../../pipeline/Event.ts"
import type * as Outcome from "../../pipeline/Outcome.ts"
import type * as Policy from "../../pipeline/Policy.ts"
import type * as Rejection from "../../pipeline/Rejection.ts"
import type * as Filter from "../../store/Filter.ts"
import type { Transaction } from "../../store/Transaction.ts"
import type * as Witness from "../../store/Witness.ts"
import type { InboxFull } from "../Errors.ts"
import type { Progress } from "../Progress.ts"
import type * as Candidates from "./candidates.ts"
import type { Capacity } from "./gate.ts"
import type { Pace } from "./pace.ts"
import type { Mood } from "./mood.ts"

/** Everything that processing needs to know. */
export interface Setup<X extends Extensions.Fields, Out extends Event.Event, A, E, R>
  extends Batch.Definition<Event.Event<X>, Out, A, E, R>,
    Capacity {
  readonly codec: Extensions.Codec<X>
  readonly policy: (error: E | Rejection.BuiltIn) => Policy.Policy
  /** Operations to a transaction; as many that they wake may come on top, and never less than 100. */
  readonly pace: Pace
  /** Operations to a page of what was accepted. */
  readonly batchSize: number
  readonly busyLimit: Duration.Duration
  /** What is tried again when the controller is opened: everything, nothing, or what fits. */
  readonly replayOnStart: boolean | Filter.Filter
  readonly consumers: ReadonlyArray<Consumer.Consumer<Out, R>>
  /** What remembers outside the database how far our own logs are, if anything does. */
  readonly witness: Witness.Service | undefined
  /** Of those who process. */
  readonly mood: Mood
  /** Tells how far somebody came. */
  readonly progress: (progress: Progress) => Effect.Effect<void>
}

/** A new operation that was not accepted, and for which the inbox had no room. Nothing of it is kept. */
export interface Refused {
  readonly _tag: "Refused"
  readonly id: Hash
  readonly error: InboxFull
}

/** What a transaction takes on. */
export interface Taken<X extends Extensions.Fields> {
  /** Of the operations that were asked for: those that somebody else was quicker with. */
  readonly known: ReadonlyArray<Outcome.Known>
  /** To be decided when no wake-up is pending any more. */
  readonly candidates: ReadonlyArray<Candidates.Candidate<X>>
  /** Whether pending wake-ups come first, those under `root` and those that are nobody's. */
  readonly resumes: boolean
  readonly root: number | undefined
}

/** Where a transaction gets that from: reads what is there, inside the transaction. */
export type Source<X extends Extensions.Fields, Err> = Effect.Effect<Taken<X>, SqlError | Err, SqlClient | Transaction>
