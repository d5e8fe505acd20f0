/** What tests of consumers share: an application and readers that note what they were handed, in tables of their own. */
import * as SqlClient from "@effect/sql/SqlClient"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Consumer from "../../src/pipeline/Consumer.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Peer from "./Peer.ts"

export const Message = Schema.Struct({ n: Schema.Int })

export class Unlucky extends Schema.TaggedError<Unlucky>()("Unlucky", { n: Schema.Int }) {}

/** Whom it rejects. */
export type Rejects = (n: number) => boolean
const nobody: Rejects = () => false

const notes = (name: string) => ({
  migrations: [
    { name, up: [`CREATE TABLE ${name} (position INTEGER NOT NULL, n INTEGER NOT NULL, replay INTEGER NOT NULL)`] }
  ],
  reset: Application.emptying(name),
  message: Message
})

const note =
  (name: string, rejects: Rejects) =>
  ({ event, message: { n }, position }: Application.Input<{ readonly n: number }>) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO ${sql(name)} VALUES (${position}, ${n}, ${event.replay ? 1 : 0})`
      if (rejects(n)) return yield* new Unlucky({ n })
    })

/** Notes every message; `rejects` says which it takes back. */
export const application = (version = 1, rejects: Rejects = nobody) =>
  Application.make({ name: "app", version, ...notes("app"), handle: note("app", rejects) })

/** A reader that does the same, and what it was told of in `<name>_gone`. */
export const reader = (
  name: string,
  version = 1,
  rejects: Rejects = nobody,
  policy?: Consumer.Consumer<never, never>["policy"]
) =>
  Consumer.make({
    name,
    version,
    ...notes(name),
    migrations: [
      ...notes(name).migrations,
      {
        name: `${name}_gone`,
        up: [`CREATE TABLE ${name}_gone (position INTEGER NOT NULL, how TEXT NOT NULL, missed INTEGER NOT NULL)`]
      }
    ],
    reset: Application.emptying(name, `${name}_gone`),
    handle: note(name, rejects),
    forget: ({ how, missed, operations }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        for (const { position } of operations) {
          yield* sql`DELETE FROM ${sql(name)} WHERE position = ${position}`
          yield* sql`INSERT INTO ${sql(`${name}_gone`)} VALUES (${position}, ${how}, ${missed ? 1 : 0})`
        }
      }),
    policy
  })

export const pipeline = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor)
)

/** A controller with these readers. */
export const open = (
  consumers: ReadonlyArray<Consumer.Consumer<Event.Event, SqlClient.SqlClient>>,
  app = application(),
  options: { readonly batchSize?: number; readonly witness?: false } = {}
) => StreamController.make({ pipeline, application: app, consumers, ...options })

/** What was noted: `n`, with a `*` where it was a replay; in the order of notes. */
export const noted = (name: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ n: number; replay: number }>`SELECT n, replay FROM ${sql(name)} ORDER BY rowid`
    return rows.map(({ n, replay }) => `${n}${replay === 1 ? "*" : ""}`).join(" ")
  })

/** What a reader was told of: the position, `pruned` or `deleted`, and `?` where it had not seen it. */
export const gone = (name: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{
      position: number
      how: string
      missed: number
    }>`SELECT position, how, missed FROM ${sql(`${name}_gone`)} ORDER BY rowid`
    return rows.map(({ how, missed, position }) => `${position} ${how}${missed === 1 ? "?" : ""}`)
  })

/** A test on a database of its own. */
export const test = <A, E>(
  name: string,
  self: Effect.Effect<A, E, SqlClient.SqlClient | Crypto.Crypto | Scope.Scope>
): void => it.scoped(name, () => Effect.provide(self, Layer.merge(Peer.database, Crypto.layer)))

export const key = Peer.signingKey(1)
export const topic = Effect.map(Crypto.Crypto, (crypto) => Topic.named(crypto, "numbers"))

/** What publishes numbers. */
interface Publisher<E> {
  readonly publish: (
    draft: StreamController.Draft<{ readonly n: number }>
  ) => Effect.Effect<StreamController.Published, E>
}

/** Publishes numbers, each in a message of its own. */
export const publish = <E>(controller: Publisher<E>, ...numbers: ReadonlyArray<number>) =>
  Effect.flatMap(topic, (topic) => Effect.forEach(numbers, (n) => controller.publish({ key, topic, message: { n } })))

export type Controller = Effect.Effect.Success<ReturnType<typeof open>>

/** How far a consumer is. */
export const status = (controller: Pick<Controller, "consumers">, name: string) =>
  Effect.map(controller.consumers.status, (all) => all.find((one) => one.name === name))
