/**
 * Horse on a stormy day: a process of its own that opens its mail, and never gets further than between the two writes of a
 * gift. There it reports what it sees to the process that started it, and waits to be killed.
 */
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { AppleController, baskets, Weather } from "./apples.ts"
import * as Peer from "./peer.ts"

const [directory = "", ...mail] = process.argv.slice(2)

const report = Effect.map(baskets, (seen) => process.send?.(Object.fromEntries(seen)))
const Thunderstorm = Layer.succeed(Weather, {
  betweenTheWrites: report.pipe(Effect.orDie, Effect.zipRight(Effect.never))
})

Effect.gen(function* () {
  yield* Effect.forEach(mail, Peer.receive)
  const controller = yield* AppleController
  yield* controller.drain
}).pipe(
  Effect.provide(Peer.layer(directory)),
  Effect.provide(Thunderstorm),
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain
)
