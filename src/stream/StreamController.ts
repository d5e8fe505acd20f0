/**
 * The stream controller: when operations are processed. It takes them in, runs them through the pipeline and the
 * application, replays what never completed, and publishes our own.
 *
 * There is one writer. Operations share transactions (group commit), each atomic by itself; after each transaction the
 * event loop gets a turn. Two processes may open the same database: what one has begun the other waits for.
 *
 * @example
 * class Apples extends StreamController.Tag<Apples>()("Apples", { pipeline, application: apples }) {}
 *
 * const program = Effect.gen(function* () {
 *   const controller = yield* Apples
 *   yield* controller.publish({ key, topic, message: { to: "horse", apples: 3 } })
 * })
 *
 * program.pipe(Effect.provide(Apples.layer), Effect.provide(SqliteClient.layer({ filename: "apples.db" })))
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Crypto from "../core/Crypto.ts"
import type * as Extensions from "../core/Extensions.ts"
import type { Hash } from "../core/Hash.ts"
import type * as Operation from "../core/Operation.ts"
import type { Topic } from "../core/Topic.ts"
import type * as Application from "../pipeline/Application.ts"
import type * as Consumer from "../pipeline/Consumer.ts"
import type * as Event from "../pipeline/Event.ts"
import type * as Outcome from "../pipeline/Outcome.ts"
import type * as Pipeline from "../pipeline/Pipeline.ts"
import type * as Policy from "../pipeline/Policy.ts"
import type * as Rejection from "../pipeline/Rejection.ts"
import type { InPlace } from "../processors/LogIntegrity.ts"
import type * as Garbage from "../store/Garbage.ts"
import type { MigrationError } from "../store/Migrations.ts"
import type * as Filter from "../store/Filter.ts"
import type * as OwnLogs from "../store/OwnLogs.ts"
import type * as Status from "../store/Status.ts"
import type * as Transaction from "../store/Transaction.ts"
import type * as Witness from "../store/Witness.ts"
import type { CannotSkip, InboxFull, Invalid, NameTaken, NotInInbox, Superseded } from "./Errors.ts"
import type { InsideTransaction } from "./Errors.ts"
import type { Consumers } from "./Consumers.ts"
import * as Controller from "./internal/controller.ts"
import { defaultPolicy } from "./internal/policy.ts"
import type { Own } from "./Own.ts"
import type * as Projection from "./Projection.ts"
import type * as Pull from "./Pull.ts"
import type * as Intake from "./internal/intake.ts"
import type * as Open from "./internal/open.ts"
import type * as Publishing from "./internal/publish.ts"
import type * as Work from "./internal/work.ts"

/** Where operations come from, as far as their sender says. */
export interface From {
  /** The topic they came under; an operation of another topic's log is refused. */
  readonly topic?: Topic | undefined
  /** A name for the sender, kept beside the operation as long as it is in the inbox. */
  readonly source?: string | undefined
}

/**
 * An operation that was received: queued from now on, or known from before; either way it is durable. Or rejected as it
 * stands by the `check` of a processor: refused, nothing of it was stored.
 */
export type Received<E> = { readonly _tag: "Queued"; readonly id: Hash } | Outcome.Known | Outcome.Rejected<E>

/** An operation of our own to be published. `message` is encoded as the body; none makes an operation without a body. */
export interface Draft<out Message> extends Publishing.Draft<Message> {}

/** An operation of our own that was published. */
export type Published = Publishing.Published

/** Which operations are meant. Everything that is said must hold; nothing said means all. */
export type Which = Pick<Filter.Options, "topic" | "author">

/** What a drain or replay did, and what it leaves in the inbox. */
export type Counts = Work.Counts

/**
 * A stream controller for messages of type `Message`, whose operations can be rejected with `E` and are handed on as events of
 * type `Out`. The bytes that it is given are not copied: they must not be changed until the call has ended, since what was checked of
 * them is not checked again.
 */
