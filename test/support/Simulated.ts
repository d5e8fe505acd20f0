/** What is simulated: all system layers, the journal with a veto, a consumer; strangers who write what is rejected. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Application from "../../src/pipeline/Application.ts"
import * as Consumer from "../../src/pipeline/Consumer.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topics from "../../src/processors/Topics.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import type * as History from "../../src/testing/History.ts"
import * as Journal from "../../src/testing/Journal.ts"
import type * as Simulation from "../../src/testing/Simulation.ts"

export const pipeline = Pipeline.make(Limits.make()).pipe(
  Pipeline.andThen(LogIntegrity.processor),
  Pipeline.andThen(CausalOrder.processor),
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor),
  Pipeline.andThen(Topics.processor)
)

/** The body says that it is not to be accepted. */
class Unwanted extends Schema.TaggedError<Unwanted>()("Unwanted", {}) {}

/** Bodies that begin so are rejected. */
export const unwanted = 0xff

/** The journal, with a veto that comes when it has written. */
const application = {
  ...Journal.application,
  handle: (event: StreamController.Placed, position: number) =>
    Effect.tap(
      Journal.application.handle(event, position),
      (): Effect.Effect<void, Unwanted> => (event.payload?.[0] === unwanted ? new Unwanted() : Effect.void)
    )
}

/** Keeps a row for everything whose body is there. */
const seen = Consumer.bytes({
  name: "seen",
  version: 1,
  migrations: [{ name: "seen", up: ["CREATE TABLE seen (id TEXT NOT NULL)"] }],
  reset: Application.emptying("seen"),
  handle: ({ event }) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO seen VALUES (${event.id})`),
  forget: ({ operations }) =>
    Effect.flatMap(
      SqlClient.SqlClient,
      (sql) =>
        sql`DELETE FROM seen WHERE ${sql.in(
          "id",
          operations.map(({ id }) => id)
        )}`
    )
})

/** With strangers, if there are any. */
export const options = (strangers: ReadonlyArray<History.History> = []) => ({
  open: (peer: Simulation.Peer) =>
    StreamController.make({
      pipeline,
      application,
      consumers: [seen],
      batchSize: peer.batchSize,
      poll: "3 seconds",
      crypto: peer.crypto
    }),
  message: FastCheck.oneof(
    { weight: 12, arbitrary: FastCheck.uint8Array({ minLength: 1, maxLength: 8 }) },
    { weight: 1, arbitrary: FastCheck.constant(Uint8Array.of(unwanted)) }
  ),
  topics: 2,
  causal: true,
  strangers
})
