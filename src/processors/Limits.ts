/**
 * Limits: sizes, timestamps, and how much of an author is accepted in a time, so that a hostile or broken peer does not
 * take the disk, the inbox or the time of the others. It stands first in a pipeline, and needs no other processor.
 *
 * Sizes and timestamp are seen when an operation is received; one that is beyond them is told to its sender and never
 * stored. The rate is counted where operations are accepted, in windows of fixed length that are aligned to the clock;
 * what is rejected or waits does not count.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Extensions from "../core/Extensions.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import type * as Event from "../pipeline/Event.ts"
import * as Processor from "../pipeline/Processor.ts"
import * as Rates from "../store/Rates.ts"

/** A part of the operation is larger than this peer takes. Sizes in bytes. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", {
  /** `operation`: header and body together are more than an author may write in a whole window. */
  what: Schema.Literal("body", "extensions", "operation"),
  size: Schema.Number,
  limit: Schema.Number
}) {
  override get message() {
    const what = this.what === "operation" ? "The operation (header and body)" : `Its ${this.what}`
    return `${what} has ${this.size} bytes, and this peer takes ${this.limit} at the most. Split it into several operations, or raise the limit here.`
  }
}

/** The operation says that it was made in the future. */
export class TimestampAhead extends Schema.TaggedError<TimestampAhead>()("TimestampAhead", {
  /** What it says, in microseconds since the epoch. */
  timestamp: Schema.BigInt,
  /** This peer's clock, in milliseconds since the epoch. */
  now: Schema.Number,
  /** How far ahead of that it may be, in milliseconds. */
  ahead: Schema.Number
}) {
  override get message() {
    const by = Duration.format(Duration.millis(Number(this.timestamp / 1000n) - this.now))
    return `Its timestamp lies ${by} ahead of this peer's clock, and ${Duration.format(Duration.millis(this.ahead))} are allowed. Set the clock that is wrong; send the operation again when its time has come.`
  }
}

/** As much of the author was accepted in this window as may be. */
export class RateExceeded extends Schema.TaggedError<RateExceeded>()("RateExceeded", {
  author: VerifyingKey.Schema,
  /** How many operations of an author are accepted in a window; none: any number. */
  operations: Schema.optional(Schema.Number),
  /** How many bytes; none: any number. */
  bytes: Schema.optional(Schema.Number),
  /** The length of a window in milliseconds. */
  per: Schema.Number,
  /** When the next window begins, in milliseconds since the epoch. */
  until: Schema.Number
}) {
  override get message() {
    const limits = [
      ...(this.operations === undefined ? [] : [`${this.operations} operations`]),
      ...(this.bytes === undefined ? [] : [`${this.bytes} bytes`])
    ]
    return `Of author ${this.author} no more than ${limits.join(" or ")} are accepted per ${Duration.format(Duration.millis(this.per))}. Send it again at ${new Date(this.until).toISOString()} or later, or raise the limit here.`
  }
}

/** With what this processor rejects. */
export type Exceeded = TooLarge | TimestampAhead | RateExceeded

/** How much of one author is accepted in a time. */
export interface Rate {
  /** Operations of an author in a window. Default: any number. */
  readonly operations?: number | undefined
  /** Bytes of an author in a window, headers and bodies. Default: any number. */
  readonly bytes?: number | undefined
  /** The length of a window; at least a millisecond. Windows begin at its multiples since the epoch. */
  readonly per: Duration.DurationInput
}

/** What is allowed. `Infinity` switches a limit off. */
export interface Options<X extends Extensions.Fields> {
  /** Size of a body in bytes, as the header claims it. Default: 1 MiB. */
  readonly bodySize?: number | undefined
  /** Size of the extensions in the header, in bytes. Default: 64 KiB. */
  readonly extensionsSize?: number | undefined
  /** How far an author's timestamp may lie ahead of the clock. Default: one day. */
  readonly ahead?: Duration.DurationInput | undefined
  /** How much of one author is accepted in a time. Default: whatever comes. */
  readonly rate?: Rate | undefined
  /**
   * Whom nothing of this concerns: ourselves, or the import of one's own backup. From the event alone, like everything that a
   * processor decides. Default: nobody.
   */
  readonly exempt?: ((event: Event.Event<X>) => boolean) | undefined
}

/**
 * The processor.
 *
 * @example
 * const pipeline = Pipeline.make(Limits.make({ rate: { operations: 1000, bytes: 10_000_000, per: "1 minute" } })).pipe(
 *   Pipeline.andThen(LogIntegrity.processor)
 * )
 */
