/** The clock of the story: it stands still until the story moves it on. So a day passes at once, and every run is the same. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

let now = Date.UTC(2025, 8, 1)

/** Midnight of the day of the story that is today. */
let today = now

/** It is this time of the day now, `hh:mm`. */
export const at = (time: string) =>
  Effect.sync(() => {
    const [hours = 0, minutes = 0] = time.split(":").map(Number)
    now = today + (hours * 60 + minutes) * 60_000
  })

/** A day has passed. */
export const nextDay = Effect.sync(() => {
  today += 24 * 60 * 60_000
  now += 24 * 60 * 60_000
})

/** The time of the day, of microseconds since the epoch. */
export const show = (micros: number) => new Date(micros / 1000).toISOString().slice(11, 16)

/** What Effect asks for the time. Who sleeps, sleeps for real. */
export const clock: Clock.Clock = {
  [Clock.ClockTypeId]: Clock.ClockTypeId,
  unsafeCurrentTimeMillis: () => now,
  currentTimeMillis: Effect.sync(() => now),
  unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
  currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
  sleep: (duration) => Clock.make().sleep(duration)
}
