/** Evidence of forks: two signed headers of one author for one place in a log. Anybody can check them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import type * as Operation from "../core/Operation.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import { query, statement, type Transaction } from "./Transaction.ts"

/** Pieces of evidence for one place: one proves it, and whoever forks without end must not fill the disk with proof. */
const mostPerPlace = 8

const insert = statement(
  `INSERT INTO applecart_forks (author, log_id, seq_num, accepted_header, other_id, other_header)
   SELECT l.author, l.log_id, o.seq_num, o.header, ?, ?
   FROM applecart_logs AS l JOIN applecart_operations AS o ON o.log = l.log
   WHERE l.author = ? AND l.log_id = ? AND o.seq_num = ? AND
     (SELECT count(*) FROM applecart_forks AS f
      WHERE f.author = l.author AND f.log_id = l.log_id AND f.seq_num = o.seq_num) < ${mostPerPlace}
   ON CONFLICT (other_id) DO NOTHING`
)

/**
 * Keeps the accepted header at `seqNum` beside the header of an operation that cannot be true at the same time: another
 * one for that place, or one right behind it that names another predecessor. Of what comes for one place the first eight
 * are kept.
 */
export const keep = (
  logId: LogId.LogId,
  seqNum: number,
  other: Operation.Operation
): Effect.Effect<void, SqlError, Transaction> =>
  Effect.asVoid(
    insert(
      Hash.toBytes(other.id),
      other.headerBytes,
      VerifyingKey.toBytes(other.header.verifyingKey),
      LogId.toBytes(logId),
      seqNum
    )
  )

/** Two headers that prove a fork. */
export interface Fork {
  readonly author: VerifyingKey.VerifyingKey
  readonly logId: LogId.LogId
  /** The place that both headers speak about. */
  readonly seqNum: number
  readonly accepted: Uint8Array
  readonly other: Uint8Array
}

const select = query(`SELECT author, log_id, seq_num, accepted_header, other_header FROM applecart_forks ORDER BY fork`)

/** All evidence, oldest first. */
export const all: Effect.Effect<ReadonlyArray<Fork>, SqlError, SqlClient> = Effect.map(select(), (rows) =>
  rows.map((row) => ({
    author: Rows.verifyingKey(row, "author"),
    logId: Rows.logId(row, "log_id"),
    seqNum: Rows.integer(row, "seq_num"),
    accepted: Rows.blob(row, "accepted_header"),
    other: Rows.blob(row, "other_header")
  }))
)
