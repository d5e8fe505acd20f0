/**
 * What pruning, deletion, skip and discard leave behind, and what of it no promise needs any more. It is deleted in steps: each
 * looks at so many rows at the most, in a transaction of its own.
 *
 * What is not garbage, however old:
 *
 * - `skipped` and `deleted` decisions: the operation's header is in its log, and they say why there is no body. Where the
 *   operation is pruned its decision becomes `pruned` by itself;
 * - evidence of forks: anybody may still ask for the proof, as long as there is the log;
 * - heads of logs: they hold the prune point, by which an operation that comes again is known to be outdated.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as DatabaseFile from "./DatabaseFile.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** What is to be collected. */
export interface Options {
  /** Rows (and free pages) that a transaction looks at, at the most. Default: 1,000. */
  readonly step?: number | undefined
  /**
   * The ids of operations that were pruned longer ago than this are forgotten. Default: none, they are kept for ever. By its id
   * an operation that depends on a pruned one is known not to have to wait; one that comes later than this waits for ever. An
   * operation itself that comes again is still known to be outdated, by the prune point of its log.
   */
  readonly prunedOlderThan?: Duration.DurationInput | undefined
  /**
   * The ids of operations that were discarded longer ago than this are forgotten. Default: none. One that comes again is taken
   * in again then.
   */
  readonly discardedOlderThan?: Duration.DurationInput | undefined
  /**
   * Rewrites the whole SQLite file at the end: then the bytes of what was deleted are nowhere in it. It stands still meanwhile
   * ({@link DatabaseFile.vacuum}). Default: no.
   */
  readonly vacuum?: boolean | undefined
}

/** What was freed. */
export interface Report {
  /** Ids of pruned operations that were forgotten. */
  readonly pruned: number
  /** Ids of discarded operations that were forgotten. */
  readonly discarded: number
  /** Topics that no log and no operation belonged to. */
  readonly topics: number
  /** Rows that the processors did not need any more, by the processor's name. */
  readonly processors: Readonly<Record<string, number>>
  /** None where the database is not SQLite. */
  readonly file: FileReport | undefined
}

/** What became of the SQLite file. */
export interface FileReport {
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Pages that the file system has back. */
  readonly pagesFreed: number
  /** Pages that hold nothing and are used again before the file grows. */
  readonly pagesFree: number
  /** Whether the file was rewritten. */
  readonly vacuumed: boolean
  /** `blocked`: what was deleted may still be in the write-ahead log. Collect again when whoever reads has ended. */
  readonly wal: DatabaseFile.Wal
}

/** What a step did. `next`: where the next one begins; none when there is nothing more to look at. */
export interface Step {
  readonly rows: number
  readonly next: number | undefined
}

const lastDecision = query(
  `SELECT max(decision) AS last, count(*) AS looked
   FROM (SELECT decision FROM applecart_decisions WHERE decision > ? ORDER BY decision LIMIT ?)`
)
const deleteDecisions = statement(
  `DELETE FROM applecart_decisions WHERE decision > ? AND decision <= ? AND what = ? AND decided_at < ? RETURNING 1 AS gone`
)

/**
 * Forgets decisions that were made before a moment (milliseconds since the epoch). Only of kinds whose operations are gone:
 * whether anybody still needs the id only the caller can know.
 */
export const decisions =
  (what: "pruned" | "discarded", before: number) =>
  (after: number, limit: number): Effect.Effect<Step, SqlError, SqlClient | Transaction> =>
    Effect.flatMap(lastDecision(after, limit), (found) =>
      step(found, limit, (last) => deleteDecisions(after, last, what, before))
    )

const lastTopic = query(
  `SELECT max(topic) AS last, count(*) AS looked
   FROM (SELECT topic FROM applecart_topics WHERE topic > ? ORDER BY topic LIMIT ?)`
)
// The first condition is the one with an index, and hardly a topic comes past it.
const deleteTopics = statement(
  `DELETE FROM applecart_topics AS t WHERE t.topic > ? AND t.topic <= ?
     AND NOT EXISTS (SELECT 1 FROM applecart_logs AS l WHERE l.log_id = t.log_id)
     AND NOT EXISTS (SELECT 1 FROM applecart_logs AS l WHERE l.topic = t.topic)
     AND NOT EXISTS (SELECT 1 FROM applecart_inbox AS i WHERE i.log_id = t.log_id OR i.topic = t.hash)
   RETURNING 1 AS gone`
)

/** Forgets the topics of which there is no log, and no operation that might begin one. Whoever brings one names it again. */
export const topics = (after: number, limit: number): Effect.Effect<Step, SqlError, SqlClient | Transaction> =>
  Effect.flatMap(lastTopic(after, limit), (found) => step(found, limit, (last) => deleteTopics(after, last)))

// internal

/** Deletes up to the last row that the step looks at. */
const step = <R>(
  [found = {}]: ReadonlyArray<Row>,
  limit: number,
  remove: (last: number) => Effect.Effect<ReadonlyArray<Row>, SqlError, R>
): Effect.Effect<Step, SqlError, R> => {
  const last = Rows.optionalInteger(found, "last")
  if (last === undefined) return Effect.succeed({ rows: 0, next: undefined })
  const next = Rows.integer(found, "looked") < limit ? undefined : last
  return Effect.map(remove(last), (gone) => ({ rows: gone.length, next }))
}
