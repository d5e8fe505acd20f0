/**
 * The application: who has how many apples. It knows nothing of signatures, files, queues or crashes; it is a message, a
 * rule, and ordinary SQL.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { Application, LogIntegrity, Pipeline, StreamController, VerifyingKey } from "applecart"
import { Context, Effect, Layer, Schema } from "effect"

const Apples = Schema.Int.pipe(Schema.positive())

/** What peers tell each other. Who picks or gives is not in the message: it is whoever signed the operation. */
export const Message = Schema.Union(
  Schema.TaggedStruct("Pick", { apples: Apples }),
  Schema.TaggedStruct("Give", { apples: Apples, to: VerifyingKey.Schema })
)

/** The one rule: nobody gives away what they do not have. */
export class NotEnoughApples extends Schema.TaggedError<NotEnoughApples>()("NotEnoughApples", {
  has: Schema.Int,
  wanted: Schema.Int
}) {
  override get message() {
    return `There are ${this.has} apples in the basket, and ${this.wanted} were to be given away.`
  }
}

/** What happens between a gift's two writes: nothing, on a calm day. The story has a thunderstorm, too. */
export class Weather extends Context.Tag("Weather")<
  Weather,
  { readonly betweenTheWrites: Effect.Effect<void, never, SqlClient.SqlClient> }
>() {
  static readonly calm = Layer.succeed(Weather, { betweenTheWrites: Effect.void })
}

/** Adds apples to a basket, or takes some out; gives how many are in it then. */
const put = (owner: VerifyingKey.VerifyingKey, apples: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const [basket] = yield* sql<{ apples: number }>`
      INSERT INTO baskets (owner, apples) VALUES (${owner}, ${apples})
      ON CONFLICT (owner) DO UPDATE SET apples = apples + excluded.apples RETURNING apples`
    return basket?.apples ?? 0
  })

const give = (from: VerifyingKey.VerifyingKey, { apples, to }: { apples: number; to: VerifyingKey.VerifyingKey }) =>
  Effect.gen(function* () {
    const left = yield* put(from, -apples)
    yield* Effect.flatMap(Weather, ({ betweenTheWrites }) => betweenTheWrites)
    yield* put(to, apples)
    // Not too late: a failure undoes both writes, and everything else that the operation did.
    if (left < 0) return yield* new NotEnoughApples({ has: left + apples, wanted: apples })
  })

const application = Application.make({
  name: "apples",
  version: 1,
  migrations: [{ name: "baskets", up: ["CREATE TABLE baskets (owner TEXT PRIMARY KEY, apples INTEGER NOT NULL)"] }],
  message: Message,
  handle: ({ event: { author }, message }) =>
    message._tag === "Pick" ? put(author, message.apples) : give(author, message)
})

/** The stream controller of this application: what to yield, and the layer that makes it. */
export class AppleController extends StreamController.Tag<AppleController>()("AppleController", {
  pipeline: Pipeline.make(LogIntegrity.processor),
  application
}) {}

/** How many apples are in whose basket. */
export const baskets = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ owner: string; apples: number }>`SELECT owner, apples FROM baskets`
  return new Map(rows.map(({ owner, apples }) => [owner, apples]))
})
