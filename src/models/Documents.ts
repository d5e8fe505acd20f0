/**
 * CRDT documents: Yjs, Automerge, or any library whose updates can be applied in any order, and more than once. One document
 * to a log id, which is one to a topic; every author's log for it holds his updates.
 *
 * A document is what comes of the updates that are here, no more: those that were pruned or deleted are not in it any more,
 * unless somebody's snapshot holds them. So it is the same on all peers that have the same operations, however they came.
 *
 * Two tables are named after the application: `notes_updates` holds each update as long as its operation lives, `notes_states`
 * what came of a document's updates up to a position. It is brought up to date every so many updates, so that neither writing
 * nor reading costs much in a long document. Nothing is kept in memory.
 *
 * @example
 * const notes = Documents.make({
 *   name: "notes",
 *   version: 1,
 *   crdt: {
 *     empty: () => new Y.Doc(),
 *     apply: (doc, update) => (Y.applyUpdate(doc, update), doc),
 *     save: Y.encodeStateAsUpdate
 *   }
 * })
 *
 * const doc = yield* notes.read(Topic.logId(crypto, topic))
 * doc.on("update", (update) => queue.unsafeOffer(update))
 * ...
 * yield* controller.publish({ key, topic, message: Documents.update(update) })
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Hash from "../core/Hash.ts"
import * as Log from "../core/Log.ts"
import type * as LogId from "../core/LogId.ts"
import type { VerifyingKey } from "../core/VerifyingKey.ts"
import * as Application from "../pipeline/Application.ts"
import type { Event } from "../pipeline/Event.ts"
import * as Logs from "../store/Logs.ts"
import type { Transaction } from "../store/Transaction.ts"
import * as Tables from "./internal/tables.ts"
import * as Updates from "./internal/updates.ts"

/**
 * What a CRDT library does, on documents `State`. `apply` may change what it is given; whether bytes are an update is for it to
 * say, and it is asked with an empty document. An update whose dependencies are missing has to be kept, also by `save`, until
 * they come (Yjs and Automerge do).
 *
 * @example
 * const automerge: Documents.Crdt<Automerge.Doc<Notes>> = {
 *   empty: () => Automerge.init(),
 *   apply: (doc, update) => Automerge.loadIncremental(doc, update),
 *   save: Automerge.save
 * }
 */
export interface Crdt<in out State> {
  /** A new document, without anything in it. */
  readonly empty: () => State
  /** The document with an update in it, or with all that {@link Crdt.save} saved. Throws where these bytes are none. */
  readonly apply: (state: State, update: Uint8Array) => State
  /** The whole document, as one update. */
  readonly save: (state: State) => Uint8Array
}

/**
 * What authors tell each other: an update; or all of the document that its author has, which may prune his log. `after`: the last
 * operation of his log that the snapshot was made after.
 */
export const Message = Schema.Union(
  Schema.TaggedStruct("Update", { bytes: Schema.Uint8ArrayFromSelf }),
  Schema.TaggedStruct("Snapshot", {
    bytes: Schema.Uint8ArrayFromSelf,
    after: Schema.optionalWith(Hash.Schema, { exact: true })
  })
)
export type Message = typeof Message.Type

/**
 * The message with an update, as the CRDT library made it.
 *
 * @example
 * controller.publish({ key, topic, message: Documents.update(Automerge.saveIncremental(doc)) })
 */
export const update = (bytes: Uint8Array): Message => ({ _tag: "Update", bytes })

/**
 * The bytes are no update that the CRDT library can read.
 *
 * @example
 * policy: (error) => (error instanceof Documents.InvalidUpdate ? Policy.skip : StreamController.defaultPolicy(error))
 */
export class InvalidUpdate extends Schema.TaggedError<InvalidUpdate>()("InvalidUpdate", { detail: Schema.String }) {
  override get message() {
    return `The bytes are no update of this kind of document: ${this.detail}. Its author has to publish it again as the CRDT library makes it.`
  }
}