export const make = <X extends Extensions.Fields = Extensions.Fields>(
  options: Options<X> = {}
): Processor.Processor<Event.Event<X>, {}, Exceeded, never> => {
  const { exempt = () => false } = options
  const rate = options.rate === undefined ? undefined : window(options.rate)
  const check = checks(options, rate)
  return Processor.make<VerifyingKey.VerifyingKey, Rates.Used>()({
    name: "limits",
    migrations: Rates.migrations,
    check: (event: Event.Event<X>): Either.Either<void, Exceeded> => (exempt(event) ? Either.void : check(event)),
    keys: (event) => (rate === undefined || exempt(event) ? [] : [event.author]),
    load: Rates.load,
    decide: (state, event: Event.Event<X>): Decision =>
      rate === undefined || exempt(event) ? Either.right(Processor.accept()) : spend(rate, state(event.author), event),
    save: Rates.save,
    reset: Rates.reset,
    collect: (limit) => Effect.flatMap(Clock.currentTimeMillis, (now) => Rates.collect(now - (rate?.per ?? 0), limit))
  })
}

// internal

type Decision = Either.Either<Processor.Decision<VerifyingKey.VerifyingKey, Rates.Used, {}>, Exceeded>

/** A rate with everything filled in. Times in milliseconds. */
interface Window {
  readonly operations: number
  readonly bytes: number
  readonly per: number
}

const window = (rate: Rate): Window => ({
  operations: rate.operations ?? Infinity,
  bytes: rate.bytes ?? Infinity,
  per: Math.max(1, Math.floor(Duration.toMillis(rate.per)))
})

/** Header and body, also where the body was withheld: what counts is what its author has written. */
const sizeOf = ({ operation }: Event.Event): number => operation.headerBytes.length + operation.header.payloadSize

/** What needs no state. */
const checks = (
  options: Pick<Options<never>, "bodySize" | "extensionsSize" | "ahead">,
  rate: Window | undefined
): ((event: Event.Event) => Either.Either<void, TooLarge | TimestampAhead>) => {
  const { bodySize = 1 << 20, extensionsSize = 1 << 16 } = options
  const ahead = Duration.decode(options.ahead ?? "1 day")
  // None: a timestamp may be anything.
  const aheadMicros = Option.map(Duration.toNanos(ahead), (nanos) => nanos / 1000n)
  return (event) => {
    const { header } = event.operation
    const extensions = header.extensions?.length ?? 0
    if (header.payloadSize > bodySize) return tooLarge("body", header.payloadSize, bodySize)
    if (extensions > extensionsSize) return tooLarge("extensions", extensions, extensionsSize)
    const size = sizeOf(event)
    if (rate !== undefined && size > rate.bytes) return tooLarge("operation", size, rate.bytes)
    const { timestamp } = event.extensions
    if (timestamp === undefined || Option.isNone(aheadMicros)) return Either.void
    const now = Math.floor(event.decidedAt)
    return timestamp > BigInt(now) * 1000n + aheadMicros.value
      ? Either.left(new TimestampAhead({ timestamp, now, ahead: Duration.toMillis(ahead) }))
      : Either.void
  }
}

const tooLarge = (what: TooLarge["what"], size: number, limit: number) =>
  Either.left(new TooLarge({ what, size, limit }))

/** Counts an operation into its window, or says that it is full. */
const spend = (rate: Window, before: Rates.Used | undefined, event: Event.Event): Decision => {
  const { author, decidedAt } = event
  const since = Math.floor(decidedAt / rate.per) * rate.per
  const used = before !== undefined && isCurrent(before, since, rate) ? before : { since, operations: 0, bytes: 0 }
  const after = { since: used.since, operations: used.operations + 1, bytes: used.bytes + sizeOf(event) }
  // What was accepted once counts, and is not asked about again.
  if (event.replay || (after.operations <= rate.operations && after.bytes <= rate.bytes)) {
    return Either.right(Processor.accept({ state: [[author, after]] }))
  }
  return Either.left(
    new RateExceeded({
      author,
      ...(rate.operations === Infinity ? {} : { operations: rate.operations }),
      ...(rate.bytes === Infinity ? {} : { bytes: rate.bytes }),
      per: rate.per,
      until: used.since + rate.per
    })
  )
}

/**
 * A clock that is set back does not give an author a window twice: what comes then counts into the one that was begun. Unless
 * that lies further ahead than the next one, which only a clock that was wrong can have done; it would shut the author out
 * until then.
 */
const isCurrent = (used: Rates.Used, since: number, { per }: Window): boolean =>
  used.since >= since && used.since <= since + per
