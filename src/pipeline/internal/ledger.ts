/** What a batch has accepted: the operations on their way into the log, and the positions that they get. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Hash } from "../../core/Hash.ts"
import * as Log from "../../core/Log.ts"
import * as Decisions from "../../store/Decisions.ts"
import * as Operations from "../../store/Operations.ts"
import type { Transaction } from "../../store/Transaction.ts"
import type * as Event from "../Event.ts"

/** The ledger of one batch. */
export interface Ledger {
  /** The position that is given next. */
  readonly next: () => number
  /** Accepts an operation; gives its position. `body`: what is kept. */
  readonly append: (event: Event.Event, claim: Log.Claim, body: Uint8Array | undefined) => number
  /** Says that the body of this operation is missing because it was deleted before it came. */
  readonly redacted: (id: Hash) => void
  /** Whether an operation was accepted in this batch. */
  readonly accepted: (id: Hash) => boolean
  /** Whether any of them is not in the tables yet. */
  readonly hasUnwritten: () => boolean
  /** Writes those that are not in the tables yet. */
  readonly write: Effect.Effect<void, SqlError, Transaction>
}

/** Goes on behind the last position that was given. `acceptedAt`: milliseconds since the epoch. */
export const make = (last: number, acceptedAt: number): Ledger => {
  let position = last
  let rows: Array<Operations.Accepted> = []
  const accepted = new Set<Hash>()
  const redacted = new Set<Hash>()
  return {
    next: () => position + 1,
    append: (event, claim, body) => {
      position += 1
      accepted.add(event.id)
      rows.push(row(event, claim, body, position, acceptedAt))
      return position
    },
    redacted: (id) => void redacted.add(id),
    accepted: (id) => accepted.has(id),
    hasUnwritten: () => rows.length > 0,
    write: Effect.suspend(() => {
      const written = rows
      rows = []
      const deleted = written.flatMap(({ operation: { id } }) => (redacted.has(id) ? [id] : []))
      return Effect.zipRight(Operations.append(written), Decisions.deleted(deleted, acceptedAt))
    })
  }
}

// internal

const row = (
  event: Event.Event,
  claim: Log.Claim,
  body: Uint8Array | undefined,
  position: number,
  acceptedAt: number
): Operations.Accepted => ({
  position,
  operation: event.operation,
  body,
  acceptedAt,
  log: event.log,
  author: event.author,
  logId: event.extensions.logId,
  topic: event.topic,
  head: Log.append(undefined, event.id, claim)
})
