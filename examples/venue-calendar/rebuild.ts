/**
 * A process of its own that opens the calendar with version 2, and is cut off from power in the middle: it reports how far it has
 * come to the process that started it, and waits to be killed, with a transaction open.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { Calendar2, Power } from "./calendar2.ts"
import * as Peer from "./peer.ts"

const [directory = "", position = ""] = process.argv.slice(2)

let done = 0

const PowerCut = Layer.succeed(Power, {
  at: (reached) =>
    reached < Number(position)
      ? Effect.void
      : Effect.zipRight(
          Effect.sync(() => process.send?.({ reached, done })),
          Effect.never
        )
})

Effect.gen(function* () {
  const { consumers, drain } = yield* Calendar2
  const note = consumers.progress.pipe(Stream.runForEach(({ position }) => Effect.sync(() => (done = position))))
  yield* Effect.raceFirst(note, drain)
}).pipe(
  Effect.provide(Layer.provideMerge(Calendar2.layer, Peer.database(directory))),
  Effect.provide(PowerCut),
  NodeRuntime.runMain
)
