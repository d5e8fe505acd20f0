/**
 * A small group chat. Messages quote each other and arrive in any order; one is deleted, a log is pruned; and in the end all
 * peers have the same transcript.
 *
 * Run it with `npm run demo:chat`. It checks what it tells, and exits with 1 if anything is not so.
 *
 * - chat.ts        the application: messages, a table, what goes when
 * - peer.ts        a peer: a key, a database, what it says
 * - mail.ts        a file for each peer; reading them in any order
 * - transcript.ts  the talk in its order, side by side
 * - checks.ts      what must be so in the end
 * - clock.ts       the time of the story
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto, type Hash } from "applecart"
import { chapter, check, say, wrong } from "../common/story.ts"
import * as Tables from "../common/tables.ts"
import { Chat } from "./chat.ts"
import * as Checks from "./checks.ts"
import * as Clock from "./clock.ts"
import * as Mail from "./mail.ts"
import * as Peer from "./peer.ts"

interface Cast {
  readonly parrot: Peer.Peer
  readonly horse: Peer.Peer
  readonly cat: Peer.Peer
  readonly called: Mail.Names
}

const secret = "I hid it under the hay."
const impatient = "Hello? Anybody?"

/** Something is published at a time of the day, and has a name in the story. */
const publish = <E, R>({ called }: Cast, time: string, name: string, self: Effect.Effect<Hash.Hash, E, R>) =>
  Clock.at(time).pipe(
    Effect.zipRight(self),
    Effect.tap((id) => Effect.sync(() => called.set(id, name)))
  )

const writeAll = (title: string, ...peers: ReadonlyArray<Peer.Peer>) =>
  Effect.forEach(peers, (peer) => Mail.write(peer, title))

const one = (cast: Cast) =>
  Effect.gen(function* () {
    const { called, cat, horse, parrot } = cast
    yield* chapter("1. They talk, and are rarely online at the same time")
    yield* say(
      "Parrot asks. Cat hears it, and answers. Horse hears only Cat at first: what Cat says comes after",
      "what Parrot said, so it waits. Nobody sees an answer before the question."
    )
    const question = yield* publish(cast, "08:00", "Parrot's question", Peer.say(parrot, "Has anybody seen my apple?"))
    yield* publish(cast, "08:01", "Parrot's hint", Peer.say(parrot, "The red one, with a leaf."))
    yield* publish(cast, "08:05", "Horse's greeting", Peer.say(horse, "Good morning. Any news?"))
    yield* Mail.read(cat, called, yield* writeAll("early", parrot))
    yield* publish(cast, "08:10", "Cat's answer", Peer.say(cat, "It lay on the cart.", question))
    const confession = yield* publish(cast, "08:11", "Cat's confession", Peer.say(cat, secret, question))
    yield* Mail.read(horse, called, yield* writeAll("early", cat))
    yield* Mail.read(horse, called, yield* writeAll("early", parrot))
    yield* publish(cast, "08:20", "Horse's question", Peer.say(horse, "Under which hay?", confession))
    yield* publish(cast, "08:21", "Parrot's impatience", Peer.say(parrot, impatient))
    const found = yield* publish(cast, "08:30", "Horse's news", Peer.say(horse, "Found it. It was good.", question))
    yield* say("", "Then each gets everybody's file, shuffled, some of it twice, and reads two operations at a time.")
    const mail = yield* writeAll("monday", parrot, horse, cat)
    for (const peer of [parrot, horse, cat]) yield* Mail.read(peer, called, mail)
    yield* Checks.compare([parrot, horse, cat], true)
    return { question, confession, found, mail }
  })

type Monday = Effect.Effect.Success<ReturnType<typeof one>>

const two = (cast: Cast, { confession, found, question }: Monday) =>
  Effect.gen(function* () {
    const { called, cat, horse, parrot } = cast
    yield* chapter("2. Cat takes a message back, and Parrot throws its old ones away")
    yield* say(
      "Cat publishes a tombstone. Parrot publishes a snapshot of the one message that it keeps: everything",
      "before that in its log goes, on all peers. Horse knows nothing of this yet, and goes on talking."
    )
    yield* Clock.nextDay
    yield* publish(cast, "09:00", "Cat's tombstone", Peer.takeBack(cat, confession))
    yield* publish(cast, "09:01", "Parrot's snapshot", Peer.prune(parrot, [question]))
    yield* publish(cast, "09:05", "Parrot's reproach", Peer.say(parrot, "You ate it? From now on I count.", found))
    yield* publish(cast, "09:06", "Horse's thanks", Peer.say(horse, "Cat, thank you for the hay.", confession))
    const held = yield* Peer.run(horse)(Tables.holding(secret))
    yield* check("tables of Horse with what Cat said", held.join(", "), "applecart_operations, messages")
    const mail = yield* writeAll("tuesday", parrot, horse, cat)
    for (const peer of [parrot, horse, cat]) yield* Mail.read(peer, called, mail)
    return mail
  })

const three = ({ called, cat, horse, parrot }: Cast, owl: Peer.Peer, mail: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* chapter("3. Owl is new, and gets only what is left")
    yield* say(
      "Cat's answer comes after a message of Parrot that nobody has any more. Owl cannot know that; it waits",
      "for a day, and so does whatever comes after Cat's answer."
    )
    const waiting = yield* Mail.read(owl, called, mail)
    yield* Clock.nextDay
    yield* Clock.nextDay
    const { accepted } = yield* Effect.flatMap(Chat, ({ drain }) => drain).pipe(Peer.run(owl))
    yield* check("operations accepted a day later", accepted, waiting)
    yield* Checks.compare([parrot, horse, cat, owl], true)
  })

const four = ({ called, cat, horse, parrot }: Cast, owl: Peer.Peer, mail: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    yield* chapter("4. Somebody brings Monday's mail once more, with all that is gone in it")
    yield* say("Nothing of it comes back: what was pruned is let in no more, and what was deleted stays empty.")
    const peers = [parrot, horse, cat, owl]
    for (const peer of peers) yield* Mail.read(peer, called, mail)
    yield* Checks.compare(peers, false)
    yield* Checks.gone(peers, secret)
    yield* Checks.gone(peers, impatient)
  })

const story = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const directory = yield* files.makeTempDirectoryScoped({ prefix: "group-chat-" })
  const [parrot, horse, cat, owl] = yield* Effect.all([
    Peer.make(directory, "Parrot"),
    Peer.make(directory, "Horse"),
    Peer.make(directory, "Cat"),
    Peer.make(directory, "Owl")
  ])
  const cast: Cast = { parrot, horse, cat, called: new Map() }
  yield* say("Parrot, Horse and Cat chat. Each has a database of its own; they exchange files.")
  const monday = yield* one(cast)
  const tuesday = yield* two(cast, monday)
  yield* three(cast, owl, tuesday)
  yield* four(cast, owl, monday.mail)
  yield* chapter("The end")
  const mistakes = yield* wrong
  if (mistakes > 0) return yield* Effect.fail(new Error(`${mistakes} things are not as the story says`))
  yield* say("Everybody has the same talk in the same order, and what is gone is gone everywhere.")
})

story.pipe(
  Effect.scoped,
  Effect.withClock(Clock.clock),
  Effect.provide(Layer.mergeAll(Crypto.layer, NodeContext.layer)),
  NodeRuntime.runMain
)