/**
 * The snapshot would remove an operation of its author that it does not know of: one was published since it was made.
 *
 * @example
 * compact.pipe(Effect.retry({ times: 3, while: ({ _tag }) => _tag === "SnapshotOutdated" }))
 */
export class SnapshotOutdated extends Schema.TaggedError<SnapshotOutdated>()("SnapshotOutdated", {
  after: Schema.optional(Hash.Schema),
  before: Schema.optional(Hash.Schema)
}) {
  override get message() {
    return `The snapshot was made after ${this.after ?? "nothing"}, but the log has gone on to ${this.before ?? "nothing"}, whose changes it would remove. Make a new one.`
  }
}

/**
 * An update says that everything before it is unnecessary, which only a snapshot can be.
 *
 * @example
 * controller.publish({ key, topic, prune: true, message: yield* notes.snapshot({ author, logId }) }) // not Documents.update
 */
export class PruneWithoutSnapshot extends Schema.TaggedError<PruneWithoutSnapshot>()("PruneWithoutSnapshot", {}) {
  override get message() {
    return "An update cannot prune its log: all earlier changes of its author would be lost. Publish a snapshot with `prune` instead."
  }
}

/** The errors with which documents reject. */
export type DocumentError = InvalidUpdate | SnapshotOutdated | PruneWithoutSnapshot

/** An application that keeps CRDT documents. */
export interface Documents<in In, in out State, out E, out R> extends Application.Application<In, Message, E, R> {
  /** A document as it is now; an empty one where nobody has written yet. It belongs to the caller. */
  readonly read: (document: LogId.LogId) => Effect.Effect<State, SqlError, SqlClient>
  /**
   * The message with all that is here of a document, to be published with `prune: true` by this author. Fails as
   * {@link SnapshotOutdated} when it is published, if he has published anything since.
   *
   * @example
   * const compact = notes.snapshot({ author, logId }).pipe(
   *   Effect.flatMap((message) => controller.publish({ key, topic, prune: true, message })),
   *   Effect.retry({ times: 3, while: ({ _tag }) => _tag === "SnapshotOutdated" })
   * )
   */
  readonly snapshot: (log: {
    readonly author: VerifyingKey
    readonly logId: LogId.LogId
  }) => Effect.Effect<Message, SqlError, SqlClient>
}

/**
 * What documents are made of. `migrations` and `reset` are for tables that `handle` writes to; with such tables and no `reset`
 * it cannot be rebuilt.
 */
export interface Options<State, In extends Event, E, R, E2, R2> extends Application.Options {
  readonly crdt: Crdt<State>
  /** After so many updates what they come to is written down. Default: 100. */
  readonly mergeEvery?: number | undefined
  /** Asked when an update has been stored, in the same transaction: a failure undoes that, and rejects the operation. */
  readonly handle?: ((input: Application.Input<Message, In>) => Effect.Effect<unknown, E, R>) | undefined
  /** Told which operations go before their updates do; for what `handle` keeps. */
  readonly forget?: ((forgotten: Application.Forgotten<In>) => Effect.Effect<unknown, E2, R2>) | undefined
}

/**
 * Makes the application. Its name names the tables as well: letters, digits and underscores, or a `RangeError` is thrown.
 *
 * @example
 * const notes = Documents.make({ name: "notes", version: 1, crdt: automerge })
 *
 * class Notes extends StreamController.Tag<Notes>()("Notes", {
 *   pipeline: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Pruning.processor)),
 *   application: notes
 * }) {}
 */
