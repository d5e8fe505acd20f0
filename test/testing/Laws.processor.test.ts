/** The processors that come with the package keep the laws, and each law finds the processor that breaks it. */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Event from "../../src/pipeline/Event.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Processor from "../../src/pipeline/Processor.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topics from "../../src/processors/Topics.ts"
import * as Laws from "../../src/testing/Laws.ts"
import { make, quota } from "../support/Quota.ts"

const seed = 20_261_127
/** Machines that run tests are busy. */
const shrinkFor = "4 minutes"
const limit = 300_000
const everything = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(CausalOrder.processor),
  Pipeline.andThen(Pruning.processor)
)

describe("the laws are kept by", () => {
  it.effect("a quota", () => Laws.processor(make(quota(3)), { seed }), limit)

  it.effect(
    "LogIntegrity",
    () =>
      Laws.processor(LogIntegrity.processor, {
        seed,
        except: {
          saves: "the pipeline writes the heads where it appends",
          recalls: "handed over again, an event carries what the operation itself names"
        }
      }),
    limit
  )

  const causal = { seed, except: { saves: "the graph is read with less than what was written" } } as const
  it.effect("CausalOrder", () => Laws.processor(CausalOrder.processor, causal), limit)
  it.effect(
    "CausalOrder behind what removes",
    () =>
      Laws.processor(CausalOrder.processor, {
        ...causal,
        behind: Pipeline.make(LogIntegrity.processor).pipe(
          Pipeline.andThen(Pruning.processor),
          Pipeline.andThen(Deletion.processor)
        )
      }),
    limit
  )
  it.effect("Pruning", () => Laws.processor(Pruning.processor, { seed }), limit)
  it.effect("Deletion", () => Laws.processor(Deletion.processor, { seed }), limit)
  it.effect("Deletion behind the others", () => Laws.processor(Deletion.processor, { seed, behind: everything }), limit)
  it.effect("Topics", () => Laws.processor(Topics.processor, { seed, history: { topics: 3 } }), limit)
  it.effect("Limits", () => Laws.processor(Limits.make({ bodySize: 6 }), { seed }), limit)
  it.effect(
    "Limits with a rate",
    () =>
      Laws.processor(Limits.make({ rate: { operations: 3, per: "1 day" } }), {
        seed,
        except: { converges: "how much is taken in a time depends on what came first" }
      }),
    limit
  )
  it.effect(
    "what the README shows",
    () =>
      Laws.processor(
        Processor.stateless({
          name: "short",
          decide: ({ operation: { header } }) =>
            header.payloadSize > 5 ? Either.left(new TooLong()) : Either.right(Processor.accept())
        }),
        { seed }
      ),
    limit
  )
})

class TooLong extends Schema.TaggedError<TooLong>()("TooLong", {}) {}

/** What a broken processor is told; the picture has so many operations at the most. */
const breaks = <R>(
  law: Laws.ProcessorLaw,
  detail: RegExp,
  laws: Effect.Effect<void, Laws.LawBroken, R>,
  most: number
) =>
  Effect.gen(function* () {
    const broken = yield* Effect.flip(laws)
    assert.strictEqual(broken.law, law, broken.message)
    assert.match(broken.detail, detail)
    assert.include(broken.message, `breaks the law "${law}"`)
    assert.include(broken.message, `{ seed: ${seed}, path: "${broken.path}" }`)
    const [, ...lines] = broken.history.split("\n")
    assert.isAtMost(lines.length, most, broken.message)
    return broken
  })

