/**
 * A rejection: a processor or the application said no. Its error is stored beside the operation until it is replayed,
 * and shown to people and programs that do not have the class it came from; so it has an encoding.
 *
 * Besides the errors that processors and applications bring, an operation can be rejected for the reasons below.
 */
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Bytes from "../core/Bytes.ts"
import * as SqlReason from "../store/SqlReason.ts"

/** The body is not what the application's message schema says. */
export class InvalidMessage extends Schema.TaggedError<InvalidMessage>()("InvalidMessage", {
  detail: Schema.String
}) {
  override get message() {
    return `The body is not a message of this application: ${this.detail}`
  }
}

/**
 * A statement of the handler (or of the commit) was refused by the database: a violated constraint, a missing table, a
 * value of the wrong type. `code` is the database's own.
 */
export class StatementFailed extends Schema.TaggedError<StatementFailed>()("StatementFailed", {
  code: Schema.optional(Schema.String),
  constraint: Schema.Boolean,
  detail: Schema.String
}) {
  override get message() {
    return this.constraint
      ? `The operation breaks a constraint of the database: ${this.detail}`
      : `A statement of the handler failed: ${this.detail}`
  }
}

/** The handler did not finish in time. */
export class TimeLimitExceeded extends Schema.TaggedError<TimeLimitExceeded>()("TimeLimitExceeded", {
  limitMillis: Schema.Number
}) {
  override get message() {
    return `The handler was stopped after ${this.limitMillis} ms. Work that waits does not belong into a transaction; give it to Transaction.afterCommit.`
  }
}

/** A bug: the handler or a processor threw or died. Its changes were undone. */
export class Defect extends Schema.TaggedError<Defect>()("Defect", {
  detail: Schema.String
}) {
  override get message() {
    return `A bug in the code that handles this operation; everything it did was undone: ${this.detail}`
  }
}

/** A processor deferred the operation until operations that are accepted already: it would wait for ever. */
export class NothingToWaitFor extends Schema.TaggedError<NothingToWaitFor>()("NothingToWaitFor", {
  until: Schema.Array(Schema.String)
}) {
  override get message() {
    return `It was to wait for operations that are accepted already, so it would wait for ever: ${this.until.join(", ")}. Its backlink or a dependency names an operation that cannot stand there.`
  }
}

/** The stored operation cannot be read any more: the database was damaged or edited. */
export class Damaged extends Schema.TaggedError<Damaged>()("Damaged", { detail: Schema.String }) {
  override get message() {
    return `The stored operation does not read back: ${this.detail}. Discard it and have it sent again.`
  }
}

/** Why an operation can be rejected whatever its processors and its application are. */
export type BuiltIn = InvalidMessage | StatementFailed | TimeLimitExceeded | Defect | NothingToWaitFor | Damaged

/** The rejection for a cause without a typed failure. */
export const defect = (cause: Cause.Cause<unknown>): Defect => new Defect({ detail: Cause.pretty(cause) })

/** The rejection for a statement's error that is the operation's own fault; see {@link SqlReason}. */
export const statementFailed = (error: SqlError): StatementFailed => {
  const reason = SqlReason.of(error)
  return new StatementFailed({
    ...(reason.code === undefined ? {} : { code: reason.code }),
    constraint: reason._tag === "Constraint",
    detail: error.cause instanceof Error ? error.cause.message : error.message
  })
}

/**
 * What a handler's failure means. An infrastructure error, wherever in the cause it stands, is the batch's failure. An
 * interruption that arrives here is the handler's own (one from outside never gets this far) and so counts as a bug.
 */
export const verdict = <E>(cause: Cause.Cause<E | SqlError>): Effect.Effect<E | BuiltIn, SqlError> => {
  const infrastructure = SqlReason.inCause(cause)
  if (Option.isSome(infrastructure)) return Effect.fail(infrastructure.value)
  const failure = Cause.failureOption(cause)
  if (Option.isNone(failure)) return Effect.succeed(defect(cause))
  return Effect.succeed(failure.value instanceof SqlError ? statementFailed(failure.value) : failure.value)
}

/** An error as it is stored: its tag, what it says, and its fields. */
export const Encoded = Schema.Struct({ tag: Schema.String, message: Schema.String, data: Schema.Unknown })
export type Encoded = typeof Encoded.Type

/** The stored form of an error, as JSON text. */
export const encode = (error: unknown): string =>
  JSON.stringify({ tag: tag(error), message: message(error), data: data(error) })

/** Reads the stored form; text that is none of ours is kept as a message, so that nothing is hidden. */
export const decode = (json: string): Encoded =>
  Either.getOrElse(decodeJson(json), () => ({ tag: "Unknown", message: json, data: null }))

// internal

const decodeJson = Schema.decodeUnknownEither(Schema.parseJson(Encoded))

const tag = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string"
    ? error._tag
    : error instanceof Error
      ? error.name
      : typeof error

const message = (error: unknown): string =>
  error instanceof Error ? error.message : typeof error === "string" ? error : tag(error)

/**
 * A `Schema.TaggedError` is encoded by its own class; anything else field by field, and so is one that holds something redacted,
 * which a class may write out in full.
 */
const data = (error: unknown): unknown => {
  if (isSecret(error, 8)) return plain(error, 8)
  const maker: unknown = Predicate.isObject(error) ? error.constructor : undefined
  if (isPlainSchema(maker)) {
    const encoded = Schema.encodeUnknownEither(maker)(error)
    if (Either.isRight(encoded)) return plain(encoded.right, 8)
  }
  return plain(error, 8)
}

/** A schema that needs no services: the classes of errors are. */
const isPlainSchema = (u: unknown): u is Schema.Schema<unknown, unknown> => Schema.isSchema(u)

/** Whether there is anything redacted in it; deeper than errors are stored it is not looked, and nothing is written out. */
const isSecret = (value: unknown, depth: number): boolean => {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false
  if (Redacted.isRedacted(value) || depth === 0) return true
  const items = value instanceof Map || value instanceof Set ? Array.from(value).flat() : Object.values(value)
  return items.some((item) => isSecret(item, depth - 1))
}

/** Values that JSON has no form for become text; depth is bounded, since errors may hold anything. */
const plain = (value: unknown, depth: number): unknown => {
  if (typeof value === "bigint") return value.toString()
  if (typeof value !== "object" || value === null) return typeof value === "function" ? undefined : value
  if (Redacted.isRedacted(value)) return String(value)
  if (value instanceof Uint8Array) return Bytes.toHex(value)
  if (value instanceof Date) return value.toISOString()
  if (depth === 0) return "…"
  if (Array.isArray(value)) return value.map((item) => plain(item, depth - 1))
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => key !== "stack")
      .map(([key, item]) => [key, plain(item, depth - 1)])
  )
}
