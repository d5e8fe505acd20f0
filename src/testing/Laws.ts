/**
 * The laws that a processor of one's own has to keep, and those of an application, tried with generated histories and deliveries. What
 * breaks a law is told with its name, and with the smallest history that breaks it.
 *
 * @example
 * it.effect("quota keeps the laws", () => Laws.processor(quota(3)))
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Crypto from "../core/Crypto.ts"
import * as FastCheck from "effect/FastCheck"
import type * as Extensions from "../core/Extensions.ts"
import type * as Event from "../pipeline/Event.ts"
import * as Pipeline from "../pipeline/Pipeline.ts"
import type * as Processor from "../pipeline/Processor.ts"
import * as LogIntegrity from "../processors/LogIntegrity.ts"
import * as Delivery from "./Delivery.ts"
import * as History from "./History.ts"
import type * as Peer from "./internal/peer.ts"
import * as ProcessorLaws from "./internal/processorLaws.ts"
import * as Search from "./internal/search.ts"
import * as Picture from "./Picture.ts"
import type * as Snapshot from "./Snapshot.ts"

/** A law of processors. */
export type ProcessorLaw = ProcessorLaws.Law

/** What each law of processors demands. */
export const processorLaws: Readonly<Record<ProcessorLaw, string>> = {
  runs: "it throws nothing, and its own statements do not fail",
  deterministic: "asked twice about the same event with the same states, it decides the same",
  pure: "it decides from states and event alone, and changes neither",
  saves: "a state that was saved is the same when it is loaded",
  defers: "it waits only for what is not accepted yet",
  converges: "the same operations leave the same state, in whatever way they are delivered",
  traceless: "what is rejected leaves nothing behind",
  rebuilds: "built again of what was accepted, its state is the same",
  recalls: "what it adds to an event is had again when that is handed over again"
}

/** A law is broken. */
export class LawBroken extends Schema.TaggedError<LawBroken>()("LawBroken", {
  /** The name of the processor or of the application. */
  subject: Schema.String,
  law: Schema.String,
  /** What the law demands. */
  demands: Schema.String,
  /** What was found instead; operations by their short names. */
  detail: Schema.String,
  /** A picture of the smallest history that breaks the law. */
  history: Schema.String,
  /** How it was delivered, in words. */
  delivery: Schema.String,
  /** With both, the same is found again at once. */
  seed: Schema.Number,
  path: Schema.String
}) {
  override get message() {
    return [
      `${this.subject} breaks the law "${this.law}": ${this.demands}. Found: ${this.detail}`,
      this.history,
      `Delivered: ${this.delivery}`,
      `To try just this again: { seed: ${this.seed}, path: "${this.path}" }`
    ].join("\n\n")
  }
}

/** How much is tried, and with what. */
export interface Options<Law extends string> {
  /** Histories. Default: 12. */
  readonly runs?: number | undefined
  /** Begins with this one; from a failure's message. Default: another one each time. */
  readonly seed?: number | undefined
  /** Tries just the case that a failure's message names; with its seed. */
  readonly path?: string | undefined
  /** What the histories consist of. Default: up to 12 deeds of 3 authors in one topic; prunes and deletions where there are layers for it. */
  readonly history?: History.Options | undefined
  /** How long smaller cases are looked for when one was found. Default: 2 seconds. */
  readonly shrinkFor?: Duration.DurationInput | undefined
  /** The laws that it does not keep, each with the reason. */
  readonly except?: Partial<Readonly<Record<Law, string>>> | undefined
  /** Tables and columns that are not compared; see {@link Snapshot.lasting}. */
  readonly snapshot?: Snapshot.Options | undefined
}

/** Options of the laws of processors. */
export interface ProcessorOptions extends Options<ProcessorLaw> {
  /** Tables in which a rejection may leave something: what `evidence` writes to. */
  readonly evidence?: ReadonlyArray<string> | undefined
}

/** What an event carries behind `LogIntegrity`, and nothing more. */
export type Placed = Event.Event<Extensions.Any> & LogIntegrity.InPlace

/** What is needed besides what the laws bring themselves: a database in memory. */
export type Needs<R> = Exclude<R, Peer.Services>

