/**
 * A pipeline: processors in order. What one adds the next may need, and stacking them in an order in which something is
 * missing does not compile.
 *
 * @example
 * const pipeline = Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(quota(1000)))
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { pipeArguments, type Pipeable } from "effect/Pipeable"
import type { Hash } from "../core/Hash.ts"
import type { Removal } from "../store/Removal.ts"
import * as SqlReason from "../store/SqlReason.ts"
import type { Transaction } from "../store/Transaction.ts"
import type { Draft, Event } from "./Event.ts"
import type * as Processor from "./Processor.ts"
import * as Known from "./internal/known.ts"
import * as Rejection from "./Rejection.ts"

/** Takes events as `In`, hands them to the application as `Out`, rejects with `E`, needs the services `R`. */
export interface Pipeline<in In, out Out, out E, out R> extends Pipeable {
  /** The processors, first to last. */
  readonly processors: ReadonlyArray<Layer<In, E, R>>
  /** What the processors say of an event without any state: the first one that says no. */
  readonly check: (event: Event) => Either.Either<void, Checked<E>>
  /** Begins a batch. */
  readonly open: () => Session<In, Out, E, R>
}

/** One of the processors of a pipeline. */
export interface Layer<in In, out E, out R>
  extends Pick<Processor.Processor<never, unknown, E, R>, "name" | "migrations" | "collect" | "version" | "reset"> {
  /** Begins a page of operations that were accepted before, and that only this processor decides about again. */
  readonly rebuild: () => Rebuild<In, E, R>
}

/** A processor at work on operations that were accepted before; see {@link Processor.Session}. */
export interface Rebuild<in In, out E, out R>
  extends Pick<Session<In, unknown, E, R>, "preload" | "decide" | "keep" | "drop" | "save"> {}

/** What an event looks like behind a pipeline: the type that a handler may ask for. */
export type Out<P> = P extends Pipeline<infer _In, infer O, infer _E, infer _R> ? O : never

/** The errors with which the processors of a pipeline reject. */
export type Error<P> = P extends Pipeline<infer _In, infer _O, infer E, infer _R> ? E : never

/** The `processor` that said no to an event without looking at any state. */
export interface Checked<out E> {
  readonly processor: string
  readonly error: E
}

/** A pipeline at work on one batch; see {@link Processor.Session}. */
export interface Session<in In, out Out, out E, out R> {
  readonly preload: (events: ReadonlyArray<Event>) => Effect.Effect<void, SqlError, SqlClient | R>
  readonly redact: Processor.Session<In, {}, E, R>["redact"]
  readonly decide: (event: In) => Effect.Effect<Step<Out, E, R>, SqlError, SqlClient | R>
  readonly keep: () => void
  readonly drop: () => void
  readonly complete: (draft: Draft) => Effect.Effect<Draft, E | SqlError, SqlClient | R>
  readonly save: Effect.Effect<void, SqlError, Transaction | SqlClient | R>
  readonly refresh: () => void
  readonly forget: (removal: Removal) => Effect.Effect<void, SqlError, Transaction | SqlClient | R>
  readonly preloadRecall: (events: ReadonlyArray<Event>) => Effect.Effect<void, SqlError, SqlClient | R>
  /** The event as it was behind the pipeline, of an operation that was accepted before. */
  readonly recall: (event: In) => Out
}

/** How far an event came. */
export type Step<Out, E, R> = Passed<Out> | Deferred | Rejected<E, R>

/** Every processor let it pass. */
export interface Passed<out Out> {
  readonly _tag: "Passed"
  readonly event: Out
  /** What goes when it is accepted. */
  readonly removes: ReadonlyArray<Removal>
}

/** A processor wants other operations first. */
export interface Deferred {
  readonly _tag: "Deferred"
  readonly processor: string
  readonly until: ReadonlyArray<Hash>
  /** When it is decided again in any case; milliseconds since the epoch. */
  readonly deadline: number | undefined
}

/** A processor said no, or broke. */
export interface Rejected<out E, out R> {
  readonly _tag: "Rejected"
  readonly processor: string
  readonly error: E | Rejection.Defect
  readonly evidence: Effect.Effect<void, SqlError, Transaction | SqlClient | R>
}

/** The pipeline of one processor. */
export const make = <In extends Event, Adds, E, R>(
  processor: Processor.Processor<In, Adds, E, R>
): Pipeline<In, In & Adds, E, R> =>
  fromProcessors(
    [layer(processor, () => ({ preloadRecall: () => Effect.void, recall: (event: In) => event }))],
    check(processor),
    () => step(processor)
  )

/**
 * Adds a processor at the end. It may need whatever the earlier ones add.
 *
 * Two processors of one name are a mistake that shows at once: their tables and their rejections could not be told apart.
 */
export const andThen =
  <In2, Adds, E2, R2>(processor: Processor.Processor<In2, Adds, E2, R2>) =>
  <In, Out extends In2, E, R>(self: Pipeline<In, Out, E, R>): Pipeline<In, Out & Adds, E | E2, R | R2> => {
    if (self.processors.some((earlier) => earlier.name === processor.name)) {
      throw new globalThis.Error(`Two processors are called "${processor.name}"; give one of them another name.`)
    }
    return fromProcessors<In, Out & Adds, E | E2, R | R2>(
      [...self.processors, layer<In, Out, Adds, E2, R | R2>(processor, self.open)],
      (event) => Either.flatMap(self.check(event), (): Either.Either<void, Checked<E | E2>> => check(processor)(event)),
      () => sequence(self.open(), step<Out, Adds, E2, R2>(processor))
    )
  }

