/**
 * The laws that a processor of one's own has to keep, and those of an application, tried with generated histories and deliveries. What
 * breaks a law is told with its name, and with the smallest history that breaks it.
 *
 * @example
 * it.effect("quota keeps the laws", () => Laws.processor(quota(3)))
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Crypto from "../core/Crypto.ts"
import type * as Extensions from "../core/Extensions.ts"
import type * as Application from "../pipeline/Application.ts"
import type * as Event from "../pipeline/Event.ts"
import * as Pipeline from "../pipeline/Pipeline.ts"
import type * as Processor from "../pipeline/Processor.ts"
import * as LogIntegrity from "../processors/LogIntegrity.ts"
import type { Transaction } from "../store/Transaction.ts"
import * as Delivery from "./Delivery.ts"
import * as History from "./History.ts"
import * as ApplicationLaws from "./internal/applicationLaws.ts"
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

/** A law of applications. */
export type ApplicationLaw = ApplicationLaws.Law

/** What each law of applications demands. */
export const applicationLaws: Readonly<Record<ApplicationLaw, string>> = {
  runs: "it throws nothing, and its own statements do not fail",
  ends: "its handler ends within its time limit",
  attached: "its handler waits for all work that it begins",
  atomic: "when a statement fails, everything of the operation is there or nothing",
  once: "delivered twice, in pieces, with restarts and failures in between, an operation has its effects once",
  traceless: "what is rejected leaves nothing behind",
  forgets: "of a body that was pruned or deleted nothing is left in its tables",
  resets: "after a reset its tables are as in the beginning",
  rebuilds: "built again of what was accepted, its tables are the same"
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
    const asks = (law: ProcessorLaw): boolean => except[law] === undefined
    let accepted = 0
    const found = yield* Search.search(
      FastCheck.record({
        plan: Delivery.arbitrary(),
        history: History.arbitrary(crypto, histories(names, options.history))
      }),
      ProcessorLaws.trial({
        processor,
        stack,
        crypto,
        asks,
        snapshot,
        evidence,
        accepted: () => void accepted++
      }),
      asks,
      search(options)
    )
    if (found !== undefined) return yield* broken(processor.name, found, processorLaws[found.law])
    if (accepted === 0) return yield* nothingTried(processor.name, options)
  })

/** Options of the laws of applications. */
export interface ApplicationOptions<A> extends Options<ApplicationLaw> {
  /** The messages of operations, such as `Arbitrary.make(Transfer)`. Default: bodies of a few random bytes, or none. */
  readonly messages?: FastCheck.Arbitrary<A> | undefined
  /** Writes what has to be there before the first operation. Default: nothing. */
  readonly prepare?: Effect.Effect<unknown, SqlError, SqlClient> | undefined
}

/**
 * Tries the laws of applications ({@link applicationLaws}). It stands behind `LogIntegrity`, or behind the `pipeline` that it is used with;
 * operations are pruned and deleted where that has `Pruning` and `Deletion`. Needs nothing but what application and pipeline need.
 *
 * @example
 * it.effect("apples keeps the laws", () => Laws.application(apples, { messages: Arbitrary.make(Transfer) }))
 */
export const application: {
  <A, E, R>(
    application: Application.Application<Placed, A, E, R>,
    options?: ApplicationOptions<A>
  ): Effect.Effect<void, LawBroken, Needs<Exclude<R, Transaction>>>
  <Out extends LogIntegrity.InPlace & Event.Event, A, E, R, E2, R2>(
    application: Application.Application<Out, A, E, R>,
    options: ApplicationOptions<A> & {
      readonly pipeline: Pipeline.Pipeline<Event.Event<Extensions.Any>, Out, E2, R2>
    }
  ): Effect.Effect<void, LawBroken, Needs<Exclude<R, Transaction> | R2>>
} = <A, E, R, E2, R2>(
  application: Application.Application<Placed, A, E, R>,
  options: ApplicationOptions<A> & {
    readonly pipeline?: Pipeline.Pipeline<Event.Event<Extensions.Any>, Placed, E2, R2>
  } = {}
) => {
  const tried = Effect.gen(function* () {
    const crypto = yield* Effect.provide(Crypto.Crypto, Crypto.layer)
    const { except = {}, messages, prepare = Effect.void, snapshot = {} } = options
    const pipeline: Pipeline.Pipeline<Event.Event<Extensions.Any>, Placed, unknown, R2> = options.pipeline ??
    Pipeline.make(LogIntegrity.make<Extensions.Any>())
    const names = pipeline.processors.map(({ name }) => name)
    const body = messages?.map((message) => Either.getOrThrow(application.encode(message)))
    const asks = (law: ApplicationLaw): boolean => except[law] === undefined
    let accepted = 0
    const found = yield* Search.search(
      FastCheck.record({
        // In order: what an application makes of operations may depend on it.
        plan: Delivery.arbitrary({ changes: ["repeat", "repeat", "cut", "cut", "restart", "collect"] }),
        history: History.arbitrary(
          crypto,
          histories(names, { ...(body === undefined ? {} : { body }), ...options.history })
        )
      }),
      ApplicationLaws.trial({
        application,
        pipeline,
        prepare,
        crypto,
        asks,
        snapshot,
        accepted: () => void accepted++
      }),
      asks,
      search(options)
    )
    if (found !== undefined) return yield* broken(application.name, found, applicationLaws[found.law])
    if (accepted === 0) return yield* nothingTried(application.name, options)
  })
  // What is left of `R` without the services that the laws bring; TypeScript cannot see that of a parameter.
  return tried as Effect.Effect<void, LawBroken, Needs<Exclude<R, Transaction> | R2>>
}

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

/** Laws that nothing was tried of are kept by everybody. */
const nothingTried = (subject: string, { path = "", seed = 0 }: Options<string>): Effect.Effect<void, LawBroken> =>
  path === ""
    ? new LawBroken({
        subject,
        law: "runs",
        demands: "it accepts something",
        detail: "no operation was accepted, so nothing was tried. Give it histories or messages that it takes.",
        history: "(any)",
        delivery: "(any)",
        seed,
        path
      })
    : Effect.void

const broken = (subject: string, found: Search.Found<string>, demands: string): LawBroken => {
  const named = Picture.named(found.history, found.detail)
  return new LawBroken({
    subject,
    law: found.law,
    demands,
    // Other ids are nobody's: of a log, of a topic.
    detail: named.replaceAll(/\b[0-9a-f]{64}\b/g, (id) => `${id.slice(0, 8)}…`),
    history: Picture.draw(found.history),
    delivery: found.inOrder ? "in order, all at once" : Delivery.show(found.plan, found.history),
    seed: found.seed,
    path: found.path
  })
}
