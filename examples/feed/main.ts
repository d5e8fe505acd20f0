/**
 * The farm has a notice board. Notices are simply stored; they are listed newest first, by page, topic and author; and they go
 * when their authors take them down.
 *
 * Run it with `npm run demo:feed`. It checks what it tells, and exits with 1 if anything is not so.
 *
 * - board.ts   the application: a feed, a rule, a count
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto, Filter, Topic, type Feed } from "applecart"
import * as Mail from "../common/mail.ts"
import * as Peer from "../common/peer.ts"
import { chapter, check, say, wrong } from "../common/story.ts"
import * as Tables from "../common/tables.ts"
import { Board, board, count, run } from "./board.ts"

interface Cast {
  readonly parrot: Peer.Peer
  readonly horse: Peer.Peer
}

const regret = "Whoever took my oats: I know where you sleep."

const topic = (name: string) => Effect.map(Crypto.Crypto, (crypto) => Topic.named(crypto, name))

/** Puts a notice up; gives its id. */
const post = ({ key }: Peer.Peer, about: string, text: string) =>
  Effect.gen(function* () {
    const { publish } = yield* Board
    return (yield* publish({ key, topic: yield* topic(about), message: { text } })).id
  })

/** A page of the board: of a topic, of an author, or of both. */
const page = (of: { readonly about?: string; readonly author?: Peer.Peer }, rest: Feed.Page = {}) =>
  Effect.gen(function* () {
    const about = of.about === undefined ? undefined : yield* topic(of.about)
    const which = Filter.make(yield* Crypto.Crypto, { topic: about, author: of.author?.author })
    return yield* board.list({ ...which, ...rest })
  })

const texts = (entries: ReadonlyArray<{ readonly message: { readonly text: string } }>) =>
  entries.map(({ message }) => message.text)

/** Everybody reads everybody's mail, shuffled and some of it twice. */
const exchange = (title: string, writers: ReadonlyArray<Peer.Peer>, readers: ReadonlyArray<Peer.Peer>) =>
  Effect.gen(function* () {
    const files = yield* Effect.forEach(writers, (peer) =>
      run(peer)(Mail.write(`${peer.directory}/${title}.operations`, { author: peer.author }))
    )
    yield* Effect.forEach(readers, (peer) =>
      Effect.gen(function* () {
        const controller = yield* Board
        yield* controller.processAll(yield* Mail.shuffled(`${peer.name} ${title}`, files))
      }).pipe(run(peer))
    )
  })

/** What is on everybody's board, in whatever order it came there. */
const compare = (peers: ReadonlyArray<Peer.Peer>, notices: number) =>
  Effect.gen(function* () {
    const boards = yield* Effect.forEach(peers, (peer) =>
      run(peer)(Effect.map(board.list({ limit: 100 }), (entries) => texts(entries).toSorted().join("\n")))
    )
    yield* check("boards that are the same", boards.filter((one) => one === boards[0]).length, peers.length)
    yield* check("notices on each", boards[0]?.split("\n").length, notices)
  })

const one = (cast: Cast) =>
  Effect.gen(function* () {
    const { horse, parrot } = cast
    yield* chapter("1. Parrot and Horse put up notices, and read them by pages")
    for (const n of [1, 2, 3, 4]) yield* run(parrot)(post(parrot, "lost", `Lost: apple number ${n}.`))
    yield* run(parrot)(post(parrot, "found", "Found: a horseshoe. Smells of oats."))
    const angry = yield* run(horse)(post(horse, "lost", regret))
    yield* run(horse)(post(horse, "found", "Found: four apples. Now they are gone."))
    yield* exchange("monday", [parrot, horse], [parrot, horse])
    yield* compare([parrot, horse], 7)
    yield* Effect.gen(function* () {
      const first = yield* page({}, { limit: 4 })
      const second = yield* page({}, { limit: 4, before: first.at(-1)?.position })
      yield* check("notices on the first and the second page", [first.length, second.length].join(" and "), "4 and 3")
      const found = yield* page({ about: "found" })
      yield* say("", "What was found:", ...texts(found).map((text) => `  ${text}`))
      yield* check("notices about what was found", found.length, 2)
      yield* check("notices of Parrot about that", (yield* page({ about: "found", author: parrot })).length, 1)
    }).pipe(run(horse))
    return angry
  })

const two = ({ parrot }: Cast) =>
  Effect.gen(function* () {
    yield* chapter("2. Parrot writes too much")
    yield* say("The board's own rule says no after the notice was stored and counted. Then neither has happened.")
    const error = yield* Effect.flip(post(parrot, "lost", "Lost: a long, long poem about apples. ".repeat(3)))
    yield* check("the error that Parrot's program gets", error._tag, "TooLong")
    yield* say(`  "${error.message}"`)
    yield* check("notices of Parrot on its board", (yield* page({ author: parrot })).length, 5)
    yield* check("notices of Parrot that are counted", yield* count(parrot.author), 5)
  }).pipe(run(parrot))

const three = ({ horse, parrot }: Cast, angry: Effect.Effect.Success<ReturnType<typeof one>>) =>
  Effect.gen(function* () {
    yield* chapter("3. Horse regrets a notice, and Parrot has found its apples")
    yield* say(
      "Horse publishes a tombstone. Parrot puts up a notice that makes all its older ones about what was lost",
      "unnecessary (`prune`). Their rows go with their operations, on every peer."
    )
    const lost = yield* topic("lost")
    yield* Effect.flatMap(Board, ({ publish }) => publish({ key: horse.key, topic: lost, deletes: [angry] })).pipe(
      run(horse)
    )
    yield* Effect.flatMap(Board, ({ publish }) =>
      publish({ key: parrot.key, topic: lost, prune: true, message: { text: "Nothing lost any more." } })
    ).pipe(run(parrot))
    yield* exchange("tuesday", [parrot, horse], [parrot, horse])
    yield* compare([parrot, horse], 3)
    for (const peer of [parrot, horse]) {
      yield* check(
        `tables of ${peer.name} with what was regretted`,
        (yield* run(peer)(Tables.holding(regret))).length,
        0
      )
      yield* check(`notices of Parrot, as ${peer.name} counts`, yield* run(peer)(count(parrot.author)), 2)
    }
  })

const story = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const directory = yield* files.makeTempDirectoryScoped({ prefix: "feed-" })
  const [parrot, horse, owl] = yield* Effect.all([
    Peer.make(directory, "Parrot"),
    Peer.make(directory, "Horse"),
    Peer.make(directory, "Owl")
  ])
  const cast = { parrot, horse }
  yield* say("The farm has a notice board. Everybody has a copy of it in a database of their own; they exchange files.")
  const angry = yield* one(cast)
  yield* two(cast)
  yield* three(cast, angry)
  yield* chapter("4. Owl is new, and gets only what is left")
  yield* exchange("wednesday", [parrot, horse], [owl])
  yield* compare([parrot, horse, owl], 3)
  yield* chapter("The end")
  const mistakes = yield* wrong
  if (mistakes > 0) return yield* Effect.fail(new Error(`${mistakes} things are not as the story says`))
  yield* say("Everybody has the same notices, and what was taken down is gone everywhere.")
})

story.pipe(Effect.scoped, Effect.provide(Layer.mergeAll(Crypto.layer, NodeContext.layer)), NodeRuntime.runMain)
