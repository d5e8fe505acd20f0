/** Cells of our own tables that hold what nobody wrote: the file was damaged or edited. A failure of the database, like any other. */
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

/** With the code by which `SqlReason` knows what it is. */
class DamagedCell extends Error {
  readonly code = "SQLITE_CORRUPT"
}

/** To be thrown where a row is read; {@link typed} makes a failure of it. */
export const damaged = (column: string, wanted: string, found: string): SqlError =>
  new SqlError({
    cause: new DamagedCell(`column ${column} should hold ${wanted}, found ${found}`),
    message: "The database is damaged, or was edited by hand. `applecart verify` says where."
  })

/** Rows are read by plain functions, so what one throws is a failure only from here on. */
export const typed = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
  Effect.catchSomeDefect(self, (defect) =>
    defect instanceof SqlError && defect.cause instanceof DamagedCell ? Option.some(Effect.fail(defect)) : Option.none()
  )
