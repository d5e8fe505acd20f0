/**
 * The application: notices that are simply stored. What is added to the feed is a rule, and a count of notices for each author,
 * which is kept in the same transaction.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Deletion, Feed, LogIntegrity, Pipeline, Pruning, StreamController, type VerifyingKey } from "applecart"
import type { Peer } from "../common/peer.ts"

const longest = 60

export class TooLong extends Schema.TaggedError<TooLong>()("TooLong", { length: Schema.Int }) {
  override get message() {
    return `A notice of ${this.length} characters does not fit on the board; leave out ${this.length - longest}.`
  }
}

const add = (author: VerifyingKey.VerifyingKey, notices: number) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`
      INSERT INTO counts (author, notices) VALUES (${author}, ${notices})
      ON CONFLICT (author) DO UPDATE SET notices = notices + excluded.notices`
  )

export const board = Feed.make({
  name: "board",
  version: 1,
  message: Schema.Struct({ text: Schema.String }),
  migrations: [{ name: "counts", up: ["CREATE TABLE counts (author TEXT PRIMARY KEY, notices INTEGER NOT NULL)"] }],
  reset: Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM counts`),
  handle: ({ event: { author }, message: { text } }) =>
    Effect.gen(function* () {
      yield* add(author, 1)
      // Not too late: the notice is not on the board, and was not counted.
      if (text.length > longest) return yield* new TooLong({ length: text.length })
    }),
  // Only those with a body were counted: a tombstone goes with its log as well.
  forget: ({ operations }) =>
    Effect.forEach(
      operations.filter(({ body }) => body !== undefined),
      ({ author }) => add(author, -1)
    )
})

export class Board extends StreamController.Tag<Board>()("Board", {
  pipeline: Pipeline.make(LogIntegrity.processor).pipe(
    Pipeline.andThen(Pruning.processor),
    Pipeline.andThen(Deletion.processor)
  ),
  application: board
}) {}

/** Starts the peer, does something, and stops it; so all that is left is what stands in its database. */
export const run = ({ directory }: Peer) =>
  Effect.provide(Layer.provideMerge(Board.layer, SqliteClient.layer({ filename: `${directory}/board.db` })))

/** How many notices of an author were counted. */
export const count = (author: VerifyingKey.VerifyingKey) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ notices: number }>`SELECT notices FROM counts WHERE author = ${author}`
    return row?.notices ?? 0
  })
