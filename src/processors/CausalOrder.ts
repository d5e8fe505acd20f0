/**
 * Causal order: an operation may name others, by any author, that come before it (`previous` in its extensions). It waits
 * until all of them were accepted, or have come and gone: were pruned. So whoever answers is heard after whom he answers.
 *
 * Names cannot go in circles, since an id is a hash of what it names. One that never comes holds back what names it, and
 * nothing else, for as long as the application says.
 *
 * For readers there is an order of each topic ({@link sorted}) that is the same on every peer that has the same operations.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import type * as Event from "../pipeline/Event.ts"
import * as Processor from "../pipeline/Processor.ts"
import * as CausalGraph from "../store/CausalGraph.ts"
import type { InPlace } from "./LogIntegrity.ts"

export { stream as sorted, type Options as SortedOptions, type Place, type Sorted } from "../store/CausalSort.ts"

/** Operations that it names did not come in time. It stays in the inbox until it is replayed, unless the policy says otherwise. */
export class MissingDependencies extends Schema.TaggedError<MissingDependencies>()("MissingDependencies", {
  id: Hash.Schema,
  missing: Schema.Array(Hash.Schema)
}) {
  override get message() {
    return `Operation ${this.id} comes after operations that did not come in time: ${this.missing.join(", ")}. Replay it when they are here.`
  }
}

/** What an event carries behind this processor. */
export interface InOrder {
  /** The operations that it names and that are not here; only where `release` let it pass without them. */
  readonly missing: ReadonlyArray<Hash.Hash>
}

/** What is done about operations that do not come, and about our own. */
export interface Options {
  /**
   * How long an operation waits for those that it names and that were not received, counted from when it was received itself.
   * Default: for ever. Everybody else may have pruned them long ago, so where logs are pruned, newcomers need an end to it.
   */
  readonly patience?: Duration.DurationInput | undefined
  /**
   * Then: `release` (the default) hands it over with what is missing named in the event; `reject` rejects it with
   * {@link MissingDependencies}, and the policy decides.
   */
  readonly afterwards?: "release" | "reject" | undefined
  /**
   * Whether an operation of our own names the tips of its topic, the operations that nothing comes after, where its draft
   * names none. It is then written with `OpenExtensions`, since node extensions have no place for it. Default: no.
   */
  readonly tips?: boolean | undefined
}

/** The processor with rules of one's own. It stands behind `LogIntegrity`. */
export const make = (
  options: Options = {}
): Processor.Processor<Event.Event & InPlace, InOrder, MissingDependencies, never> => {
  const patience = options.patience === undefined ? Infinity : Duration.toMillis(options.patience)

  const decide = (state: State, event: Event.Event & InPlace): Either.Either<Decision, MissingDependencies> => {
    const previous = named(event)
    const missing = previous.filter((id) => vertex(state, id)?.met !== true)
    const deadline = event.receivedAt + patience
    // What was accepted once has waited enough.
    if (event.replay) return Either.right(Processor.accept({ state: enter(state, event, previous), adds: { missing } }))
    if (missing.length > 0 && event.decidedAt < deadline) {
      return Either.right(Processor.defer(missing, Number.isFinite(deadline) ? deadline : undefined))
    }
    // What is here has its own patience, and comes first all the same.
    const coming = missing.filter((id) => vertex(state, id)?.received === true)
    if (coming.length > 0) return Either.right(Processor.defer(coming))
    return missing.length > 0 && options.afterwards === "reject"
      ? Either.left(new MissingDependencies({ id: event.id, missing }))
      : Either.right(Processor.accept({ state: enter(state, event, previous), adds: { missing } }))
  }

  return Processor.make<Key, Known>()({
    name: "causal-order",
    migrations: CausalGraph.migrations,
    keys: (event) => {
      const { backlink } = event.operation.header
      return backlink === undefined ? [event.id, ...named(event)] : [event.id, backlink, ...named(event)]
    },
    laterKeys: ({ before }: Event.Event & InPlace) => (before === undefined ? [] : [before.id]),
    load: (keys) => load(keys),
    decide,
    save: (changed) => save(changed),
    reset: CausalGraph.reset,
    recall: {
      keys: (event) => named(event),
      adds: (state, event) => ({ missing: named(event).filter((id) => vertex(state, id)?.met !== true) })
    },
    forget: CausalGraph.forget,
    outgoing: {
      keys: ({ logId, previous }) => (options.tips === true && previous === undefined ? [tipsOf(logId)] : []),
      complete: (state, draft) => {
        const tips = state(tipsOf(draft.logId))
        return Either.right(
          tips?._tag === "Tips" && draft.previous === undefined
            ? // Its backlink says the same of the one before it.
              { ...draft, previous: tips.ids.filter((id) => id !== draft.backlink) }
            : draft
        )
      }
    }
  })
}

