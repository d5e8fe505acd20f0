/** Where operations are that somebody sends: in the inbox, accepted, or gone. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import type * as Topic from "../core/Topic.ts"
import type * as Inbox from "./Inbox.ts"
import * as Rows from "./internal/rows.ts"
import { query, type Row } from "./Transaction.ts"

/** An operation in the inbox. */
export interface Held {
  readonly entry: number
  readonly status: Inbox.Status
  readonly attempts: number
  readonly topic: Topic.Topic | undefined
}

/** An operation that was here before. */
export interface Whereabouts {
  /** Where it stands in the inbox, if it is there. */
  readonly held: Held | undefined
  /** Whether it was accepted, or taken in and is gone. */
  readonly decided: "accepted" | "discarded" | "pruned" | undefined
}

const select = query(
  `SELECT k.value AS id, i.entry, i.status, i.attempts, i.topic, o.position, d.what
   FROM json_each(?) AS k
   LEFT JOIN applecart_inbox AS i ON i.id = unhex(k.value)
   LEFT JOIN applecart_operations AS o ON o.id = unhex(k.value)
   LEFT JOIN applecart_decisions AS d ON d.id = unhex(k.value) AND d.what IN ('discarded', 'pruned')
   WHERE i.entry IS NOT NULL OR o.position IS NOT NULL OR d.what IS NOT NULL`
)

/** Where these operations are; those that were never here are missing. */
export const find = (
  ids: ReadonlyArray<Hash.Hash>
): Effect.Effect<ReadonlyMap<Hash.Hash, Whereabouts>, SqlError, SqlClient> =>
  Effect.map(
    select(Rows.list(ids)),
    (rows) =>
      new Map(rows.map((row) => [Hash.fromHexUnsafe(Rows.text(row, "id")), { held: held(row), decided: decided(row) }]))
  )

// internal

const held = (row: Row): Held | undefined =>
  row["entry"] === null
    ? undefined
    : {
        entry: Rows.integer(row, "entry"),
        status: status(Rows.text(row, "status")),
        attempts: Rows.integer(row, "attempts"),
        topic: Rows.optionalTopic(row, "topic")
      }

const status = (text: string): Inbox.Status => (text === "waiting" || text === "rejected" ? text : "queued")

const decided = (row: Row): Whereabouts["decided"] => {
  if (row["position"] !== null) return "accepted"
  if (row["what"] === null) return undefined
  return Rows.text(row, "what") === "pruned" ? "pruned" : "discarded"
}
