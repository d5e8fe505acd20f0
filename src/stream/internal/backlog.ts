/** What the consumers have yet to do, a page of each at a time, so that nobody waits long for anybody. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as Operations from "../../store/Operations.ts"
import * as Replays from "../../store/Replays.ts"
import type { Progress } from "../Progress.ts"
import { empty, ofApplication } from "./building.ts"
import * as Mood from "./mood.ts"
import * as Handover from "./handover.ts"
import * as Pulls from "./pulls.ts"
import * as Readers from "./readers.ts"
import type { Setup } from "./setup.ts"
import { turn } from "../../store/internal/turn.ts"

/** The consumers of one controller. */
export interface Backlog<R> {
  /** A page for each that has something to do; whether anybody had. */
  readonly step: Effect.Effect<boolean, SqlError, SqlClient | R>
  /** One page of a replay, if there is one left. */
  readonly replay: (replay: number) => Effect.Effect<boolean, SqlError, SqlClient | R>
  /** When somebody has something to do by itself, in milliseconds since the epoch. */
  readonly nextDue: Effect.Effect<number | undefined, SqlError, SqlClient>
}

/** So many batches are handed over at once: handing over costs a fraction of what deciding does. */
const pages = 3

export const make = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>
): Backlog<R> => {
  const application = ofApplication(setup)
  const readers = new Map<string, Readers.Reader<Out, R>>([[application.name, application]])
  for (const consumer of setup.consumers) readers.set(consumer.name, { ...consumer, handlesDeleted: false })
  /** Who is to be moved here: a newer program may move it, or one that can empty it. */
  const ours = ({ name, paused, state, version }: Consumers.Backlog): Readers.Reader<Out, R> | undefined => {
    const reader = readers.get(name)
    if (reader?.version !== version || paused) return undefined
    return state === "reset" && reader.reset === undefined ? undefined : reader
  }

  const moods = new Map<string, Mood.Mood>()
  const mood = (name: string): Mood.Mood => {
    const known = moods.get(name) ?? Mood.calm()
    moods.set(name, known)
    return known
  }

  /** Hands over a page, and tells; whether there was one. */
  const page = <E2>(
    name: string,
    task: Handover.Task<Progress, E2, R>
  ): Effect.Effect<boolean, SqlError | E2, SqlClient | R> =>
    Effect.gen(function* () {
      const moved = yield* Handover.step(task, setup.batchSize * pages, mood(name))
      yield* Effect.forEach(moved, setup.progress, { discard: true })
      if (moved.length > 0) yield* turn
      return moved.length > 0
    })

  const replay = (number: number) =>
    Effect.gen(function* () {
      const job = yield* Replays.find(number)
      if (job === undefined || job.state !== "running") return false
      const reader = readers.get(job.name)
      if (reader !== undefined) return yield* page(job.name, Readers.replay(setup, reader, number))
      return yield* Pulls.replay(setup, job)
    })

  const step = Effect.gen(function* () {
    let moved = false
    const last = yield* Operations.lastPosition
    const now = yield* Clock.currentTimeMillis
    for (const one of yield* Consumers.backlog) {
      const { due, name, position, role, state } = one
      const reader = ours(one)
      if (reader === undefined) continue
      if (role === "reader") {
        // Somebody newer was quicker.
        if (state === "reset") yield* Effect.catchTag(empty(setup, reader), "Superseded", () => Effect.void)
        if (state !== "live" || position < last) {
          moved = (yield* page(name, Readers.follow(setup, reader))) || moved
        }
      }
      if (due !== undefined && due <= now) moved = (yield* page(name, Readers.retry(setup, reader))) || moved
    }
    for (const job of yield* Replays.running) moved = (yield* replay(job.replay)) || moved
    return moved
  })

  const nextDue = Effect.map(Consumers.backlog, (consumers) => {
    const due = consumers.flatMap((one) => (one.due === undefined || ours(one) === undefined ? [] : [one.due]))
    return due.length === 0 ? undefined : Math.min(...due)
  })

  return { step, replay, nextDue }
}
