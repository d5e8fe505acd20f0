/** What a transaction itself can fail with. Each is a `SqlError`, so that whoever handles those handles these too. */
import { SqlError } from "@effect/sql/SqlError"

/**
 * COMMIT failed, for example on a deferred constraint. `rolledBack` is false when the database had no open transaction any
 * more when it was told to roll back: it then rolled back by itself, or had committed and only its answer was lost.
 */
export class CommitFailed extends SqlError {
  override readonly name = "CommitFailed"
  readonly rolledBack: boolean
  constructor(options: { readonly cause: unknown; readonly rolledBack: boolean }) {
    super({
      cause: options.cause,
      message: `COMMIT failed: ${describe(options.cause)}. ${
        options.rolledBack
          ? "Everything was rolled back; run it again if the cause is passing."
          : "Whether it was committed is unknown; read before running it again."
      }`
    })
    this.rolledBack = options.rolledBack
  }
}

/** A statement came after its transaction or savepoint had ended, usually from a fiber that outlived it. */
export class TransactionClosed extends SqlError {
  override readonly name = "TransactionClosed"
  constructor(options: { readonly statement: string }) {
    super({
      message: `The transaction had ended before this statement ran: ${options.statement.trim().slice(0, 200)}. Join forked fibers before it ends, or give their work to Transaction.afterCommit.`
    })
  }
}

/**
 * The transaction cannot go on: the database rolled it back by itself (`OR ROLLBACK`, `RAISE(ROLLBACK)`, a full disk), or a
 * savepoint could not be undone. Nothing of it was or will be committed. `original` is the error that began it.
 */
export class TransactionLost extends SqlError {
  override readonly name: string = "TransactionLost"
  readonly original: unknown
  constructor(options: { readonly original: unknown }) {
    super({
      cause: options.original,
      message: `The transaction was lost and is undone as a whole, after: ${describe(options.original)}. Run it again from the start.`
    })
    this.original = options.original
  }
}

/** A `Transaction.part` failed after it had written. What it wrote goes only with all the rest, so the transaction is lost. */
export class PartFailed extends TransactionLost {
  override readonly name = "PartFailed"
}

/** A statement inside a transaction tried to end it or to begin another one. */
export class TransactionControl extends SqlError {
  override readonly name = "TransactionControl"
  constructor(options: { readonly statement: string }) {
    super({
      message: `BEGIN, COMMIT and ROLLBACK belong to Transaction.run, refused: ${options.statement.trim().slice(0, 200)}. Use Transaction.savepoint or sql.withTransaction for a part that is undone on failure.`
    })
  }
}

/** The innermost message: drivers put theirs into `cause`. */
export const describe = (error: unknown): string => {
  if (error instanceof SqlError && error.cause instanceof Error) return describe(error.cause)
  return error instanceof Error ? error.message : String(error)
}
