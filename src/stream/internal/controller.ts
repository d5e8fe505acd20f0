/** The parts of a controller put together: its services, its setup, its calls. */
import { SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Crypto from "../../core/Crypto.ts"
import * as Extensions from "../../core/Extensions.ts"
import type * as Consumer from "../../pipeline/Consumer.ts"
import type * as Outcome from "../../pipeline/Outcome.ts"
import * as Filter from "../../store/Filter.ts"
import * as Mood from "./mood.ts"
import * as OwnLogs from "../../store/OwnLogs.ts"
import { handed } from "../../store/internal/mask.ts"
import * as SqlReason from "../../store/SqlReason.ts"
import * as Status from "../../store/Status.ts"
import * as Transaction from "../../store/Transaction.ts"
import * as Witness from "../../store/Witness.ts"
import { InsideTransaction } from "../Errors.ts"
import type { Progress } from "../Progress.ts"
import type { Needs, OpenError, Options, Placed, StreamController } from "../StreamController.ts"
import * as Backlog from "./backlog.ts"
import * as Collect from "./collect.ts"
import * as Control from "./control.ts"
import * as Defaults from "./defaults.ts"
import * as Intake from "./intake.ts"
import * as Open from "./open.ts"
import * as Pace from "./pace.ts"
import * as Own from "./own.ts"
import * as OwnCalls from "./ownCalls.ts"
import * as Publishing from "./publish.ts"
import { defaultPolicy } from "./policy.ts"
import * as Projection from "./projection.ts"
import * as Pull from "./pull.ts"
import * as Rates from "./rates.ts"
import type { Setup } from "./setup.ts"
import * as Skip from "./skip.ts"
import * as Verifier from "./verifier.ts"
import * as Work from "./work.ts"

export const make = <Out extends Placed, A, E, R, E2, R2, R3, X extends Extensions.Fields>(
  options: Options<X, Out, A, E, R, E2, R2, unknown>,
  consumers: ReadonlyArray<Consumer.Consumer<Out, R3>>
): Effect.Effect<StreamController<A, E | E2, Out>, OpenError, Needs<R, R2 | R3> | Scope.Scope> =>
  Effect.gen(function* () {
    const sql = Transaction.client(yield* SqlClient)
    // What the handler needs, without the span and the transaction that were open while this was made.
    const context = yield* Effect.context<Exclude<Needs<R, R2 | R3>, SqlClient>>()
    const services = Context.add(Context.omit(Tracer.ParentSpan, Scope.Scope)(context), SqlClient, sql)
    const crypto = yield* Effect.provide(Crypto.Crypto, options.crypto ?? Crypto.layer)
    const told = yield* PubSub.sliding<Progress>(4096)
    const news = yield* PubSub.sliding<void>(1)
    const rates = Rates.make()
    const progress = (one: Progress) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        rates.add(one.consumer, one.handled, now)
        return Effect.asVoid(PubSub.publish(told, one))
      })
    const witness = yield* Effect.provideService(remembering(options.witness), SqlClient, sql)
    const setup = defaults(options, { consumers, crypto, witness, progress })
    const isBeside = options.crypto === undefined || Defaults.besideGiven
    const verifier = isBeside ? yield* Verifier.make(crypto) : Verifier.inline(crypto)
    const bare = <B, Err>(self: Effect.Effect<B, Err, SqlClient | R | R2 | R3>): Effect.Effect<B, Err> =>
      Effect.mapInputContext(self, (current: Context.Context<never>) =>
        // A call that comes after a commit still carries that transaction; it must not be taken for an open one.
        Context.merge(
          Context.omit(Transaction.Transaction, TransactionConnection)(current),
          // `R` holds `Transaction` at most where one is open, and then gets it there.
          services as Context.Context<SqlClient | R | R2 | R3>
        )
      )
    const provide = <B, Err>(self: Effect.Effect<B, Err, SqlClient | R | R2 | R3>) =>
      SqlReason.typed(Effect.suspend(() => bare(handed(self))))
    const alarm = yield* OwnCalls.alarm(crypto, setup.busyLimit)
    yield* provide(Open.open(setup))
    yield* provide(Effect.zipRight(Own.catchUp(witness), alarm.ring))

    const outcomes = yield* PubSub.sliding<Outcome.Outcome<E | E2>>(4096)
    const poll = Duration.decode(options.poll ?? "1 second")
    const backlog = Backlog.make(setup)
    const work = yield* Work.make(setup, backlog, {
      poll,
      alarm: alarm.ring,
      announce: (done) =>
        done.length === 0
          ? Effect.void
          : Effect.zipRight(PubSub.publishAll(outcomes, done), PubSub.publish(news, undefined))
    })
    const outside = <B, Err>(call: string, self: Effect.Effect<B, Err>): Effect.Effect<B, Err | InsideTransaction> =>
      Effect.flatMap(
        Transaction.isOpen(sql),
        (open): Effect.Effect<B, Err | InsideTransaction> => (open ? new InsideTransaction({ call }) : self)
      )
    const guarded = <B, Err>(call: string, self: Effect.Effect<B, Err, SqlClient | R | R2 | R3>) =>
      outside(call, provide(self))
    const { signal } = work
    const around = { crypto, backlog, rates, signal, progress: Stream.fromPubSub(told), guarded, provide }
    return {
      ...Intake.make(setup, crypto, verifier, work, guarded),
      publish: (draft) => guarded("publish", Publishing.publish(setup, crypto, work, draft)),
      drain: guarded("drain", work.drain),
      run: outside("run", bare(work.run)),
      replay: (which) => guarded("replay", work.replay(which === undefined ? undefined : Filter.make(crypto, which))),
      skip: (id) =>
        guarded(
          "skip",
          Effect.map(Skip.skip(setup, id), ({ position }) => position)
        ),
      discard: (id, why) => guarded("discard", Skip.discard(setup, id, why)),
      collect: (options) => guarded("collect", Collect.collect(setup, options)),
      verify: (options) => guarded("verify", Projection.verify(setup, options)),
      outcomes: Stream.fromPubSub(outcomes),
      status: provide(Effect.zipWith(Status.status, OwnLogs.counts, (found, own) => ({ ...found, ...own }))),
      own: OwnCalls.make({ crypto, busyLimit: setup.busyLimit, witness, alarm, guarded, provide }),
      consumers: Control.make(setup, around),
      pull: (name, options = {}) => Pull.pull(setup, around, { news, poll }, name, options)
    }
  })

