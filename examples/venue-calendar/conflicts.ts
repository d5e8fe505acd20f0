/** Chapters 1 to 3: what happens when two book the same room, and neither could know. */
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import { Application, Inspect, Rejection, StreamController, type Hash } from "applecart"
import type * as Peers from "../common/peer.ts"
import { chapter, check, say } from "../common/story.ts"
import { Message } from "./booking.ts"
import { Calendar, pipeline, plan } from "./calendar.ts"
import { FirstCome } from "./first-come.ts"
import * as Peer from "./peer.ts"

export interface Cast {
  readonly parrot: Peers.Peer
  readonly horse: Peers.Peer
  readonly cat: Peers.Peer
  readonly fox: Peers.Peer
  readonly owl: Peers.Peer
}

const singing = { room: "barn", title: "Singing", from: 10 * 60, to: 12 * 60 }
const hurdles = { room: "barn", title: "Hurdles", from: 11 * 60, to: 13 * 60 }
const napping = { room: "barn", title: "Napping", from: 12 * 60, to: 14 * 60 }

/** Where the operations of the current peer are. */
const left = Effect.gen(function* () {
  const { accepted, rejected, waiting } = yield* (yield* FirstCome).status
  return { accepted, rejected, waiting }
})

export const one = (parrot: Peers.Peer, horse: Peers.Peer) =>
  Effect.gen(function* () {
    yield* chapter("1. What not to do: first come, first served")
    const asParrot = Peer.run(parrot, FirstCome.layer)
    const asHorse = Peer.run(horse, FirstCome.layer)
    yield* say("A first attempt rejects a booking when the room is taken. With one's own that works well:")
    const sung = yield* Effect.gen(function* () {
      const controller = yield* FirstCome
      yield* Peer.at(0)
      const sung = yield* Peer.book(controller, parrot, singing)
      const error = yield* Effect.flip(Peer.book(controller, parrot, { ...hurdles, title: "Dancing" }))
      yield* check("Parrot books what it has booked already", error._tag, "RoomTaken")
      yield* check("what is left of that: nothing", yield* left, { accepted: 1, rejected: 0, waiting: 0 })
      return sung
    }).pipe(asParrot)
    yield* say("", "But Horse is offline as well, and books the barn too; then the stable. They exchange files.")
    const hurdle = Effect.gen(function* () {
      const controller = yield* FirstCome
      yield* Peer.at(5)
      yield* Peer.book(controller, horse, hurdles)
      yield* Peer.book(controller, horse, { room: "stable", title: "Shoeing", from: 14 * 60, to: 15 * 60 })
      return yield* Peer.write(horse, "monday")
    })
    const fromHorse = yield* asHorse(hurdle)
    const fromParrot = yield* asParrot(Peer.write(parrot, "monday"))
    const read = (peer: Peers.Peer, file: string) =>
      Effect.gen(function* () {
        const rejected = yield* Peer.read(yield* FirstCome, peer, [file])
        yield* check(`${peer.name} rejects`, rejected, { RoomTaken: 1 })
        return yield* left
      })
    const atParrots = yield* asParrot(read(parrot, fromHorse))
    yield* asHorse(read(horse, fromParrot))
    yield* say("Each holds the other's log from there on. Parrot does not even hear of the stable:")
    yield* check("Parrot's operations", atParrots, { accepted: 1, rejected: 1, waiting: 1 })
    yield* mend({ parrot, horse }, sung)
  })

const mend = ({ horse, parrot }: Pick<Cast, "parrot" | "horse">, sung: Hash.Hash) =>
  Effect.gen(function* () {
    yield* say("", "Parrot gives in: it cancels, and has what it rejected replayed.")
    const cancelled = Effect.gen(function* () {
      const controller = yield* FirstCome
      yield* Peer.cancel(controller, parrot, "barn", sung)
      yield* check("Parrot replays", yield* controller.replay(), { accepted: 2, rejected: 0, waiting: 0 })
      return yield* Peer.write(parrot, "tuesday")
    })
    const file = yield* Peer.run(parrot, FirstCome.layer)(cancelled)
    const heard = Effect.gen(function* () {
      const controller = yield* FirstCome
      yield* Peer.read(controller, horse, [file])
      return yield* controller.replay()
    })
    yield* say("Horse never hears of it: the cancellation stands behind the booking, which Horse rejects for good.")
    const after = yield* Peer.run(horse, FirstCome.layer)(heard)
    yield* check("Horse replays", after, { accepted: 0, rejected: 1, waiting: 1 })
  })

/** Everybody writes all that it has said into a file, and reads the others' in an order of its own; gives what was rejected. */
const exchange = (title: string, peers: ReadonlyArray<Peers.Peer>, files: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const written = yield* Effect.forEach(peers, (peer) => Peer.write(peer, title).pipe(Peer.run(peer, Calendar.layer)))
    return yield* Effect.forEach(peers, (peer) =>
      Effect.flatMap(Calendar, (controller) => Peer.read(controller, peer, [...written, ...files])).pipe(
        Peer.run(peer, Calendar.layer)
      )
    )
  })

