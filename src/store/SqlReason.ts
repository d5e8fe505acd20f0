/**
 * Why a statement failed, for SQLite and PostgreSQL: is it the operation's fault, or nobody's?
 *
 * Codes: SQLite's result codes (sqlite.org/rescode.html) as the drivers name them, PostgreSQL's SQLSTATE (appendix A of its
 * manual). Both are looked for in the `cause` of a `SqlError`, where the clients put the driver's error.
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import { TransactionClosed, TransactionControl, TransactionLost } from "./internal/transactionErrors.ts"

export { typed } from "./internal/damaged.ts"

/**
 * - `Busy`: locked by another, a deadlock or a serialisation failure. Passes.
 * - `Full`: no room on the disk. `Io`: reading or writing failed. `Memory`: none left. `ReadOnly`: the database may not be
 *   written. `Connection`: there is none. `Corrupt`: the file is damaged.
 * - `Closed`: the transaction was over.
 * - `Constraint`: a constraint of the tables was violated.
 * - `Statement`: the statement is wrong: its text, a table that is not there, a value of the wrong type.
 */
export interface SqlReason {
  readonly _tag:
    | "Busy"
    | "Full"
    | "Io"
    | "Memory"
    | "ReadOnly"
    | "Connection"
    | "Corrupt"
    | "Closed"
    | "Constraint"
    | "Statement"
  /** The driver's code, such as SQLITE_CONSTRAINT_UNIQUE or 23505. */
  readonly code: string | undefined
}

/** The reason of an error. What has no code that says otherwise is the statement's fault. */
export const of = (error: SqlError): SqlReason => {
  if (error instanceof TransactionClosed) return { _tag: "Closed", code: undefined }
  if (error instanceof TransactionControl) return { _tag: "Statement", code: undefined }
  if (error instanceof TransactionLost && error.original instanceof SqlError) return of(error.original)
  return fromCause(error.cause, 0)
}

/**
 * True if the error is nobody's verdict: what it interrupted is tried again later, untouched. A statement that came too late
 * (`Closed`), a violated constraint and a wrong statement are their author's.
 */
export const isInfrastructure = (error: SqlError): boolean => infrastructure.has(of(error)._tag)

/** The first error anywhere in the cause, failures and defects, that is nobody's verdict. */
export const inCause = (cause: Cause.Cause<unknown>): Option.Option<SqlError> => {
  for (const error of Chunk.appendAll(Cause.failures(cause), Cause.defects(cause))) {
    if (error instanceof SqlError && isInfrastructure(error)) return Option.some(error)
  }
  return Option.none()
}

// internal

type Tag = SqlReason["_tag"]

const infrastructure: ReadonlySet<Tag> = new Set(["Busy", "Full", "Io", "Memory", "ReadOnly", "Connection", "Corrupt"])

/** Clients wrap the driver's error, some more than once. */
const fromCause = (cause: unknown, depth: number): SqlReason => {
  if (cause instanceof SqlError) return of(cause)
  const code = Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined
  const tag = code === undefined ? undefined : (fromSqlite(code) ?? fromNode.get(code) ?? fromSqlState(code))
  if (tag !== undefined) return { _tag: tag, code }
  // better-sqlite3 throws a TypeError without a code on a database that was closed.
  if (cause instanceof TypeError && cause.message === "The database connection is not open") {
    return { _tag: "Connection", code }
  }
  if (depth < 5 && Predicate.hasProperty(cause, "cause") && cause.cause !== undefined) {
    const inner = fromCause(cause.cause, depth + 1)
    if (inner.code !== undefined || inner._tag !== "Statement") return inner
  }
  return { _tag: "Statement", code }
}

/** By primary result code: SQLITE_BUSY_SNAPSHOT is a kind of SQLITE_BUSY. */
const fromSqlite = (code: string): Tag | undefined =>
  code.startsWith("SQLITE_") ? (sqlite.get(code.split("_")[1] ?? "") ?? "Statement") : undefined

const sqlite: ReadonlyMap<string, Tag> = new Map([
  ["BUSY", "Busy"],
  ["LOCKED", "Busy"],
  ["PROTOCOL", "Busy"],
  ["SCHEMA", "Busy"],
  ["FULL", "Full"],
  ["IOERR", "Io"],
  ["NOMEM", "Memory"],
  ["READONLY", "ReadOnly"],
  ["PERM", "ReadOnly"],
  ["CANTOPEN", "Connection"],
  ["CORRUPT", "Corrupt"],
  ["NOTADB", "Corrupt"],
  ["CONSTRAINT", "Constraint"]
])

/** What Node's sockets and files, and the PostgreSQL drivers' own checks say. */
const fromNode: ReadonlyMap<string, Tag> = new Map([
  ["ECONNREFUSED", "Connection"],
  ["ECONNRESET", "Connection"],
  ["ENOTFOUND", "Connection"],
  ["EAI_AGAIN", "Connection"],
  ["EPIPE", "Connection"],
  ["ETIMEDOUT", "Connection"],
  ["EHOSTUNREACH", "Connection"],
  ["CONNECTION_CLOSED", "Connection"],
  ["CONNECTION_ENDED", "Connection"],
  ["CONNECTION_DESTROYED", "Connection"],
  ["CONNECT_TIMEOUT", "Connection"],
  ["ENOSPC", "Full"],
  ["EIO", "Io"],
  ["EROFS", "ReadOnly"]
])

/** The longest entry that the code begins with decides. */
const fromSqlState = (code: string): Tag | undefined => {
  if (!/^[0-9A-Z]{5}$/.test(code)) return undefined
  for (let length = 5; length >= 2; length--) {
    const tag = sqlState.get(code.slice(0, length))
    if (tag !== undefined) return tag
  }
  return "Statement"
}

const sqlState: ReadonlyMap<string, Tag> = new Map([
  ["08", "Connection"],
  ["23", "Constraint"],
  ["25006", "ReadOnly"],
  ["25P03", "Connection"],
  ["40", "Busy"],
  ["40002", "Constraint"],
  ["40003", "Connection"],
  ["44", "Constraint"],
  ["53", "Connection"],
  ["53100", "Full"],
  ["53200", "Memory"],
  ["55P03", "Busy"],
  ["57P", "Connection"],
  ["58", "Io"],
  // RAISE EXCEPTION of a user's trigger, as SQLITE_CONSTRAINT_TRIGGER is.
  ["P0001", "Constraint"],
  ["XX001", "Corrupt"],
  ["XX002", "Corrupt"]
])