export interface StreamController<in Message, out E, out Out = Event.Event> {
  /**
   * Stores an operation for later processing. Durable when it returns, idempotent by id. What is wrong for everyone is a
   * typed error and not stored; what a processor refuses as it stands is not stored either.
   */
  readonly receive: (raw: Operation.Raw, from?: From) => Effect.Effect<Received<E>, Invalid | InboxFull | Failure>
  /**
   * {@link receive} for many operations in one transaction; gives an answer for each, in their order. One that is invalid,
   * refused or has no room costs the others nothing.
   */
  readonly receiveAll: (
    raws: ReadonlyArray<Operation.Raw>,
    from?: From
  ) => Effect.Effect<ReadonlyArray<Intake.Stored<E>>, Failure>
  /**
   * Receives an operation and processes it in the same transaction. What it wakes is processed before this returns: in that
   * transaction too, as far as it has room. What is accepted at once needs no room in the inbox.
   */
  readonly process: (
    raw: Operation.Raw,
    from?: From
  ) => Effect.Effect<Outcome.Outcome<E>, Invalid | InboxFull | Failure>
  /** {@link process} for many operations, group commit; gives an answer for each, in their order. */
  readonly processAll: (
    raws: ReadonlyArray<Operation.Raw>,
    from?: From
  ) => Effect.Effect<ReadonlyArray<Intake.Answer<E>>, Failure>
  /**
   * Builds, signs, processes and appends an operation of our own, in one transaction that is on the disk when this
   * returns. If anything says no it never existed: no gap in the log, a typed error. So does what is known of the log from
   * elsewhere, where an operation of ours might stand at its place already: see {@link StreamController.own}.
   */
  readonly publish: (
    draft: Draft<Message>
  ) => Effect.Effect<Published, E | Rejection.BuiltIn | Publishing.PublishError | Failure>
  /**
   * Processes everything that is queued or due, and what that wakes, a bounded number in each transaction; builds what has to be
   * built first, and hands the consumers what is there for them.
   */
  readonly drain: Effect.Effect<Counts, Failure>
  /**
   * {@link drain}, now and as something comes. Infrastructure errors are waited out, with growing pauses. It ends only where another
   * process has opened the database with a newer version.
   */
  readonly run: Effect.Effect<never, InsideTransaction | Superseded>
  /**
   * Queues what is waiting or rejected, and drains: everything, or only what is of a topic, of an author, or of both. What
   * that wakes is processed too, whatever it is of. Counts as waiting and rejected what is left of what was asked for.
   */
  readonly replay: (which?: Which) => Effect.Effect<Counts, Failure>
  /** Lets only the header of an operation into its log, so that the log goes on; recorded. Gives its position. */
  readonly skip: (id: Hash) => Effect.Effect<number, NotInInbox | CannotSkip | Failure>
  /** Deletes an operation and remembers its id, so that it is not taken in again; recorded. */
  readonly discard: (id: Hash, why?: string) => Effect.Effect<void, NotInInbox | Failure>
  /**
   * Collects what pruning, deletion, skip and discard left behind, in steps between which other work goes on, and tells what was
   * freed. Never what a promise still needs. It can be interrupted, and called again.
   */
  readonly collect: (options?: Garbage.Options) => Effect.Effect<Garbage.Report, Failure>
  /**
   * Whether what the application, the consumers and the processors keep is what comes of the operations: rebuilds them in a
   * transaction that is always rolled back, and compares all tables but our own. Nothing else is done with the database
   * meanwhile; `afterCommit` effects are not run. Whoever has no `reset` is not rebuilt, and named.
   */
  readonly verify: (options?: Projection.Options) => Effect.Effect<Projection.Report, Failure>
  /**
   * What became of operations that were taken in, from now on, after the commit. Bounded: a reader that lags more than 4,096 outcomes behind
   * misses the oldest; everything is in the store.
   */
  readonly outcomes: Stream.Stream<Outcome.Outcome<E>>
  /** Counts per state, logs, topics, our own logs and their forks, and the last position. */
  readonly status: Effect.Effect<Status.Status & OwnLogs.Counts, SqlError>
  /** Our own logs: whether it is safe to publish on them, and what to say when it is not. */
  readonly own: Own
  /** How far the consumers are, what they have parked, and how they are handed something again. */
  readonly consumers: Consumers
  /** Accepted operations for a reader under this name that is not in the database: at least once; see `Pull`. */
  readonly pull: (name: string, options?: Pull.Options) => Stream.Stream<Pull.Delivery<Out>, Pull.Failure | NameTaken>
}

/** Nobody's verdict: the database, a call from inside a transaction, or a program that is too old. Nothing was changed. */
export type Failure = SqlError | InsideTransaction | Superseded

/** Why a controller cannot be opened on a database. Nothing was changed, but that its tables may be newer. */
export type OpenError = SqlError | MigrationError | Open.Refusal

export { defaultPolicy }

/** An event in its place: the pipeline of a controller has `LogIntegrity` in it. */
export type Placed = Event.Event & InPlace

