/** The story of three that write one recipe, the same with every CRDT library. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto } from "applecart"
import * as Peer from "../common/peer.ts"
import { chapter, check, say, wrong } from "../common/story.ts"
import * as Tables from "../common/tables.ts"
import * as Desk from "./desk.ts"
import type { Editor } from "./editor.ts"

interface Cast<State> {
  readonly desk: Desk.Desk<State>
  readonly parrot: Peer.Peer
  readonly horse: Peer.Peer
  readonly cat: Peer.Peer
}

const secret = " (they are under the hay)"

const writeAll = <State>({ cat, desk, horse, parrot }: Cast<State>, title: string) =>
  Effect.forEach([parrot, horse, cat], (peer) => Desk.write(desk, peer, title))

/** Everybody reads everybody's operations. */
const exchange = <State>(cast: Cast<State>, title: string) =>
  Effect.gen(function* () {
    const mail = yield* writeAll(cast, title)
    yield* Effect.forEach([cast.parrot, cast.horse, cast.cat], (peer) => Desk.receive(cast.desk, peer, mail))
    return mail
  })

/** What the peers read in their documents has to be the same, byte for byte. */
const compare = <State>(desk: Desk.Desk<State>, peers: ReadonlyArray<Peer.Peer>, show: boolean) =>
  Effect.gen(function* () {
    const texts = yield* Effect.forEach(peers, (peer) => Desk.at(desk, peer, () => Desk.text(desk)))
    const [first = ""] = texts
    if (show) yield* say("", ...first.split("\n").map((line) => `  │ ${line}`), "")
    yield* check("texts that are the same", texts.filter((one) => one === first).length, peers.length)
    return first
  })

const operations = <State>(desk: Desk.Desk<State>, peer: Peer.Peer) =>
  Desk.at(desk, peer, ({ status }) => Effect.map(status, ({ accepted }) => accepted))

const one = <State>(cast: Cast<State>) =>
  Effect.gen(function* () {
    const { cat, desk, horse, parrot } = cast
    yield* chapter("1. All of them write at the same time")
    yield* say(
      "Parrot writes the beginning, and everybody gets it. Then they are offline, and each goes on, letter by",
      "letter, each letter an operation. They read each other's in any order, and some of them twice."
    )
    yield* Desk.at(desk, parrot, Desk.type(desk, parrot, "", "Apple pie\n- apples\n- sugar\n"))
    yield* exchange(cast, "beginning")
    yield* Desk.at(desk, parrot, Desk.type(desk, parrot, "- apples", ", the red ones"))
    yield* Desk.at(desk, horse, Desk.type(desk, horse, "- sugar\n", "- oats\n"))
    yield* Desk.at(desk, cat, Desk.type(desk, cat, "- sugar\n", "- a mouse\n"))
    yield* Desk.at(desk, cat, Desk.erase(desk, cat, "- sugar\n"))
    yield* exchange(cast, "together")
    const text = yield* compare(desk, [parrot, horse, cat], true)
    for (const words of ["- apples, the red ones\n", "- oats\n", "- a mouse\n"]) {
      yield* check(`it says ${JSON.stringify(words)}`, text.includes(words), true)
    }
  })

/** The tables of a peer in which the secret can be read. */
const secretIn = <State>(desk: Desk.Desk<State>, peer: Peer.Peer) => Desk.at(desk, peer, () => Tables.holding(secret))

const two = <State>(cast: Cast<State>) =>
  Effect.gen(function* () {
    const { cat, desk, horse, parrot } = cast
    yield* chapter("2. Parrot writes where the apples are, and erases it at once")
    yield* Desk.at(desk, parrot, Desk.insert(desk, parrot, "the red ones", secret))
    yield* Desk.at(desk, parrot, Desk.erase(desk, parrot, secret))
    yield* exchange(cast, "secret")
    yield* compare(desk, [parrot, horse, cat], false)
    yield* say("", "Nobody sees it. But the operations are there, and Horse could still look into them.")
    yield* check(
      "Horse has the operation with the secret",
      (yield* secretIn(desk, horse)).includes("notes_updates"),
      true
    )
    yield* check("operations that Horse has", yield* operations(desk, horse), 61)
  })

