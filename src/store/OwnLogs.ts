/**
 * The logs of our own: those that were published on here. What the database shows of them, next to what others may hold: what came
 * from outside and is not in the log, and evidence that our key wrote a log twice.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"
import type { Place } from "./Witness.ts"

/** Names a log. */
export interface Name {
  readonly author: VerifyingKey.VerifyingKey
  readonly logId: LogId.LogId
}

/** What the database shows of a log. */
export interface Facts extends Name {
  readonly topic: Topic.Topic | undefined
  /** Its newest operation here. */
  readonly head: Place | undefined
  /** Whether it was published on here; and whether a witness was told. */
  readonly own: "never" | "unwitnessed" | "witnessed"
  /** Whether it is older here than there is a witness. */
  readonly old: boolean
  /** The newest place that an operation in the inbox has, and that one had which came and was not kept. */
  readonly inInbox: number | undefined
  readonly heard: number | undefined
  /** Where it was forked, as far as that was not acknowledged: the first place. And all evidence. */
  readonly forkedAt: number | undefined
  readonly forks: number
}

const facts = (from: string) => `
  SELECT k.author, k.log_id, l.head_seq_num, l.head_id, t.hash AS topic, o.witnessed, o.heard_seq_num,
    coalesce(l.log <= (SELECT log FROM applecart_own_from), 0) AS old,
    (SELECT max(i.seq_num) FROM applecart_inbox AS i
     WHERE i.author = k.author AND i.log_id = k.log_id AND i.entry > coalesce(o.seen_entry, 0)) AS in_inbox,
    (SELECT min(f.seq_num) FROM applecart_forks AS f
     WHERE f.author = k.author AND f.log_id = k.log_id AND f.fork > coalesce(o.seen_fork, 0)) AS forked_at,
    (SELECT count(*) FROM applecart_forks AS f WHERE f.author = k.author AND f.log_id = k.log_id) AS forks
  FROM ${from} AS k
  LEFT JOIN applecart_own AS o ON o.author = k.author AND o.log_id = k.log_id
  LEFT JOIN applecart_logs AS l ON l.author = k.author AND l.log_id = k.log_id
  LEFT JOIN applecart_topics AS t ON t.topic = l.topic`

const selectOne = query(facts("(SELECT ? AS author, ? AS log_id)"))
const selectAll = query(`${facts("applecart_own")} ORDER BY k.author, k.log_id`)

/** What the database shows of one log, whoever's it is. */
export const of = (name: Name): Effect.Effect<Facts, SqlError, SqlClient> =>
  Effect.map(selectOne(...bytes(name)), ([row = {}]) => ({ ...read(row), ...name }))

/** {@link of} all that were published on here. */
export const all: Effect.Effect<ReadonlyArray<Facts>, SqlError, SqlClient> = Effect.map(selectAll(), (rows) =>
  rows.map((row) => ({ ...read(row), ...named(row) }))
)

const selectAt = query(
  `SELECT o.id FROM applecart_logs AS l JOIN applecart_operations AS o ON o.log = l.log
   WHERE l.author = ? AND l.log_id = ? AND o.seq_num = ?`
)

/** The operation at a place of a log; none where it is not here, or was pruned. */
export const at = (name: Name, seqNum: number): Effect.Effect<Hash.Hash | undefined, SqlError, SqlClient> =>
  Effect.map(selectAt(...bytes(name), seqNum), ([row]) =>
    row === undefined ? undefined : Hash.fromBytes(Rows.blob(row, "id"))
  )

const upsert = statement(
  `INSERT INTO applecart_own (author, log_id, witnessed) VALUES (?, ?, ?)
   ON CONFLICT (author, log_id) DO UPDATE SET witnessed = max(witnessed, excluded.witnessed)`
)

/** Records that a log is our own, and whether a witness was told. */
export const claim = (name: Name, witnessed: boolean): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(upsert(...bytes(name), witnessed ? 1 : 0))

const updateHeard = statement(
  `UPDATE applecart_own SET heard_seq_num = max(coalesce(heard_seq_num, -1), ?) WHERE author = ? AND log_id = ?`
)

