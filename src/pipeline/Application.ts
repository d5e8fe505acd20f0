/**
 * The application: the handler at the end of the pipeline, with the last word. Its success is the acknowledgement; its
 * failure undoes everything that the operation did, in all layers.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Cbor from "../core/Cbor.ts"
import type { Migration } from "../store/Migrations.ts"
import type * as Removal from "../store/Removal.ts"
import type { Transaction } from "../store/Transaction.ts"
import type { Event } from "./Event.ts"
import * as Rejection from "./Rejection.ts"

/** What a handler is given. */
export interface Input<out A, out In = Event> {
  /** The decoded body. */
  readonly message: A
  /** The operation and all that the processors added to it. */
  readonly event: In
  /** The place that the operation gets in the local order if the handler succeeds. */
  readonly position: number
}

/**
 * Operations that go for good, together with the operation that makes them go. They are told by pages (256 at the most), oldest
 * first, after the handler has handled that operation and before they go; all in its transaction.
 */
export interface Forgotten<out In = Event> {
  /** `pruned`: header and body go. `deleted`: the body goes. */
  readonly how: "pruned" | "deleted"
  readonly operations: ReadonlyArray<Removal.Removed>
  /** The prune operation, or the tombstone. */
  readonly event: In
  /** The place that it gets in the local order. */
  readonly position: number
}

/**
 * An application that handles messages `A`, reads events as `In`, rejects with `E` and needs the services `R`.
 *
 * `E` never holds a `SqlError`: one that is the operation's own fault becomes a {@link Rejection.StatementFailed}, any
 * other is nobody's verdict and the operation is tried again.
 */
export interface Application<in In, in out A, out E, out R> {
  readonly name: string
  readonly version: number
  readonly timeLimit: Duration.Duration
  /** The tables it owns. */
  readonly migrations: ReadonlyArray<Migration>
  /** The body of a message. */
  readonly encode: (message: A) => Either.Either<Uint8Array | undefined, Rejection.InvalidMessage>
  /** The message of an event, or none where there is nothing to handle. */
  readonly handle: (
    event: In & Event,
    position: number
  ) => Effect.Effect<unknown, E | SqlError | Rejection.InvalidMessage, R>
  /** Deletes what the application keeps about operations that go. A failure rejects the operation that makes them go. */
  readonly forget: (forgotten: Forgotten<In & Event>) => Effect.Effect<unknown, E | SqlError, R>
  /** Empties the application's tables, for a rebuild. */
  readonly reset: Effect.Effect<unknown, SqlError, SqlClient | Transaction>
}

/** The errors with which an application rejects. */
export type Error<App> = App extends Application<infer _In, infer _A, infer E, infer _R> ? E : never

export interface Options {
  /** Names the consumer whose acknowledgements are kept; one database belongs to one application. */
  readonly name: string
  /** Raised when the handler would do something else with the same operations. */
  readonly version: number
  /** The application's tables, brought up to date when a controller opens the database. */
  readonly migrations?: ReadonlyArray<Migration> | undefined
  /** A handler that takes longer is stopped and its operation rejected. Default: 10 seconds. */
  readonly timeLimit?: Duration.DurationInput | undefined
  /** Empties the application's tables, for a rebuild. */
  readonly reset?: Effect.Effect<unknown, SqlError, SqlClient | Transaction> | undefined
}

/**
 * An application whose messages have a schema. The body is the message's encoded form as canonical CBOR, p2panda's
 * encoding of messages; a body that is none is rejected as {@link Rejection.InvalidMessage}. An operation without a body
 * has nothing to handle: it is acknowledged without asking.
 *
 * @example
 * const apples = Application.make({
 *   name: "apples",
 *   version: 1,
 *   migrations: [{ name: "baskets", up: ["CREATE TABLE baskets (owner TEXT PRIMARY KEY, apples INTEGER NOT NULL)"] }],
 *   message: Schema.Struct({ to: Schema.String, apples: Schema.Int }),
 *   handle: ({ message }) =>
 *     Effect.gen(function* () {
 *       const sql = yield* SqlClient.SqlClient // ordinary SQL, joins the operation's transaction
 *       yield* sql`UPDATE baskets SET apples = apples + ${message.apples} WHERE owner = ${message.to}`
 *     })
 * })
 */
