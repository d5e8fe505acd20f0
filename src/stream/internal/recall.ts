/** From accepted operations back to the events that they were: what handlers read is had again, nothing is decided again. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import * as Operation from "../../core/Operation.ts"
import * as Event from "../../pipeline/Event.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Decisions from "../../store/Decisions.ts"
import type * as Operations from "../../store/Operations.ts"

/** An accepted operation as an event; or why it is none, the database being damaged. */
export type Read<Ev> = Either.Either<Ev, Rejection.Damaged>

/** Reads rows as bare events. `isReplay`: whether who gets them was handed that position before. */
export const read = <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  rows: ReadonlyArray<Operations.Handed>,
  isReplay: (position: number) => boolean
): ReadonlyArray<Read<Event.Event<X>>> =>
  rows.map((row) =>
    Either.flatMap(Operation.trusted(row.id, row), (operation) =>
      Either.map(codec.decode(operation.header.extensions), (extensions) =>
        Event.again(operation, extensions, row, isReplay(row.position))
      )
    ).pipe(Either.mapLeft((error) => new Rejection.Damaged({ detail: error.message })))
  )

/** What of these was read. */
export const good = <Ev>(events: ReadonlyArray<Read<Ev>>): ReadonlyArray<Ev> =>
  events.flatMap((event) => (event._tag === "Right" ? [event.right] : []))

/** Which of these were skipped: nothing was ever kept of their bodies, if they have one. */
export const skipped = (
  events: ReadonlyArray<Read<Event.Event>>
): Effect.Effect<ReadonlySet<string>, SqlError, SqlClient> =>
  Decisions.skipped(
    good(events).flatMap(({ id, operation }): ReadonlyArray<Hash> => (operation.body === undefined ? [id] : []))
  )
