/**
 * A consumer: a named, versioned reader of accepted operations beside the application with the veto. It moves in the same
 * transaction as its own writes, so that what it does in this database is done exactly once, whatever crashes.
 *
 * It comes after the acceptance, so it cannot undo it: what it rejects is parked with its reason, for it alone, and the others
 * go on. It may lag, be paused, be added years later, and be rebuilt when its version is raised.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Migration } from "../store/Migrations.ts"
import type { Gone } from "../store/Notices.ts"
import * as Application from "./Application.ts"
import type { Event } from "./Event.ts"
import * as Policy from "./Policy.ts"
import * as Rejection from "./Rejection.ts"

/**
 * Operations that are gone, by pages (256 at the most).
 *
 * - `missed`: the consumer will not see them, since they went before their turn came, or while they were parked; told in their
 *   place. So is one whose body is not there: `deleted`, or `skipped` here.
 * - otherwise it has handled them, and what it keeps about them goes now; told right behind the prune operation or tombstone.
 */
export interface Forgotten {
  readonly how: "pruned" | "deleted" | "skipped"
  readonly missed: boolean
  readonly operations: ReadonlyArray<Gone>
}

/** A consumer that reads events as `In` and needs the services `R`. */
export interface Consumer<in In, out R> {
  readonly name: string
  readonly version: number
  readonly timeLimit: Duration.Duration
  /** The tables it owns. */
  readonly migrations: ReadonlyArray<Migration>
  /** A failure parks the operation. */
  readonly handle: (event: In & Event, position: number) => Effect.Effect<unknown, unknown, R>
  readonly forget: (forgotten: Forgotten) => Effect.Effect<unknown, unknown, R>
  readonly policy: (error: unknown) => Policy.Parked
  readonly reset: Application.Application<In, unknown, never, never>["reset"]
  readonly ready: Application.Application<In, unknown, never, never>["ready"]
}

/** The services that a consumer needs. */
export type Context<C> = C extends Consumer<infer _In, infer R> ? R : never

interface Options<R2> extends Application.Options {
  /** Deletes what it keeps about operations that are gone, and is told what it will not see. Default: it keeps nothing. */
  readonly forget?: ((forgotten: Forgotten) => Effect.Effect<unknown, unknown, R2>) | undefined
  /** What happens to what it rejects. Default: bugs get three attempts, anything else is parked until it is asked for. */
  readonly policy?: ((error: unknown) => Policy.Parked) | undefined
}

/**
 * A consumer whose messages have a schema; see {@link Application.make}.
 *
 * @example
 * const words = Consumer.make({
 *   name: "words",
 *   version: 1,
 *   migrations: [{ name: "words", up: ["CREATE TABLE words (word TEXT PRIMARY KEY, times INTEGER NOT NULL)"] }],
 *   reset: Application.emptying("words"),
 *   message: Schema.Struct({ text: Schema.String }),
 *   handle: ({ message }) => Effect.forEach(message.text.split(" "), count)
 * })
 * StreamController.make({ pipeline, application, consumers: [words] })
 */
export const make = <A, I, R, In = Event, R2 = never>(
  options: Options<R2> & {
    readonly message: Schema.Schema<A, I>
    readonly handle: (input: Application.Input<A, In>) => Effect.Effect<unknown, unknown, R>
  }
): Consumer<In, R | R2> => build(options, Application.make({ ...options, forget: undefined }))

/** A consumer that reads the bytes of bodies itself. */
export const bytes = <R, In = Event, R2 = never>(
  options: Options<R2> & {
    readonly handle: (input: Application.Input<Uint8Array | undefined, In>) => Effect.Effect<unknown, unknown, R>
  }
): Consumer<In, R | R2> => build(options, Application.bytes({ ...options, forget: undefined }))

/** What happens to what a consumer rejects, unless it says otherwise. */
export const defaultPolicy = (error: unknown): Policy.Parked =>
  error instanceof Rejection.Defect ? Policy.defects : Policy.hold

// internal

const build = <In, A, R, R2>(
  { forget = () => Effect.void, policy = defaultPolicy }: Options<R2>,
  { handle, migrations, name, ready, reset, timeLimit, version }: Application.Application<In, A, unknown, R>
): Consumer<In, R | R2> => ({ name, version, timeLimit, migrations, handle, forget, policy, reset, ready })

/** The application as a consumer: what it is handed while it catches up. It is not asked what is to become of a rejection. */
export const ofApplication = <In, A, E, R>(application: Application.Application<In, A, E, R>): Consumer<In, R> =>
  build({ ...application, forget: () => Effect.void, policy: () => Policy.hold }, application)
