/**
 * A processor: one system layer, a keyed state machine. It loads, decides and saves; only deciding has logic, and that is
 * a pure function from state and event to a decision with the new state.
 *
 * Because new state is a value, undoing an operation inside a batch costs nothing: the value is dropped. Because state is
 * loaded and saved by key, a batch costs a few statements instead of a few per operation.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Hash } from "../core/Hash.ts"
import type { Migration } from "../store/Migrations.ts"
import type { Removal } from "../store/Removal.ts"
import type { Transaction } from "../store/Transaction.ts"
import type { Draft, Event } from "./Event.ts"
import { open } from "./internal/session.ts"

/** Reads state by key. `undefined`: there is none yet. */
export type State<in Key, out S> = (key: Key) => S | undefined

/** What a processor says of an event, unless it fails, which rejects the operation. */
export type Decision<Key, S, Adds> = Accept<Key, S, Adds> | Defer

/** It may pass: this is the new state, and this the event carries from now on. */
export interface Accept<Key, S, Adds> {
  readonly _tag: "Accept"
  readonly state: ReadonlyArray<readonly [key: Key, state: S]>
  readonly adds: Adds
  readonly removes: ReadonlyArray<Removal>
}

/** Not yet: it waits until all of these operations were accepted, and is then decided again. */
export interface Defer {
  readonly _tag: "Defer"
  readonly until: ReadonlyArray<Hash>
  /** When it is decided again even if they have not come: milliseconds since the epoch. */
  readonly deadline: number | undefined
}

/** Lets the event pass. */
export const accept = <Key = never, S = never, Adds extends object = {}>(options?: {
  /** New states by key; keys that are not named keep theirs. */
  readonly state?: ReadonlyArray<readonly [key: Key, state: S]> | undefined
  /** What the event carries afterwards, under names of the processor's choice; `payload` replaces what is handled. */
  readonly adds?: Adds | undefined
  /**
   * What goes from the store, with this operation and as its consequence: nothing goes unless the application accepts it,
   * and the application is told before it goes.
   */
  readonly removes?: ReadonlyArray<Removal> | undefined
}): Accept<Key, S, Adds> => ({
  _tag: "Accept",
  state: options?.state ?? [],
  removes: options?.removes ?? [],
  // Without `adds` the type of `Adds` is `{}`, which an empty object is.
  adds: options?.adds ?? ({} as Adds)
})

/**
 * Lets the event wait until all of these operations were accepted (or have come and gone: were pruned). `deadline`: when it
 * is decided again in any case, in milliseconds since the epoch; compare it with `event.decidedAt`.
 */
export const defer = (until: ReadonlyArray<Hash>, deadline?: number): Defer => ({ _tag: "Defer", until, deadline })

/**
 * A processor that needs `In`, adds `Adds`, rejects with `E` and needs the services `R`. Made with {@link make}, which
 * hides the type of its keys and of its state.
 */
export interface Processor<in In, out Adds, out E, out R> {
  /** Stands in errors and in the inbox beside a rejected operation; unique in a pipeline. */
  readonly name: string
  /** The tables it owns. */
  readonly migrations: ReadonlyArray<Migration>
  /** What it can say of an event without any state. */
  readonly check: (event: Event) => Either.Either<void, E>
  /** Deletes rows that no promise needs any more, so many at the most; gives how many it deleted. */
  readonly collect: (limit: number) => Effect.Effect<number, SqlError, Transaction | SqlClient | R>
  /** Begins a batch: nothing of an earlier one is remembered, since another process may have written meanwhile. */
  readonly open: () => Session<In, Adds, E, R>
  /** Raised when it would make another state of the same operations. */
  readonly version: number
  /** Empties its tables, for a rebuild. `undefined`: it has nothing that could be rebuilt. */
  readonly reset: Effect.Effect<unknown, SqlError, Transaction | SqlClient | R> | undefined
  /** The same processor with somebody looking on; for tests, such as `Laws` of `applecart/testing`. */
  readonly watched: (watch: Watch) => Processor<In, Adds, E, R>
}

/** What a {@link Watch} sees of a processor: where its states come from, what becomes of them, where they go. */
export type Parts<Key, S, In extends Event, Adds extends object, E, R> = Pick<
  Options<Key, S, In, Adds, E, SqlClient | R, SqlClient | Transaction | R>,
  "keys" | "laterKeys" | "load" | "decide" | "save"
>

/** Wraps the parts of a processor, whatever its keys and its states are. */
export type Watch = <Key extends string | number, S, In extends Event, Adds extends object, E, R>(
  parts: Parts<Key, S, In, Adds, E, R>
) => Parts<Key, S, In, Adds, E, R>