/** An operation at this place came from outside and is not kept. Nothing happens where the log is not our own. */
export const heard = (name: Name, seqNum: number): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateHeard(seqNum, ...bytes(name)))

const updateSeen = statement(
  `UPDATE applecart_own SET heard_seq_num = NULL,
     seen_entry = max(seen_entry, coalesce((SELECT max(entry) FROM applecart_inbox), 0)),
     seen_fork = max(seen_fork, coalesce((SELECT max(fork) FROM applecart_forks), 0))
   WHERE author = ? AND log_id = ?`
)

/** What is known from outside by now is acknowledged: only what comes later counts. */
export const acknowledge = (name: Name): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateSeen(...bytes(name)))

/** Evidence that a log of our own was written twice, as it is stored. */
export interface Untold extends Name {
  readonly fork: number
  readonly seqNum: number
  /** The header of the operation that was accepted here. */
  readonly accepted: Uint8Array
  readonly other: Hash.Hash
}

const selectUntold = query(
  `SELECT f.fork, f.author, f.log_id, f.seq_num, f.accepted_header, f.other_id
   FROM applecart_own AS o JOIN applecart_forks AS f ON f.author = o.author AND f.log_id = o.log_id
   WHERE f.fork > o.told_fork ORDER BY f.fork`
)

/** The evidence that nobody was told of yet, oldest first. */
export const untold: Effect.Effect<ReadonlyArray<Untold>, SqlError, SqlClient> = Effect.map(selectUntold(), (rows) =>
  rows.map((row) => ({
    ...named(row),
    fork: Rows.integer(row, "fork"),
    seqNum: Rows.integer(row, "seq_num"),
    accepted: Rows.blob(row, "accepted_header"),
    other: Hash.fromBytes(Rows.blob(row, "other_id"))
  }))
)

const updateTold = statement(`UPDATE applecart_own SET told_fork = max(told_fork, ?) WHERE author = ? AND log_id = ?`)

/** Somebody was told of this evidence, and of all before it in this log. */
export const told = (untold: Untold): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(updateTold(untold.fork, ...bytes(untold)))

/** How many there are. */
export interface Counts {
  /** Logs of our own: those that were published on here. */
  readonly ownLogs: number
  /** Evidence that our own key wrote one of them twice. */
  readonly ownForks: number
}

const selectCounts = query(
  `SELECT (SELECT count(*) FROM applecart_own) AS logs,
     (SELECT count(*) FROM applecart_own AS o JOIN applecart_forks AS f ON f.author = o.author AND f.log_id = o.log_id) AS forks`
)

/** Counts them. */
export const counts: Effect.Effect<Counts, SqlError, SqlClient> = Effect.map(selectCounts(), ([row = {}]) => ({
  ownLogs: Rows.integer(row, "logs"),
  ownForks: Rows.integer(row, "forks")
}))

// internal

const bytes = ({ author, logId }: Name) => [VerifyingKey.toBytes(author), LogId.toBytes(logId)] as const

const named = (row: Row): Name => ({
  author: VerifyingKey.fromBytes(Rows.blob(row, "author")),
  logId: LogId.fromBytes(Rows.blob(row, "log_id"))
})

const read = (row: Row): Omit<Facts, keyof Name> => {
  const seqNum = Rows.optionalInteger(row, "head_seq_num")
  const id = Rows.optionalBlob(row, "head_id")
  const topic = Rows.optionalBlob(row, "topic")
  const witnessed = Rows.optionalInteger(row, "witnessed")
  return {
    topic: topic === undefined ? undefined : Topic.fromBytes(topic),
    head: seqNum === undefined || id === undefined ? undefined : { seqNum, id: Hash.fromBytes(id) },
    own: witnessed === undefined ? "never" : witnessed === 0 ? "unwitnessed" : "witnessed",
    old: Rows.integer(row, "old") === 1,
    inInbox: Rows.optionalInteger(row, "in_inbox"),
    heard: Rows.optionalInteger(row, "heard_seq_num"),
    forkedAt: Rows.optionalInteger(row, "forked_at"),
    forks: Rows.integer(row, "forks")
  }
}
