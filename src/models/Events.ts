/**
 * Event sourcing: messages are events, each belongs to an aggregate (a room, an account, a game), and what an aggregate is now is
 * what its events made of it, one after the other, in the order of acceptance. `evolve` says what an event makes of it, or that
 * it may not be; it is pure, so that a rule can be tested without a database, and everything be built anew when it changes.
 *
 * **The order of acceptance differs from peer to peer.** So reject only what is wrong wherever it comes in that order (its author
 * could have known), and let states be such that concurrent events come to the same in any order; see docs/events.md.
 *
 * States are kept as JSON in tables named after the application. While a new version is built, readers go on seeing what the old
 * one made; in the transaction in which it has caught up they see the new states, and the old ones are deleted. The view
 * `<name>_states` (key, state) shows the same to SQL of one's own.
 *
 * @example
 * class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", { left: Schema.Int }) {}
 *
 * const accounts = Events.make({
 *   name: "accounts",
 *   version: 1,
 *   message: Schema.Struct({ account: Schema.String, amount: Schema.Int }),
 *   key: ({ message }) => message.account,
 *   state: Schema.Struct({ balance: Schema.Int }),
 *   initial: { balance: 0 },
 *   evolve: ({ balance }, { message: { amount } }) =>
 *     balance + amount < 0 ? Either.left(new Overdrawn({ left: balance })) : Either.right({ balance: balance + amount })
 * })
 *
 * class Accounts extends StreamController.Tag<Accounts>()("Accounts", {
 *   pipeline: Pipeline.make(LogIntegrity.processor),
 *   application: accounts
 * }) {}
 *
 * const account = yield* accounts.get("parrot") // { balance: 3 }, or undefined
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Application from "../pipeline/Application.ts"
import type { Event } from "../pipeline/Event.ts"
import type { Transaction } from "../store/Transaction.ts"
import * as States from "./internal/states.ts"
import * as Tables from "./internal/tables.ts"

/**
 * A state that is kept is none by the schema that reads it.
 *
 * @example
 * rooms.get("barn").pipe(Effect.catchTag("UnreadableState", () => Effect.succeed(undefined))) // until the new version is ready
 */
export class UnreadableState extends Schema.TaggedError<UnreadableState>()("UnreadableState", {
  key: Schema.String,
  /** The version of the application that kept it. */
  version: Schema.Int,
  detail: Schema.String
}) {
  override get message() {
    return `The state of "${this.key}", kept by version ${this.version}, does not fit the schema: ${this.detail}. Raise the application's version when the schema changes; until that is built, \`earlier\` reads what older versions kept.`
  }
}

/**
 * An event says that everything before it in its log is unnecessary, and is no snapshot: what is left could not be evolved again.
 *
 * @example
 * Events.make({ snapshot: ({ _tag }) => _tag === "Closed", ... }) // after this event nothing of its author's log is needed
 */
export class PruneWithoutSnapshot extends Schema.TaggedError<PruneWithoutSnapshot>()("PruneWithoutSnapshot", {}) {
  override get message() {
    return "Only a snapshot may prune its log: the states could not be built again of what is left. Publish one that `snapshot` knows, or publish without `prune`."
  }
}

/**
 * What became of an aggregate.
 *
 * @example
 * project: ({ after, key }) =>
 *   Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE rooms SET booked = ${after.length} WHERE room = ${key}`)
 */
export interface Change<out S, out A, out In = Event> extends Application.Input<A, In> {
  readonly key: string
  /** `undefined`: this is its first event. */
  readonly before: S | undefined
  readonly after: S
}

/**
 * Which states to list.
 *
 * @example
 * const next = yield* rooms.all({ after: page.at(-1)?.key, limit: 50 })
 */
export interface Page {
  /** Only those after this key: that of the last one on the page before. Default: from the first on. */
  readonly after?: string | undefined
  /** How many at the most. Default: 100. */
  readonly limit?: number | undefined
}

/** An application that keeps states `S` of what events `A` made of them. */
export interface Events<in In, in out A, out S, out E, out R> extends Application.Application<In, A, E, R> {
  /** What an aggregate is now; `undefined` where it has no event. Readers see no version that is not ready. */
  readonly get: (key: string) => Effect.Effect<S | undefined, SqlError | UnreadableState, SqlClient>
  /** All aggregates by key, a page of them. */
  readonly all: (
    page?: Page
  ) => Effect.Effect<ReadonlyArray<{ readonly key: string; readonly state: S }>, SqlError | UnreadableState, SqlClient>
}

/**
 * What {@link Options.evolve} may give: a state `S`, or any error. The errors that it does give become the application's.
 *
 * @example
 * evolve: (room, { event, message }) =>
 *   room.some(({ by }) => by === event.author) ? Either.left(new BookedTwice()) : Either.right([...room, message])
 */
export type Evolved<S> = Either.Either<S, unknown>

/**
 * What it is made of. `migrations`, `reset` and `ready` are for tables that `project` writes to; with such tables and no `reset`
 * it cannot be rebuilt.
 */
