/** Where a peer writes: its database, the controller, and the document that all of them share. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import { Crypto, Documents, LogIntegrity, Pipeline, Pruning, StreamController, Topic } from "applecart"
import * as Mail from "../common/mail.ts"
import type { Peer } from "../common/peer.ts"
import type { Change, Editor } from "./editor.ts"

const pipeline = Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Pruning.processor))

/** The one document. */
const recipe = Effect.map(Crypto.Crypto, (crypto) => Topic.named(crypto, "apple pie"))
const document = Effect.flatMap(Crypto.Crypto, (crypto) => Effect.map(recipe, (topic) => Topic.logId(crypto, topic)))

/** A kind of documents, and the library that edits them. */
export const make = <State>(editor: Editor<State>) => ({
  editor,
  notes: Documents.make({ name: "notes", version: 1, crdt: editor.crdt, mergeEvery: 20 })
})
export type Desk<State> = ReturnType<typeof make<State>>

const open = <State>({ notes }: Desk<State>) => StreamController.make({ pipeline, application: notes })
type Controller = Effect.Effect.Success<ReturnType<typeof open>>

/** Starts the peer, does something, and stops it; so all that is left is what stands in its database. */
export const at = <State, A, E, R>(
  desk: Desk<State>,
  { directory }: Peer,
  use: (controller: Controller) => Effect.Effect<A, E, R>
) =>
  Effect.scoped(Effect.flatMap(open(desk), use)).pipe(
    Effect.provide(SqliteClient.layer({ filename: `${directory}/notes.db` }))
  )

/** The document of the current peer. */
export const read = <State>({ notes }: Desk<State>) => Effect.flatMap(document, notes.read)

/** Its text. */
export const text = <State>(desk: Desk<State>) => Effect.map(read(desk), desk.editor.text)

/** Changes the text, as far as there is such a place in it. */
export const edit =
  <State>(desk: Desk<State>, { author, key }: Peer, change: (text: string) => Change) =>
  (controller: Controller) =>
    Effect.gen(function* () {
      const state = yield* read(desk)
      const update = desk.editor.edit(state, author, change(desk.editor.text(state)))
      yield* controller.publish({ key, topic: yield* recipe, message: Documents.update(update) })
    })

/** Writes something behind these words. */
export const insert = <State>(desk: Desk<State>, peer: Peer, behind: string, written: string) =>
  edit(desk, peer, (text) => ({ at: text.indexOf(behind) + behind.length, remove: 0, insert: written }))

/** Types it letter by letter, each letter an operation. */
export const type =
  <State>(desk: Desk<State>, peer: Peer, behind: string, typed: string) =>
  (controller: Controller) =>
    Effect.forEach(
      Array.from(typed),
      (letter, nth) => insert(desk, peer, behind + typed.slice(0, nth), letter)(controller),
      { discard: true }
    )

/** Erases these words. */
export const erase = <State>(desk: Desk<State>, peer: Peer, words: string) =>
  edit(desk, peer, (text) => ({ at: text.indexOf(words), remove: words.length, insert: "" }))

/** A snapshot of all that the peer has of the document. */
export const snapshot = <State>({ notes }: Desk<State>, { author }: Peer) =>
  Effect.flatMap(document, (logId) => notes.snapshot({ author, logId }))

/** Publishes a snapshot, which makes everything before it in the peer's log unnecessary. */
export const prune =
  ({ key }: Peer, message: Documents.Message) =>
  (controller: Controller) =>
    Effect.flatMap(recipe, (topic) => controller.publish({ key, topic, prune: true, message }))

/** Makes a snapshot and publishes it; again if the peer has published anything in between. */
export const compact =
  <State>(desk: Desk<State>, peer: Peer) =>
  (controller: Controller) =>
    snapshot(desk, peer).pipe(
      Effect.flatMap((message) => prune(peer, message)(controller)),
      Effect.retry({ times: 3, while: ({ _tag }) => _tag === "SnapshotOutdated" })
    )

/** Writes what the peer has published, and still has, into a file; gives the file's name. */
export const write = <State>(desk: Desk<State>, peer: Peer, title: string) =>
  at(desk, peer, () => Mail.write(`${peer.directory}/${title}.operations`, { author: peer.author }))

/** Reads files in any order, some operations twice, a few at a time. */
export const receive = <State>(desk: Desk<State>, peer: Peer, files: ReadonlyArray<string>) =>
  at(desk, peer, (controller) =>
    Effect.gen(function* () {
      const mail = yield* Mail.shuffled(`${peer.name} ${files.join()}`, files)
      const answers = yield* controller.processAll(mail)
      yield* controller.drain
      return answers
    })
  )