/** A processor at work on one batch. */
export interface Session<in In, out Adds, out E, out R> {
  /** Loads what the bare events name, for a whole batch at once. */
  readonly preload: (events: ReadonlyArray<Event>) => Effect.Effect<void, SqlError, SqlClient | R>
  /** Whose bodies must not be kept. `undefined`: that is never so, and need not be asked. */
  readonly redact:
    | ((events: ReadonlyArray<Event>) => Effect.Effect<ReadonlySet<Hash>, SqlError, SqlClient | R>)
    | undefined
  /** Decides about one event. New state is only noted until {@link keep}. */
  readonly decide: (event: In) => Effect.Effect<Verdict<Adds, E, R>, SqlError, SqlClient | R>
  /** The operation was accepted: what was noted is the state from now on. */
  readonly keep: () => void
  /** The operation is undone: what was noted is forgotten. */
  readonly drop: () => void
  /** Completes an operation of our own before it is signed. */
  readonly complete: (draft: Draft) => Effect.Effect<Draft, E | SqlError, SqlClient | R>
  /** Writes the states that changed since it was done last; what is needed again is read back. */
  readonly save: Effect.Effect<void, SqlError, Transaction | SqlClient | R>
  /** What was loaded may have changed: it is read again when it is needed. */
  readonly refresh: () => void
  /** Operations are about to go, and what it keeps about them goes first. */
  readonly forget: (removal: Removal) => Effect.Effect<void, SqlError, Transaction | SqlClient | R>
  /** Loads what {@link recall} needs for these events. */
  readonly preloadRecall: (events: ReadonlyArray<Event>) => Effect.Effect<void, SqlError, SqlClient | R>
  /** What an event carries that was accepted before and is handed over again. `undefined`: nothing is added. */
  readonly recall: (event: In) => Adds | undefined
}

/** A decision as the pipeline sees it: the state stays inside the session, a failure is a value. */
export type Verdict<Adds, E, R> =
  | { readonly _tag: "Accept"; readonly adds: Adds; readonly removes: ReadonlyArray<Removal> }
  | Defer
  | Reject<E, R>

/** It said no. `evidence` keeps what shall remain of that. */
export interface Reject<out E, out R> {
  readonly _tag: "Reject"
  readonly error: E
  readonly evidence: Effect.Effect<void, SqlError, Transaction | SqlClient | R>
}

/**
 * What a processor of one's own consists of. `Loads` and `Writes` are the services that reading and writing need;
 * writing needs the {@link Transaction}, which reading does not get.
 */
export interface Options<Key, S, In extends Event, Adds extends object, E, Loads, Writes> {
  readonly name: string
  readonly migrations?: ReadonlyArray<Migration> | undefined
  /** Which states decide about this event; they are loaded for the whole batch at once. */
  readonly keys: (event: Event<In["extensions"]>) => ReadonlyArray<Key>
  /** Further keys that depend on what earlier processors added; loaded as they come. */
  readonly laterKeys?: ((event: In) => ReadonlyArray<Key>) | undefined
  /** Reads the states of these keys; keys without state may be missing in the result. */
  readonly load: (keys: ReadonlyArray<Key>) => Effect.Effect<ReadonlyMap<Key, S>, SqlError, Loads>
  /**
   * Decides. Pure: no service, no clock, no randomness, no I/O; an `Either` is the quickest way to say it. A failure
   * rejects the operation. Accept, defer and fail must follow from `state` and `event` alone. What depends on the time
   * takes it from `event.decidedAt`.
   */
  readonly decide: (state: State<Key, S>, event: In) => Effect.Effect<Decision<Key, S, Adds>, E>
  /** Writes the states that changed in this batch. */
  readonly save: (changed: ReadonlyMap<Key, S>) => Effect.Effect<void, SqlError, Writes>
  /** The outgoing side: completes an operation of our own before it is signed, just as pure. */
  readonly outgoing?:
    | {
        readonly keys: (draft: Draft) => ReadonlyArray<Key>
        readonly complete: (state: State<Key, S>, draft: Draft) => Effect.Effect<Draft, E>
      }
    | undefined
  /**
   * What can be said of an event without any state: its sizes, its timestamp. Asked when an operation is received, so that
   * one that fails is told to its sender and never stored, and again before it is decided.
   */
  readonly check?: ((event: Event<In["extensions"]>) => Either.Either<void, E>) | undefined
  /**
   * Whether the body of this operation must not be kept, because it was deleted before it came. Asked before anything else
   * sees or stores it, with the states of `keys`; a body that may not be kept is not there for anybody.
   */
  readonly redact?: ((state: State<Key, S>, event: Event<In["extensions"]>) => boolean) | undefined
  /** Deletes what is kept about operations that are about to go; their rows are still there. Sets, not rows: they may be many. */
  readonly forget?: ((removal: Removal) => Effect.Effect<void, SqlError, Writes>) | undefined
  /** Deletes rows that no promise needs any more, so many at the most; gives how many it deleted. */
  readonly collect?: ((limit: number) => Effect.Effect<number, SqlError, Writes>) | undefined
  /** What shall remain of a rejection by this processor; written although the operation's own changes are undone. */
  readonly evidence?: ((error: E, event: In) => Effect.Effect<void, SqlError, Writes>) | undefined
  /**
   * Raised when the processor would make another state of the same operations (a mended mistake). Its tables are then emptied
   * (`reset`) and it decides again about everything that was accepted, `event.replay` being set; only then anything new is
   * accepted. What it does not accept again stays accepted, and is parked under its name. Removals are not carried out again.
   * Default: 1.
   */
  readonly version?: number | undefined
  /** Empties its tables. Without it there is nothing that could be rebuilt. */
  readonly reset?: Effect.Effect<unknown, SqlError, Writes> | undefined
}