export interface Options<A, I, S, J, J2, In, X extends Evolved<S>, E2, R2, E3, R3> extends Application.Options {
  readonly message: Schema.Schema<A, I>
  /** The aggregate that an event belongs to. */
  readonly key: (input: Application.Input<NoInfer<A>, In>) => string
  /** How a state is kept; its encoded form has to be JSON. */
  readonly state: Schema.Schema<S, J>
  /** Reads states that older versions kept, for readers, as long as this version is not ready. Default: `state`. */
  readonly earlier?: Schema.Schema<NoInfer<S>, J2> | undefined
  /** An aggregate before its first event. */
  readonly initial: NoInfer<S>
  /**
   * What an event makes of an aggregate, or why it is rejected. Pure; and where it depends on no more than the message, the
   * author, the id and the extensions, a rebuild comes to the same.
   */
  readonly evolve: (state: NoInfer<S>, input: Application.Input<NoInfer<A>, In>) => X
  /** SQL of one's own about what has changed, in the same transaction: a failure undoes all of it, and rejects the event. */
  readonly project?: ((change: Change<NoInfer<S>, NoInfer<A>, In>) => Effect.Effect<unknown, E2, R2>) | undefined
  /**
   * Whether all that is to be known of its author's earlier events is in this one. Only such events may prune their logs.
   * Default: none is.
   */
  readonly snapshot?: ((message: NoInfer<A>) => boolean) | undefined
  /** Told which events go, pruned or deleted. States stay as they have evolved until they are rebuilt. */
  readonly forget?: ((forgotten: Application.Forgotten<In>) => Effect.Effect<unknown, E3, R3>) | undefined
}

/**
 * Makes the application. Its name names the tables as well: letters, digits and underscores, or a `RangeError` is thrown.
 *
 * @example
 * const rooms = Events.make({
 *   name: "rooms",
 *   version: 2, // `evolve` or the schema of the state has changed: everything is built again, beside the old states
 *   message: Booking,
 *   key: ({ message }) => message.room,
 *   state: Room,
 *   earlier: RoomOfVersion1,
 *   initial: [],
 *   evolve: (room, { event, message }) => book(room, event.author, message)
 * })
 */
export const make = <
  A,
  I,
  S,
  J,
  J2 = J,
  In extends Event = Event,
  X extends Evolved<S> = Evolved<S>,
  E2 = never,
  R2 = never,
  E3 = never,
  R3 = never
>(
  options: Options<A, I, S, J, J2, In, X, E2, R2, E3, R3>
): Events<
  In,
  A,
  S,
  UnreadableState | PruneWithoutSnapshot | Exclude<Either.Either.Left<X> | E2 | E3, SqlError>,
  R2 | R3 | SqlClient | Transaction
> => {
  const name = Tables.prefix(options.name)
  const states = States.make(name)
  const codec = coder(options)
  const { ready = Effect.void } = options
  const application = Application.make({
    ...options,
    // Ours comes first and never changes, so that the list can grow behind it.
    migrations: [States.migration(name), ...(options.migrations ?? [])],
    handle: evolving(options, states, codec),
    reset: Tables.reset(options, states.begin),
    ready: Effect.zipRight(states.show(options.version), ready)
  })
  const entry = (kept: States.Kept) => Either.map(codec.decode(kept), (state) => ({ key: kept.key, state }))
  return {
    ...application,
    // One that never had a body is not handed to `handle`, and is no snapshot either.
    handle: (event, position) =>
      event.extensions.prune && event.operation.header.payloadSize === 0
        ? new PruneWithoutSnapshot()
        : application.handle(event, position),
    get: (key) =>
      Effect.flatMap(states.find(key), (kept) => (kept === undefined ? Either.right(undefined) : codec.decode(kept))),
    all: ({ after, limit = 100 } = {}) =>
      Effect.flatMap(states.page(after, limit), (page) => Either.all(page.map(entry)))
  }
}

// internal

/** States as they are kept. */
interface Codec<S> {
  readonly encode: (state: S) => Effect.Effect<string>
  readonly decode: (kept: States.Kept) => Either.Either<S, UnreadableState>
}

const coder = <S, J, J2>({
  earlier,
  state,
  version
}: {
  readonly state: Schema.Schema<S, J>
  readonly earlier?: Schema.Schema<S, J2> | undefined
  readonly version: number
}): Codec<S> => {
  const encode = Schema.encode(Schema.parseJson(state))
  const decodeOwn = Schema.decodeEither(Schema.parseJson(state))
  const decodeEarlier = earlier === undefined ? decodeOwn : Schema.decodeEither(Schema.parseJson(earlier))
  return {
    // `evolve` made a state that is none: a bug, and rejected as one.
    encode: (state) => Effect.orDie(encode(state)),
    decode: (kept) =>
      Either.mapLeft(
        (kept.version < version ? decodeEarlier : decodeOwn)(kept.state),
        ({ message }) => new UnreadableState({ key: kept.key, version: kept.version, detail: message })
      )
  }
}

const evolving =
  <A, I, S, J, J2, In extends Event, X extends Evolved<S>, E2, R2, E3, R3>(
    options: Options<A, I, S, J, J2, In, X, E2, R2, E3, R3>,
    states: States.States,
    codec: Codec<S>
  ) =>
  (input: Application.Input<A, In>) =>
    Effect.gen(function* () {
      const { evolve, initial, project, snapshot = () => false, version } = options
      if (input.event.extensions.prune && !snapshot(input.message)) return yield* new PruneWithoutSnapshot()
      const key = options.key(input)
      const state = yield* states.load(key)
      const before = state === undefined ? undefined : yield* codec.decode({ key, state, version })
      // What it gives is one and the same in `X`; TypeScript cannot see that of a parameter.
      const after = yield* evolve(before ?? initial, input) as Either.Either<S, Either.Either.Left<X>>
      if (after !== before) yield* states.save(key, yield* codec.encode(after))
      if (project !== undefined) yield* project({ ...input, key, before, after })
    })
