/** What must be so in the end: the same talk everywhere, and nothing left of what is gone. */
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import { check, say } from "../common/story.ts"
import * as Tables from "../common/tables.ts"
import * as Peer from "./peer.ts"
import * as Transcript from "./transcript.ts"

/** Reads all peers' transcripts, shows them side by side, and checks that they are one. */
export const compare = (peers: ReadonlyArray<Peer.Peer>, show: boolean) =>
  Effect.gen(function* () {
    const topic = yield* Peer.room
    const columns = yield* Effect.forEach(peers, (peer) =>
      Transcript.read(topic).pipe(
        Effect.map((lines) => ({ title: `${peer.name}'s transcript`, lines })),
        Peer.run(peer)
      )
    )
    if (show) {
      yield* Transcript.sideBySide(columns, new Map(peers.map(({ author, name }) => [author, name])))
      yield* say("")
    }
    const [first] = columns
    const same = columns.filter(({ lines }) => isDeepStrictEqual(lines, first?.lines))
    yield* check("transcripts that are the same", same.length, peers.length)
    const misplaced = columns.flatMap(({ lines }) => Transcript.misplaced(lines))
    yield* check("answers before what they quote", misplaced.length, 0)
  })

/** Looks for words in every value of every table of every peer. */
export const gone = (peers: ReadonlyArray<Peer.Peer>, text: string) =>
  Effect.gen(function* () {
    const found = yield* Effect.forEach(peers, (peer) => Peer.run(peer)(Tables.holding(text)))
    yield* check(`tables with "${text}"`, found.flat().length, 0)
  })
