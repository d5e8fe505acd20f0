/** The verb `replay`: what was not accepted; or, for a consumer, accepted operations again. */
import * as Effect from "effect/Effect"
import * as Crypto from "../core/Crypto.ts"
import * as Extensions from "../core/Extensions.ts"
import type * as Store from "../store/Consumers.ts"
import * as Replays from "../store/Replays.ts"
import * as Asked from "../stream/internal/asked.ts"
import { turn } from "../store/internal/turn.ts"
import type { Replay } from "../stream/Consumers.ts"
import * as Database from "./Database.ts"
import * as Filter from "./Filter.ts"
import * as Output from "./Output.ts"
import * as Repair from "./repair.ts"
import { later } from "./requests.ts"
import { UsageError } from "./UsageError.ts"

/** What is restricted to a consumer's past. Moments in milliseconds since the epoch. */
interface Range {
  readonly from: number | undefined
  readonly to: number | undefined
  readonly acceptedSince: number | undefined
  readonly acceptedUntil: number | undefined
  readonly writtenSince: number | undefined
  readonly writtenUntil: number | undefined
}

/** As given on the command line. */
export interface Options extends Filter.Options, Range {
  readonly db: string
  readonly consumer: string | undefined
  readonly dryRun: boolean
}

/** `replay [--topic T] [--author A] [--consumer NAME [range] [--dry-run]]`. */
export const replay = (options: Options) =>
  Effect.gen(function* () {
    const { consumer } = options
    return yield* consumer === undefined ? unaccepted(options) : accepted({ ...options, consumer })
  })

// internal

/** Only what was accepted has a position and a moment, and only a consumer is handed it again. */
const unaccepted = (options: Options) =>
  Effect.gen(function* () {
    const given: Array<string> = named.flatMap(([option, name]) => (options[name] === undefined ? [] : [option]))
    if (options.dryRun) given.push("--dry-run")
    if (given.length === 0) return yield* Repair.replay(options)
    return yield* new UsageError({
      message: `${given.join(", ")} is about accepted operations, and those are handed again to one consumer: name it with --consumer NAME. Without that, replay tries again what waits or was rejected; that was not accepted, so it has no position and no consumer.`
    })
  })

const named = [
  ["--from", "from"],
  ["--to", "to"],
  ["--accepted-since", "acceptedSince"],
  ["--accepted-until", "acceptedUntil"],
  ["--written-since", "writtenSince"],
  ["--written-until", "writtenUntil"]
] as const

type OfConsumer = Options & { readonly consumer: string }

const accepted = (options: OfConsumer) =>
  Effect.gen(function* () {
    const { consumer, db } = options
    yield* notEmpty(options)
    const crypto = yield* Crypto.Crypto
    const asked: Replay = { consumer, ...(yield* Filter.which(options)), ...range(options) }
    if (options.dryRun) return yield* dryRun(crypto, db, asked)
    const { job, number, paused } = yield* Database.record(
      db,
      Effect.gen(function* () {
        const { consumer, job, number } = yield* Asked.replay(crypto, asked)
        yield* keeps(consumer)
        return { job, number, paused: consumer.paused }
      })
    )
    const from = job.position + 1
    const to = Math.max(job.until, job.position)
    const which = from > to ? "no positions: it was handed nothing there" : `positions ${from} to ${to}`
    const then = paused ? `It is paused, so that this begins after applecart resume ${consumer}.` : later
    yield* Output.result(
      `Asked for replay ${number} of ${consumer}, ${which}. ${then}\n  How far it is: applecart consumers. To end it: applecart cancel ${number}`,
      { consumer, replay: number, from, to: job.until }
    )
  }).pipe(Effect.provide(Crypto.layer))

const range = (given: Range) => ({
  from: given.from,
  to: given.to,
  acceptedFrom: given.acceptedSince,
  acceptedUntil: given.acceptedUntil,
  writtenFrom: given.writtenSince,
  writtenUntil: given.writtenUntil
})

/** A range that holds nothing is a mistake, and not an answer. */
const notEmpty = (given: Range): Effect.Effect<void, UsageError> => {
  const { acceptedSince = -Infinity, acceptedUntil = Infinity, from = 1, to = Infinity } = given
  const { writtenSince = -Infinity, writtenUntil = Infinity } = given
  const wrong =
    from > to
      ? `--from ${from} is after --to ${to}`
      : acceptedSince >= acceptedUntil
        ? "--accepted-since is not before --accepted-until"
        : writtenSince >= writtenUntil
          ? "--written-since is not before --written-until"
          : undefined
  return wrong === undefined
    ? Effect.void
    : new UsageError({ message: `${wrong}, so nothing can be meant. Exchange them, or leave one out.` })
}

/** Emptying it ends all its replays, and hands it everything. */
const keeps = ({ name, state }: Store.Consumer): Effect.Effect<void, UsageError> =>
  state === "reset"
    ? new UsageError({
        message: `${name} is to be emptied and handed everything again when its program runs next, so there is nothing to replay.`
      })
    : Effect.void

const dryRun = (crypto: Crypto.Service, db: string, asked: Replay) =>
  Effect.gen(function* () {
    const progress = yield* Output.progress
    const plan = yield* Database.lookAtConsumers(
      db,
      Effect.gen(function* () {
        const { consumer, job } = yield* Asked.job(crypto, asked)
        yield* keeps(consumer)
        const between = (position: number) =>
          Effect.zipRight(
            progress.show(() => `${position} of ${job.until} positions`),
            turn
          )
        return yield* Replays.plan(Extensions.any, job, between)
      })
    ).pipe(Effect.ensuring(progress.end))
    yield* Output.result(planText(asked.consumer, plan), { consumer: asked.consumer, dryRun: true, ...plan })
  })

const planText = (name: string, { authors, first, last, operations, topics, withoutBody }: Replays.Plan): string => {
  if (operations === 0) return `Nothing that ${name} was handed is meant by that.`
  const of = `${Output.count(authors, "author")}, ${Output.count(topics, "known topic")}`
  const bare = withoutBody === 0 ? "" : `\n  ${withoutBody} of them without body: it was deleted, or skipped.`
  return `Would hand ${name} ${Output.count(operations, "operation")} again: positions ${first} to ${last}, ${of}.${bare}\nNothing was asked for. Without --dry-run it is.`
}
