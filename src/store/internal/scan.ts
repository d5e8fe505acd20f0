/**
 * Reads whole tables of a file that may be damaged, a page at a time. What SQLite cannot read is told, and the rest is read
 * all the same: by key, row by row, where a page fails.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as SqlReason from "../SqlReason.ts"
import { query, type Row } from "../Transaction.ts"
import * as Cells from "./cells.ts"

/** A table with an integer key, and what is read of it. */
export interface Table {
  readonly name: string
  readonly key: string
  /** What is selected, the key among it. */
  readonly select: string
}

/** Keys from and to which nothing could be read, and why. */
export interface Lost {
  readonly from: number
  readonly to: number
  readonly why: string
}

/** Rows in memory at once. */
export const pageSize = 256

/** Single keys that are tried in all, where pages cannot be read: a key that is itself damaged must not make it endless. */
const mostSingle = 50_000

/** Rows that are read one by one after a page that failed, before a page is tried again. */
const careful = 64

/**
 * Hands every row that can be read to `use`, in the order of their keys, and tells what cannot. `last`: the largest key that
 * there may be.
 */
export const scan = <E, R, E2, R2>(
  { key, name, select }: Table,
  last: number,
  use: (rows: ReadonlyArray<Row>) => Effect.Effect<unknown, E, R>,
  lost: (lost: Lost) => Effect.Effect<unknown, E2, R2>
): Effect.Effect<void, SqlError | E | E2, SqlClient | R | R2> => {
  const page = query(`SELECT ${select} FROM ${name} AS x WHERE x.${key} > ? ORDER BY x.${key} LIMIT ${pageSize}`)
  const single = query(`SELECT ${select} FROM ${name} AS x WHERE x.${key} = ?`)
  return Effect.gen(function* () {
    let after = Number.MIN_SAFE_INTEGER
    let tried = 0
    let open: Lost | undefined
    const close = Effect.suspend(() => {
      const told = open
      open = undefined
      return told === undefined ? Effect.void : lost(told)
    })
    for (;;) {
      const rows = yield* unlessDamaged(page(after))
      const keys = typeof rows === "string" ? undefined : ascending(rows, key, after)
      if (typeof rows !== "string" && keys !== undefined) {
        yield* close
        if (rows.length > 0) yield* use(rows)
        after = keys.at(-1) ?? after
        if (rows.length < pageSize) return
      } else {
        const why = typeof rows === "string" ? rows : "its keys are out of order"
        after = Math.max(after, 0)
        for (let at = 0; at < careful; at++) {
          if (after >= last || tried >= mostSingle) {
            if (after < last) open = { from: open?.from ?? after + 1, to: last, why: open?.why ?? why }
            // That there is nothing more cannot be read either.
            return yield* open === undefined ? lost({ from: after + 1, to: after + 1, why }) : close
          }
          after += 1
          tried += 1
          const one = yield* unlessDamaged(single(after))
          if (typeof one === "string") open = { from: open?.from ?? after, to: after, why: one }
          else {
            yield* close
            if (one.length > 0) yield* use(one.slice(0, 1))
          }
        }
      }
      yield* Effect.yieldNow()
    }
  })
}

/** The rows, or why the database cannot read them. What passes, such as a lock, goes on being an error. */
export const unlessDamaged = <A, R>(self: Effect.Effect<A, SqlError, R>): Effect.Effect<A | string, SqlError, R> =>
  Effect.catchAll(
    self,
    (error): Effect.Effect<string, SqlError> =>
      passes.has(SqlReason.of(error)._tag)
        ? Effect.fail(error)
        : Effect.succeed(error.cause instanceof Error ? error.cause.message : error.message)
  )

// internal

const passes: ReadonlySet<SqlReason.SqlReason["_tag"]> = new Set(["Busy", "Connection", "Closed", "Full", "ReadOnly"])

/** The keys, if they are in order behind `after`. In a damaged tree they may not be, and would be read for ever. */
const ascending = (rows: ReadonlyArray<Row>, key: string, after: number): ReadonlyArray<number> | undefined => {
  const keys: Array<number> = []
  for (const row of rows) {
    const found = Cells.integer(row, key)
    if (found === undefined || found <= (keys.at(-1) ?? after)) return undefined
    keys.push(found)
  }
  return keys
}
