/** The models that come with the package keep the laws, and each law finds the application that breaks it. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import * as Documents from "../../src/models/Documents.ts"
import * as Events from "../../src/models/Events.ts"
import * as Feed from "../../src/models/Feed.ts"
import * as Application from "../../src/pipeline/Application.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Journal from "../../src/testing/Journal.ts"
import * as Laws from "../../src/testing/Laws.ts"

const seed = 20_261_127
/** Machines that run tests are busy. */
const limit = 300_000
const shrinkFor = "4 minutes"

const removing = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor)
)

const Transfer = Schema.Struct({
  from: Schema.Literal("parrot", "horse"),
  to: Schema.Literal("parrot", "horse"),
  apples: Schema.Int.pipe(Schema.between(0, 3))
})
const transfers = { seed, messages: Arbitrary.make(Transfer) }

class NotEnoughApples extends Schema.TaggedError<NotEnoughApples>()("NotEnoughApples", { left: Schema.Int }) {}

/** The README's application. */
const apples = Application.make({
  name: "apples",
  version: 1,
  migrations: [{ name: "baskets", up: ["CREATE TABLE baskets (owner TEXT PRIMARY KEY, apples INTEGER NOT NULL)"] }],
  message: Transfer,
  handle: ({ message: { apples, from, to } }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`UPDATE baskets SET apples = apples + ${apples} WHERE owner = ${to}`
      const [basket] = yield* sql<{ left: number }>`
        UPDATE baskets SET apples = apples - ${apples} WHERE owner = ${from} RETURNING apples AS left`
      if (basket === undefined || basket.left < 0) return yield* new NotEnoughApples({ left: basket?.left ?? 0 })
    })
})

describe("the laws are kept by", () => {
  it.effect(
    "what the README shows",
    () =>
      Laws.application(apples, {
        ...transfers,
        prepare: Effect.flatMap(
          SqlClient.SqlClient,
          (sql) => sql`INSERT INTO baskets VALUES ('parrot', 5), ('horse', 0)`
        )
      }),
    limit
  )
  it.effect("the journal", () => Laws.application(Journal.application, { seed, pipeline: removing }), limit)

  const texts = Schema.Struct({ text: Schema.String.pipe(Schema.minLength(4), Schema.maxLength(9)) })
  const feed = Feed.make({ name: "posts", version: 1, message: texts })
  it.effect("Feed", () => Laws.application(feed, { seed, pipeline: removing, messages: Arbitrary.make(texts) }), limit)

  const documents = Documents.make({
    name: "notes",
    version: 1,
    mergeEvery: 2,
    crdt: {
      empty: () => new Set<string>(),
      apply: (state, update) => state.add(update.join()),
      save: (state) => new TextEncoder().encode(Array.from(state).sort().join(";"))
    }
  })
  it.effect(
    "Documents",
    () =>
      Laws.application(documents, {
        seed,
        pipeline: removing,
        messages: FastCheck.uint8Array({ minLength: 4, maxLength: 9 }).map(Documents.update),
        // What updates come to is written down now and then, wherever it is read from.
        snapshot: { ignore: ["notes_states"] }
      }),
    limit
  )

  const Amount = Schema.Struct({ account: Schema.Literal("a", "b"), amount: Schema.Int.pipe(Schema.between(-2, 3)) })
  class Overdrawn extends Schema.TaggedError<Overdrawn>()("Overdrawn", {}) {}
  it.effect(
    "Events",
    () =>
      Laws.application(
        Events.make({
          name: "accounts",
          version: 1,
          message: Amount,
          key: ({ message }) => message.account,
          state: Schema.Struct({ balance: Schema.Int }),
          initial: { balance: 0 },
          evolve: ({ balance }, { message: { amount } }) =>
            balance + amount < 0 ? Either.left(new Overdrawn()) : Either.right({ balance: balance + amount })
        }),
        {
          seed,
          messages: Arbitrary.make(Amount),
          snapshot: { columns: ["generation", "shown", "written", "version"] },
          except: { resets: "readers see the old states until the new ones are there" }
        }
      ),
    limit
  )
})

/** Keeps what was said. */
const Note = Schema.Struct({ text: Schema.String.pipe(Schema.minLength(4), Schema.maxLength(6)), size: Schema.Int })
const notes = {
  seed,
  shrinkFor,
  runs: 30,
  messages: Arbitrary.make(Note),
  pipeline: removing,
  history: { kinds: ["say", "say", "prune", "delete"] }
} as const
const migrations = [
  { name: "notes", up: ["CREATE TABLE notes (id TEXT, text TEXT)", "CREATE TABLE total (total INTEGER)"] }
]
class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", {}) {}

