/**
 * The farm's animals book its rooms, and are rarely online. Bookings that nobody could know to be in conflict are accepted, and
 * everybody comes to the same plan; then the calendar gets a new version, which is built while the old one is still read.
 *
 * Run it with `npm run demo:calendar`. It checks what it tells, and exits with 1 if anything is not so.
 *
 * - booking.ts      the words and the rules of version 1, all of it pure
 * - first-come.ts   what not to do
 * - calendar.ts     version 1: events, the plan, a consumer
 * - letters.ts      an outbox, and the post office
 * - calendar2.ts    version 2: another state, another table, one more rule
 * - rebuild.ts      version 2 as a process of its own, to be killed
 * - peer.ts         booking, cancelling, mail
 * - conflicts.ts    chapters 1 to 3
 * - upgrade.ts      chapters 4 and 5
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto } from "applecart"
import * as Clock from "../common/clock.ts"
import * as Peer from "../common/peer.ts"
import { chapter, say, wrong } from "../common/story.ts"
import { Power } from "./calendar2.ts"
import { one, three, two } from "./conflicts.ts"
import { five, four } from "./upgrade.ts"

const story = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const directory = yield* files.makeTempDirectoryScoped({ prefix: "venue-calendar-" })
  const [rehearsal, farm] = [`${directory}/rehearsal`, `${directory}/farm`]
  yield* Effect.forEach([rehearsal, farm], (path) => files.makeDirectory(path))
  yield* say("The farm has a barn and a stable, which can be booked. There is no server; peers exchange files.")
  yield* one(yield* Peer.make(rehearsal, "Parrot"), yield* Peer.make(rehearsal, "Horse"))
  const cast = yield* Effect.all({
    parrot: Peer.make(farm, "Parrot"),
    horse: Peer.make(farm, "Horse"),
    cat: Peer.make(farm, "Cat"),
    fox: Peer.make(farm, "Fox"),
    owl: Peer.make(farm, "Owl")
  })
  yield* three(cast, yield* two(cast))
  yield* four(cast)
  yield* five(cast)
  yield* chapter("The end")
  const mistakes = yield* wrong
  if (mistakes > 0) return yield* Effect.fail(new Error(`${mistakes} things are not as the story says`))
  yield* say(
    "Who has a room follows from what was booked, whoever heard of what first, and whichever version looks at it."
  )
})

story.pipe(
  Effect.scoped,
  Effect.withClock(Clock.clock),
  Effect.provide(Layer.mergeAll(Crypto.layer, NodeContext.layer, Power.on)),
  NodeRuntime.runMain
)
