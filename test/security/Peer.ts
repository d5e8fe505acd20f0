/**
 * What the tests of security share: a peer as an application would have it, with everything that a stranger could want to break,
 * and somebody who signs whatever they like.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Cbor from "../../src/core/Cbor.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topics from "../../src/processors/Topics.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { native } from "../core/support.ts"
import { signingKey } from "../support/Peer.ts"

export const topic = Topic.named(native, "apples")
export const otherTopic = Topic.named(native, "pears")

export class Unwelcome extends Schema.TaggedError<Unwelcome>()("Unwelcome", { quote: Schema.String }) {
  override get message() {
    return `Unwelcome: ${this.quote}`
  }
}

/** Keeps what is said, and forgets what is to be forgotten. Whatever begins with "no" is rejected, quoted. */
export const application = Application.make({
  name: "notes",
  version: 1,
  migrations: [
    { name: "notes", up: ["CREATE TABLE notes (id TEXT PRIMARY KEY, author TEXT NOT NULL, said TEXT NOT NULL)"] }
  ],
  message: Schema.Struct({ said: Schema.String }),
  handle: ({ event, message: { said } }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      if (said.startsWith("no")) return yield* new Unwelcome({ quote: said })
      yield* sql`INSERT INTO notes (id, author, said) VALUES (${event.id}, ${event.author}, ${said})`
    }),
  forget: ({ operations }) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) =>
        sql`DELETE FROM notes WHERE ${sql.in(
          "id",
          operations.map(({ id }) => id)
        )}`
    )
})

/** A pipeline with all that there is. */
export const pipeline = (limits: Limits.Options<Extensions.Fields> = {}) =>
  Pipeline.make(Limits.make(limits)).pipe(
    Pipeline.andThen(LogIntegrity.processor),
    Pipeline.andThen(CausalOrder.processor),
    Pipeline.andThen(Pruning.processor),
    Pipeline.andThen(Deletion.processor),
    Pipeline.andThen(Topics.processor)
  )

/** A controller on the database around. */
export const open = StreamController.make({ pipeline: pipeline(), application })

export type Controller = Effect.Effect.Success<typeof open>

/** A database in memory, of one's own. */
export const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(self, SqliteClient.layer({ filename: ":memory:" })))

export const body = (said: unknown): Uint8Array => Either.getOrThrow(Cbor.encode({ said }))

/** What an operation says. */
export interface Said extends Partial<Omit<Extensions.Fields, "logId">> {
  readonly seqNum?: number | undefined
  readonly backlink?: Hash | undefined
  readonly body?: Uint8Array | undefined
  readonly topic?: Topic.Topic | undefined
  /** The extensions as they are. */
  readonly extensions?: Uint8Array | undefined
}

/** Somebody with a key. */
export class Somebody {
  readonly key
  readonly author
  readonly operations: Array<Operation.Operation> = []

  private readonly crypto: Crypto.Service

  constructor(seed: number, crypto: Crypto.Service = native) {
    this.crypto = crypto
    this.key = signingKey(seed)
    this.author = native.verifyingKey(this.key)
  }

  sign({ backlink, body, extensions, seqNum = 0, topic: under = topic, ...fields }: Said): Operation.Operation {
    const draft = OpenExtensions.draft({
      logId: Topic.logId(native, under),
      timestamp: 1_786_000_000_000_000n,
      ...fields
    })
    const bytes = extensions ?? Either.getOrThrow(Extensions.any.encode(draft))
    const signed = Operation.signWith(this.crypto)(this.key, { seqNum, backlink, extensions: bytes, body })
    return Either.getOrThrow(signed)
  }

  /** The next one of the log. */
  say(said: string, more: Said = {}): Operation.Operation {
    const seqNum = this.operations.length
    const operation = this.sign({ seqNum, backlink: this.operations.at(-1)?.id, body: body(said), ...more })
    this.operations.push(operation)
    return operation
  }
}

export const raw = Operation.raw
export const raws = (operations: ReadonlyArray<Operation.Operation>) => operations.map(Operation.raw)

/** Every row of every table, as far as it does not depend on the time; and what the tables are. */
export const everything = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql<{ name: string }>`
    SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name`
  const rows: Record<string, ReadonlyArray<Record<string, unknown>>> = {}
  for (const { name } of tables) {
    const all = yield* sql.unsafe<Record<string, unknown>>(`SELECT * FROM "${name}"`)
    rows[name] = all.map((row) =>
      Object.fromEntries(Object.entries(row).filter(([column]) => !/_at$|^since$/.test(column)))
    )
  }
  return rows
})

/** Who has said what, as the application keeps it. */
export const notes = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql<{ said: string }>`SELECT said FROM notes ORDER BY said`, (rows) => rows.map(({ said }) => said))
)

/** Everything that can be seen of an error, in every way in which people look at one. */
export const shown = (cause: Cause.Cause<unknown>): string =>
  [Cause.pretty(cause), String(cause), JSON.stringify(cause), ...Array.from(Cause.failures(cause), String)].join("\n")