// internal

/** The witness that was asked for; where nobody says, the file beside the database, if there can be one. */
const remembering = (
  layer: Layer.Layer<Witness.Witness, never, SqlClient> | false | undefined
): Effect.Effect<Witness.Service | undefined, SqlError, SqlClient | Scope.Scope> => {
  if (layer === false) return Effect.succeed(undefined)
  return layer === undefined
    ? Witness.standard
    : Effect.map(Layer.build(layer), (context) => Context.get(context, Witness.Witness))
}

/** What a setup has that was made for it. */
type Made<X extends Extensions.Fields, Out extends Placed, A, E, R> = Pick<
  Setup<X, Out, A, E, R>,
  "consumers" | "witness" | "progress"
> & { readonly crypto: Crypto.Service }

const defaults = <Out extends Placed, A, E, R, E2, R2, R3, X extends Extensions.Fields>(
  options: Options<X, Out, A, E, R, E2, R2, unknown>,
  { consumers, crypto, progress, witness }: Made<X, Out, A, E | E2, R | R2 | R3>
): Setup<X, Out, A, E | E2, R | R2 | R3> => ({
  consumers,
  witness,
  progress,
  mood: Mood.calm(),
  pipeline: options.pipeline,
  application: options.application,
  // Without a codec `X` is its default, which is what this codec reads.
  codec: options.extensions ?? (Extensions.any as unknown as Extensions.Codec<X>),
  policy: options.policy ?? defaultPolicy,
  batchSize: Math.max(1, options.batchSize ?? Defaults.batchSize),
  pace:
    options.batchSize === undefined && Defaults.adapts
      ? Pace.adaptive(Defaults.batchSize)
      : Pace.fixed(Math.max(1, options.batchSize ?? Defaults.batchSize)),
  capacity: options.capacity ?? 1_000_000,
  capacityPerAuthor: options.capacityPerAuthor ?? 100_000,
  busyLimit: Duration.decode(options.busyLimit ?? "5 seconds"),
  replayOnStart:
    typeof options.replayOnStart === "object"
      ? Filter.make(crypto, options.replayOnStart)
      : (options.replayOnStart ?? true)
})
