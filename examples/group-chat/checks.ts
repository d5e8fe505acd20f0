/** What must be so in the end: the same talk everywhere, and nothing left of what is gone. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import { check, say } from "../parrot-and-horse/story.ts"
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
    const found = yield* Effect.forEach(peers, (peer) => Peer.run(peer)(values(text)))
    yield* check(`tables with "${text}"`, found.flat().length, 0)
  })

/** The tables of the current peer in which these words are found, as text or as bytes. */
export const values = (text: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = yield* sql<{ name: string }>`SELECT name FROM sqlite_master WHERE type = 'table'`
    return yield* Effect.filter(
      tables.map(({ name }) => name),
      (name) => Effect.map(sql`SELECT * FROM ${sql(name)}`, (rows) => rows.some((row) => holds(row, text)))
    )
  })

// internal

const holds = (row: object, text: string) =>
  Object.values(row).some((value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).includes(text) : String(value).includes(text)
  )
