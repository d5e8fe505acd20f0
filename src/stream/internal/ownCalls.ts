/** What can be asked and said of our own logs, carried out; and forks of our own key, told loudly. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Stream from "effect/Stream"
import type * as Crypto from "../../core/Crypto.ts"
import * as Log from "../../core/Log.ts"
import * as Topic from "../../core/Topic.ts"
import * as OwnLogs from "../../store/OwnLogs.ts"
import * as Transaction from "../../store/Transaction.ts"
import type * as Witness from "../../store/Witness.ts"
import type { InsideTransaction } from "../Errors.ts"
import type { Own, OwnFork, OwnLog, Unsafe, Which } from "../Own.ts"
import { OwnLogBehind, OwnLogForked, type WitnessFailed } from "../OwnErrors.ts"
import * as Safety from "./own.ts"

/** What the rest of the controller lends. */
export interface Around<R> {
  readonly crypto: Crypto.Service
  readonly busyLimit: Duration.Duration
  readonly witness: Witness.Service | undefined
  readonly alarm: Alarm
  readonly guarded: <B, Err>(
    call: string,
    self: Effect.Effect<B, Err, SqlClient | R>
  ) => Effect.Effect<B, Err | InsideTransaction | SqlError>
  readonly provide: <B, Err>(self: Effect.Effect<B, Err, SqlClient | R>) => Effect.Effect<B, Err | SqlError>
}

export const make = <R>({ alarm, busyLimit, crypto, guarded, provide, witness }: Around<R>): Own => {
  const name = (which: Which): OwnLogs.Name => ({
    author: which.author,
    logId: "topic" in which ? Topic.logId(crypto, which.topic) : which.logId
  })
  const change = <Err>(
    which: Which,
    self: (seen: Safety.Seen) => Effect.Effect<void, Err, SqlClient | Transaction.Transaction>
  ) =>
    Transaction.run(
      Effect.gen(function* () {
        const seen = yield* Safety.see(witness, name(which))
        yield* self(seen)
        yield* settle(witness, seen.facts)
        return yield* Effect.flatMap(Safety.see(witness, name(which)), described)
      }),
      { durable: true, busyLimit }
    )
  return {
    witness: witness?.name,
    status: provide(status(witness)),
    confirm: (which, { upTo } = {}) =>
      guarded(
        "confirm",
        change(which, (seen) => confirmed(seen, upTo))
      ),
    acknowledgeFork: (which) =>
      guarded(
        "acknowledgeFork",
        change(which, ({ facts }) => acknowledged(facts))
      ),
    forks: alarm.forks
  }
}

/** Tells of forks of our own key. */
export interface Alarm {
  readonly forks: Stream.Stream<OwnFork>
  /** Tells of the evidence that nobody was told of. Again, where the process ends before that is noted. */
  readonly ring: Effect.Effect<void, SqlError, SqlClient>
}

export const alarm = (crypto: Crypto.Service, busyLimit: Duration.Duration): Effect.Effect<Alarm> =>
  Effect.map(PubSub.sliding<OwnFork>(256), (told) => ({
    forks: Stream.fromPubSub(told),
    ring: Effect.gen(function* () {
      const untold = yield* OwnLogs.untold
      if (untold.length === 0) return
      for (const { accepted, author, logId, other, seqNum } of untold) {
        const fork = { author, logId, seqNum, accepted: crypto.hash(accepted), other }
        yield* Effect.logError(
          `Our own key has written log ${author}/${logId} twice: at place ${seqNum} stands ${fork.accepted}, and ${other} came from outside. Another program or an older copy of this database uses the key. Find and stop it; nothing is published on this log until own.acknowledgeFork.`
        )
        yield* PubSub.publish(told, fork)
      }
      yield* Transaction.run(Effect.forEach(untold, OwnLogs.told, { discard: true }), { busyLimit })
    })
  }))

/** What is known of all our own logs. */
export const status = (
  witness: Witness.Service | undefined
): Effect.Effect<ReadonlyArray<OwnLog>, SqlError | WitnessFailed, SqlClient> =>
  Effect.gen(function* () {
    const own = yield* OwnLogs.all
    const here = new Set<string>(own.map(({ author, logId }) => Log.key(author, logId)))
    const known = witness === undefined ? [] : Array.from((yield* witness.all).keys())
    const elsewhere = known.flatMap((log) => (here.has(log) ? [] : [Log.parse(log)])).filter((log) => log !== undefined)
    return yield* Effect.forEach([...own, ...elsewhere], (log) => Effect.flatMap(Safety.see(witness, log), described))
  })

// internal

const described = (seen: Safety.Seen): Effect.Effect<OwnLog, SqlError, SqlClient> => {
  const { author, forks, head, logId, topic } = seen.facts
  const fine = Effect.as(Safety.judge(seen), undefined)
  const unsafe = (error: Unsafe) => Effect.succeed(error)
  return Effect.map(
    Effect.catchTags(fine, { OwnLogBehind: unsafe, OwnLogForked: unsafe, OwnLogUnwitnessed: unsafe }),
    (problem): OwnLog => ({
      author,
      logId,
      topic,
      here: head?.seqNum,
      witnessed: seen.witness?.known?.place?.seqNum,
      forks,
      problem
    })
  )
}

/** Whether somebody may say that there is nothing newer. */
const confirmed = (
  { facts, witness }: Safety.Seen,
  upTo: number | undefined
): Effect.Effect<void, OwnLogBehind | OwnLogForked | SqlError, SqlClient> =>
  Effect.gen(function* () {
    const { author, head, logId } = facts
    if (upTo !== undefined && upTo > (head?.seqNum ?? -1)) {
      return yield* new OwnLogBehind({ author, logId, have: head?.seqNum, known: upTo, by: "caller" })
    }
    const problem = Safety.shown(facts)
    if (problem !== undefined) return yield* problem
    const place = witness?.known?.place
    if (place !== undefined && !(yield* Safety.agrees(facts, place))) {
      return yield* new OwnLogForked({ author, logId, seqNum: place.seqNum })
    }
  })

const acknowledged = (facts: OwnLogs.Facts) => Effect.zipRight(OwnLogs.claim(facts, false), OwnLogs.acknowledge(facts))

/** From here on the log is our own, and ends where it ends here. */
const settle = (
  witness: Witness.Service | undefined,
  { author, head, logId }: OwnLogs.Facts
): Effect.Effect<void, SqlError | WitnessFailed, Transaction.Transaction> =>
  Effect.zipRight(
    OwnLogs.claim({ author, logId }, witness !== undefined),
    witness?.write({ _tag: "Confirmed", log: Log.key(author, logId), place: head }) ?? Effect.void
  )