/** What a controller is made of. */
export interface Options<X extends Extensions.Fields, Out extends Placed, A, E, R, E2, R2, C> {
  readonly pipeline: Pipeline.Pipeline<Event.Event<X>, Out, E, R>
  readonly application: Application.Application<Out, A, E2, R2>
  /** Who else reads what is accepted, each with its own position. Default: nobody. */
  readonly consumers?: C | undefined
  /** How extensions are read and, for our own operations, written. Default: p2panda's node extensions, and open maps. */
  readonly extensions?: Extensions.Codec<X> | undefined
  /** What happens to a rejected operation. Default: {@link defaultPolicy}. */
  readonly policy?: ((error: E | E2 | Rejection.BuiltIn) => Policy.Policy) | undefined
  /**
   * Operations to a transaction. Default: as many as there are, 100 at first; under load up to 500, as long as the transactions
   * take less than 50 milliseconds, and fewer where they take longer.
   */
  readonly batchSize?: number | undefined
  /** Operations that the inbox holds at the most, queued, waiting or rejected. Default: 1,000,000. */
  readonly capacity?: number | undefined
  /** Operations of one author that the inbox holds at the most. Default: 100,000. */
  readonly capacityPerAuthor?: number | undefined
  /** How long a busy database is waited for. Default: 5 seconds. */
  readonly busyLimit?: Duration.DurationInput | undefined
  /** How often `run` looks for what another process has queued. Default: 1 second. */
  readonly poll?: Duration.DurationInput | undefined
  /**
   * What is tried again when the controller is opened, of what is waiting or rejected: everything (`true`, the default),
   * nothing, or only what fits. What is queued is processed in any case.
   */
  readonly replayOnStart?: boolean | Which | undefined
  /**
   * What remembers outside the database how far our own logs are, so that a database that was restored does not fork them. Default:
   * on Node a file beside the database (`apples.db-own`), else none. `false`: none.
   */
  readonly witness?: Layer.Layer<Witness.Witness, never, SqlClient> | false | undefined
  /**
   * Signatures and hashes. Default: libsodium; native where it loads, and then in a worker thread where there are many to
   * check. What is given here is used as it is, on this thread.
   */
  readonly crypto?: Layer.Layer<Crypto.Crypto> | undefined
}

/**
 * What processors (`R`) and handler (`R2`) need besides the client. Only the handler is given a transaction; a processor
 * that reads with one does not get it, so that it cannot write where it should read.
 */
export type Needs<R, R2> = SqlClient | Exclude<R, SqlClient> | Exclude<R2, SqlClient | Transaction.Transaction>

/** No consumers. */
type Nobody = readonly []

/**
 * Opens a controller on the database of the surrounding `SqlClient`: migrates it, and queues everything that was
 * received and not accepted, to be replayed by {@link StreamController.run} or `drain`.
 */
export const make = <
  Out extends Placed,
  A,
  E,
  R,
  E2,
  R2,
  X extends Extensions.Fields = Extensions.Any,
  const C extends ReadonlyArray<Consumer.Consumer<Out, unknown>> = Nobody
>(
  options: Options<X, Out, A, E, R, E2, R2, C>
): Effect.Effect<
  StreamController<A, E | E2, Out>,
  OpenError,
  Needs<R, R2 | Consumer.Context<C[number]>> | Scope.Scope
> =>
  // Who the consumers are and what they need is one and the same in `C`; TypeScript cannot see that of a parameter.
  Controller.make(
    options,
    (options.consumers ?? []) as ReadonlyArray<Consumer.Consumer<Out, Consumer.Context<C[number]>>>
  )

/**
 * The tag of a controller with its types, and the layer that makes it: `SqlClient` and what the handler needs are all it
 * requires.
 */
export const Tag =
  <Self>() =>
  <
    const Id extends string,
    Out extends Placed,
    A,
    E,
    R,
    E2,
    R2,
    X extends Extensions.Fields = Extensions.Any,
    const C extends ReadonlyArray<Consumer.Consumer<Out, unknown>> = Nobody
  >(
    id: Id,
    options: Options<X, Out, A, E, R, E2, R2, C>
  ): TagClass<
    Self,
    Id,
    StreamController<A, E | E2, Out>,
    Layer.Layer<Self, OpenError, Needs<R, R2 | Consumer.Context<C[number]>>>
  > => {
    const tag = Context.Tag(id)<Self, StreamController<A, E | E2, Out>>()
    return Object.assign(tag, { layer: Layer.scoped(tag, make(options)) })
  }

/** The type of {@link Tag}. */
export type TagClass<Self, Id extends string, Service, L> = Context.TagClass<Self, Id, Service> & { readonly layer: L }