describe("a law finds", () => {
  const good = quota(3)
  let count = 0
  const wrong: ReadonlyArray<
    readonly [what: string, law: Laws.ProcessorLaw, detail: RegExp, most: number, options: typeof good]
  > = [
    [
      "a bug",
      "runs",
      /about a1: .*undefined/s,
      2,
      {
        ...good,
        decide: (state, event) => {
          if (event.operation.header.seqNum === 1) throw new TypeError("undefined is not a function")
          return good.decide(state, event)
        }
      }
    ],
    [
      "a statement that fails",
      "runs",
      /SqlError/,
      1,
      {
        ...good,
        load: () => Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.as(sql`SELECT * FROM quotas`, new Map()))
      }
    ],
    [
      "a decision that depends on what was decided before",
      "deterministic",
      /about a0: asked twice, it decides differently/,
      1,
      { ...good, decide: (_, { author }) => Either.right(Processor.accept({ state: [[author, { used: ++count }]] })) }
    ],
    [
      "a state that was not asked for",
      "deterministic",
      /it asks for the state of author a, which neither `keys` nor `laterKeys` names/,
      1,
      { ...good, keys: () => [] }
    ],
    [
      "a clock",
      "pure",
      /about a0: it reads Date.now\(\), new Date\(\) when it decides/,
      1,
      {
        ...good,
        decide: (state, event) =>
          Date.now() > 0 && new Date().getTime() > 0 ? good.decide(state, event) : Either.left(never)
      }
    ],
    [
      "Effect's clock and its random numbers",
      "pure",
      /it reads Clock, Random/,
      1,
      {
        ...good,
        decide: (state, event) =>
          Effect.zipRight(Effect.zipRight(Clock.currentTimeMillis, Random.next), good.decide(state, event))
      }
    ],
    [
      "a statement in a decision",
      "pure",
      /it runs a statement when it decides/,
      1,
      {
        ...good,
        decide: (state, event) =>
          Effect.flatMap(Effect.serviceOption(SqlClient.SqlClient), (sql) =>
            Effect.zipRight(
              sql._tag === "Some" ? Effect.orDie(sql.value`SELECT 1`) : Effect.void,
              good.decide(state, event)
            )
          )
      }
    ],
    [
      "a state that is changed in place",
      "pure",
      /it changes the state or the event/,
      2,
      {
        ...good,
        decide: (state, event) => {
          const used = state(event.author)
          if (used !== undefined) Object.assign(used, { used: used.used + 1 })
          return good.decide(state, event)
        }
      }
    ],
    [
      "a state that is read back as another",
      "saves",
      /of author a: saved was { used: 2 }, and read back is { used: 1 }/,
      2,
      {
        ...good,
        save: (changed) =>
          good.save(new Map(Array.from(changed, ([key, { used }]) => [key, { used: Math.min(used, 1) }])))
      }
    ],
    [
      "one that waits for what is here",
      "defers",
      /about a1: it waits for a0, which was accepted already/,
      2,
      {
        ...good,
        decide: (state, event) => {
          const { backlink } = event.operation.header
          return backlink === undefined ? good.decide(state, event) : Either.right(Processor.defer([backlink]))
        }
      }
    ],
    [
      "one that waits for itself",
      "defers",
      /about a0: it waits for itself/,
      1,
      { ...good, decide: (_, { id }) => Either.right(Processor.defer([id])) }
    ],
    [
      "what depends on the order in which authors are heard",
      "converges",
      /In table .*only in order, .*only as delivered/,
      6,
      {
        ...good,
        keys: () => [nobody],
        decide: (state, event) => {
          const used = (state(nobody)?.used ?? 0) + 1
          return used > 1
            ? good.decide(() => ({ used: 99 }), event)
            : Either.right(Processor.accept({ state: [[nobody, { used }]] }))
        }
      }
    ],
    [
      "a rejection that leaves something behind",
      "traceless",
      /[abc]3 left something behind, and were rejected. In table quota: /,
      5,
      {
        ...good,
        evidence: ({ author }) =>
          Effect.flatMap(SqlClient.SqlClient, (sql) => sql`UPDATE quota SET used = 100 WHERE author = ${author}`)
      }
    ],
    [
      "a state that is not built again",
      "rebuilds",
      /In table quota: only as it was, { author: author a, used: 1 }/,
      1,
      {
        ...good,
        decide: (state, event) => (event.replay ? Either.right(Processor.accept()) : good.decide(state, event))
      }
    ]
  ]
  for (const [what, law, detail, most, options] of wrong) {
    it.effect(
      what,
      () => breaks(law, detail, Laws.processor(make(options), { seed, runs: 40, shrinkFor }), most),
      limit
    )
  }

  it.effect(
    "what is added and not had again",
    () =>
      breaks(
        "recalls",
        /In table laws_handled: .*\["mark", 1\].*\["mark", 2\]/,
        Laws.processor(
          Processor.stateless({
            name: "marks",
            decide: () => Either.right(Processor.accept({ adds: { mark: 1 } })),
            recall: { adds: () => ({ mark: 2 }) }
          }),
          { seed, shrinkFor }
        ),
        1
      ),
    limit
  )

  it.effect(
    "nothing, where something of a rejection is to stay",
    () =>
      Laws.processor(
        make({
          ...good,
          migrations: [
            ...(good.migrations ?? []),
            { name: "offences", up: ["CREATE TABLE offences (author TEXT NOT NULL)"] }
          ],
          evidence: ({ author }) =>
            Effect.flatMap(
              SqlClient.SqlClient,
              (sql) =>
                sql`INSERT INTO offences SELECT ${author} WHERE NOT EXISTS (SELECT 1 FROM offences WHERE author = ${author})`
            )
        }),
        { seed, evidence: ["offences"] }
      ),
    limit
  )

  it.effect(
    "that nothing was tried",
    () =>
      Effect.gen(function* () {
        const broken = yield* Effect.flip(Laws.processor(make(quota(0)), { seed }))
        assert.match(broken.message, /no operation was accepted, so nothing was tried/)
      }),
    limit
  )

  it.effect(
    "the same again by its seed and path, at once",
    () =>
      Effect.gen(function* () {
        const laws = (path?: string) =>
          Laws.processor(make({ ...good, keys: () => [] }), { seed, ...(path === undefined ? {} : { path }) })
        const { path, ...broken } = yield* Effect.flip(laws())
        const again = yield* Effect.flip(laws(path))
        assert.strictEqual(again.history, broken.history)
        assert.strictEqual(again.detail, broken.detail)
      }),
    limit
  )

  it.effect(
    "nothing that is excepted with a reason",
    () =>
      Laws.processor(
        make({
          ...good,
          keys: ({ author }) => [author],
          version: 2,
          decide: (state, event) => (event.replay ? Either.right(Processor.accept()) : good.decide(state, event))
        }),
        {
          seed,
          except: { rebuilds: "a test" }
        }
      ),
    limit
  )
})

