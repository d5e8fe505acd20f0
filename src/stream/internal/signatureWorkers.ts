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

/** So many threads, which are stopped with the scope. */
export const of = (size: number): Effect.Effect<Workers, never, Scope.Scope> =>
  Effect.gen(function* () {
    const workers = yield* Effect.all(Array.from({ length: size }, () => SignatureWorker.make))
    const asked = workers.map((ask) => ({ ask, open: 0 }))
    const check: SignatureWorker.Check = (headers) =>
      Effect.suspend(() => {
        // The first of those that have least to do: one that is idle goes before one that was never started.
        const least = Math.min(...asked.map(({ open }) => open))
        const worker = asked.find(({ open }) => open === least)
        if (worker === undefined) return Effect.succeed(new Uint8Array(headers.length))
        worker.open += 1
        return Effect.ensuring(
          Effect.flatMap(worker.ask, (check) => check(headers)),
          Effect.sync(() => void (worker.open -= 1))
        )
      })
    return { check, size }
  })

/** {@link of} as many as there are cores besides one. */
export const make: Effect.Effect<Workers, never, Scope.Scope> = Effect.suspend(() => Effect.flatMap(free, of))

// internal

/** More than a writer can keep up with would only take memory. */
const most = 4

const free: Effect.Effect<number> = Effect.tryPromise(async () => {
  const { availableParallelism } = await import("node:os")
  return Math.max(1, Math.min(most, availableParallelism() - 1))
}).pipe(Effect.orElseSucceed(() => 1))
