/** From bytes to events: of operations that were just received, and of operations from the inbox. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import * as Operation from "../../core/Operation.ts"
import * as Event from "../../pipeline/Event.ts"
import type * as Outcome from "../../pipeline/Outcome.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Topics from "../../store/Topics.ts"
import { together, turn } from "../../store/internal/turn.ts"
import * as Waiting from "../../store/Waiting.ts"
import * as Whereabouts from "../../store/Whereabouts.ts"
import type * as Wakes from "../../store/Wakes.ts"
import { WrongTopic, type Invalid } from "../Errors.ts"

/**
 * An operation that is to be processed. `entry`: its row in the inbox, if it has one. `woken`: it waits there until it is
 * decided; where the wake-up goes on behind it.
 */
export interface Candidate<out X extends Extensions.Fields> {
  readonly event: Event.Event<X>
  readonly entry: number | undefined
  readonly attempts: number
  readonly woken?: Wakes.Cursor | undefined
  /** Whether it is the one before it that wakes it, and wakes nothing else; it cannot be decided unless that is accepted. */
  readonly follows?: boolean | undefined
}

/** What an operation that was received carries besides header and body, as far as that needs no state. */
export const receive = <X extends Extensions.Fields>(
  crypto: Crypto.Service,
  codec: Extensions.Codec<X>,
  operation: Operation.Operation,
  origin: Event.Origin
): Either.Either<Event.Event<X>, Invalid> =>
  Either.flatMap(codec.decode(operation.header.extensions), (extensions) => {
    const { topic } = origin
    return topic !== undefined && codec.ownsLog?.(crypto, topic, extensions) === false
      ? Either.left(new WrongTopic({ id: operation.id, topic, logId: extensions.logId }))
      : Either.right(Event.make(operation, extensions, origin))
  })

/** Reads an operation back from the inbox. What was checked on receipt is not checked again. */
export const restore = <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  entry: Inbox.Entry
): Either.Either<Candidate<X>, Rejection.Damaged> =>
  Either.flatMap(Operation.trusted(entry.id, entry), (operation) =>
    Either.map(codec.decode(operation.header.extensions), (extensions) => ({
      event: Event.make(operation, extensions, entry),
      entry: entry.entry,
      attempts: entry.attempts
    }))
  ).pipe(Either.mapLeft((error) => new Rejection.Damaged({ detail: error.message })))

/**
 * Entries as candidates. One that does not read back is rejected on the spot, so that it holds nobody up. `at`: for those that
 * were woken.
 */
export const readable = Effect.fnUntraced(function* <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  entries: ReadonlyArray<{ readonly entry: Inbox.Entry; readonly at?: Wakes.Cursor }>
) {
  const candidates: Array<Candidate<X>> = []
  for (const [nth, { at, entry }] of entries.entries()) {
    if (nth > 0 && nth % together === 0) yield* turn
    const restored = restore(codec, entry)
    if (restored._tag === "Right") candidates.push({ ...restored.right, woken: at })
    else {
      const reason = Rejection.encode(restored.left)
      const attempts = entry.attempts + 1
      yield* Inbox.reject(entry.id, {
        processor: "inbox",
        reason,
        attempts,
        notBefore: undefined,
        entry: entry.entry
      })
      if (at !== undefined) yield* Waiting.forget([entry.entry])
    }
  }
  return candidates
})

/** Entries that are woken one by the other, as far as they read back. */
export const chained = <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  entries: ReadonlyArray<Inbox.Entry>
): ReadonlyArray<Candidate<X>> => {
  const candidates: Array<Candidate<X>> = []
  for (const entry of entries) {
    const restored = restore(codec, entry)
    if (restored._tag === "Left") return candidates
    candidates.push({ ...restored.right, woken: { seqNum: undefined, entry: entry.entry }, follows: true })
  }
  return candidates
}

/** Received operations sorted by whether they were here before. */
export interface Sorted<out X extends Extensions.Fields> {
  readonly candidates: ReadonlyArray<Candidate<X>>
  readonly known: ReadonlyMap<Hash, Outcome.Where>
}

/** What is said of the topic of an operation's log. */
export const told = ({ extensions: { logId }, topic }: Event.Event): Topics.Told => ({ logId, topic })

/**
 * Finds out which of these operations were here before. One that is queued only is a candidate like a new one. The same
 * operation twice counts once. Of those that were here, what is new is the topic they come under, where their sender says it:
 * that is learnt.
 */
export const sort = Effect.fnUntraced(function* <X extends Extensions.Fields>(events: Iterable<Event.Event<X>>) {
  const byId = new Map<Hash, Event.Event<X>>()
  for (const event of events) if (!byId.has(event.id)) byId.set(event.id, event)
  const ids = Array.from(byId.keys())
  const known = new Map<Hash, Outcome.Where>()
  const found = yield* Whereabouts.find(ids)
  const retried = yield* Topics.claim(Array.from(byId.values()).filter(({ id }) => found.get(id)?.held !== undefined))
  const candidates: Array<Candidate<X>> = []
  const letIn: Array<Topics.Told> = []
  for (const [id, event] of byId) {
    const { decided, held } = found.get(id) ?? nowhere
    if (decided === "accepted" || decided === "pruned") letIn.push(told(event))
    if (decided !== undefined) known.set(id, decided)
    else if (held === undefined) candidates.push({ event, entry: undefined, attempts: 0 })
    else if (held.status === "queued" || retried.has(id)) {
      const { attempts, entry, topic } = held
      candidates.push({ event: { ...event, topic: event.topic ?? topic }, entry, attempts })
    } else known.set(id, held.status)
  }
  yield* Topics.learn(letIn)
  const sorted: Sorted<X> = { candidates, known }
  return sorted
})

const nowhere: Whereabouts.Whereabouts = { held: undefined, decided: undefined }

/** What goes into the inbox for an event. */
export const incoming = <X extends Extensions.Fields>({ event }: Candidate<X>): Inbox.Incoming => ({
  operation: event.operation,
  logId: event.extensions.logId,
  topic: event.topic,
  source: event.source,
  receivedAt: event.receivedAt
})
