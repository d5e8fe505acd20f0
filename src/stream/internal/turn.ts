import * as Effect from "effect/Effect"

/**
 * A turn of the event loop. SQLite answers at once, so that a loop over statements never gives timers and sockets a
 * chance by itself; Effect's own yields are microtasks.
 */
export const turn: Effect.Effect<void> = Effect.async((resume) => {
  const next = () => resume(Effect.void)
  if (typeof setImmediate === "function") setImmediate(next)
  else setTimeout(next, 0)
})
