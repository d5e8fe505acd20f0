/** Rows in and out of statements: many rows at once, lists as one parameter, cells with their types. */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Bytes from "../../core/Bytes.ts"
import { together, turn } from "./turn.ts"
import * as Hash from "../../core/Hash.ts"
import * as LogId from "../../core/LogId.ts"
import * as Topic from "../../core/Topic.ts"
import * as VerifyingKey from "../../core/VerifyingKey.ts"
import { statement, Transaction, type Row } from "../Transaction.ts"
import { damaged } from "./damaged.ts"

/** Rows per statement where each statement costs more than a row. Few sizes, so that the driver's cache of prepared statements holds them all. */
const sizes = [together, 8, 1] as const

/**
 * Inserts rows, with a turn of the event loop between many; gives what RETURNING returns. SQLite takes half as long for a statement
 * with one row as for each row of a statement with many, so many are only for clients that take much longer for any statement.
 *
 * @param head everything before VALUES
 * @param values one row's values, such as `(?, ?, coalesce(?, 0))`
 * @param tail what follows the rows, such as ON CONFLICT
 */
export const insert = (
  head: string,
  values: string,
  tail = ""
): ((rows: ReadonlyArray<ReadonlyArray<unknown>>) => Effect.Effect<ReadonlyArray<Row>, SqlError, Transaction>) => {
  const text = (size: number) => `${head} VALUES ${Array.from({ length: size }, () => values).join(", ")} ${tail}`
  const one = text(1)
  const bySize = sizes.map((size) => ({ size, run: statement(text(size)) }))
  return (rows) =>
    Effect.flatMap(Transaction, (transaction) =>
      transaction.isPrepared ? oneByOne(transaction, one, rows) : manyAtOnce(bySize, rows)
    )
}

/** A list as one parameter, for `json_each(?)`; one text serves every length. */
export const list = (items: Iterable<string | number>): string => JSON.stringify(Array.from(items))

/** The bytes of a BLOB cell. Drivers hand out their own subclasses (Buffer); nothing above the store sees those. */
export const blob = (row: Row, column: string): Uint8Array => {
  const cell = row[column]
  if (cell instanceof Uint8Array) return new Uint8Array(cell.buffer, cell.byteOffset, cell.byteLength)
  throw unexpected(column, "bytes", cell)
}

/** The bytes of a BLOB cell that may be NULL. */
export const optionalBlob = (row: Row, column: string): Uint8Array | undefined =>
  row[column] === null ? undefined : blob(row, column)

/** A BLOB cell as lower-case hex. */
export const hex = (row: Row, column: string): string => Bytes.toHex(blob(row, column))

const of32 =
  <A>(make: (bytes: Uint8Array) => A) =>
  (row: Row, column: string): A => {
    const bytes = blob(row, column)
    if (bytes.length !== 32) throw damaged(column, "32 bytes", `${bytes.length}`)
    return make(bytes)
  }

/** A BLOB cell of 32 bytes, as what it is. */
export const hash = of32(Hash.fromBytes)
export const verifyingKey = of32(VerifyingKey.fromBytes)
export const logId = of32(LogId.fromBytes)
export const topic = of32(Topic.fromBytes)

/** A topic that may be NULL. */
export const optionalTopic = (row: Row, column: string): Topic.Topic | undefined =>
  row[column] === null ? undefined : topic(row, column)

/** A TEXT cell that `decode` reads. */
export const decoded = <A>(row: Row, column: string, decode: (cell: unknown) => Either.Either<A, unknown>): A => {
  const read = decode(row[column])
  if (read._tag === "Left") throw damaged(column, "one of its values", String(row[column]))
  return read.right
}

/** An INTEGER cell; bigints of clients that are set to hand them out are taken too. */
export const integer = (row: Row, column: string): number => {
  const cell = row[column]
  if (typeof cell === "number") return cell
  if (typeof cell === "bigint") return Number(cell)
  throw unexpected(column, "an integer", cell)
}

/** An INTEGER cell that may be NULL. */
export const optionalInteger = (row: Row, column: string): number | undefined =>
  row[column] === null ? undefined : integer(row, column)

/** A TEXT cell. */
export const text = (row: Row, column: string): string => {
  const cell = row[column]
  if (typeof cell === "string") return cell
  throw unexpected(column, "text", cell)
}

/** A TEXT cell that may be NULL. */
export const optionalText = (row: Row, column: string): string | undefined =>
  row[column] === null ? undefined : text(row, column)

// internal

const oneByOne = Effect.fnUntraced(function* (
  transaction: Transaction["Type"],
  text: string,
  rows: ReadonlyArray<ReadonlyArray<unknown>>
) {
  const returned: Array<Row> = []
  for (let from = 0; from < rows.length; from += together) {
    if (from > 0) yield* turn
    returned.push(...(yield* transaction.executeEach(text, rows.slice(from, from + together))))
  }
  return returned
})

const manyAtOnce = Effect.fnUntraced(function* (
  bySize: ReadonlyArray<{ readonly size: number; readonly run: ReturnType<typeof statement> }>,
  rows: ReadonlyArray<ReadonlyArray<unknown>>
) {
  const returned: Array<Row> = []
  let from = 0
  for (const { run, size } of bySize) {
    for (; rows.length - from >= size; from += size) {
      if (from > 0 && size === together) yield* turn
      returned.push(...(yield* run(...rows.slice(from, from + size).flat())))
    }
  }
  return returned
})

const unexpected = (column: string, wanted: string, found: unknown) =>
  damaged(column, wanted, found === null ? "NULL" : typeof found)
