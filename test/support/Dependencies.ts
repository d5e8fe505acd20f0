/** A processor for tests and measurements: operations that wait for others, whoever signed those. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Hash } from "../../src/core/Hash.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import * as Operations from "../../src/store/Operations.ts"

/** Lets an operation pass when all that `of` gives for it were accepted. */
export const processor = (of: (event: Event.Event) => ReadonlyArray<Hash>) =>
  Processor.make<Hash, boolean>()({
    name: "dependencies",
    keys: of,
    load: (ids) =>
      Effect.map(Operations.accepted(ids), (accepted) => new Map(ids.map((id) => [id, accepted.has(id)] as const))),
    decide: (state, event: Event.Event) => {
      const missing = of(event).filter((id) => state(id) !== true)
      return Either.right<Processor.Decision<Hash, boolean, {}>>(
        missing.length > 0 ? Processor.defer(missing) : Processor.accept({ state: [[event.id, true]] })
      )
    },
    save: () => Effect.void
  })
