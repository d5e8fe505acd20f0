/**
 * Parrot sends apples to Horse. Whatever crashes on the way, there is never one apple too few or one too many.
 *
 * Run it with `npm run demo`. It checks what it tells, and exits with 1 if anything is not so.
 *
 * - apples.ts   the application: a message, a rule, a table
 * - peer.ts     a peer: a key, a database, mail
 * - horse.ts    Horse as a process of its own, to be killed
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { Crypto, Inspect, Rejection } from "applecart"
import { Effect, Layer, Schema } from "effect"
import { fork } from "node:child_process"
import { AppleController, baskets, Weather } from "./apples.ts"
import * as Peer from "./peer.ts"
import { chapter, check, say, wrong } from "../common/story.ts"

interface Cast {
  readonly parrot: Peer.Peer
  readonly horse: Peer.Peer
}

const counted = ({ horse, parrot }: Cast, found: ReadonlyMap<string, number>) => ({
  Parrot: found.get(parrot.author) ?? 0,
  Horse: found.get(horse.author) ?? 0
})

/** Compares what stands in a peer's database, read past the controller. */
const checkBook = (cast: Cast, peer: Peer.Peer, expected: { readonly Parrot: number; readonly Horse: number }) =>
  Effect.gen(function* () {
    const found = yield* Effect.provide(baskets, Peer.database(peer.directory))
    yield* check(`${peer.name}'s book says`, counted(cast, found), expected)
  })

/** The mail of Parrot: files with what it has picked and given. */
const one = (cast: Cast) =>
  Effect.gen(function* () {
    const { horse, parrot } = cast
    yield* chapter("1. Parrot picks 10 apples and gives Horse 3, 2 and 1 of them")
    yield* say(
      "Each of the four is an operation: a message that Parrot has signed, and that names the",
      "one before it in its log. Horse knows nothing of it yet."
    )
    yield* Peer.pick(parrot, 10)
    for (const apples of [3, 2, 1]) yield* Peer.give(parrot, horse, apples)
    yield* checkBook(cast, parrot, { Parrot: 4, Horse: 6 })
    return yield* Effect.all([Peer.send(parrot, "orchard"), Peer.send(parrot, "gifts")])
  }).pipe(Peer.run(cast.parrot))

const two = (cast: Cast) =>
  Effect.gen(function* () {
    const { horse, parrot } = cast
    yield* chapter("2. Parrot tries to give Horse 5 more, with 4 left")
    yield* say(
      "The application has the last word, also about our own operations. It wrote to both",
      "baskets before it noticed; then it failed, and the operation has never existed."
    )
    const { status } = yield* AppleController
    const error = yield* Effect.flip(Peer.give(parrot, horse, 5))
    yield* check("the error that Parrot's program gets", error._tag, "NotEnoughApples")
    yield* say(`  "${error.message}"`)
    yield* check("operations in Parrot's database", (yield* status).accepted, 4)
    yield* checkBook(cast, parrot, { Parrot: 4, Horse: 6 })
  }).pipe(Peer.run(cast.parrot))

/** Starts Horse as a process of its own, and kills that when it stands between two writes. */
const thunderstorm = (horse: Peer.Peer, mail: ReadonlyArray<string>) =>
  Effect.async<{ readonly seen: unknown; readonly signal: string | null }>((resume) => {
    const child = fork(new URL("./horse.ts", import.meta.url), [horse.directory, ...mail])
    let seen: unknown
    child.once("message", (message) => {
      seen = message
      child.kill("SIGKILL")
    })
    child.once("exit", (_, signal) => resume(Effect.succeed({ seen, signal })))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const Seen = Schema.ReadonlyMapFromRecord({ key: Schema.String, value: Schema.Int })

const three = (cast: Cast, mail: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* chapter("3. Horse gets the mail, and is killed halfway through the first gift")
    yield* say(
      "The mail is two files. Horse's process puts their four operations into its inbox, then",
      "processes them in one transaction. A gift is two writes: out of one basket, into the",
      "other. Between them we kill the process (SIGKILL, it cannot defend itself)."
    )
    const { seen, signal } = yield* Effect.timeout(thunderstorm(cast.horse, mail), "1 minute")
    const baskets = yield* Schema.decodeUnknown(Seen)(seen)
    yield* check("the last that Horse sees: 3 are nowhere", counted(cast, baskets), { Parrot: 7, Horse: 0 })
    yield* check("its process ends with", signal, "SIGKILL")
    yield* say("", "The transaction died with it: nothing of it is in the database.")
    yield* checkBook(cast, cast.horse, { Parrot: 0, Horse: 0 })
  })

const four = (cast: Cast, mail: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* chapter("4. Horse starts again")
    yield* say("Nobody has to send anything again: what was received is in the inbox.")
    const { drain, status } = yield* AppleController
    yield* check("operations in the inbox", (yield* status).queued, 4)
    yield* check("they are processed", yield* drain, { accepted: 4, waiting: 0, rejected: 0 })
    yield* checkBook(cast, cast.horse, { Parrot: 4, Horse: 6 })
    yield* say("", "Somebody brings the same mail a second time.")
    const again = yield* Effect.forEach(mail, Peer.receive)
    yield* check("operations in it that are known", again.flat().filter(({ _tag }) => _tag === "Known").length, 4)
    yield* check("they are processed", yield* drain, { accepted: 0, waiting: 0, rejected: 0 })
    yield* checkBook(cast, cast.horse, { Parrot: 4, Horse: 6 })
  }).pipe(Peer.run(cast.horse))

