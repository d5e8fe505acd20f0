/** The tables of a model: their names begin with the name of its application, and its user may have others beside them. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Application from "../../pipeline/Application.ts"
import type { Transaction } from "../../store/Transaction.ts"

/** The name, if tables can be named after it; any other is a mistake of the caller and throws a `RangeError`. */
export const prefix = (name: string): string => {
  if (/^[a-z][a-z0-9_]{0,39}$/i.test(name) && !/^(applecart|sqlite)(_|$)/i.test(name)) return name
  throw new RangeError(
    `"${name}" cannot name tables. Take up to 40 letters, digits and underscores; begin with a letter, and not with "applecart" or "sqlite".`
  )
}

/** Empties the model's tables and its user's; none where the user's cannot be emptied, since rows would stand there twice. */
export const reset = (
  { migrations, reset }: Application.Options,
  empty: Effect.Effect<unknown, SqlError, SqlClient | Transaction>
): Application.Options["reset"] =>
  migrations !== undefined && reset === undefined ? undefined : Effect.zipRight(empty, reset ?? Effect.void)
