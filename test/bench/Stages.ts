/**
 * Where the time of `ingest` goes: each stage by itself, with what the stages before it made, in batches of 100 on a
 * database like that of `ingest`. What is left of the whole is "other": the writer, the watch over handlers, outcomes.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Log from "../../src/core/Log.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Event from "../../src/pipeline/Event.ts"
import * as Operations from "../../src/store/Operations.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as Candidates from "../../src/stream/internal/candidates.ts"
import * as Verifier from "../../src/stream/internal/verifier.ts"
import { decodeAll } from "../support/decodeAll.ts"
import * as Data from "./Data.ts"
import { application, pipeline } from "./Subject.ts"

/** What a stage works on. */
export interface Input {
  readonly crypto: Crypto.Service
  readonly data: Data.Data
  readonly batches: ReadonlyArray<ReadonlyArray<Event.Event>>
}

type Stage = (input: Input) => Effect.Effect<unknown, SqlError, SqlClient.SqlClient>

export const input = (crypto: Crypto.Service, data: Data.Data): Input => {
  const events = data.raws.map((raw) => event(crypto, data, Operation.decodeWith(crypto)(raw)))
  const count = Math.ceil(events.length / 100)
  const batches = Array.from({ length: count }, (_, at) => events.slice(at * 100, at * 100 + 100))
  return { crypto, data, batches }
}

/** A transaction for each batch. */
const eachBatch =
  (
    run: (
      events: ReadonlyArray<Event.Event>,
      first: number
    ) => Effect.Effect<unknown, SqlError, SqlClient.SqlClient | Transaction.Transaction>
  ): Stage =>
  ({ batches }) =>
    Effect.gen(function* () {
      for (const [at, events] of batches.entries()) yield* Transaction.run(Effect.asVoid(run(events, at * 100)))
    })

const event = (crypto: Crypto.Service, { topic }: Data.Data, decoded: Verifier.Decoded): Event.Event =>
  Either.getOrThrow(
    Candidates.receive(crypto, Extensions.any, Either.getOrThrow(decoded), { topic, source: undefined, receivedAt: 0 })
  )

/** On this thread; with signatures that are believed, what remains is reading, hashing and making the event. */
const decode =
  (verify: boolean): Stage =>
  ({ crypto, data }) =>
    Effect.map(decodeAll(Verifier.inline(verify ? crypto : { ...crypto, verify: () => true }), data.raws), (all) =>
      all.map((decoded) => event(crypto, data, decoded))
    )

/** As `ingest` does it: the signatures in the worker. */
const decodeBeside: Stage = ({ batches, crypto, data }) =>
  Effect.scoped(
    Effect.gen(function* () {
      const verifier = yield* Verifier.make(crypto)
      for (const at of batches.keys()) {
        const decoded = yield* decodeAll(verifier, data.raws.slice(at * 100, at * 100 + 100))
        for (const one of decoded) event(crypto, data, one)
      }
    })
  )

const each = (
  around: typeof Transaction.part,
  body: (event: Event.Event, position: number) => Effect.Effect<unknown, SqlError, SqlClient.SqlClient>
) =>
  eachBatch((events, first) =>
    Effect.gen(function* () {
      for (const [at, event] of events.entries()) yield* around(body(event, first + at + 1))
    })
  )

const accepted = (event: Event.Event, position: number): Operations.Accepted => ({
  position,
  operation: event.operation,
  body: event.operation.body,
  acceptedAt: 0,
  log: event.log,
  author: event.operation.header.verifyingKey,
  logId: event.extensions.logId,
  topic: event.topic,
  head: Log.append(undefined, event.id, Event.claim(event))
})

const handled = (event: Event.Event, position: number) =>
  // The types of other failures are those of a message that does not decode; all of these do.
  Effect.catchTag(application.handle(event, position), "InvalidMessage", Effect.die)

/** The same messages, and nothing done with them. */
const decoding = Application.make({ name: "bench", version: 1, message: Data.Message, handle: () => Effect.void })

/** The stages. A name with `-` in front is a part of the one before it. */
export const stages: ReadonlyArray<readonly [name: string, Stage]> = [
  ["decode and verify", decode(true)],
  ["- without the signature", decode(false)],
  ["- with the worker, waiting for it", decodeBeside],
  ["transaction alone", eachBatch(() => Effect.void)],
  ["sort (known before?)", eachBatch((events) => Candidates.sort(events))],
  [
    "preload and decide",
    eachBatch((events) =>
      Effect.gen(function* () {
        const session = pipeline.open()
        yield* session.preload(events)
        for (const event of events) {
          yield* session.decide(event)
          session.keep()
        }
      })
    )
  ],
  ["part alone", each(Transaction.part, () => Effect.void)],
  ["- a savepoint in its place", each(Transaction.savepoint, () => Effect.void)],
  [
    "handler without a part",
    eachBatch((events, first) =>
      Effect.gen(function* () {
        for (const [at, event] of events.entries()) yield* handled(event, first + at + 1)
      })
    )
  ],
  ["part and handler", each(Transaction.part, handled)],
  [
    "- message decoded, no SQL",
    ({ batches }) =>
      Effect.gen(function* () {
        for (const event of batches.flat()) yield* decoding.handle(event, 1).pipe(Effect.catchAll(Effect.die))
      })
  ],
  [
    "append",
    eachBatch((events, first) => Operations.append(events.map((event, at) => accepted(event, first + at + 1))))
  ]
]
