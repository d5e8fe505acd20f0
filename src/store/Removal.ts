/**
 * Removing what was accepted: the beginning of a log, or the bodies of single operations. A removal is a value, so that a
 * pure processor can ask for one; it is carried out in the transaction of the operation that asked for it.
 *
 * What it removes may also stand in the inbox, and goes from there as well.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Hash from "../core/Hash.ts"
import type * as Log from "../core/Log.ts"
import type * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Decisions from "./Decisions.ts"
import * as Rows from "./internal/rows.ts"
import * as Topics from "./Topics.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"
import * as Waiting from "./Waiting.ts"

/** What is to be removed. */
export type Removal = Prefix | Bodies

/** Everything before a place in a log, headers and bodies. The ids are remembered as pruned. */
export interface Prefix {
  readonly _tag: "Prefix"
  readonly log: Log.Key
  /** The first sequence number that stays. */
  readonly below: number
}

/** The bodies of operations, wherever they are. Their headers stay, so that their logs stay whole. */
export interface Bodies {
  readonly _tag: "Bodies"
  readonly ids: ReadonlyArray<Hash.Hash>
  /** Whether the bodies of this author may be removed. */
  readonly allowed: (author: VerifyingKey.VerifyingKey) => boolean
}

/** Removes everything before a place in a log. */
export const prefix = (log: Log.Key, below: number): Removal => ({ _tag: "Prefix", log, below })

/** Removes the bodies of those of these operations whose author is `allowed` to lose them. */
export const bodies = (
  ids: ReadonlyArray<Hash.Hash>,
  allowed: (author: VerifyingKey.VerifyingKey) => boolean
): Removal => ({ _tag: "Bodies", ids, allowed })

/** An accepted operation that is about to go, or to lose its body, which is still here. */
export interface Removed {
  readonly id: Hash.Hash
  readonly author: VerifyingKey.VerifyingKey
  readonly position: number
  readonly seqNum: number
  readonly header: Uint8Array
  readonly body: Uint8Array | undefined
}

/** The place in a log below which everything goes, as parameters for statements of one's own: two of them are hex. */
export const place = ({ below, log }: Prefix): readonly [author: string, logId: string, below: number] => {
  const [author = "", logId = ""] = log.split("/")
  return [author, logId, below]
}

/** How many operations are in memory at once. */
const pageSize = 256

/**
 * The accepted operations that a removal takes something from, by pages, oldest first; each page is handed to `use`. One whose
 * body is gone already is not among those that lose it.
 */
export const each = <E, R>(
  removal: Removal,
  use: (page: ReadonlyArray<Removed>) => Effect.Effect<unknown, E, R>
): Effect.Effect<void, SqlError | E, SqlClient | R> =>
  Effect.gen(function* () {
    for (let after = 0; ; ) {
      const found =
        removal._tag === "Prefix"
          ? yield* selectPrefix(...place(removal), after, pageSize)
          : yield* selectBodies(Rows.list(removal.ids), after, pageSize)
      const page = found.map(removed)
      const allowed = removal._tag === "Prefix" ? page : page.filter(({ author }) => removal.allowed(author))
      if (allowed.length > 0) yield* use(allowed)
      const last = page.at(-1)
      if (last === undefined || page.length < pageSize) return
      after = last.position
    }
  })

/** Carries a removal out. `at`: milliseconds since the epoch. */
export const apply = (removal: Removal, at: number): Effect.Effect<void, SqlError, SqlClient | Transaction> =>
  removal._tag === "Prefix" ? applyPrefix(removal, at) : applyBodies(removal, at)

// internal

const columns = `o.id, l.author, o.position, o.seq_num, o.header, o.body`
const fromLogs = `FROM applecart_operations AS o JOIN applecart_logs AS l ON l.log = o.log`

/** The author's key and the log id are in the key of a log, as hex. */
const inLog = `l.author = unhex(?) AND l.log_id = unhex(?) AND o.seq_num < ?`

const selectPrefix = query(
  `SELECT ${columns} ${fromLogs} WHERE ${inLog} AND o.position > ? ORDER BY o.position LIMIT ?`
)
const selectBodies = query(
  `SELECT ${columns} ${fromLogs}
   WHERE o.id IN (SELECT unhex(value) FROM json_each(?)) AND o.body IS NOT NULL AND o.position > ?
   ORDER BY o.position LIMIT ?`
)

