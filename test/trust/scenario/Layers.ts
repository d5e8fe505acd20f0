/** The controller of the generated scenarios: all system layers, an application that says no in every way, and a consumer. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as Extensions from "../../../src/core/Extensions.ts"
import * as Application from "../../../src/pipeline/Application.ts"
import * as Consumer from "../../../src/pipeline/Consumer.ts"
import type { Event } from "../../../src/pipeline/Event.ts"
import * as Pipeline from "../../../src/pipeline/Pipeline.ts"
import * as Policy from "../../../src/pipeline/Policy.ts"
import * as Rejection from "../../../src/pipeline/Rejection.ts"
import * as CausalOrder from "../../../src/processors/CausalOrder.ts"
import * as Deletion from "../../../src/processors/Deletion.ts"
import * as Limits from "../../../src/processors/Limits.ts"
import * as LogIntegrity from "../../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../../src/processors/Pruning.ts"
import * as Topics from "../../../src/processors/Topics.ts"
import * as StreamController from "../../../src/stream/StreamController.ts"
import * as History from "../../../src/testing/History.ts"
import * as Journal from "../../../src/testing/Journal.ts"
import * as Misbehaviour from "../../../src/testing/Misbehaviour.ts"

/** The errors of the application; the policy has another verdict for each. */
export class Unwelcome extends Data.TaggedError("Unwelcome")<{}> {}
class Skippable extends Data.TaggedError("Skippable")<{}> {}
class Useless extends Data.TaggedError("Useless")<{}> {}
class Unfit extends Data.TaggedError("Unfit")<{}> {}

/** Breaks a constraint with tables that are there, since a schema that changes costs every statement. */
const breaks =
  (text: string): Misbehaviour.Misbehaviour<never, SqlClient.SqlClient> =>
  (handle) =>
    Effect.zipLeft(
      handle,
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text))
    )

type Wrong = Misbehaviour.Misbehaviour<Unwelcome | Skippable | Useless | Unfit, SqlClient.SqlClient>

/** What the application makes of a body that begins with this byte. */
const wrong: ReadonlyMap<number, Wrong> = new Map<number, Wrong>([
  [0xf0, Misbehaviour.fails(new Unwelcome())],
  [0xf1, Misbehaviour.fails(new Skippable())],
  [0xf2, Misbehaviour.fails(new Useless())],
  [0xf3, Misbehaviour.fails(new Unfit())],
  [0xf4, Misbehaviour.dies],
  [0xf5, breaks("INSERT INTO small VALUES (11)")],
  [0xf6, breaks("INSERT INTO children VALUES (7)")]
])

/** What the consumer says no to. */
const unread = 0xe0

/** Bodies: most are welcome. */
const bodies: FastCheck.Arbitrary<Uint8Array | undefined> = FastCheck.oneof(
  { weight: 10, arbitrary: FastCheck.uint8Array({ minLength: 1, maxLength: 6, max: 0x7f }) },
  { weight: 2, arbitrary: FastCheck.constant(undefined) },
  {
    weight: 5,
    arbitrary: FastCheck.constantFrom(...wrong.keys(), 0xf0, 0xf5, unread, unread).map((first) =>
      Uint8Array.of(first, 1)
    )
  },
  // More than is taken.
  { weight: 1, arbitrary: FastCheck.constant(new Uint8Array(40)) }
)

/** Histories for this controller. */
export const histories = (crypto: Crypto.Service, most: number): FastCheck.Arbitrary<History.History> => {
  const deeds = History.deeds({
    most,
    authors: 3,
    topics: 2,
    kinds: ["say", "say", "say", "say", "prune", "prune", "delete", "fork"],
    body: bodies
  })
  return FastCheck.tuple(deeds, FastCheck.nat({ max: 7 }))
    .map(([some, one]) => History.write(crypto, one === 0 ? [...some, ...elsewhere(some.length)] : some))
    .filter(isDecided)
}

/**
 * Whether every operation is refused or not whenever it comes: one whose body the author has deleted from another log is not refused
 * for that body, where the tombstone came first.
 */
const isDecided = ({ entries }: History.History): boolean =>
  entries.every(
    ({ author, name, operation: { body }, topic }) =>
      !wrong.has(body?.[0] ?? 0) ||
      !entries.some((one) => one.author === author && one.topic !== topic && one.deletes.includes(name))
  )

/** Another author says something, and deletes it from another log: whoever gets that first never sees the body. */
const elsewhere = (at: number): ReadonlyArray<History.Deed> => {
  const deed = { author: 3, after: [], deletes: [at], skew: 0 }
  return [
    { ...deed, topic: 1, kind: "say", body: new TextEncoder().encode("a secret, told") },
    { ...deed, topic: 0, kind: "delete", body: undefined }
  ]
}

/** Bodies that nobody but the consumer says no to: what becomes of them does not depend on what came first. */
const welcome: FastCheck.Arbitrary<Uint8Array | undefined> = FastCheck.oneof(
  { weight: 6, arbitrary: FastCheck.uint8Array({ minLength: 1, maxLength: 6, max: 0x7f }) },
  { weight: 1, arbitrary: FastCheck.constant(undefined) },
  { weight: 1, arbitrary: FastCheck.constant(Uint8Array.of(unread, 1)) }
)