/** The processor that waits for ever, and names nothing by itself. */
export const processor = make()

// internal

/** An operation, or the tips of a topic. */
type Key = Hash.Hash | `tips/${LogId.LogId}`
type Known =
  | { readonly _tag: "Vertex"; readonly vertex: CausalGraph.Vertex | CausalGraph.Added }
  | { readonly _tag: "Tips"; readonly ids: ReadonlyArray<Hash.Hash> }
type State = Processor.State<Key, Known>
type Decision = Processor.Decision<Key, Known, InOrder>

const tipsOf = (logId: LogId.LogId): Key => `tips/${logId}`

/** An array in a header holds no more (p2panda's limit). Tips beyond stay tips, and are named by the next one. */
const mostTips = 512

const vertex = (state: State, id: Hash.Hash): CausalGraph.Vertex | undefined => {
  const known = state(id)
  return known?._tag === "Vertex" ? known.vertex : undefined
}

const named = ({ extensions, id }: Event.Event): ReadonlyArray<Hash.Hash> =>
  extensions.previous.length === 0 ? [] : Array.from(new Set(extensions.previous)).filter((other) => other !== id)

/** An author's timestamp as a number that SQLite and JavaScript both hold. */
const micros = (timestamp: bigint | undefined): number =>
  timestamp === undefined ? 0 : Number(timestamp < maxMicros ? timestamp : maxMicros)
const maxMicros = BigInt(Number.MAX_SAFE_INTEGER)

/** Its place in the graph, and that those before it have somebody behind them. */
const enter = (
  state: State,
  event: Event.Event & InPlace,
  previous: ReadonlyArray<Hash.Hash>
): ReadonlyArray<readonly [Key, Known]> => {
  const before = event.before !== undefined && vertex(state, event.before.id)?.clock ? event.before.id : undefined
  const parents = before === undefined ? previous : [before, ...previous.filter((id) => id !== before)]
  const own = micros(event.extensions.timestamp)
  const last = parents.map((id) => vertex(state, id)?.clock).reduce(CausalGraph.later, undefined)
  const isNamed = vertex(state, event.id)?.named ?? false
  const added: CausalGraph.Added = {
    met: true,
    received: false,
    clock: CausalGraph.tick(own, last),
    named: isNamed,
    logId: event.extensions.logId,
    own,
    before,
    previous,
    unsettled: isNamed || event.extensions.prune
  }
  return [
    [event.id, { _tag: "Vertex", vertex: added }],
    ...parents.map((id) => {
      const parent = vertex(state, id) ?? { met: false, received: false, clock: undefined, named: false }
      return [id, { _tag: "Vertex", vertex: { ...parent, named: true } }] as const
    })
  ]
}

const load = (keys: ReadonlyArray<Key>) =>
  Effect.gen(function* () {
    const found = new Map<Key, Known>()
    const ids: Array<Hash.Hash> = []
    for (const key of keys) {
      const logId = key.slice("tips/".length)
      if (Hash.is(key)) ids.push(key)
      else if (LogId.is(logId)) found.set(key, { _tag: "Tips", ids: yield* CausalGraph.tips(logId, mostTips) })
    }
    if (ids.length > 0) {
      for (const [id, vertex] of yield* CausalGraph.load(ids)) found.set(id, { _tag: "Vertex", vertex })
    }
    return found
  })

const save = (changed: ReadonlyMap<Key, Known>) => {
  const added = new Map<Hash.Hash, CausalGraph.Added>()
  const others: Array<Hash.Hash> = []
  for (const [key, known] of changed) {
    if (!Hash.is(key) || known._tag === "Tips") continue
    if ("logId" in known.vertex) added.set(key, known.vertex)
    else if (known.vertex.clock !== undefined) others.push(key)
  }
  return CausalGraph.save(added, others)
}