/**
 * What an event carries that was accepted before and is handed over again: to the application for a rebuild, or to a consumer.
 * Nothing is decided then; `adds` follows from the event and from today's state of `keys`.
 */
export interface Recall<Key, S, In extends Event, Adds> {
  readonly keys?: ((event: Event<In["extensions"]>) => ReadonlyArray<Key>) | undefined
  readonly adds: (state: State<Key, S>, event: In) => Adds
}

/** A processor that adds something to the event says how that is had again. */
export type Recalls<Key, S, In extends Event, Adds> = {} extends Adds
  ? { readonly recall?: Recall<Key, S, In, Adds> | undefined }
  : { readonly recall: Recall<Key, S, In, Adds> }

/**
 * Makes a processor. `Key` and `S` (the state) are given, the rest is inferred.
 *
 * @example
 * // At most `limit` operations an author.
 * const quota = (limit: number) =>
 *   Processor.make<VerifyingKey, number>()({
 *     name: "quota",
 *     keys: ({ author }) => [author],
 *     load: Quotas.load,
 *     decide: (state, { author }) => {
 *       const used = (state(author) ?? 0) + 1
 *       return used > limit
 *         ? Either.left(new QuotaExceeded({ author, limit }))
 *         : Either.right(Processor.accept({ state: [[author, used]], adds: { used } }))
 *     },
 *     save: Quotas.save
 *   })
 */
export const make =
  <Key extends string | number, S>() =>
  <In extends Event = Event, Adds extends object = {}, E = never, Loads = never, Writes = never>(
    options: Options<Key, S, In, Adds, E, Loads, Writes> & Recalls<Key, S, In, Adds>
  ): Processor<In, Adds, E, Exclude<Loads, SqlClient> | Exclude<Writes, SqlClient | Transaction>> =>
    build(options, options.recall)

/**
 * Makes a processor without state: a check of the event alone.
 *
 * @example
 * const short = Processor.stateless({
 *   name: "short",
 *   decide: (event) =>
 *     (event.operation.body?.length ?? 0) > 1000 ? Either.left(new TooLong()) : Either.right(Processor.accept())
 * })
 */
export const stateless = <In extends Event = Event, Adds extends object = {}, E = never>(
  options: {
    readonly name: string
    readonly decide: (event: In) => Effect.Effect<Decision<never, never, Adds>, E>
  } & Recalls<never, never, In, Adds>
): Processor<In, Adds, E, never> =>
  build<never, never, In, Adds, E, never, never>(
    {
      name: options.name,
      keys: () => [],
      load: () => Effect.succeed(new Map<never, never>()),
      decide: (_, event) => options.decide(event),
      save: () => Effect.void
    },
    options.recall
  )

// internal

// A function declaration, since it is used while modules load.
function build<Key extends string | number, S, In extends Event, Adds extends object, E, Loads, Writes>(
  options: Options<Key, S, In, Adds, E, Loads, Writes>,
  recall: Recall<Key, S, In, Adds> | undefined
): Processor<In, Adds, E, Exclude<Loads, SqlClient> | Exclude<Writes, SqlClient | Transaction>> {
  const wide = widen(options)
  return {
    name: options.name,
    version: options.version ?? 1,
    reset: wide.reset,
    migrations: options.migrations ?? [],
    check: (event) => options.check?.(event) ?? Either.void,
    collect: (limit) => wide.collect?.(limit) ?? Effect.succeed(0),
    open: () => open(wide, recall),
    watched: (watch) => build({ ...wide, ...watch(wide) }, recall)
  }
}

type Services<R> = { readonly loads: SqlClient | R; readonly writes: SqlClient | Transaction | R }

/** The same options with their needs written as the session writes them: the client, the transaction, and the rest. */
const widen = <Key, S, In extends Event, Adds extends object, E, Loads, Writes>(
  options: Options<Key, S, In, Adds, E, Loads, Writes>
) =>
  // `Loads` is `SqlClient` and what is left without it, and so for `Writes`; TypeScript cannot see that of a parameter.
  options as unknown as Options<
    Key,
    S,
    In,
    Adds,
    E,
    Services<Exclude<Loads, SqlClient> | Exclude<Writes, SqlClient | Transaction>>["loads"],
    Services<Exclude<Loads, SqlClient> | Exclude<Writes, SqlClient | Transaction>>["writes"]
  >
