/** The application that is crashed: all system layers, a journal with a veto, a reader with a table of its own. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import * as process from "node:process"
import * as Bytes from "../../../src/core/Bytes.ts"
import * as Crypto from "../../../src/core/Crypto.ts"
import type * as Operation from "../../../src/core/Operation.ts"
import type * as SigningKey from "../../../src/core/SigningKey.ts"
import * as Topic from "../../../src/core/Topic.ts"
import * as Application from "../../../src/pipeline/Application.ts"
import * as Consumer from "../../../src/pipeline/Consumer.ts"
import * as Pipeline from "../../../src/pipeline/Pipeline.ts"
import * as CausalOrder from "../../../src/processors/CausalOrder.ts"
import * as Deletion from "../../../src/processors/Deletion.ts"
import * as Limits from "../../../src/processors/Limits.ts"
import * as LogIntegrity from "../../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../../src/processors/Pruning.ts"
import * as Topics from "../../../src/processors/Topics.ts"
import * as StreamController from "../../../src/stream/StreamController.ts"
import * as History from "../../../src/testing/History.ts"
import * as Journal from "../../../src/testing/Journal.ts"

/** What a start of the program is told. */
export const Options = Schema.Struct({
  /** A file with what there is to take in; see {@link write}. */
  work: Schema.String,
  /** The topic under which it publishes. */
  topic: Topic.Schema,
  /** How much of it may be taken in by now: from the beginning to this part of it. */
  part: Schema.Number,
  batchSize: Schema.Literal(1, 10, 100),
  synchronous: Schema.Literal("NORMAL", "FULL"),
  crypto: Schema.Literal("native", "portable", "worker"),
  /** Whether there are a reader and a puller. */
  readers: Schema.Boolean,
  /** Whether `run` works in the background, or only what is called. */
  runs: Schema.Boolean,
  /** How much the last start does before it finishes. */
  deeds: Schema.Int,
  /** Whether the application says no to some. */
  strict: Schema.Boolean,
  /** Whether it holds the write lock for a while now and then. */
  holds: Schema.Boolean,
  /** Which of several processes on one file it is: each has a log of its own. */
  who: Schema.Int
})
export type Options = typeof Options.Type

/** Operations in the order in which they reach the program, a line each, blobs as hex. A schema would cost more than the rest of a start. */
export const write = (operations: ReadonlyArray<Operation.Operation>): string =>
  operations
    .map(({ body, headerBytes }) => `${Bytes.toHex(headerBytes)} ${body === undefined ? "-" : Bytes.toHex(body)}`)
    .join("\n")

export const read = (text: string): ReadonlyArray<Operation.Raw> =>
  text.split("\n").map((line) => {
    const [header = "", body = "-"] = line.split(" ")
    return { header: Bytes.fromHex(header), body: body === "-" ? undefined : Bytes.fromHex(body) }
  })

/** The key with which a process publishes; no author of a history has it. */
export const own = (who: number): SigningKey.SigningKey => History.signingKey(100 + who)

/** The application says no. */
export class Vetoed extends Schema.TaggedError<Vetoed>()("Vetoed", { first: Schema.Number }) {
  override get message() {
    return `Nothing that begins with ${this.first}.`
  }
}

/** The reader's table. `times` counts what it was handed, so that a doubled one is found. */
export const ledger = Consumer.bytes({
  name: "ledger",
  version: 1,
  migrations: [
    {
      name: "ledger",
      up: [`CREATE TABLE ledger (id TEXT PRIMARY KEY, position INTEGER NOT NULL, times INTEGER NOT NULL)`]
    }
  ],
  reset: Application.emptying("ledger"),
  handle: ({ event, position }) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`INSERT INTO ledger (id, position, times) VALUES (${event.id}, ${position}, 1)
        ON CONFLICT (id) DO UPDATE SET times = times + ${event.replay ? 0 : 1}`
    ),
  forget: ({ operations }) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) =>
        sql`DELETE FROM ledger WHERE ${sql.in(
          "id",
          operations.map(({ id }) => id)
        )}`
    )
})

/** The journal, which says no to a sixth of what is new where it is strict. */
const application = (strict: boolean) =>
  Application.bytes({
    name: Journal.application.name,
    version: Journal.application.version,
    migrations: Journal.migrations,
    handle: ({ event, message, position }) =>
      Effect.gen(function* () {
        const first = message?.[0] ?? 1
        if (strict && !event.replay && first % 6 === 0) return yield* new Vetoed({ first })
        yield* Journal.application.handle(event, position)
      }),
    forget: Journal.application.forget,
    reset: Journal.application.reset
  })

const pipeline = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(CausalOrder.processor),
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor),
  Pipeline.andThen(Topics.processor),
  // Histories have times of their own, which may lie ahead of this machine's.
  Pipeline.andThen(Limits.make({ ahead: Infinity }))
)

const cryptos = {
  native: Layer.orDie(Crypto.layerNative),
  portable: Crypto.layerPortable,
  worker: undefined
}

/** Opens the application on the surrounding database. */
export const open = (options: Pick<Options, "batchSize" | "readers" | "strict" | "crypto">) => {
  const { batchSize, crypto, readers, strict } = options
  const made = {
    pipeline,
    application: application(strict),
    batchSize,
    crypto: cryptos[crypto],
    // Another process may hold the lock, and the machine be busy.
    busyLimit: "1 minute" as const
  }
  return readers ? StreamController.make({ ...made, consumers: [ledger] }) : StreamController.make(made)
}

/** What `open` opens. */
export type Controller = Effect.Effect.Success<ReturnType<typeof open>>

/**
 * How rows start it: bundled beside them. Code that lives for a tenth of a second is not worth optimising, which saves a fifth of
 * the processor time.
 */
export const command = [
  process.execPath,
  "--no-opt",
  path.join(path.dirname(process.argv[1] ?? ""), "victim.cjs")
] as const

/** The client of a file. */
export const database = (filename: string) => Layer.orDie(SqliteClient.layer({ filename }))