export const make = <A, I, E, R, In = Event, E2 = never, R2 = never>(
  options: Options & {
    readonly message: Schema.Schema<A, I>
    readonly handle: (input: Input<A, In>) => Effect.Effect<unknown, E, R>
    /** Deletes what the application keeps about operations that go; see {@link Forgotten}. Default: it keeps nothing. */
    readonly forget?: ((forgotten: Forgotten<In>) => Effect.Effect<unknown, E2, R2>) | undefined
  }
): Application<In, A, Exclude<E | E2, SqlError>, R | R2> => {
  const decode = Schema.decodeUnknownEither(options.message)
  const encode = Schema.encodeEither(options.message)
  return build(options, {
    encode: (message) =>
      Either.mapLeft(encode(message), invalid).pipe(
        Either.flatMap((encoded) => Either.mapLeft(Cbor.encode(encoded), invalid))
      ),
    handle: (event, position) => {
      if (event.payload === undefined) return Effect.void
      const message = Either.flatMap(Cbor.decode(event.payload), decode)
      return Either.isLeft(message)
        ? invalid(message.left)
        : options.handle({ message: message.right, event, position })
    },
    forget: options.forget
  })
}

/**
 * An application that takes every operation and reads its bytes itself; `message` is `undefined` where an operation has
 * no body.
 */
export const bytes = <E, R, In = Event, E2 = never, R2 = never>(
  options: Options & {
    readonly handle: (input: Input<Uint8Array | undefined, In>) => Effect.Effect<unknown, E, R>
    /** Deletes what the application keeps about operations that go; see {@link Forgotten}. Default: it keeps nothing. */
    readonly forget?: ((forgotten: Forgotten<In>) => Effect.Effect<unknown, E2, R2>) | undefined
  }
): Application<In, Uint8Array | undefined, Exclude<E | E2, SqlError>, R | R2> =>
  build(options, {
    encode: (message) => Either.right(message),
    handle: (event, position) => options.handle({ message: event.payload, event, position }),
    forget: options.forget
  })

/** The name under which a database without an application is kept. */
export const noneName = "none"

/** No application: whatever the processors let pass is accepted. A peer that only stores and hands on. */
export const none: Application<Event, Uint8Array | undefined, never, never> = bytes({
  name: noneName,
  version: 1,
  handle: () => Effect.void
})

// internal

// A function declaration, since `none` above is made with it while the module loads.
function build<In, A, E, R, E2, R2>(
  options: Options,
  parts: {
    readonly encode: Application<In, A, E, R>["encode"]
    readonly handle: (event: In & Event, position: number) => Effect.Effect<unknown, E | Rejection.InvalidMessage, R>
    readonly forget: ((forgotten: Forgotten<In>) => Effect.Effect<unknown, E2, R2>) | undefined
  }
): Application<In, A, Exclude<E | E2, SqlError>, R | R2> {
  type Built = Application<In, A, Exclude<E | E2, SqlError>, R | R2>
  return {
    name: options.name,
    version: options.version,
    timeLimit: Duration.decode(options.timeLimit ?? "10 seconds"),
    migrations: options.migrations ?? [],
    encode: parts.encode,
    // `E` is `SqlError` and what is left without it; TypeScript cannot see that of a parameter.
    handle: parts.handle as Built["handle"],
    forget: (parts.forget ?? (() => Effect.void)) as Built["forget"],
    reset: options.reset ?? Effect.void
  }
}

const invalid = (error: ParseResult.ParseError | { readonly message: string }) =>
  new Rejection.InvalidMessage({ detail: error.message })