/**
 * Tries the laws of processors ({@link processorLaws}). The processor is stacked behind `LogIntegrity`, or `behind` a pipeline that adds
 * what it needs. Needs nothing but what the processor itself needs.
 *
 * @example
 * it.effect("quota keeps the laws", () => Laws.processor(quota(3)))
 *
 * it.effect("and so does whoever needs the causal order", () =>
 *   Laws.processor(threads, {
 *     behind: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(CausalOrder.processor))
 *   }))
 */
export const processor: {
  <Adds, E, R>(
    processor: Processor.Processor<Placed, Adds, E, R>,
    options?: ProcessorOptions
  ): Effect.Effect<void, LawBroken, Needs<R>>
  <Out extends LogIntegrity.InPlace & Event.Event, Adds, E, R, E2, R2>(
    processor: Processor.Processor<Out, Adds, E, R>,
    options: ProcessorOptions & {
      readonly behind: Pipeline.Pipeline<Event.Event<Extensions.Any>, Out, E2, R2>
    }
  ): Effect.Effect<void, LawBroken, Needs<R | R2>>
} = <Adds, E, R>(
  processor: Processor.Processor<Placed, Adds, E, R>,
  options: ProcessorOptions & { readonly behind?: Pipeline.Pipeline<Event.Event<Extensions.Any>, Placed, E, R> } = {}
): Effect.Effect<void, LawBroken, Needs<R>> =>
  Effect.gen(function* () {
    const crypto = yield* Effect.provide(Crypto.Crypto, Crypto.layer)
    const { except = {}, evidence = [], snapshot = {} } = options
    const { behind } = options
    const stack = (one: Processor.Processor<Placed, Adds, E, R>) => stacked(one, behind)
    const names = stack(processor).processors.map(({ name }) => name)
    const found = yield* Search.search(
      FastCheck.record({
        history: History.arbitrary(crypto, histories(names, options.history)),
        plan: Delivery.arbitrary()
      }),
      ProcessorLaws.trial({
        processor,
        stack,
        crypto,
        asks: (law) => except[law] === undefined,
        snapshot,
        evidence
      }),
      search(options)
    )
    if (found !== undefined) return yield* broken(processor.name, found, processorLaws[found.law])
  })

// internal

const stacked = <Adds, E, R>(
  processor: Processor.Processor<Placed, Adds, E, R>,
  behind: Pipeline.Pipeline<Event.Event<Extensions.Any>, Placed, E, R> | undefined
): Pipeline.Pipeline<Event.Event<Extensions.Any>, Placed, unknown, R> => {
  if (behind !== undefined) return behind.pipe(Pipeline.andThen(processor))
  if (processor.name === LogIntegrity.processor.name) {
    // It is the one that the others stand behind; the name says so, TypeScript cannot.
    const first = processor as unknown as Processor.Processor<Event.Event<Extensions.Any>, LogIntegrity.InPlace, E, R>
    return Pipeline.make(first)
  }
  return Pipeline.make(LogIntegrity.make<Extensions.Any>()).pipe(Pipeline.andThen(processor))
}

const search = ({ path, runs = 12, seed, shrinkFor = "2 seconds" }: Options<string>): Search.Options => ({
  runs,
  seed,
  path,
  shrinkFor
})

/** Prune operations and tombstones only where somebody carries them out: otherwise they make peers differ. */
const histories = (processors: ReadonlyArray<string>, options: History.Options = {}): History.Options => ({
  most: 12,
  authors: 3,
  kinds: [
    ...(["say", "say", "say", "say"] as const),
    ...(processors.includes("pruning") ? (["prune"] as const) : []),
    ...(processors.includes("deletion") ? (["delete"] as const) : [])
  ],
  ...options
})

const broken = (subject: string, found: Search.Found<string>, demands: string): LawBroken => {
  const named = Picture.named(found.history, found.detail)
  return new LawBroken({
    subject,
    law: found.law,
    demands,
    // Other ids are nobody's: of a log, of a topic.
    detail: named.replaceAll(/\b[0-9a-f]{64}\b/g, (id) => `${id.slice(0, 8)}…`),
    history: Picture.draw(found.history),
    delivery: Delivery.show(found.plan, found.history),
    seed: found.seed,
    path: found.path
  })
}
