/**
 * Garbage collection: step after step, each a transaction of its own, with a turn of the event loop between them. It can be
 * stopped anywhere; what was collected stays collected, and the next run begins anew with what is left.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as DatabaseFile from "../../store/DatabaseFile.ts"
import * as Garbage from "../../store/Garbage.ts"
import * as Transaction from "../../store/Transaction.ts"
import type { Setup } from "./setup.ts"
import { turn } from "../../store/internal/turn.ts"

export const collect = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  options: Garbage.Options = {}
): Effect.Effect<Garbage.Report, SqlError, SqlClient | R> =>
  Effect.gen(function* () {
    const before = yield* DatabaseFile.size
    const now = yield* Clock.currentTimeMillis
    const limit = Math.max(1, Math.floor(options.step ?? 1000))
    const all = <R2>(step: Walk<R2>) => walk(setup, limit, step)
    const older = (what: "pruned" | "discarded", age: Duration.DurationInput | undefined) =>
      age === undefined ? Effect.succeed(0) : all(Garbage.decisions(what, now - Duration.toMillis(age)))

    // First, since the ids of pruned operations tell processors what they need not keep.
    const processors: Record<string, number> = {}
    for (const { collect, name } of setup.pipeline.processors) processors[name] = yield* all(untilFewer(collect))
    const pruned = yield* older("pruned", options.prunedOlderThan)
    const discarded = yield* older("discarded", options.discardedOlderThan)
    const topics = yield* all(Garbage.topics)
    const file = yield* tidy(setup, before, options.vacuum === true, all(untilFewer(DatabaseFile.shrink)))
    return { pruned, discarded, topics, processors, file }
  })

// internal

/** Collects from `after` on, so many at the most. */
type Walk<R> = (after: number, limit: number) => Effect.Effect<Garbage.Step, SqlError, R>

/** All steps; gives how many rows they freed. */
const walk = <R>(
  { busyLimit }: { readonly busyLimit: Duration.Duration },
  limit: number,
  step: Walk<R>
): Effect.Effect<number, SqlError, SqlClient | Exclude<R, Transaction.Transaction>> =>
  Effect.gen(function* () {
    let rows = 0
    for (let after: number | undefined = 0; after !== undefined; ) {
      const done: Garbage.Step = yield* Transaction.run(step(after, limit), { busyLimit })
      rows += done.rows
      after = done.next
      yield* turn
    }
    return rows
  })

/** What finds its garbage by itself, and has found all of it when that was less than it might have been. */
const untilFewer =
  <R>(collect: (limit: number) => Effect.Effect<number, SqlError, R>): Walk<R> =>
  (_, limit) =>
    Effect.map(collect(limit), (rows) => ({ rows, next: rows < limit ? undefined : 0 }))

/** Gives back the room, and then empties the write-ahead log of what was deleted. */
const tidy = <R>(
  { busyLimit }: { readonly busyLimit: Duration.Duration },
  before: DatabaseFile.Size | undefined,
  rewrite: boolean,
  shrink: Effect.Effect<number, SqlError, R>
): Effect.Effect<Garbage.FileReport | undefined, SqlError, SqlClient | R> =>
  Effect.gen(function* () {
    if (before === undefined) return undefined
    const vacuumed = rewrite && (yield* DatabaseFile.vacuum(busyLimit))
    if (!vacuumed) yield* shrink
    const wal = yield* DatabaseFile.emptyWal(busyLimit)
    const after = (yield* DatabaseFile.size) ?? before
    return {
      bytesBefore: before.bytes,
      bytesAfter: after.bytes,
      pagesFreed: Math.max(0, before.pages - after.pages),
      pagesFree: after.freePages,
      vacuumed,
      wal
    }
  })