export const make = <State, In extends Event = Event, E = never, R = never, E2 = never, R2 = never>(
  options: Options<State, In, E, R, E2, R2>
): Documents<In, State, DocumentError | Exclude<E | E2, SqlError>, R | R2 | SqlClient | Transaction> => {
  const name = Tables.prefix(options.name)
  const { crdt, mergeEvery = 100 } = options
  const store = Updates.make(name)
  const load = (document: LogId.LogId) => assemble(crdt, store, document)
  const application = Application.make({
    ...options,
    // Ours comes first and never changes, so that the list can grow behind it.
    migrations: [Updates.migration(name), ...(options.migrations ?? [])],
    message: Message,
    handle: (input: Application.Input<Message, In>) =>
      Effect.gen(function* () {
        yield* check(crdt, input)
        const { logId } = input.event.extensions
        yield* store.insert(logId, { position: input.position, bytes: input.message.bytes })
        if (yield* store.hasUnmerged(logId, mergeEvery)) yield* merge(crdt, store, logId)
        if (options.handle !== undefined) yield* options.handle(input)
      }),
    forget: (forgotten: Application.Forgotten<In>) =>
      Effect.zipRight(
        options.forget?.(forgotten) ?? Effect.void,
        store.forget(forgotten.operations.map(({ position }) => position))
      ),
    reset: Tables.reset(options, store.empty)
  })
  return {
    ...application,
    read: load,
    snapshot: ({ author, logId }) =>
      Effect.gen(function* () {
        const log = Log.key(author, logId)
        // Before the document: what comes in between is then in the snapshot and not before it, which is the safe side.
        const after = (yield* Logs.heads([log])).get(log)?.id
        const bytes = crdt.save(yield* load(logId))
        return { _tag: "Snapshot", bytes, ...(after === undefined ? {} : { after }) }
      })
  }
}

// internal

/** What can be said of an operation by itself, so that all peers say the same, whatever they have. */
const check = <State>(
  crdt: Crdt<State>,
  { event: { extensions, operation }, message }: Application.Input<Message, Event>
): Either.Either<unknown, DocumentError> => {
  const before = operation.header.backlink
  if (extensions.prune && message._tag === "Update") return Either.left(new PruneWithoutSnapshot())
  if (extensions.prune && message._tag === "Snapshot" && message.after !== before) {
    return Either.left(new SnapshotOutdated({ after: message.after, before }))
  }
  return Either.try({
    try: () => crdt.apply(crdt.empty(), message.bytes),
    catch: (error) => new InvalidUpdate({ detail: error instanceof Error ? error.message : String(error) })
  })
}

/** A document as it is written down, with the next updates in it. */
const next = <State>(
  crdt: Crdt<State>,
  store: Updates.Updates,
  document: LogId.LogId,
  written: Updates.Update | undefined
) =>
  Effect.map(store.page(document, written?.position ?? 0), (page) => ({
    state: applyAll(crdt, written?.bytes, page),
    last: page.at(-1),
    isAll: page.length < Updates.pageSize
  }))

/** A document of what is written down of it and of all updates since. */
const assemble = <State>(crdt: Crdt<State>, store: Updates.Updates, document: LogId.LogId) =>
  Effect.gen(function* () {
    for (let written = yield* store.state(document); ; ) {
      const { isAll, last, state } = yield* next(crdt, store, document, written)
      if (last === undefined || isAll) return state
      written = { position: last.position, bytes: crdt.save(state) }
    }
  })

/** Writes down what the next updates come to. A page of them: there may be many where a state was dropped. */
const merge = <State>(crdt: Crdt<State>, store: Updates.Updates, document: LogId.LogId) =>
  Effect.gen(function* () {
    const { last, state } = yield* next(crdt, store, document, yield* store.state(document))
    if (last !== undefined) yield* store.putState(document, { position: last.position, bytes: crdt.save(state) })
  })

/**
 * Applies updates in the order in which they were accepted. One that is fine by itself may still contradict what is here (two
 * changes of one actor under one number: the CRDT's kind of fork). The first one counts, and the other is left out; since it may
 * have left the document half changed, those before it are applied anew.
 */
const applyAll = <State>(
  crdt: Crdt<State>,
  base: Uint8Array | undefined,
  updates: ReadonlyArray<Updates.Update>
): State => {
  let state = base === undefined ? crdt.empty() : crdt.apply(crdt.empty(), base)
  for (const update of updates) {
    const before = state
    const applied = Either.try(() => crdt.apply(before, update.bytes))
    if (Either.isLeft(applied)) {
      return applyAll(
        crdt,
        base,
        updates.filter((one) => one !== update)
      )
    }
    state = applied.right
  }
  return state
}