const rememberPrefix = statement(
  `INSERT INTO applecart_decisions (id, what, decided_at) SELECT o.id, 'pruned', ? ${fromLogs} WHERE ${inLog}
   ON CONFLICT (id) DO UPDATE SET what = excluded.what, why = NULL, decided_at = excluded.decided_at`
)
const deletePrefix = statement(
  `DELETE FROM applecart_operations
   WHERE log = (SELECT log FROM applecart_logs WHERE author = unhex(?) AND log_id = unhex(?)) AND seq_num < ?`
)
const selectInbox = query(
  `SELECT entry, id, log_id, topic FROM applecart_inbox WHERE author = unhex(?) AND log_id = unhex(?) AND seq_num < ? LIMIT ?`
)
const deleteEntries = statement(`DELETE FROM applecart_inbox WHERE entry IN (SELECT value FROM json_each(?))`)

const applyPrefix = (removal: Prefix, at: number) =>
  Effect.gen(function* () {
    const where = place(removal)
    yield* rememberPrefix(at, ...where)
    yield* deletePrefix(...where)
    // What never got into the log is gone just as well, and whoever waits for it need not wait any longer.
    for (;;) {
      const found = yield* selectInbox(...where, pageSize)
      const ids = found.map((row) => Rows.hash(row, "id"))
      yield* Topics.learn(found.map(told))
      yield* Decisions.pruned(ids, at)
      yield* deleteEntries(Rows.list(found.map((row) => Rows.integer(row, "entry"))))
      yield* Waiting.meetAll(ids)
      if (found.length < pageSize) return
    }
  })

const selectAuthors = query(
  `WITH named (id) AS (SELECT unhex(value) FROM json_each(?))
   SELECT i.id, i.author, 0 AS accepted FROM named JOIN applecart_inbox AS i ON i.id = named.id
   UNION ALL SELECT o.id, l.author, 1 FROM named JOIN applecart_operations AS o ON o.id = named.id
     JOIN applecart_logs AS l ON l.log = o.log`
)
/** Why it was rejected may quote the body; which error it was stays. */
const cleared = `iif(reason IS NULL, NULL, json_object(
  'tag', json_extract(reason, '$.tag'), 'message', 'Its body was deleted since.', 'data', json_object()))`
const clearInbox = statement(
  `UPDATE applecart_inbox SET body = NULL, reason = ${cleared} WHERE id IN (SELECT unhex(value) FROM json_each(?))`
)
const clearParked = statement(
  `UPDATE applecart_deliveries SET reason = ${cleared}
   WHERE position IN (SELECT o.position FROM applecart_operations AS o WHERE o.id IN (SELECT unhex(value) FROM json_each(?)))`
)
const clearOperations = statement(
  `UPDATE applecart_operations SET body = NULL WHERE id IN (SELECT unhex(value) FROM json_each(?))`
)

const applyBodies = (removal: Bodies, at: number) =>
  Effect.gen(function* () {
    const accepted: Array<Hash.Hash> = []
    const received: Array<Hash.Hash> = []
    for (const row of yield* selectAuthors(Rows.list(removal.ids))) {
      if (!removal.allowed(Rows.verifyingKey(row, "author"))) continue
      const which = Rows.integer(row, "accepted") === 1 ? accepted : received
      which.push(Rows.hash(row, "id"))
    }
    if (received.length > 0) yield* clearInbox(Rows.list(received))
    if (accepted.length > 0) {
      yield* clearOperations(Rows.list(accepted))
      yield* clearParked(Rows.list(accepted))
    }
    yield* Decisions.deleted(accepted, at)
  })

/** They count as let in: had they come in another order, they would have been accepted before they were pruned. */
const told = (row: Row): Topics.Told => {
  return {
    logId: Rows.logId(row, "log_id"),
    topic: Rows.optionalTopic(row, "topic")
  }
}

const removed = (row: Row): Removed => ({
  id: Rows.hash(row, "id"),
  author: Rows.verifyingKey(row, "author"),
  position: Rows.integer(row, "position"),
  seqNum: Rows.integer(row, "seq_num"),
  header: Rows.blob(row, "header"),
  body: Rows.optionalBlob(row, "body")
})
