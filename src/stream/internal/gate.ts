/**
 * What may come in: an operation that the processors refuse as it stands is not taken in, and one that has to stay in the
 * inbox needs room there. Both are said of each operation by itself, so that nobody pays for the others.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Outcome from "../../pipeline/Outcome.ts"
import * as Shares from "../../store/Shares.ts"
import { InboxFull } from "../Errors.ts"
import type * as Candidates from "./candidates.ts"
import type { Setup } from "./setup.ts"

/** How many operations the inbox holds. */
export interface Capacity {
  readonly capacity: number
  readonly capacityPerAuthor: number
}

/** Operations by whether the processors let them in as they stand. */
export interface Checked<out X extends Extensions.Fields, out E> {
  readonly passed: ReadonlyArray<Candidates.Candidate<X>>
  readonly refused: ReadonlyMap<Hash, Outcome.Rejected<E>>
}

/** What the processors say without any state. What is in the inbox already is let pass: it is decided there. */
export const check = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  { pipeline }: Setup<X, Out, A, E, R>,
  candidates: ReadonlyArray<Candidates.Candidate<X>>
): Checked<X, E> => {
  const refused = new Map<Hash, Outcome.Rejected<E>>()
  const passed = candidates.filter(({ entry, event }) => {
    if (entry !== undefined) return true
    // A bug in a check shows again where the operation is decided, and is a rejection there.
    const checked = Either.getOrElse(
      Either.try(() => pipeline.check(event)),
      () => Either.void
    )
    if (checked._tag === "Right") return true
    refused.set(event.id, Outcome.refused<E>(event.id, checked.left.processor, checked.left.error))
    return false
  })
  return { passed, refused }
}

/** Which of these new operations the inbox has no room for. They are counted one after the other. */
export const full = (
  incoming: ReadonlyArray<Candidates.Candidate<Extensions.Fields>>,
  { capacity, capacityPerAuthor }: Capacity
): Effect.Effect<ReadonlyMap<Hash, InboxFull>, SqlError, SqlClient> =>
  incoming.length === 0
    ? Effect.succeed(new Map())
    : Effect.map(Shares.of(incoming.map(({ event }) => event.author)), ({ all, byAuthor }) => {
        const errors = new Map<Hash, InboxFull>()
        const counts = new Map(Array.from(byAuthor, ([author, { operations }]) => [author, operations]))
        let total = all.operations
        for (const { event } of incoming) {
          const count = counts.get(event.author) ?? 0
          if (count >= capacityPerAuthor) {
            errors.set(event.id, new InboxFull({ capacity: capacityPerAuthor, author: event.author }))
          } else if (total >= capacity) errors.set(event.id, new InboxFull({ capacity }))
          else {
            counts.set(event.author, count + 1)
            total += 1
          }
        }
        return errors
      })