const three = <State>(cast: Cast<State>) =>
  Effect.gen(function* () {
    const { cat, desk, horse, parrot } = cast
    yield* chapter("3. Parrot throws its old operations away")
    yield* say(
      "It publishes a snapshot: all that is in its document, with everybody's changes. That makes everything",
      "before it in its log unnecessary, on all peers. A snapshot that does not know of all that is before it",
      "would lose something; that one is not let in."
    )
    const before = yield* compare(desk, [parrot, horse, cat], false)
    const error = yield* Desk.at(desk, parrot, (controller) =>
      Effect.gen(function* () {
        const old = yield* Desk.snapshot(desk, parrot)
        yield* Desk.type(desk, parrot, "Apple pie", "!")(controller)
        return yield* Effect.flip(Desk.prune(parrot, old)(controller))
      })
    )
    yield* check("what becomes of a snapshot that is too old", error._tag, "SnapshotOutdated")
    yield* Desk.at(desk, parrot, Desk.compact(desk, parrot))
    // Horse knows nothing of this yet, and goes on.
    yield* Desk.at(desk, horse, Desk.type(desk, horse, "- oats", ", rolled"))
    const mail = yield* exchange(cast, "snapshot")
    const after = yield* compare(desk, [parrot, horse, cat], true)
    const expected = before.replace("Apple pie", "Apple pie!").replace("- oats", "- oats, rolled")
    yield* check("nothing was lost", after === expected, true)
    yield* check("operations that Horse has", yield* operations(desk, horse), 27)
    return mail
  })

const four = <State>(cast: Cast<State>, owl: Peer.Peer, mail: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const { cat, desk, horse, parrot } = cast
    yield* chapter("4. Owl is new, and gets only what is left")
    yield* Desk.receive(desk, owl, mail)
    yield* check("operations that Owl has", yield* operations(desk, owl), 27)
    yield* compare(desk, [parrot, horse, cat, owl], false)
    yield* say(
      "",
      desk.editor.keepsHistory
        ? `${desk.editor.library} keeps the history of a document, so what was erased is in the snapshot.`
        : `${desk.editor.library} forgets what was erased, so it is not in the snapshot.`
    )
    const remembered = yield* Desk.at(desk, owl, () =>
      Effect.map(Desk.read(desk), (state) => desk.editor.remembers(state, secret))
    )
    yield* check("Owl can find out where the apples are", remembered, desk.editor.keepsHistory)
    if (desk.editor.keepsHistory) return
    for (const peer of [parrot, horse, cat, owl]) {
      yield* check(`tables of ${peer.name} with the secret`, (yield* secretIn(desk, peer)).length, 0)
    }
  })

const five = <State>({ cat, desk, horse, parrot }: Cast<State>, owl: Peer.Peer) =>
  Effect.gen(function* () {
    yield* chapter("5. Somebody brings the old operations once more")
    const old = [parrot, horse, cat].map(({ directory }) => `${directory}/secret.operations`)
    const answers = yield* Desk.receive(desk, owl, old)
    yield* say("Owl lets none of Parrot's in; its document stays as it is.")
    yield* check("operations that were let in", answers.filter(({ _tag }) => _tag === "Accepted").length, 0)
    yield* compare(desk, [parrot, horse, cat, owl], false)
  })

const story = <State>(editor: Editor<State>) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const directory = yield* files.makeTempDirectoryScoped({ prefix: "shared-document-" })
    const make = (name: string) => Peer.make(directory, name)
    const [parrot, horse, cat, owl] = yield* Effect.all([make("Parrot"), make("Horse"), make("Cat"), make("Owl")])
    const cast: Cast<State> = { desk: Desk.make(editor), parrot, horse, cat }
    yield* say(
      `Parrot, Horse and Cat write a recipe with ${editor.library}. Each has a database of its own, which is closed and`,
      "opened again for everything that they do; they exchange files."
    )
    yield* one(cast)
    yield* two(cast)
    const mail = yield* three(cast)
    yield* four(cast, owl, mail)
    yield* five(cast, owl)
    yield* chapter("The end")
    const mistakes = yield* wrong
    if (mistakes > 0) return yield* Effect.fail(new Error(`${mistakes} things are not as the story says`))
    yield* say("Everybody has the same recipe, and so will whoever comes next.")
  })

/** Tells the story with a CRDT library. */
export const run = <State>(editor: Editor<State>) =>
  story(editor).pipe(
    Effect.scoped,
    Effect.provide(Layer.mergeAll(Crypto.layer, NodeContext.layer)),
    NodeRuntime.runMain
  )