/** Histories in which everything is accepted in the end, in whatever order it comes. */
export const welcomed = (crypto: Crypto.Service, most: number): FastCheck.Arbitrary<History.History> =>
  History.arbitrary(crypto, {
    most,
    authors: 3,
    topics: 2,
    kinds: ["say", "say", "say", "say", "prune", "delete"],
    body: welcome
  })

/** Who misbehaves besides, and when. */
export interface More {
  readonly handler?: Misbehaviour.Choose<unknown, Unwelcome, SqlClient.SqlClient>
  readonly consumer?: Misbehaviour.Choose<unknown, Unwelcome, SqlClient.SqlClient>
  readonly processor?: Misbehaviour.Choose<unknown, never, SqlClient.SqlClient>
}

const nobody = () => undefined

const first = (event: Event) => event.payload?.[0]

const tables = {
  name: "constraints",
  up: [
    `CREATE TABLE small (n INTEGER CHECK (n < 10))`,
    `CREATE TABLE parents (n INTEGER PRIMARY KEY)`,
    `CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`
  ]
}

const application = Misbehaviour.when(
  { ...Journal.application, migrations: [...Journal.migrations, tables] },
  (event): Wrong | undefined => wrong.get(first(event) ?? 0)
)

/** What a consumer parks it is not told of either: what goes by a tombstone would stay in its table until that is handled. */
const takesAway = ({ extensions }: Event): boolean =>
  extensions.prune || (extensions.deletes !== undefined && extensions.deletes.length > 0)

const seen = (sql: SqlClient.SqlClient) =>
  Consumer.bytes({
    name: "seen",
    version: 1,
    migrations: [{ name: "seen", up: [`CREATE TABLE seen (id TEXT PRIMARY KEY)`] }],
    reset: Application.emptying("seen"),
    handle: ({ event, message }) =>
      Effect.zipRight(
        sql`INSERT INTO seen VALUES (${event.id}) ON CONFLICT DO NOTHING`,
        message?.[0] === unread && !takesAway(event) ? new Unwelcome() : Effect.void
      ),
    forget: ({ operations }) =>
      sql`DELETE FROM seen WHERE ${sql.in(
        "id",
        operations.map(({ id }) => id)
      )}`
  })

/**
 * P2: up to its position the consumer has handled every operation that is whole, or it is parked: whoever acknowledges 5 has not
 * acknowledged 3.
 */
export const passedOver = (
  name: (id: string) => string
): Effect.Effect<ReadonlyArray<string>, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ id: string }>`
        SELECT lower(hex(o.id)) AS id FROM applecart_consumers AS c
          JOIN applecart_operations AS o ON o.position <= c.position
        WHERE c.name = 'seen' AND c.state = 'live'
          AND NOT EXISTS (SELECT 1 FROM seen AS s WHERE s.id = lower(hex(o.id)))
          AND NOT EXISTS (SELECT 1 FROM applecart_deliveries AS d WHERE d.consumer = c.consumer AND d.position = o.position)
          AND NOT EXISTS (SELECT 1 FROM applecart_decisions AS d WHERE d.id = o.id)`,
      (rows) => rows.map(({ id }) => `P2: the consumer has passed over ${name(id)}`)
    )
  )

/** Bugs are tried twice without a pause, so that no trial has to wait. */
const policy = (error: unknown): Policy.Policy => {
  if (error instanceof Skippable) return Policy.skip
  if (error instanceof Useless) return Policy.discard
  if (error instanceof Unfit) return Policy.refuse()
  return error instanceof Rejection.Defect ? Policy.retry(Schedule.recurs(1)) : StreamController.defaultPolicy(error)
}

/** The same message has the same id in every run. */
const extensions: Extensions.Codec<Extensions.Any> = {
  ...Extensions.any,
  draft: (fields) => Extensions.any.draft({ ...fields, timestamp: History.begin })
}

/** Opens the controller; with whoever misbehaves. */
export const open = (
  crypto: Crypto.Service,
  batchSize: number,
  { consumer = nobody, handler = nobody, processor = nobody }: More = {}
) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    StreamController.make({
      pipeline: Pipeline.make(Limits.make({ bodySize: 32, rate: { operations: 1000, per: "1 day" } })).pipe(
        Pipeline.andThen(LogIntegrity.processor),
        Pipeline.andThen(Misbehaviour.whenDeciding(Topics.processor, processor)),
        Pipeline.andThen(CausalOrder.processor),
        Pipeline.andThen(Pruning.processor),
        Pipeline.andThen(Deletion.processor)
      ),
      application: Misbehaviour.when(application, handler),
      consumers: [Misbehaviour.whenConsuming(seen(sql), consumer)],
      policy,
      extensions,
      batchSize,
      // One that is busy for ever is not waited for.
      busyLimit: "1 millis",
      crypto: Layer.succeed(Crypto.Crypto, crypto)
    })
  )

export type Controller = Effect.Effect.Success<ReturnType<typeof open>>