/** The mail of Horse, what it has picked apart from what it has given. */
const five = (cast: Cast) =>
  Effect.gen(function* () {
    const { horse, parrot } = cast
    yield* chapter("5. Horse picks 5 and gives Parrot 8 of its 11 apples")
    yield* Peer.pick(horse, 5)
    yield* Peer.give(horse, parrot, 8)
    yield* checkBook(cast, horse, { Parrot: 12, Horse: 3 })
    return { orchard: yield* Peer.send(horse, "orchard"), gifts: yield* Peer.send(horse, "gifts") }
  }).pipe(Peer.run(cast.horse))

const six = (cast: Cast, mail: { readonly orchard: string; readonly gifts: string }) =>
  Effect.gen(function* () {
    yield* chapter("6. Parrot hears of the 8 apples, but not yet of the 5")
    yield* say(
      "It only knows of the 6 apples that it gave Horse itself. So its application rejects the",
      "gift, and its writes are undone. The operation stays in the inbox, with the reason."
    )
    const { drain, replay } = yield* AppleController
    yield* Peer.receive(mail.gifts)
    yield* check("the gift is processed", yield* drain, { accepted: 0, waiting: 0, rejected: 1 })
    const said = (yield* Inspect.rejected()).map(({ processor, reason }) => ({
      processor,
      ...Rejection.decode(reason)
    }))
    for (const { message, processor, tag } of said) {
      yield* check("who says no, and why", { [processor]: tag }, { apples: "NotEnoughApples" })
      yield* say(`  "${message}"`)
    }
    yield* checkBook(cast, cast.parrot, { Parrot: 4, Horse: 6 })
    yield* say("", "Then the mail about the 5 arrives, and what was rejected is replayed.")
    yield* Peer.receive(mail.orchard)
    yield* check("the 5 are processed, the gift is not", yield* drain, { accepted: 1, waiting: 0, rejected: 1 })
    yield* check("the gift is replayed", yield* replay(), { accepted: 1, waiting: 0, rejected: 0 })
    yield* checkBook(cast, cast.parrot, { Parrot: 12, Horse: 3 })
  }).pipe(Peer.run(cast.parrot))

const story = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const directory = yield* files.makeTempDirectoryScoped({ prefix: "parrot-and-horse-" })
  const cast = { parrot: yield* Peer.make(directory, "Parrot"), horse: yield* Peer.make(directory, "Horse") }
  yield* say("Parrot and Horse each keep a book of who has how many apples. They write to each other.")
  const fromParrot = yield* one(cast)
  yield* two(cast)
  yield* three(cast, fromParrot)
  yield* four(cast, fromParrot)
  const fromHorse = yield* five(cast)
  yield* six(cast, fromHorse)
  yield* chapter("The end")
  const mistakes = yield* wrong
  if (mistakes > 0) return yield* Effect.fail(new Error(`${mistakes} numbers are not what the story says`))
  yield* say("15 apples were picked, 15 are in the baskets, and both books say the same.")
})

story.pipe(
  Effect.scoped,
  Effect.provide(Layer.mergeAll(Weather.calm, Crypto.layer, NodeContext.layer)),
  NodeRuntime.runMain
)