const compare = (peers: ReadonlyArray<Peers.Peer>, expected: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const plans = yield* Effect.forEach(peers, ({ directory }) => Effect.provide(plan, Peer.database(directory)))
    yield* check(
      "plans that are the same",
      plans.filter((one) => isDeepStrictEqual(one, plans[0])).length,
      peers.length
    )
    yield* check("it says", plans[0]?.join("; "), expected.join("; "))
  })

const bookAlone = (peer: Peers.Peer, minute: number, booking: Parameters<typeof Peer.book>[2]) =>
  Effect.gen(function* () {
    yield* Peer.at(minute)
    const id = yield* Peer.book(yield* Calendar, peer, booking)
    yield* check(`${peer.name}'s plan says`, (yield* plan).join("; "), `barn Saturday: ${booking.title} has it`)
    return id
  }).pipe(Peer.run(peer, Calendar.layer))

export const two = ({ cat, horse, parrot }: Cast) =>
  Effect.gen(function* () {
    const peers = [parrot, horse, cat]
    yield* chapter("2. Accept what nobody could know, and let the state say who has the room")
    yield* say("Three book the barn offline. Each sees only its own booking.")
    const sung = yield* bookAlone(parrot, 0, singing)
    yield* bookAlone(horse, 5, hurdles)
    const napped = yield* bookAlone(cat, 7, napping)
    yield* say("", "All three bookings are accepted everywhere, in whatever order. Who booked earlier has the room.")
    const rejected = yield* exchange("monday", peers)
    yield* check("peers that reject anything", rejected.filter((by) => Object.keys(by).length > 0).length, 0)
    yield* compare(peers, [
      "barn Saturday: Hurdles waits",
      "barn Saturday: Napping waits",
      "barn Saturday: Singing has it"
    ])
    yield* say("", "Parrot cancels. Whoever waits moves up where the news arrives; there is nothing to replay.")
    yield* Effect.flatMap(Calendar, (controller) => Peer.cancel(controller, parrot, "barn", sung)).pipe(
      Peer.run(parrot, Calendar.layer)
    )
    yield* exchange("tuesday", peers)
    yield* compare(peers, ["barn Saturday: Hurdles has it", "barn Saturday: Napping waits"])
    return napped
  })

/** Fox has a program of its own, which has no rules. */
class Lawless extends StreamController.Tag<Lawless>()("Lawless", {
  pipeline,
  application: Application.make({ name: "calendar", version: 1, message: Message, handle: () => Effect.void })
}) {}

export const three = ({ cat, fox, horse, parrot }: Cast, napped: Hash.Hash) =>
  Effect.gen(function* () {
    const peers = [parrot, horse, cat]
    yield* chapter("3. Reject what its author could have known")
    yield* say("Horse wants Cat's booking away, and a second room at the same time. Its own program says no.")
    yield* Effect.gen(function* () {
      const controller = yield* Calendar
      const notYours = yield* Effect.flip(Peer.cancel(controller, horse, "barn", napped))
      yield* check("Horse cancels Cat's booking", notYours._tag, "NotYours")
      const twice = yield* Effect.flip(Peer.book(controller, horse, { ...singing, title: "Jumping" }))
      yield* check("Horse books what it has booked", twice._tag, "BookedTwice")
    }).pipe(Peer.run(horse, Calendar.layer))
    yield* say("", "Fox has a program without rules: it books the stable, cancels Cat's booking, and books once more.")
    const hunting = { room: "stable", title: "Hunting", from: 20 * 60, to: 22 * 60 }
    const file = yield* Effect.gen(function* () {
      const controller = yield* Lawless
      yield* Peer.book(controller, fox, hunting)
      yield* Peer.cancel(controller, fox, "barn", napped)
      yield* Peer.book(controller, fox, { ...hunting, title: "Feasting", from: 22 * 60, to: 23 * 60 })
      return yield* Peer.write(fox, "wednesday")
    }).pipe(Peer.run(fox, Lawless.layer))
    const rejected = yield* exchange("wednesday", peers, [file])
    for (const [at, { name }] of peers.entries()) yield* check(`${name} rejects`, rejected[at], { NotYours: 1 })
    for (const { reason } of yield* Effect.provide(Inspect.rejected(), Peer.database(cat.directory))) {
      yield* say(`  "${Rejection.decode(reason).message}"`)
    }
    yield* say("What Fox says later waits behind that, everywhere. Nobody else is held up.")
    yield* compare(peers, [
      "barn Saturday: Hurdles has it",
      "barn Saturday: Napping waits",
      "stable Saturday: Hunting has it"
    ])
  })
