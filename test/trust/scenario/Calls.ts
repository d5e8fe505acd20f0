/**
 * Generated scenarios: a history, and calls of a controller that deliver it, late, twice, in the wrong order, with everything that
 * can be asked of a controller in between. Calls are idempotent, so that making them all again finishes what was interrupted.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import type * as Crypto from "../../../src/core/Crypto.ts"
import * as Operation from "../../../src/core/Operation.ts"
import type * as Outcome from "../../../src/pipeline/Outcome.ts"
import * as Logs from "../../../src/store/Logs.ts"
import * as Log from "../../../src/core/Log.ts"
import * as Topic from "../../../src/core/Topic.ts"
import * as History from "../../../src/testing/History.ts"
import * as Promises from "../../../src/testing/Promises.ts"
import type { Unit } from "../Row.ts"
import type * as Layers from "./Layers.ts"

/** What a call answered about an operation, as `Promises.told` reads it, and in a word, for counting. */
export interface Answer {
  readonly told: ReadonlyArray<Promises.Told>
  readonly word: string
}

/** A call. One without `run` closes the controller and opens it again. */
export interface Call {
  readonly name: string
  readonly run?: (controller: Layers.Controller) => Effect.Effect<ReadonlyArray<Answer>, unknown, SqlClient>
  /** The tags of the errors that it may fail with besides the database's. */
  readonly errors?: ReadonlyArray<string>
}

/** A history, how it is delivered, and how many operations share a transaction. */
export interface Scenario {
  readonly history: History.History
  readonly calls: ReadonlyArray<Call>
  readonly batchSize: number
}

/** The scenario of a unit: one of such histories, and calls. */
export const scenario = (
  crypto: Crypto.Service,
  unit: Unit,
  histories: FastCheck.Arbitrary<History.History>
): Scenario => {
  const sampled = FastCheck.sample(histories, { numRuns: 4, seed: unit.seed })
  const longest = sampled.reduce((a, b) => (b.entries.length > a.entries.length ? b : a))
  const history = { ...longest, names: new Map(longest.names) }
  const calls: Array<Call> = []
  const order = mixed(history.entries, unit).map(({ operation }) => operation)
  let published = 0
  for (let at = 0; at < order.length; ) {
    const count = 1 + unit.below(4)
    const some = order.slice(at, at + count)
    // Now and then something comes twice.
    const again = unit.below(3) === 0 ? order.slice(0, at).slice(-2) : []
    calls.push(deliver([...some, ...again].map(Operation.raw), history, unit))
    at += count
    if (unit.below(2) === 0) {
      const call = between(crypto, history, unit, published)
      if (call.name.startsWith("publish")) published += 1
      calls.push(call)
    }
  }
  const decided = history.entries.filter(({ operation }) => [0xf0, 0xf5].includes(operation.body?.[0] ?? 0))
  for (const [index, entry] of decided.slice(0, 2).entries()) {
    calls.push(index === unit.below(2) ? skip(entry) : discard(entry))
  }
  // Somebody sends again what is gone by then.
  const again = history.entries.filter((entry) => decided.includes(entry) || isPruned(history.entries, entry))
  if (again.length > 0) {
    const raws = again.map(({ operation }) => Operation.raw(operation))
    calls.push(deliver(raws, history, unit))
  }
  calls.push(resume, drain)
  return { history, calls, batchSize: [1, 3, 100][unit.below(3)] ?? 100 }
}

export const drain: Call = { name: "drain", run: (c) => none(c.drain) }

/** What makes up for replays and restarts: until nothing more is accepted, and everybody has everything. */
export const toTheEnd = (controller: Layers.Controller) =>
  Effect.repeat(controller.replay(), { while: ({ accepted }) => accepted > 0 }).pipe(
    Effect.zipRight(controller.consumers.resume("seen")),
    Effect.zipRight(controller.drain),
    Effect.zipRight(controller.consumers.retry("seen")),
    Effect.zipRight(controller.drain)
  )

type Answered = Parameters<typeof Promises.told>[0] & { readonly error?: unknown }

/** What one outcome says. */
export const answer = (one: Answered): Answer => ({ told: Promises.told(one), word: word(one) })

// internal

/** Nearly in order: some come a few places later. What was deleted from another log mostly comes when its tombstone has come. */
const mixed = (entries: ReadonlyArray<History.Entry>, { below }: Unit): ReadonlyArray<History.Entry> =>
  entries
    .map((entry, index) => ({
      entry,
      at:
        index +
        (below(3) === 0 ? below(6) : 0) +
        below(100) / 1000 +
        (isDeleted(entries, entry) && below(4) > 0 ? 9 : 0)
    }))
    .sort((a, b) => a.at - b.at)
    .map(({ entry }) => entry)

