/** A clock that runs as the world's does, and leaps where that is asked for: a limit of ten seconds is over at once. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export interface Leap {
  readonly clock: Clock.Clock
  /** So many milliseconds pass at once; whoever slept until then wakes. */
  readonly leap: (millis: number) => Effect.Effect<void>
}

export const make = (): Leap => {
  const world = Clock.make()
  let ahead = 0
  const sleeping = new Set<{ readonly until: number; readonly wake: () => void }>()
  const now = () => world.unsafeCurrentTimeMillis() + ahead
  const nanos = () => BigInt(now()) * 1_000_000n
  return {
    clock: {
      [Clock.ClockTypeId]: world[Clock.ClockTypeId],
      unsafeCurrentTimeMillis: now,
      currentTimeMillis: Effect.sync(now),
      unsafeCurrentTimeNanos: nanos,
      currentTimeNanos: Effect.sync(nanos),
      sleep: (duration) =>
        Effect.raceFirst(
          world.sleep(duration),
          Effect.async<void>((resume) => {
            const sleeper = { until: now() + Duration.toMillis(duration), wake: () => resume(Effect.void) }
            sleeping.add(sleeper)
            return Effect.sync(() => sleeping.delete(sleeper))
          })
        )
    },
    leap: (millis) =>
      Effect.sync(() => {
        ahead += millis
        for (const sleeper of sleeping) {
          if (sleeper.until > now()) continue
          sleeping.delete(sleeper)
          sleeper.wake()
        }
      })
  }
}
