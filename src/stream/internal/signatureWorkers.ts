/** Threads that check signatures: as many as there are cores besides the one that writes, each started when it is needed. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as SignatureWorker from "./signatureWorker.ts"

/** The threads. */
export interface Workers {
  readonly check: SignatureWorker.Check
  /** How many there are at the most. */
  readonly size: number
}

/** They are stopped with the scope. */
export const make: Effect.Effect<Workers, never, Scope.Scope> = Effect.gen(function* () {
  const size = yield* free
  const workers = yield* Effect.all(Array.from({ length: size }, () => SignatureWorker.make))
  const asked = workers.map(() => 0)
  const count = (at: number, by: number) => (asked[at] = (asked[at] ?? 0) + by)
  const check: SignatureWorker.Check = (claims) =>
    Effect.suspend(() => {
      // The first of those that have least to do: one that is idle goes before one that was never started.
      const at = asked.indexOf(Math.min(...asked))
      const worker = workers[at]
      if (worker === undefined) return Effect.succeed(new Uint8Array(claims.length))
      count(at, 1)
      return Effect.ensuring(
        Effect.flatMap(worker, (check) => check(claims)),
        Effect.sync(() => count(at, -1))
      )
    })
  return { check, size }
})

// internal

/** More than a writer can keep up with would only take memory. */
const most = 4

const free: Effect.Effect<number> = Effect.tryPromise(async () => {
  const { availableParallelism } = await import("node:os")
  return Math.max(1, Math.min(most, availableParallelism() - 1))
}).pipe(Effect.orElseSucceed(() => 1))