const isPruned = (entries: ReadonlyArray<History.Entry>, { author, operation, topic }: History.Entry): boolean =>
  entries.some(
    (one) =>
      one.kind === "prune" &&
      one.author === author &&
      one.topic === topic &&
      one.operation.header.seqNum > operation.header.seqNum
  )

/** In the same log the tombstone would wait for it. */
const isDeleted = (entries: ReadonlyArray<History.Entry>, { author, name, topic }: History.Entry): boolean =>
  entries.some((one) => one.author === author && one.topic !== topic && one.deletes.includes(name))

const word = ({ _tag, next, where }: Answered): string => {
  if (_tag === "Known") return `known ${where ?? ""}`
  return _tag === "Rejected" ? (next?._tag === "Retry" ? "rejected" : (next?._tag ?? "rejected")) : _tag
}

const deliver = (raws: ReadonlyArray<Operation.Raw>, history: History.History, { below }: Unit): Call => {
  const names = raws.map((raw) => history.operations.findIndex((one) => Operation.raw(one).header === raw.header))
  const said = names.map((index) => history.entries[index]?.name ?? raws.length).join(" ")
  const [raw] = raws
  const way = below(5)
  if (raw !== undefined && raws.length === 1) {
    const errors = ["InboxFull"]
    return way < 3
      ? { name: `process ${said}`, errors, run: (c) => Effect.map(c.process(raw), (one) => [answer(one)]) }
      : { name: `receive ${said}`, errors, run: (c) => Effect.map(c.receive(raw), (one) => [answer(one)]) }
  }
  return way < 3
    ? { name: `processAll ${said}`, run: (c) => Effect.map(c.processAll(raws), (all) => all.map(answer)) }
    : { name: `receiveAll ${said}`, run: (c) => Effect.map(c.receiveAll(raws), (all) => all.map(answer)) }
}

const none = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<ReadonlyArray<Answer>, E, R> => Effect.as(self, [])

const resume: Call = { name: "resume seen", run: (c) => none(c.consumers.resume("seen")) }
const quiet: ReadonlyArray<Call> = [
  drain,
  drain,
  { name: "restart" },
  { name: "replay", run: (c) => none(c.replay()) },
  { name: "collect", run: (c) => none(c.collect()) },
  { name: "pause seen", run: (c) => none(c.consumers.pause("seen")) },
  { name: "retry seen", run: (c) => none(Effect.zipRight(c.consumers.retry("seen"), c.drain)) },
  { name: "rebuild seen", run: (c) => none(Effect.zipRight(c.consumers.rebuild("seen"), c.drain)) },
  { name: "rebuild journal", run: (c) => none(Effect.zipRight(c.consumers.rebuild("journal"), c.drain)) },
  {
    name: "rebuild causal-order",
    run: (c) => none(Effect.zipRight(c.consumers.rebuild("processor:causal-order"), c.drain))
  },
  { name: "hand over again", run: (c) => none(c.consumers.replay({ consumer: "seen" })) }
]

const between = (crypto: Crypto.Service, history: History.History, unit: Unit, published: number): Call => {
  if (unit.below(3) > 0) return quiet[unit.below(quiet.length)] ?? drain
  return unit.below(3) === 0 ? refused(crypto) : publish(crypto, history, published)
}

/** We ourselves. */
const key = History.signingKey(9)

/** Publishes our n-th operation, unless it is there already or its predecessor is not: the log says which is next. */
const publish = (crypto: Crypto.Service, history: History.History, nth: number): Call => ({
  name: `publish ${nth}`,
  errors: ["MustWait"],
  run: (controller) =>
    Effect.gen(function* () {
      const topic = History.topic(crypto, 0)
      const log = Log.key(crypto.verifyingKey(key), Topic.logId(crypto, topic))
      const head = (yield* Logs.heads([log])).get(log)
      if ((head === undefined ? 0 : head.seqNum + 1) !== nth) return []
      const { id, position } = yield* controller.publish({ key, topic, message: Uint8Array.of(nth, 9) })
      return [{ told: [{ id, where: "accepted", position }], word: "published" }]
    })
})

/** Publishes what the application refuses. */
const refused = (crypto: Crypto.Service): Call => ({
  name: "publish what is refused",
  errors: ["Unwelcome"],
  run: (c) => none(c.publish({ key, topic: History.topic(crypto, 0), message: Uint8Array.of(0xf0) }))
})

const decide = ["NotInInbox", "CannotSkip"]

const skip = ({ name, operation: { id } }: History.Entry): Call => ({
  name: `skip ${name}`,
  errors: decide,
  run: (c) =>
    Effect.map(c.skip(id), (position) => [
      { told: [{ id, where: "accepted" as Outcome.Where, position }], word: "Skipped" }
    ])
})

const discard = ({ name, operation: { id } }: History.Entry): Call => ({
  name: `discard ${name}`,
  errors: decide,
  run: (c) => Effect.as(c.discard(id), [{ told: [{ id, where: "discarded" as Outcome.Where }], word: "Discarded" }])
})
