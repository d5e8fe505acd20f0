/** A peer for one trial: a database in memory whose faults can be planned, and a clock that stands still. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import type { ConfigError } from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as History from "../History.ts"
import * as SqlFaults from "../SqlFaults.ts"

const memory = SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename: ":memory:" })))

/** What a peer offers to what runs on it. */
export type Services = SqlClient.SqlClient | SqlFaults.SqlFaults

/** An hour after histories begin, in milliseconds since the epoch. */
const begin = Number(History.begin / 1000n) + 3_600_000

/** Time passes only where something waits for it to the end, so that what never ends is stopped, and all else has one moment. */
const standing = (): Clock.Clock => {
  const live = Clock.make()
  let now = begin
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    sleep: (duration) =>
      Effect.suspend(() => {
        const end = now + Duration.toMillis(duration)
        return Effect.tap(live.sleep(duration), () => Effect.sync(() => (now = Math.max(now, end))))
      })
  }
}

/** Runs on a peer of its own. */
export const run = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | ConfigError, Exclude<R, Services>> =>
  Effect.suspend(() => Effect.withClock(Effect.provide(self, memory), standing()))
