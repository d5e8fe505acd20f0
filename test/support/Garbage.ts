/** What the tests of garbage collection share: bodies with markers, an application that keeps copies, and a search of the files. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import type { Hash } from "../../src/core/Hash.ts"
import * as Application from "../../src/pipeline/Application.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Decisions from "../../src/store/Decisions.ts"
import * as Operations from "../../src/store/Operations.ts"
import * as StreamController from "../../src/stream/StreamController.ts"

/** A body that holds a marker over and over. */
export const content = (marker: Uint8Array, size: number): Uint8Array => {
  const body = new Uint8Array(size)
  for (let at = 1; at + marker.length <= size; at += size > 1000 ? 997 : marker.length) body.set(marker, at)
  return body
}

/** A body that deletes the bodies of operations of its author. */
export const deletes = (ids: ReadonlyArray<Hash>): Uint8Array => new TextEncoder().encode(`D${ids.join(" ")}`)

/** A body that is handled only after these operations. */
export const after = (ids: ReadonlyArray<Hash>): Uint8Array => new TextEncoder().encode(`A${ids.join(" ")}`)

const named = (kind: string, { operation: { body } }: Event.Event): ReadonlyArray<Hash> => {
  const text = body === undefined || body.length > 5000 ? "" : new TextDecoder().decode(body)
  return text.startsWith(kind) ? (text.slice(1).split(" ") as ReadonlyArray<string> as ReadonlyArray<Hash>) : []
}

const deletion = Deletion.make({ targets: (event) => named("D", event) })

/** Waits for what a body names, unless that was accepted or pruned. */
const order = Processor.make<Hash, true>()({
  name: "order",
  keys: (event) => named("A", event),
  load: (ids) =>
    Effect.zipWith(Operations.accepted(ids), Decisions.gone(ids), (accepted, gone) => {
      const met = ids.filter((id) => accepted.has(id) || gone.get(id) === "pruned")
      return new Map(met.map((id) => [id, true]))
    }),
  decide: (state, event: Event.Event) => {
    const missing = named("A", event).filter((id) => state(id) === undefined)
    return Either.right(missing.length > 0 ? Processor.defer(missing) : Processor.accept())
  },
  save: () => Effect.void
})

/** Keeps a row for each operation that it decided about, and needs none of them. */
const litter = Processor.make<string, number>()({
  name: "litter",
  migrations: [{ name: "litter", up: ["CREATE TABLE litter (id TEXT PRIMARY KEY, marks INTEGER NOT NULL)"] }],
  keys: ({ id }) => [id],
  load: () => Effect.succeed(new Map()),
  decide: (_, event: Event.Event) => Either.right(Processor.accept({ state: [[event.id, 1]] })),
  save: (changed) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.forEach(changed.keys(), (id) => sql`INSERT INTO litter (id, marks) VALUES (${id}, 1)`, { discard: true })
    ),
  collect: (limit) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql`DELETE FROM litter WHERE id IN (SELECT id FROM litter LIMIT ${limit}) RETURNING 1`
      return rows.length
    })
})

/** A body that the application rejects, quoting it. */
export const refused = (text: string): Uint8Array => new TextEncoder().encode(`N${text}`)

class Refused extends Schema.TaggedError<Refused>()("Refused", { quote: Schema.String }) {
  override get message() {
    return `Refused: ${this.quote}`
  }
}

/** Copies every body into a table of its own, and part of it into an index, and deletes both when it is told to. */
const application = Application.bytes({
  name: "copies",
  version: 1,
  migrations: [
    {
      name: "copies",
      up: [
        "CREATE TABLE copies (id TEXT PRIMARY KEY, content BLOB)",
        "CREATE INDEX copies_content ON copies (substr(content, 1, 200))"
      ]
    }
  ],
  handle: ({ event, message }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      if (message?.[0] === 0x4e) return yield* new Refused({ quote: new TextDecoder().decode(message) })
      yield* sql`INSERT INTO copies (id, content) VALUES (${event.id}, ${message ?? null})`
    }),
  forget: ({ operations }) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql.unsafe(`DELETE FROM copies WHERE id IN (SELECT value FROM json_each(?))`, [
        JSON.stringify(operations.map(({ id }) => id))
      ])
    )
})

/** A controller on the database around. */
export const open = StreamController.make({
  pipeline: Pipeline.make(LogIntegrity.processor).pipe(
    Pipeline.andThen(Pruning.processor),
    Pipeline.andThen(deletion),
    Pipeline.andThen(order),
    Pipeline.andThen(litter)
  ),
  application,
  busyLimit: "100 millis"
})

/** In which of the files of a database each of these byte strings stands. */
export const search = (filename: string, markers: ReadonlyArray<Uint8Array>): ReadonlyArray<string> =>
  ["", "-wal", "-shm", "-journal"].flatMap((end) => {
    if (!fs.existsSync(filename + end)) return []
    const bytes = fs.readFileSync(filename + end)
    return markers.filter((marker) => bytes.includes(Buffer.from(marker))).map(() => (end === "" ? "file" : end))
  })

/** Everything that is kept, as far as it does not depend on the time. */
export const dump = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return {
    operations:
      yield* sql`SELECT position, hex(id) AS id, seq_num, hex(header) AS header, hex(body) AS body FROM applecart_operations ORDER BY position`,
    logs: yield* sql`SELECT hex(author) AS author, hex(log_id) AS log_id, topic, head_seq_num, hex(head_id) AS head, pruned_below FROM applecart_logs ORDER BY log`,
    inbox:
      yield* sql`SELECT hex(id) AS id, status, processor, reason, hex(body) AS body FROM applecart_inbox ORDER BY id`,
    waiting: yield* sql`SELECT hex(until) AS until, entry FROM applecart_waiting ORDER BY 1, 2`,
    decisions: yield* sql`SELECT hex(id) AS id, what, why FROM applecart_decisions ORDER BY id`,
    topics: yield* sql`SELECT hex(hash) AS hash FROM applecart_topics ORDER BY hash`,
    forks: yield* sql`SELECT hex(other_id) AS other FROM applecart_forks ORDER BY other_id`,
    consumers: yield* sql`SELECT name, version, position FROM applecart_consumers`,
    copies: yield* sql`SELECT id, hex(content) AS content FROM copies ORDER BY id`
  }
})
