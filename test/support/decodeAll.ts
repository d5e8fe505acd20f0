import * as Effect from "effect/Effect"
import type * as Operation from "../../src/core/Operation.ts"
import type * as Verifier from "../../src/stream/internal/verifier.ts"

/** Operations, read and verified all at once. */
export const decodeAll = (
  verifier: Verifier.Verifier,
  raws: ReadonlyArray<Operation.Raw>
): Effect.Effect<ReadonlyArray<Verifier.Decoded>> => Effect.map(verifier.see(raws), (seen) => seen.map(verifier.decode))
