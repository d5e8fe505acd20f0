/** How much is where. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Rows from "./internal/rows.ts"
import * as Operations from "./Operations.ts"
import { query } from "./Transaction.ts"

/** Counts per state. Every operation that was received is counted in exactly one of the first six. */
export interface Status {
  readonly accepted: number
  readonly queued: number
  readonly waiting: number
  readonly rejected: number
  readonly discarded: number
  /** Gone, since their authors made them unnecessary; only their ids are kept. */
  readonly pruned: number
  /** Accepted ones whose body and effects were skipped. */
  readonly skipped: number
  /** Accepted ones whose bodies were deleted. */
  readonly deleted: number
  readonly logs: number
  readonly authors: number
  /** Topics that were learnt; a log whose topic nobody has told yet counts under none. `Topics.list` tells of each. */
  readonly topics: number
  readonly forks: number
  /** The last position that was given. */
  readonly position: number
}

const select = query(
  `SELECT
     (SELECT count(*) FROM applecart_operations) AS accepted,
     (SELECT count(*) FROM applecart_inbox WHERE status = 'queued') AS queued,
     (SELECT count(*) FROM applecart_inbox WHERE status = 'waiting') AS waiting,
     (SELECT count(*) FROM applecart_inbox WHERE status = 'rejected') AS rejected,
     (SELECT count(*) FROM applecart_decisions WHERE what = 'discarded') AS discarded,
     (SELECT count(*) FROM applecart_decisions WHERE what = 'pruned') AS pruned,
     (SELECT count(*) FROM applecart_decisions WHERE what = 'skipped') AS skipped,
     (SELECT count(*) FROM applecart_decisions WHERE what = 'deleted') AS deleted,
     (SELECT count(*) FROM applecart_logs) AS logs,
     (SELECT count(DISTINCT author) FROM applecart_logs) AS authors,
     (SELECT count(DISTINCT hash) FROM applecart_topics) AS topics,
     (SELECT count(*) FROM applecart_forks) AS forks`
)

/** Counts everything. */
export const status: Effect.Effect<Status, SqlError, SqlClient> = Effect.gen(function* () {
  const position = yield* Operations.lastPosition
  const [row = {}] = yield* select()
  return {
    accepted: Rows.integer(row, "accepted"),
    queued: Rows.integer(row, "queued"),
    waiting: Rows.integer(row, "waiting"),
    rejected: Rows.integer(row, "rejected"),
    discarded: Rows.integer(row, "discarded"),
    pruned: Rows.integer(row, "pruned"),
    skipped: Rows.integer(row, "skipped"),
    deleted: Rows.integer(row, "deleted"),
    logs: Rows.integer(row, "logs"),
    authors: Rows.integer(row, "authors"),
    topics: Rows.integer(row, "topics"),
    forks: Rows.integer(row, "forks"),
    position
  }
})
