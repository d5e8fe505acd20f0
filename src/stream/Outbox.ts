/**
 * An outbox: what must happen outside the database at least once for every accepted operation, such as a notification. It is
 * sent after the acceptance, in the order of positions as far as it succeeds, and tried again until it does.
 *
 * Each letter has a key that is the same whenever it is sent again, by which the receiver recognises repeats. The outbox has a
 * position of its own: replaying or rebuilding the application or a consumer sends nothing again. Whoever wants that asks for
 * it: `controller.consumers.replay({ consumer: name })`.
 *
 * What may be lost belongs into `Transaction.afterCommit` instead, which costs nothing.
 */
import * as Cbor from "../core/Cbor.ts"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Event } from "../pipeline/Event.ts"
import * as Policy from "../pipeline/Policy.ts"
import * as Rejection from "../pipeline/Rejection.ts"
import type { LeaseLost, NameTaken } from "./Errors.ts"
import type { Delivery, Failure, Options as Pulling } from "./Pull.ts"
import type { StreamController } from "./StreamController.ts"

/** What is to be sent. */
export interface Letter<out A, out In = Event> {
  readonly message: A
  readonly event: In
  readonly position: number
  /** `name/id of the operation`: the same for every attempt, replay, and program. */
  readonly key: string
  /** 1: the first time. */
  readonly attempt: number
}

/** An outbox for events `In` whose sending needs the services `R`. */
export interface Outbox<in In, out R> {
  readonly name: string
  readonly pulling: Pulling
  readonly concurrency: number
  readonly deliver: (delivery: Delivery<In>) => Effect.Effect<void, LeaseLost | Failure, R>
}

/** Sooner at first, then every hour, for ever. */
const patience = Policy.retry(Schedule.exponential("1 second").pipe(Schedule.union(Schedule.spaced("1 hour"))))

/**
 * An outbox. What `send` fails with is kept beside the position until it succeeds; `policy` says when it is tried again.
 *
 * @example
 * const mail = Outbox.make({
 *   name: "mail",
 *   message: Booking,
 *   send: ({ key, message }) => Effect.flatMap(Mailer, (mailer) => mailer.send({ idempotencyKey: key, to: message.guest }))
 * })
 * yield* Effect.forkScoped(Outbox.run(controller, mail))
 */
export const make = <A, I, E, R, In extends Event = Event>(options: {
  readonly name: string
  /** A body that is none of these is parked, and not tried again by itself. */
  readonly message: Schema.Schema<A, I>
  readonly send: (letter: Letter<A, In>) => Effect.Effect<unknown, E, R>
  /** Default: what is accepted from now on; an outbox that is added later does not send what is years old. */
  readonly from?: Pulling["from"]
  /** How many are sent at the same time. Default: 1. */
  readonly concurrency?: number | undefined
  /** One that takes longer counts as failed. Default: 30 seconds. */
  readonly timeLimit?: Duration.DurationInput | undefined
  /** Default: again after a second, then after ever longer pauses of an hour at the most, for ever. */
  readonly policy?: ((error: E | Rejection.TimeLimitExceeded | Rejection.Defect) => Policy.Parked) | undefined
}): Outbox<In, R> => {
  const { concurrency = 1, from = "now", message, name, policy = () => patience, send } = options
  const timeLimit = Duration.decode(options.timeLimit ?? "30 seconds")
  const decode = Schema.decodeUnknownEither(message)
  const limitMillis = Duration.toMillis(timeLimit)
  return {
    name,
    concurrency,
    // A margin, so that one that has ended in time is acknowledged in time.
    pulling: { from, inFlight: concurrency, lease: Duration.times(timeLimit, 2) },
    deliver: ({ ack, attempt, event, nack, position }) => {
      if (event?.payload === undefined) return ack
      const decoded = Either.flatMap(Cbor.decode(event.payload), decode)
      if (decoded._tag === "Left") return nack(new Rejection.InvalidMessage({ detail: decoded.left.message }))
      return Effect.suspend(() =>
        send({ message: decoded.right, event, position, key: `${name}/${event.id}`, attempt })
      ).pipe(
        Effect.timeoutFail({ duration: timeLimit, onTimeout: () => new Rejection.TimeLimitExceeded({ limitMillis }) }),
        Effect.catchAllDefect((defect) => new Rejection.Defect({ detail: String(defect) })),
        Effect.matchEffect({
          onSuccess: () => ack,
          onFailure: (error) => Effect.flatMap(pause(policy(error), attempt), (after) => nack(error, after))
        })
      )
    }
  }
}

/** Sends whatever there is, and what comes. Ends only with an error of the database. */
export const run = <Message, E, Out extends Event, R>(
  controller: StreamController<Message, E, Out>,
  outbox: Outbox<Out, R>
): Effect.Effect<never, Failure | NameTaken, R> =>
  controller.pull(outbox.name, outbox.pulling).pipe(
    // A lease that was lost has another attempt on its way.
    Stream.mapEffect((delivery) => Effect.catchTag(outbox.deliver(delivery), "LeaseLost", () => Effect.void), {
      concurrency: outbox.concurrency,
      unordered: true
    }),
    Stream.runDrain,
    Effect.zipRight(Effect.never)
  )

// internal

const pause = (policy: Policy.Parked, attempt: number): Effect.Effect<Duration.Duration | undefined> =>
  policy._tag === "Hold"
    ? Effect.succeed(undefined)
    : Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.map(Policy.delay(policy.schedule, attempt, now), Option.getOrUndefined)
      )
