/**
 * The application: messages that may quote others. It is ordinary SQL, and thinks of arrival order in one place only: a row
 * goes when the operation that it lives by goes.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  Application,
  CausalOrder,
  Deletion,
  Hash,
  LogIntegrity,
  Pipeline,
  Pruning,
  StreamController,
  type VerifyingKey
} from "applecart"

const Said = { text: Schema.String, quote: Schema.optionalWith(Hash.Schema, { exact: true }) }

/** An earlier message of the snapshot's author. Its operation is gone, so the snapshot says where it stands in the talk. */
export const Kept = Schema.Struct({ id: Hash.Schema, ...Said, time: Schema.Int, counter: Schema.Int })

/** What peers tell each other. A deletion is not here: an operation without a message is enough for it. */
export const Message = Schema.Union(
  Schema.TaggedStruct("Say", Said),
  Schema.TaggedStruct("Snapshot", { kept: Schema.Array(Kept) })
)

/** A message as it stands in the table. The operation that it lives by is its own one, or the snapshot that keeps it. */
interface Row {
  readonly author: VerifyingKey.VerifyingKey
  readonly id: Hash.Hash
  readonly text: string
  readonly quote: Hash.Hash | null
  /** Where a kept one stands in the talk; the place of any other is known to {@link CausalOrder.sorted}. */
  readonly time: number | null
  readonly counter: number | null
}

const put = (row: Row & { readonly livesBy: Hash.Hash }) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`
      INSERT INTO messages (author, id, text, quote, time, counter, lives_by)
      VALUES (${row.author}, ${row.id}, ${row.text}, ${row.quote}, ${row.time}, ${row.counter}, ${row.livesBy})
      ON CONFLICT (author, id) DO UPDATE SET text = excluded.text, quote = excluded.quote, time = excluded.time,
        counter = excluded.counter, lives_by = excluded.lives_by`
  })

/** All messages that are here. */
export const rows = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<Row>`SELECT author, id, text, quote, time, counter FROM messages`
})

const application = Application.make({
  name: "chat",
  version: 1,
  migrations: [
    {
      name: "messages",
      // The author is in the key, so that nobody's snapshot can put words into somebody else's mouth.
      up: [
        `CREATE TABLE messages (author TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, quote TEXT, time INTEGER,
         counter INTEGER, lives_by TEXT NOT NULL, PRIMARY KEY (author, id)) WITHOUT ROWID`,
        "CREATE INDEX messages_lives_by ON messages (lives_by)"
      ]
    }
  ],
  message: Message,
  handle: ({ event: { author, id }, message }) => {
    const livesBy = id
    if (message._tag === "Say") {
      return put({ author, id, text: message.text, quote: message.quote ?? null, time: null, counter: null, livesBy })
    }
    return Effect.forEach(message.kept, (kept) => put({ ...kept, author, quote: kept.quote ?? null, livesBy }))
  },
  // The snapshot was handled a moment ago: what it keeps lives by it already, and is not what goes here. If it came before
  // the old messages, there is nothing to delete, and they are not let in any more. Either way the same rows are left.
  forget: ({ operations }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const ids = operations.map(({ id }) => id)
      yield* sql`DELETE FROM messages WHERE ${sql.in("lives_by", ids)}`
    })
})

/** An answer waits for what its author had heard; for a day, since that may have been pruned for good. */
const pipeline = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(CausalOrder.make({ tips: true, patience: "1 day" })),
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor)
)

/** The stream controller of the chat. */
export class Chat extends StreamController.Tag<Chat>()("Chat", { pipeline, application }) {}
