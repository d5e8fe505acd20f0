/**
 * Deletion: a tombstone is an operation that names earlier ones whose bodies are to be forgotten. Their headers stay, so that
 * their logs stay whole; their bodies go in the transaction that accepts the tombstone, and do not come back through replay,
 * import or a peer. The application is told before they go (`Application.Forgotten`), and its no keeps them.
 *
 * A tombstone may come before what it names: the body is then dropped on arrival. So that this makes no difference, a
 * tombstone that names somebody else's operation is not rejected, which would need to know whose it is, but has no effect on it.
 *
 * A prune operation takes the tombstones before it away, and peers that come later never see them. So one of our own repeats
 * what they deleted elsewhere: by others, or in the author's other logs.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Hash from "../core/Hash.ts"
import type * as Log from "../core/Log.ts"
import type { VerifyingKey } from "../core/VerifyingKey.ts"
import * as Event from "../pipeline/Event.ts"
import * as Processor from "../pipeline/Processor.ts"
import * as Removal from "../store/Removal.ts"
import * as Tombstones from "../store/Tombstones.ts"

/** The log cannot be pruned: what its tombstones deleted elsewhere is more than one operation can name. */
export class TooManyTombstones extends Schema.TaggedError<TooManyTombstones>()("TooManyTombstones", {
  log: Schema.String,
  most: Schema.Number
}) {
  override get message() {
    return `Not pruned: the tombstones in log ${this.log} delete more than ${this.most} operations elsewhere, and one operation cannot name them all; they would come back for new peers.`
  }
}

/** What an event carries behind this processor. */
export interface Tombstone {
  /** Whether its own body was deleted before it came. */
  readonly deleted: boolean
  /** The operations that it is a tombstone of. */
  readonly deletes: ReadonlyArray<Hash.Hash>
}

/** Who may delete what, and where a tombstone says so. */
export interface Options {
  /**
   * Whether an operation of `by` may delete the bodies of `author`. Default: only one's own. It has to be the same for the
   * same two keys at all times and on all peers, or they will not agree on what is deleted.
   */
  readonly allows?: ((deletion: { readonly by: VerifyingKey; readonly author: VerifyingKey }) => boolean) | undefined
  /**
   * The operations that an event names. Default: those of its extensions; p2panda's node extensions have no place for them.
   * Whoever names them elsewhere has to repeat them when a log is pruned.
   */
  readonly targets?: ((event: Event.Event) => ReadonlyArray<Hash.Hash>) | undefined
}

/**
 * The processor with rules of one's own.
 *
 * @example
 * // Moderators may delete what anybody wrote.
 * Deletion.make({ allows: ({ author, by }) => by === author || moderators.has(by) })
 */
export const make = ({
  allows = ({ author, by }) => by === author,
  targets = inExtensions
}: Options = {}): Processor.Processor<Event.Event, Tombstone, TooManyTombstones, never> => {
  const isDeleted = (state: State, { author, id }: Event.Event): boolean =>
    deletedBy(state, id).some((by) => allows({ by, author }))

  const decide = (state: State, event: Event.Event): Decision => {
    const by = event.author
    const deletes = targets(event)
    return Processor.accept({
      state: deletes.map((id) => [id, { _tag: "Deleted", by: new Set([...deletedBy(state, id), by]) }] as const),
      adds: { deleted: isDeleted(state, event), deletes },
      removes: deletes.length === 0 ? [] : [Removal.bodies(deletes, (author) => allows({ by, author }))]
    })
  }

  return Processor.make<Key, Known>()({
    name: "deletion",
    migrations: Tombstones.migrations,
    keys: (event) => [event.id, ...targets(event)],
    load: (keys) => load(keys),
    redact: isDeleted,
    decide: (state, event: Event.Event) => Either.right(decide(state, event)),
    save: (changed) => save(changed),
    // No reset: tombstones that were pruned since could not be had again, and what they deleted might come back.
    recall: { adds: (_, event) => ({ deleted: Event.lacksBody(event), deletes: targets(event) }) },
    collect: Tombstones.collect,
    outgoing: {
      keys: ({ log, prune }) => (prune && targets === inExtensions ? [log] : []),
      complete: (state, draft) => repeat(state(draft.log), draft)
    }
  })
}

/** An array in a header holds no more (p2panda's limit). */
const most = 512

/** Where tombstones are looked for by default. */
const inExtensions = ({ extensions }: Event.Event) => extensions.deletes

/** The processor with which authors delete their own. */
export const processor = make()

// internal

/** An operation, or a log of our own that is to be pruned. */
type Key = Hash.Hash | Log.Key
type Known =
  | { readonly _tag: "Deleted"; readonly by: Tombstones.By }
  | { readonly _tag: "Repeated"; readonly ids: ReadonlyArray<Hash.Hash> }
type State = Processor.State<Key, Known>
type Decision = Processor.Decision<Key, Known, Tombstone>

const deletedBy = (state: State, id: Hash.Hash): ReadonlyArray<VerifyingKey> => {
  const known = state(id)
  return known?._tag === "Deleted" ? Array.from(known.by) : []
}

const repeat = (known: Known | undefined, draft: Event.Draft): Either.Either<Event.Draft, TooManyTombstones> => {
  if (known?._tag !== "Repeated") return Either.right(draft)
  const deletes = Array.from(new Set([...draft.deletes, ...known.ids]))
  return deletes.length > most
    ? Either.left(new TooManyTombstones({ log: draft.log, most }))
    : Either.right({ ...draft, deletes })
}

const load = (keys: ReadonlyArray<Key>) =>
  Effect.gen(function* () {
    const found = new Map<Key, Known>()
    for (const [id, by] of yield* Tombstones.load(keys.filter(Hash.is))) found.set(id, { _tag: "Deleted", by })
    for (const key of keys) {
      if (!Hash.is(key)) found.set(key, { _tag: "Repeated", ids: yield* Tombstones.of(key, most + 1) })
    }
    return found
  })

const save = (changed: ReadonlyMap<Key, Known>) =>
  Tombstones.save(
    new Map(
      Array.from(changed).flatMap(([key, known]) =>
        Hash.is(key) && known._tag === "Deleted" ? [[key, known.by] as const] : []
      )
    )
  )
