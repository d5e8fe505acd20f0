/**
 * A small world whose database is damaged: authors who write, answer, prune and delete, forks, gaps, refusals; and the database
 * of a peer that has taken all of it in. Everything random in it follows from a unit.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as SqlClients from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Crypto from "../../../src/core/Crypto.ts"
import type { Hash } from "../../../src/core/Hash.ts"
import * as OpenExtensions from "../../../src/core/OpenExtensions.ts"
import * as Operation from "../../../src/core/Operation.ts"
import * as SigningKey from "../../../src/core/SigningKey.ts"
import * as Topic from "../../../src/core/Topic.ts"
import * as Application from "../../../src/pipeline/Application.ts"
import * as Pipeline from "../../../src/pipeline/Pipeline.ts"
import * as Policy from "../../../src/pipeline/Policy.ts"
import * as CausalOrder from "../../../src/processors/CausalOrder.ts"
import * as Deletion from "../../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../../src/processors/Pruning.ts"
import * as StreamController from "../../../src/stream/StreamController.ts"
import type { Unit } from "../Row.ts"

/** The handler does not take such an operation; its log waits behind it. */
export class Unwanted extends Schema.TaggedError<Unwanted>()("Unwanted", {}) {}

/** Nor such a one, and its log goes on without it. */
export class Pointless extends Schema.TaggedError<Pointless>()("Pointless", {}) {}

/** Keeps every text that it has handled, as long as nobody wants it gone. */
const application = Application.bytes({
  name: "texts",
  version: 1,
  migrations: [
    { name: "texts", up: ["CREATE TABLE texts (position INTEGER PRIMARY KEY, id TEXT NOT NULL, text BLOB)"] }
  ],
  reset: Application.emptying("texts"),
  handle: ({ event, message, position }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClients.SqlClient
      yield* sql`INSERT INTO texts (position, id, text) VALUES (${position}, ${event.id}, ${message ?? null})`
      if (message?.[0] === 0) return yield* new Unwanted()
      if (message?.[0] === 1) return yield* new Pointless()
    }),
  forget: ({ how, operations }) =>
    Effect.flatMap(SqlClients.SqlClient, (sql) =>
      Effect.forEach(
        operations,
        ({ position }) =>
          how === "pruned"
            ? sql`DELETE FROM texts WHERE position = ${position}`
            : sql`UPDATE texts SET text = NULL WHERE position = ${position}`,
        { discard: true }
      )
    )
})

const pipeline = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(CausalOrder.processor),
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor)
)

/** Opens the controller of the peer; signatures are checked on this thread, and remembered. */
export const open = Effect.flatMap(Crypto.Crypto, (service) =>
  StreamController.make({
    pipeline,
    application,
    crypto: Layer.succeed(Crypto.Crypto, service),
    batchSize: 8,
    policy: (error) => (error instanceof Pointless ? Policy.skip : StreamController.defaultPolicy(error))
  })
)

/** Runs something with the client of a file; a file that cannot be opened is a defect of the client, not ours. */
export const withFile = <A, E, R>(filename: string, self: Effect.Effect<A, E, R>) =>
  Effect.provide(self, Layer.orDie(SqliteClient.layer({ filename }))) as Effect.Effect<A, E, Exclude<R, SqlClient>>

/** Everything that is delivered, in order. Of two that fork a log the first one that comes is accepted, so the order decides. */
export const history = (
  crypto: Crypto.Service,
  { below, seed }: Unit,
  size: number,
  forks = true
): ReadonlyArray<Operation.Raw> => {
  const topics = [0, 1].map((n) => Topic.named(crypto, `topic ${seed} ${n}`))
  const written: Array<Operation.Operation> = []
  const heads = new Map<string, Operation.Operation>()
  const delivered: Array<Operation.Operation> = []
  const some = (): ReadonlyArray<Hash> => {
    const one = written[below(Math.max(1, written.length))]
    return one === undefined ? [] : [one.id]
  }
  for (let at = 0; at < size; at++) {
    const author = below(4)
    const topic = topics[below(2)] ?? topics[0]
    if (topic === undefined) continue
    const name = `${author}/${topic}`
    const head = heads.get(name)
    const kind = below(20)
    const own = written.filter((one) => one.header.verifyingKey === head?.header.verifyingKey)
    const victim = own[below(Math.max(1, own.length))]
    const sign = (salt: number) =>
      Either.getOrThrow(
        Operation.signWith(crypto)(key(author), {
          seqNum: head === undefined ? 0 : head.header.seqNum + 1,
          backlink: head?.id,
          extensions: Either.getOrThrow(
            OpenExtensions.encode(
              OpenExtensions.draft({
                logId: Topic.logId(crypto, topic),
                timestamp: 1_786_000_000_000_000n + BigInt(at),
                prune: kind === 0,
                previous: kind < 6 ? some() : [],
                deletes: kind === 19 && victim !== undefined ? [victim.id] : []
              })
            )
          ),
          body: body(at, salt, kind, below)
        })
      )
    const operation = sign(0)
    written.push(operation)
    heads.set(name, operation)
    if (kind === 18 && forks) delivered.push(sign(1))
    // Now and then one never comes, and its log waits.
    if (kind !== 17) delivered.push(operation)
  }
  // Some of them late.
  for (let at = 0; at < size / 8; at++) {
    const [late] = delivered.splice(below(delivered.length), 1)
    if (late !== undefined) delivered.splice(below(delivered.length + 1), 0, late)
  }
  return delivered.map(Operation.raw)
}

/** Takes in a history, a few operations at a time; what becomes of it is typed, or a defect. */
export const takeIn = (raws: ReadonlyArray<Operation.Raw>, step: number) =>
  Effect.gen(function* () {
    const controller = yield* open
    for (let at = 0; at < raws.length; at += step) yield* controller.processAll(raws.slice(at, at + step))
    yield* controller.drain
    // A policy's skip, and what a replay lets in, may come after each other.
    yield* Effect.repeat(controller.replay(), { while: ({ accepted }) => accepted > 0 })
  }).pipe(Effect.scoped)

// internal

const key = (seed: number) => Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(seed + 1)))

/** The first byte says what the handler thinks of it. Now and then there is none, or one that fills pages of its own. */
const body = (at: number, salt: number, kind: number, below: Unit["below"]): Uint8Array | undefined => {
  const mood = below(24)
  if (mood === 3) return undefined
  const bytes = new Uint8Array(mood === 4 ? 6000 : 16 + below(200))
  for (let i = 0; i < bytes.length; i++) bytes[i] = below(256)
  bytes[0] = kind > 2 && mood < 2 ? mood : 2
  bytes[1] = at
  bytes[2] = salt
  return bytes
}
