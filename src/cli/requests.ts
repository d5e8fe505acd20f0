/**
 * Verbs that ask something of a consumer: `retry`, `pause`, `resume`, `cancel`. They only record it; the program that has the
 * consumer's handler carries it out.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Replays from "../store/Replays.ts"
import * as Asked from "../stream/internal/asked.ts"
import * as Database from "./Database.ts"
import * as Output from "./Output.ts"
import { Incomplete } from "./Problem.ts"

/** When what was asked for is carried out. */
export const later =
  "The program that the consumer belongs to does it: within a second where it runs, else when it runs next."

/** `retry NAME [POSITION...]`. */
export const retry = (options: {
  readonly db: string
  readonly name: string
  readonly positions: ReadonlyArray<number>
}) =>
  Effect.gen(function* () {
    const { db, name } = options
    const positions = Array.from(new Set(options.positions))
    const wanted = positions.length === 0 ? undefined : positions
    const { isPaused, retried } = yield* Database.record(
      db,
      Effect.gen(function* () {
        const retried = yield* Asked.retry(name, wanted)
        return { isPaused: (yield* Asked.named(name)).paused, retried }
      })
    )
    yield* Output.result(retryText(name, retried, isPaused), { consumer: name, retried })
    if (retried < positions.length) {
      return yield* new Incomplete({
        message: `${name} has parked ${retried} of the ${Output.count(positions.length, "position")} that you gave; \`applecart parked ${name}\` lists what it has.`
      })
    }
  })

/** `pause NAME`, `resume NAME`. */
export const pause = ({ db, name }: { readonly db: string; readonly name: string }, isPaused: boolean) =>
  Effect.gen(function* () {
    yield* Database.record(db, Asked.pause(name, isPaused))
    const said = isPaused
      ? `Paused ${name}: it is handed nothing until applecart resume ${name}. The others go on.`
      : `Resumed ${name}: it is handed what there is for it. ${later}`
    yield* Output.result(said, { consumer: name, paused: isPaused })
  })

/** There is no such replay that could be ended. */
export class NotRunning extends Data.TaggedError("NotRunning")<{
  readonly number: number
  readonly state: "done" | "cancelled" | undefined
  readonly running: ReadonlyArray<number>
}> {
  override get message() {
    const is = { done: "is done", cancelled: "was cancelled before" }
    const what = this.state === undefined ? "is not known here" : is[this.state]
    return `Replay ${this.number} ${what}. Those that are not done: ${this.running.join(", ") || "none"}.`
  }
}

/** `cancel NUMBER`. */
export const cancel = ({ db, number }: { readonly db: string; readonly number: number }) =>
  Effect.gen(function* () {
    const { handled, name, parked, position } = yield* Database.record(
      db,
      Effect.gen(function* () {
        const found = yield* Replays.find(number)
        if (found?.state === "running") return yield* Effect.as(Replays.cancel(number), found)
        const running = (yield* Replays.running).map(({ replay }) => replay)
        return yield* new NotRunning({ number, state: found?.state, running })
      })
    )
    yield* Output.result(
      `Cancelled replay ${number} of ${Output.safe(name)} at position ${position}; ${handled} handled and ${parked} parked before that stay so.`,
      { replay: number, consumer: name, position, handled, parked }
    )
  })

// internal

const retryText = (name: string, retried: number, isPaused: boolean): string => {
  if (retried === 0) return `Nothing of that is parked by ${name}.`
  const then = isPaused ? `It is paused, so that it is handed them after applecart resume ${name}.` : later
  return `Asked for ${Output.count(retried, "parked operation")} to be handed to ${name} again. ${then}`
}
