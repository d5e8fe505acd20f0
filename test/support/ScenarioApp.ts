/**
 * The application of the trust scenario: a handler with several writes that says no in every way there is, a processor
 * with a table of its own, and a policy that uses every verdict.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Crypto from "../../src/core/Crypto.ts"
import type * as Extensions from "../../src/core/Extensions.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import type { VerifyingKey } from "../../src/core/VerifyingKey.ts"
import * as Application from "../../src/pipeline/Application.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import * as Rejection from "../../src/pipeline/Rejection.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as StreamController from "../../src/stream/StreamController.ts"

/** Apples change hands, or the operation breaks something after it has written. */
export const Message = Schema.Union(
  Schema.Struct({ pick: Schema.Int, by: Schema.String }),
  Schema.Struct({ give: Schema.Int, from: Schema.String, to: Schema.String }),
  Schema.Struct({ breaks: Schema.Literal("constraint", "commit", "code", "manners") })
)
export type Message = typeof Message.Type

export class NotEnoughApples extends Schema.TaggedError<NotEnoughApples>()("NotEnoughApples", {
  owner: Schema.String,
  left: Schema.Int
}) {}

/** The policy lets such an operation's log go on without it. */
export class Unwanted extends Schema.TaggedError<Unwanted>()("Unwanted", {}) {}

/** The application's tables. `handled` takes a doubled operation, so that it is the model and not a constraint that finds it. */
export const tables = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE baskets (owner TEXT PRIMARY KEY, apples INTEGER NOT NULL)`
  yield* sql`CREATE TABLE handled (nr INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, position INTEGER NOT NULL UNIQUE)`
  yield* sql`CREATE TABLE small (n INTEGER CHECK (n < 10))`
  yield* sql`CREATE TABLE parents (n INTEGER PRIMARY KEY)`
  yield* sql`CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`
})

const add = (owner: string, apples: number) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql<{ apples: number }>`
      INSERT INTO baskets (owner, apples) VALUES (${owner}, ${apples})
      ON CONFLICT (owner) DO UPDATE SET apples = apples + excluded.apples RETURNING apples`
  )

const give = (message: { readonly give: number; readonly from: string; readonly to: string }) =>
  Effect.gen(function* () {
    const [from] = yield* add(message.from, -message.give)
    yield* add(message.to, message.give)
    if (from !== undefined && from.apples < 0) {
      return yield* new NotEnoughApples({ owner: message.from, left: from.apples })
    }
  })

const broken = (what: "constraint" | "commit" | "code" | "manners") =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* add("nobody", 1)
    if (what === "constraint") yield* sql`INSERT INTO small VALUES (11)`
    if (what === "commit") yield* sql`INSERT INTO children VALUES (7)`
    if (what === "code") yield* Effect.die(new Error("a bug"))
    if (what === "manners") yield* new Unwanted()
  })

export const application = Application.make({
  name: "apples",
  version: 1,
  // In Kills.test.ts a handler stands still until its process is killed, and that must not end by itself.
  timeLimit: "1 day",
  message: Message,
  handle: ({ event, message, position }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO handled (id, position) VALUES (${event.id}, ${position})`
      if ("pick" in message) yield* add(message.by, message.pick)
      else if ("give" in message) yield* give(message)
      else yield* broken(message.breaks)
    })
})

const upsertTally = Transaction.statement(
  `INSERT INTO tally (author, n) VALUES (?, ?) ON CONFLICT (author) DO UPDATE SET n = excluded.n`
)

/** Counts the accepted operations of each author. */
const tally = Processor.make<VerifyingKey, number>()({
  name: "tally",
  migrations: [{ name: "tally", up: [`CREATE TABLE tally (author TEXT PRIMARY KEY, n INTEGER NOT NULL)`] }],
  keys: (event) => [event.operation.header.verifyingKey],
  load: (keys) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql<{
        author: string
        n: number
      }>`SELECT author, n FROM tally WHERE ${sql.in("author", keys)}`
      const found = new Map(rows.map(({ author, n }) => [author, n]))
      return new Map(keys.flatMap((key) => (found.has(key) ? [[key, found.get(key) ?? 0] as const] : [])))
    }),
  decide: (state, event: Event.Event) => {
    const author = event.operation.header.verifyingKey
    const nth = (state(author) ?? 0) + 1
    return Either.right(
      Processor.accept<VerifyingKey, number, { nth: number }>({ state: [[author, nth]], adds: { nth } })
    )
  },
  recall: { keys: ({ author }) => [author], adds: (state, { author }) => ({ nth: state(author) ?? 0 }) },
  save: (changed) => Effect.forEach(changed, ([author, n]) => upsertTally(author, n), { discard: true })
})

const pipeline = Pipeline.make(LogIntegrity.make<NodeExtensions.NodeExtensions>()).pipe(Pipeline.andThen(tally))

/** Bugs are tried twice without a pause, so that no trial has to wait. */
const policy = (error: unknown): Policy.Policy => {
  if (error instanceof Unwanted) return Policy.skip
  return error instanceof Rejection.Defect ? Policy.retry(Schedule.recurs(1)) : StreamController.defaultPolicy(error)
}

/** In microseconds since the epoch, the same in every own operation: the same message then has the same id in every run. */
export const timestamp = 1_786_000_000_000_000n

const extensions: Extensions.Codec<NodeExtensions.NodeExtensions> = {
  ...NodeExtensions.codec,
  draft: (fields) => NodeExtensions.codec.draft({ ...fields, timestamp })
}

/** Opens the controller. `busyLimit`: how long a busy database is waited for, in milliseconds. `batchSize`: as it chooses unless told. */
export const open = (busyLimit: number, batchSize?: number) =>
  Effect.flatMap(Crypto.Crypto, (service) => {
    // A crypto of one's own is used on this thread: a worker for each of thousands of controllers would take most of the time.
    const crypto = Layer.succeed(Crypto.Crypto, service)
    return StreamController.make({ pipeline, application, policy, extensions, busyLimit, batchSize, crypto })
  })
export type Controller = Effect.Effect.Success<ReturnType<typeof open>>
