/** The clock of a peer: it may be off, and jump; what sleeps, sleeps as long as it was told to. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as History from "../../History.ts"
import type { Turns } from "./turns.ts"

/** When runs begin, in milliseconds since the epoch. */
export const begin = Number(History.begin / 1000n)

export class PeerClock implements Clock.Clock {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  /** Milliseconds that it is ahead. */
  ahead = 0
  private readonly turns: Turns

  constructor(turns: Turns) {
    this.turns = turns
  }

  unsafeCurrentTimeMillis(): number {
    return begin + this.turns.now + this.ahead
  }

  /** Never set, as that of a machine: what is measured with it are durations. */
  unsafeCurrentTimeNanos(): bigint {
    return BigInt(begin + this.turns.now) * 1_000_000n
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())
  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    return Effect.async((resume) => {
      if (!Number.isFinite(millis)) return
      const timer = this.turns.after(millis, () => resume(Effect.void))
      return Effect.sync(() => {
        timer.off = true
      })
    })
  }
}
