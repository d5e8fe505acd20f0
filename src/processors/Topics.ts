/**
 * Keeps logs with their topics. An event that came without a topic carries the one that its log is known to belong to
 * afterwards; one that claims another topic is rejected. With p2panda's extensions a wrong topic is refused on receipt already
 * (the log id is derived from the topic); this processor is what tells where the format does not.
 *
 * Its state is the topic of each log id. The pipeline itself writes it where it writes logs (`store/Topics`), from the topics
 * that accepted operations carry; so there is nothing to save.
 *
 * @example
 * Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Topics.processor))
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Extensions from "../core/Extensions.ts"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as Topic from "../core/Topic.ts"
import type * as Event from "../pipeline/Event.ts"
import * as Processor from "../pipeline/Processor.ts"
import * as Store from "../store/Topics.ts"

export { list, type Listed } from "../store/Topics.ts"

/** The operation came under a topic that its log does not belong to. */
export class WrongTopic extends Schema.TaggedError<WrongTopic>()("WrongTopic", {
  id: Hash.Schema,
  topic: Topic.Schema,
  logId: LogId.Schema,
  /** The topic that the log is known to belong to, where one is. */
  known: Schema.optional(Topic.Schema)
}) {
  override get message() {
    const known = this.known === undefined ? "" : ` That log belongs to topic ${this.known}.`
    return `Operation ${this.id} belongs to log ${this.logId}, which is not the log of topic ${this.topic} it was sent under.${known}`
  }
}

/** What an event carries behind this processor. */
export interface UnderTopic {
  /** The topic of its log: what is known, else what the sender said. Nobody may have told it yet, so decide nothing by that. */
  readonly topic: Topic.Topic | undefined
}

type Decision = Either.Either<Processor.Decision<LogId.LogId, Topic.Topic, UnderTopic>, WrongTopic>

const decide = (state: Processor.State<LogId.LogId, Topic.Topic>, event: Event.Event): Decision => {
  const { logId } = event.extensions
  const known = state(logId)
  const { topic } = event
  if (known !== undefined && topic !== undefined && topic !== known) {
    return Either.left(new WrongTopic({ id: event.id, topic, logId, known }))
  }
  return Either.right(
    Processor.accept<LogId.LogId, Topic.Topic, UnderTopic>({
      state: known === undefined && topic !== undefined ? [[logId, topic]] : [],
      adds: { topic: known ?? topic }
    })
  )
}

/** The processor for events whose extensions were read as `X`. */
export const make = <X extends Extensions.Fields>(): Processor.Processor<
  Event.Event<X>,
  UnderTopic,
  WrongTopic,
  never
> =>
  Processor.make<LogId.LogId, Topic.Topic>()({
    name: Store.processor,
    keys: ({ extensions }) => [extensions.logId],
    load: Store.find,
    decide: (state, event: Event.Event<X>): Decision => decide(state, event),
    save: () => Effect.void,
    // An operation that was accepted is read with the topic of its log.
    recall: { adds: (_, { topic }) => ({ topic }) },
    // What a removal takes off the inbox may teach a topic; with this, what was loaded before is not believed after it.
    forget: () => Effect.void
  })

/** The processor for events with any extensions. */
export const processor = make<Extensions.Fields>()
