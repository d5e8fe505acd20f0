import * as Effect from "effect/Effect"
import { defaultScheduler } from "effect/Scheduler"

/**
 * A turn of the event loop. SQLite answers at once, so that a loop over statements never gives timers and sockets a
 * chance by itself; Effect's own yields are microtasks. Whoever brings a scheduler of another kind has the say about whose turn it is.
 */
export const turn: Effect.Effect<void> = Effect.withFiberRuntime((fiber) =>
  fiber.currentScheduler === defaultScheduler ? ofTheEventLoop : Effect.yieldNow()
)

/** So many rows or operations are dealt with at once, without a {@link turn}. */
export const together = 64

// internal

const ofTheEventLoop: Effect.Effect<void> = Effect.async((resume) => {
  const next = () => resume(Effect.void)
  if (typeof setImmediate === "function") setImmediate(next)
  else setTimeout(next, 0)
})
