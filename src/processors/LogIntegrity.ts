/**
 * Checks the place of an operation in its log: next sequence number, backlink, p2panda's rule for logs that begin at a
 * prune point. A gap waits for the operation that is missing; a second operation for one place is rejected, and both
 * headers are kept as evidence. For an operation of our own it fills in sequence number and backlink.
 *
 * Its state is the head of each log, which the pipeline itself writes where it appends; so there is nothing to save. The
 * event carries the head that it found, for processors that need an operation to be in its place; a controller takes no
 * pipeline without it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Extensions from "../core/Extensions.ts"
import * as Hash from "../core/Hash.ts"
import * as Log from "../core/Log.ts"
import * as Event from "../pipeline/Event.ts"
import * as Processor from "../pipeline/Processor.ts"
import * as Forks from "../store/Forks.ts"
import * as Logs from "../store/Logs.ts"

/**
 * The author signed two operations that cannot both be in one log: `id` stands at, or builds upon, another operation at
 * `seqNum` than the one that was accepted here first. Both headers are kept as evidence.
 */
export class Fork extends Schema.TaggedError<Fork>()("Fork", {
  id: Hash.Schema,
  log: Schema.String,
  seqNum: Schema.Number
}) {
  override get message() {
    return `Fork: another operation of this author was accepted at place ${this.seqNum} of log ${this.log}. Both headers are kept as evidence; the author's other devices may have written the log at the same time.`
  }
}

/** The log was pruned past this operation; nobody needs it any more. */
export class Outdated extends Schema.TaggedError<Outdated>()("Outdated", {
  log: Schema.String,
  seqNum: Schema.Number,
  prunedBelow: Schema.Number
}) {
  override get message() {
    return `Outdated: log ${this.log} was pruned up to place ${this.prunedBelow}, and this operation stands at ${this.seqNum}.`
  }
}

/** The log has reached the largest sequence number that the format can hold. */
export class LogFull extends Schema.TaggedError<LogFull>()("LogFull", { log: Schema.String }) {
  override get message() {
    return `Log ${this.log} is full: its last place is ${Log.maxSeqNum}. Publish under another topic.`
  }
}

/** What an event carries behind this processor: it is in its place. */
export interface InPlace {
  /**
   * The head of its log before it; none where it begins the log. Where an operation is handed over again, it is what the
   * operation itself names, whether that is still here or not.
   */
  readonly before: Pick<Log.Head, "id" | "seqNum"> | undefined
}

type Decision = Either.Either<Processor.Decision<Log.Key, Log.Head, InPlace>, Fork | Outdated | LogFull>

const decide = (state: Processor.State<Log.Key, Log.Head>, event: Event.Event): Decision => {
  const head = state(event.log)
  const claim = Event.claim(event)
  const place = Log.place(head, claim)
  switch (place._tag) {
    case "Next":
      return Either.right(
        Processor.accept<Log.Key, Log.Head, InPlace>({
          state: [[event.log, Log.append(head, event.id, claim)]],
          adds: { before: head }
        })
      )
    case "Gap":
      return Either.right(Processor.defer([place.missing]))
    case "Outdated":
      return Either.left(new Outdated({ log: event.log, seqNum: claim.seqNum, prunedBelow: place.prunedBelow }))
    case "Fork":
      return Either.left(new Fork({ id: event.id, log: event.log, seqNum: place.seqNum }))
  }
}

/** What it was before an operation that has its place. */
const before = ({ operation: { header } }: Event.Event): InPlace => ({
  before: header.backlink === undefined ? undefined : { id: header.backlink, seqNum: header.seqNum - 1 }
})

const complete = (state: Processor.State<Log.Key, Log.Head>, draft: Event.Draft) => {
  const head = state(draft.log)
  if (head === undefined) return Either.right(draft)
  return head.seqNum === Log.maxSeqNum
    ? Either.left(new LogFull({ log: draft.log }))
    : Either.right({ ...draft, seqNum: head.seqNum + 1, backlink: head.id })
}

/** The processor for events whose extensions were read as `X`. */
export const make = <X extends Extensions.Fields>(): Processor.Processor<
  Event.Event<X>,
  InPlace,
  Fork | Outdated | LogFull,
  never
> =>
  Processor.make<Log.Key, Log.Head>()({
    name: "log-integrity",
    keys: (event) => [event.log],
    load: Logs.heads,
    decide: (state, event: Event.Event<X>): Decision => decide(state, event),
    save: () => Effect.void,
    recall: { adds: (_, event) => before(event) },
    outgoing: { keys: (draft) => [draft.log], complete },
    evidence: (error, event) =>
      error._tag === "Fork" ? Forks.keep(event.extensions.logId, error.seqNum, event.operation) : Effect.void
  })

/** The processor for events with any extensions. */
export const processor = make<Extensions.Fields>()
