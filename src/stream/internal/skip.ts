/** Skip and discard: the decisions that take an operation out of the inbox without processing it. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import * as Log from "../../core/Log.ts"
import * as Batch from "../../pipeline/Batch.ts"
import * as Event from "../../pipeline/Event.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Decisions from "../../store/Decisions.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Logs from "../../store/Logs.ts"
import * as Operations from "../../store/Operations.ts"
import * as Transaction from "../../store/Transaction.ts"
import { CannotSkip, NotInInbox, type Superseded } from "../Errors.ts"
import type { Setup } from "./setup.ts"
import * as Live from "./live.ts"
import * as Candidates from "./candidates.ts"
import * as Settle from "./settle.ts"

/** An operation that was skipped. `root`: what it wakes is noted under that, if it wakes anything. */
export interface Skipped {
  readonly position: number
  readonly root: number | undefined
}

/**
 * Lets only the header of an operation into its log, and notes whom that wakes: under `root`, if there is one already. Its
 * processors and the application are not asked; that its place is the next one of its log is.
 */
export const skip = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  id: Hash,
  root?: number
): Effect.Effect<Skipped, SqlError | Superseded | NotInInbox | CannotSkip, SqlClient | R> =>
  Live.run(setup, ({ last, waits }) =>
    Effect.gen(function* () {
      const entry = yield* inInbox(id)
      const restored = Candidates.restore(setup.codec, entry)
      if (restored._tag === "Left") return yield* new CannotSkip({ id, reason: restored.left.message })
      const { event } = restored.right
      yield* mayStand(event)
      const batch = yield* Batch.open(setup, last, "apart")
      const position = batch.skip(event)
      yield* Consumers.acknowledge(yield* batch.finish)
      yield* Decisions.record(id, "skipped", undefined, yield* Clock.currentTimeMillis)
      yield* Inbox.take([entry.entry])
      return { position, root: waits ? yield* Settle.wakeLater(event, root) : root }
    })
  )

/** Deletes an operation of the inbox and remembers its id. What waits for it goes on waiting. */
export const discard = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  id: Hash,
  why: string | undefined
): Effect.Effect<void, SqlError | NotInInbox, SqlClient> =>
  Transaction.run(
    Effect.gen(function* () {
      const entry = yield* inInbox(id)
      yield* Inbox.take([entry.entry])
      const restored = Candidates.restore(setup.codec, entry)
      if (restored._tag === "Right") yield* Settle.heard(restored.right.event)
      yield* Decisions.record(id, "discarded", why, yield* Clock.currentTimeMillis)
    }),
    { busyLimit: setup.busyLimit }
  )

// internal

const inInbox = (id: Hash): Effect.Effect<Inbox.Entry, SqlError | NotInInbox, SqlClient> =>
  Effect.gen(function* () {
    const entry = yield* Inbox.byId(id)
    if (entry !== undefined) return entry
    if ((yield* Operations.accepted([id])).has(id)) return yield* new NotInInbox({ id, where: "accepted" })
    const gone = (yield* Decisions.gone([id])).get(id)
    return yield* new NotInInbox(gone === undefined ? { id } : { id, where: gone })
  })

const mayStand = (event: Event.Event): Effect.Effect<void, SqlError | CannotSkip, SqlClient> =>
  Effect.flatMap(Logs.heads([event.log]), (heads) => {
    // Skipped, it prunes nothing, so it needs what comes before it like any other.
    const place = Log.place(heads.get(event.log), { ...Event.claim(event), prune: false })
    switch (place._tag) {
      case "Next":
        return Effect.void
      case "Gap":
        return new CannotSkip({ id: event.id, reason: `operation ${place.missing} before it is missing` })
      case "Fork":
        return new CannotSkip({
          id: event.id,
          reason: `place ${place.seqNum} of its log is taken by another operation`
        })
      case "Outdated":
        return new CannotSkip({ id: event.id, reason: `its log was pruned up to place ${place.prunedBelow}` })
    }
  })