// internal

const fromProcessors = <In, Out, E, R>(
  processors: Pipeline<In, Out, E, R>["processors"],
  check: Pipeline<In, Out, E, R>["check"],
  open: () => Session<In, Out, E, R>
): Pipeline<In, Out, E, R> => ({
  processors,
  check,
  open,
  pipe() {
    return pipeArguments(this, arguments)
  }
})

/** `before`: what the earlier processors add. */
const layer = <In, Mid, Adds, E, R>(
  processor: Processor.Processor<Mid, Adds, E, R>,
  before: () => Pick<Session<In, Mid, unknown, R>, "preloadRecall" | "recall">
): Layer<In, E, R> => {
  const { collect, migrations, name, reset, version } = processor
  return {
    name,
    migrations,
    collect,
    version,
    reset,
    rebuild: () => {
      const earlier = before()
      const own = step(processor)
      return {
        preload: (events) => Effect.zipRight(earlier.preloadRecall(events), own.preload(events)),
        decide: (event) => Effect.suspend(() => own.decide(earlier.recall(event))),
        keep: own.keep,
        drop: own.drop,
        save: own.save
      }
    }
  }
}

const check =
  <In, Adds, E, R>(processor: Processor.Processor<In, Adds, E, R>) =>
  (event: Event): Either.Either<void, Checked<E>> =>
    Either.mapLeft(processor.check(event), (error) => ({ processor: processor.name, error }))

/** One processor as a session of its own: its additions joined to the event, its defects made a rejection. */
const step = <In, Adds, E, R>(processor: Processor.Processor<In, Adds, E, R>): Session<In, In & Adds, E, R> => {
  const session = processor.open()
  const decide = (event: In): Effect.Effect<Step<In & Adds, E, R>, SqlError, SqlClient | R> =>
    Known.map(session.decide(event), (verdict): Step<In & Adds, E, R> => {
      switch (verdict._tag) {
        case "Accept":
          return { _tag: "Passed", event: joined(event, verdict.adds), removes: verdict.removes }
        case "Defer":
          return { ...verdict, _tag: "Deferred", processor: processor.name }
        case "Reject":
          return { ...verdict, _tag: "Rejected", processor: processor.name }
      }
    })
  return {
    ...session,
    recall: (event) => {
      const adds = session.recall(event)
      // A processor without a recall adds nothing: `Adds` is `{}` then.
      return adds === undefined ? (event as In & Adds) : joined(event, adds)
    },
    decide: (event) => {
      const decided = attempt(() => decide(event))
      if (Known.of(decided)?._tag === "Success") return decided
      return Effect.catchAllCause(
        decided,
        // An interruption that arrives here is the processor's own; one from outside never gets this far.
        (cause) =>
          Cause.isFailure(cause) || SqlReason.inCause(cause)._tag === "Some"
            ? Effect.failCause(cause)
            : Effect.succeed({
                _tag: "Rejected",
                processor: processor.name,
                error: Rejection.defect(cause),
                evidence: Effect.void
              })
      )
    }
  }
}

/** An event and what a processor adds to it. Spread, V8 takes five times as long for it, and makes an object that lives longer. */
const joined = <In, Adds>(event: In, adds: Adds): In & Adds => Object.assign({}, event, adds)

/** What throws before it returns an effect has a defect like any other. */
const attempt = <A, E, R>(make: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  try {
    return make()
  } catch (thrown) {
    return Effect.die(thrown)
  }
}

/** Two sessions, one behind the other. */
const sequence = <In, Mid, Out, E, R, E2, R2>(
  first: Session<In, Mid, E, R>,
  second: Session<Mid, Out, E2, R2>
): Session<In, Out, E | E2, R | R2> => ({
  preload: (events) => Effect.zipRight(first.preload(events), second.preload(events)),
  redact: either(first.redact, second.redact),
  decide: (event) =>
    Known.flatMap(
      first.decide(event),
      (passed): Effect.Effect<Step<Out, E | E2, R | R2>, SqlError, SqlClient | R2> =>
        passed._tag === "Passed"
          ? Known.map(second.decide(passed.event), (step) => withRemovals(passed.removes, step))
          : Effect.succeed(passed)
    ),
  keep: () => {
    first.keep()
    second.keep()
  },
  drop: () => {
    first.drop()
    second.drop()
  },
  complete: (draft) => Effect.flatMap(first.complete(draft), second.complete),
  save: Effect.zipRight(first.save, second.save),
  refresh: () => {
    first.refresh()
    second.refresh()
  },
  forget: (removal) => Effect.zipRight(first.forget(removal), second.forget(removal)),
  preloadRecall: (events) => Effect.zipRight(first.preloadRecall(events), second.preloadRecall(events)),
  recall: (event) => second.recall(first.recall(event))
})

/** What either of two processors wants redacted. */
const either = <E, R, R2>(
  first: Session<never, unknown, E, R>["redact"],
  second: Session<never, unknown, E, R2>["redact"]
): Session<never, unknown, E, R | R2>["redact"] => {
  if (first === undefined) return second
  if (second === undefined) return first
  return (events) => Effect.zipWith(first(events), second(events), (a, b) => new Set([...a, ...b]))
}

const withRemovals = <Out, E, R>(earlier: ReadonlyArray<Removal>, step: Step<Out, E, R>): Step<Out, E, R> =>
  step._tag === "Passed" && earlier.length > 0 ? { ...step, removes: [...earlier, ...step.removes] } : step