const nobody = "00".repeat(32) as Parameters<ReturnType<typeof quota>["load"]>[0][number]
const never = undefined as never

describe("the laws need", () => {
  it("nothing, or what the processor needs", () => {
    const nothing: Effect.Effect<void, Laws.LawBroken> = Laws.processor(make(quota(3)))
    class Names extends Context.Tag("Names")<Names, string>() {}
    const needing = Processor.make<string, number>()({
      name: "needing",
      keys: () => [],
      load: () => Effect.as(Names, new Map<string, number>()),
      decide: () => Either.right(Processor.accept()),
      save: () => Effect.void
    })
    const something: Effect.Effect<void, Laws.LawBroken, Names> = Laws.processor(needing)
    // @ts-expect-error it needs Names
    const missing: Effect.Effect<void, Laws.LawBroken> = Laws.processor(needing)
    // @ts-expect-error what it needs is added by nobody before it
    const alone = Laws.processor(afterwards)
    const behind: Effect.Effect<void, Laws.LawBroken> = Laws.processor(afterwards, { behind: everything })
    assert.lengthOf([nothing, something, missing, alone, behind], 5)
  })
})

const afterwards = Processor.stateless({
  name: "afterwards",
  decide: ({ missing }: Event.Event & CausalOrder.InOrder) =>
    Either.right(missing.length === 0 ? Processor.accept() : Processor.defer(missing))
})