type Input = Application.Input<typeof Note.Type>
const insert = ({ event, message }: Input) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO notes VALUES (${event.id}, ${message.text})`)
const count = (total: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.zipRight(sql`DELETE FROM total`, sql`INSERT INTO total VALUES (${total})`)
  )
const forget = ({ operations }: Application.Forgotten) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`DELETE FROM notes WHERE ${sql.in(
        "id",
        operations.map(({ id }) => id)
      )}`
  )

const make = <E, R>(
  handle: (input: Input) => Effect.Effect<unknown, E, R>,
  options: Partial<Application.Options & { readonly forget: typeof forget }> = {}
) =>
  Application.make({
    name: "notes",
    version: 1,
    migrations,
    message: Note,
    handle,
    forget,
    reset: Application.emptying("notes", "total"),
    ...options
  })

/** Tries an application of notes. */
const tried = <E>(application: Application.Application<Event.Event, typeof Note.Type, E, SqlClient.SqlClient>) =>
  Laws.application(application, notes)

let total = 0
const wrong: Readonly<Record<string, readonly [Laws.ApplicationLaw, RegExp, Effect.Effect<void, Laws.LawBroken>]>> = {
  "a statement that cannot be": [
    "runs",
    /about a0: A statement of the handler failed: no such table: other/,
    tried(make(() => Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT * FROM other`)))
  ],
  "a bug": ["runs", /about a0: A bug/, tried(make(() => Effect.dieMessage("a bug")))],
  "a handler that does not end": [
    "ends",
    /about a0: The handler was stopped after 50 ms/,
    tried(make(() => Effect.never, { timeLimit: "50 millis" }))
  ],
  "work that goes on by itself": [
    "attached",
    /when a0 was handled, work went on/,
    tried(make((input) => Effect.zipRight(insert(input), Effect.forkDaemon(Effect.sleep("1 hour")))))
  ],
  "a failure that is ignored": [
    "atomic",
    /when the disk failed at "INSERT INTO notes.*of a0, it was accepted without a part/,
    tried(make((input) => Effect.ignore(insert(input))))
  ],
  "a failure that is taken for a verdict": [
    "atomic",
    // The first time the handler is run once more, under a savepoint, and succeeds.
    /of a[01], it was rejected; a SqlError is nobody's verdict/,
    tried(make((input) => Effect.mapError(insert(input), () => new TooLarge())))
  ],
  "a memory beside the tables": [
    "once",
    /In table total/,
    Laws.application(
      // It is told that an operation was handled, and never that this was undone.
      make(
        ({ position }) =>
          Effect.suspend(() => {
            const next = position === 1 ? 1 : total + 1
            return Effect.tap(count(next), () => Effect.sync(() => (total = next)))
          }),
        { reset: undefined }
      ),
      { ...notes, history: { kinds: ["say"] } }
    )
  ],
  "a rejection that is remembered": [
    "traceless",
    /rejected operations left something behind. In table total/,
    tried(
      make(
        ({ message, position }): Effect.Effect<unknown, SqlError | TooLarge, SqlClient.SqlClient> => {
          total = position === 1 ? 1 : total + 1
          return message.size % 2 === 0 ? Effect.fail(new TooLarge()) : count(total)
        },
        { reset: undefined }
      )
    )
  ],
  "a body that is kept": [
    "forgets",
    /the body of a0 is gone, and ".*" of it is still in table notes/,
    tried(make(insert, { forget: () => Effect.succeed([]) }))
  ],
  "a table that is not emptied": [
    "resets",
    /In table total: only after the reset/,
    tried(make(() => count(3), { reset: Application.emptying("notes") }))
  ],
  "effects that a replay does not have": [
    "rebuilds",
    /In table notes: only as it was, { id: a0/,
    tried(make((input) => (input.event.replay ? Effect.void : insert(input))))
  ]
}

describe("a law finds", () => {
  for (const [what, [law, detail, laws]] of Object.entries(wrong)) {
    it.effect(
      what,
      () =>
        Effect.gen(function* () {
          const broken = yield* Effect.flip(laws)
          assert.strictEqual(broken.law, law, broken.message)
          assert.match(broken.detail, detail)
          assert.include(broken.message, `notes breaks the law "${law}"`)
          assert.isAtMost(broken.history.split("\n").length, 5, broken.message)
        }),
      limit
    )
  }

  it.effect(
    "that nothing was tried",
    () =>
      Effect.gen(function* () {
        const broken = yield* Effect.flip(Laws.application(apples, { seed }))
        assert.match(broken.message, /no operation was accepted, so nothing was tried/)
      }),
    limit
  )

  it("what it needs in its type", () => {
    class Mailer extends Context.Tag("Mailer")<Mailer, string>() {}
    const mails = make(() => Mailer)
    const needs: Effect.Effect<void, Laws.LawBroken, Mailer> = Laws.application(mails, notes)
    // @ts-expect-error it needs a Mailer
    const missing: Effect.Effect<void, Laws.LawBroken> = Laws.application(mails, notes)
    assert.lengthOf([needs, missing], 2)
  })
})
