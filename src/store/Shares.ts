/**
 * How much of the inbox each author takes up. Whatever stands in it counts, whether it is queued, waiting or rejected.
 *
 * Triggers on the inbox keep the numbers, in the same transaction; so they cannot differ from a count, whoever writes, and
 * reading them costs the same however much there is. An author with nothing in the inbox has no row.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rows from "./internal/rows.ts"
import { query } from "./Transaction.ts"

/** What somebody has in the inbox. */
export interface Share {
  readonly operations: number
  /** Headers and bodies. */
  readonly bytes: number
}

/** The share of an author. */
export interface AuthorShare extends Share {
  readonly author: VerifyingKey.VerifyingKey
}

/** The shares of some authors, and what the inbox holds in all. */
export interface Shares {
  readonly all: Share
  /** Authors with nothing in the inbox are missing. */
  readonly byAuthor: ReadonlyMap<VerifyingKey.VerifyingKey, Share>
}

const nothing: Share = { operations: 0, bytes: 0 }

/** Where the sum over all authors stands: under a key that no author can have. */
const everybody = ""

const selectShares = query(
  `SELECT author, operations, bytes FROM applecart_inbox_shares WHERE author IN (SELECT unhex(value) FROM json_each(?))`
)

/** The shares of these authors. */
export const of = (authors: Iterable<VerifyingKey.VerifyingKey>): Effect.Effect<Shares, SqlError, SqlClient> =>
  Effect.map(selectShares(Rows.list([everybody, ...new Set(authors)])), (rows) => {
    let all = nothing
    const byAuthor = new Map<VerifyingKey.VerifyingKey, Share>()
    for (const row of rows) {
      const share = { operations: Rows.integer(row, "operations"), bytes: Rows.integer(row, "bytes") }
      const author = Rows.blob(row, "author")
      if (author.length === 0) all = share
      else byAuthor.set(VerifyingKey.fromBytes(author), share)
    }
    return { all, byAuthor }
  })

const selectLargest = query(
  `SELECT author, operations, bytes FROM applecart_inbox_shares WHERE author <> x''
   ORDER BY operations DESC, bytes DESC, author LIMIT ?`
)

/** The authors who have the most operations in the inbox, so many at the most: whom to look at when it is full. */
export const largest = (limit: number): Effect.Effect<ReadonlyArray<AuthorShare>, SqlError, SqlClient> =>
  Effect.map(selectLargest(limit), (rows) =>
    rows.map((row) => ({
      author: Rows.verifyingKey(row, "author"),
      operations: Rows.integer(row, "operations"),
      bytes: Rows.integer(row, "bytes")
    }))
  )
