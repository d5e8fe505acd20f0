/**
 * The trust scenario: calls of a controller that bring operations to every end there is, and a driver that makes them
 * whatever happens, and says what it was told. Calls are idempotent, so that making them all again finishes an
 * interrupted scenario.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import type { Crypto } from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import type * as Outcome from "../../src/pipeline/Outcome.ts"
import * as Logs from "../../src/store/Logs.ts"
import * as SqlReason from "../../src/store/SqlReason.ts"
import * as App from "./ScenarioApp.ts"
import type { Universe } from "./ScenarioOperations.ts"

/** What the driver was told of an operation; it holds whatever happens later. */
export interface Told {
  readonly id: string
  readonly where: Outcome.Where
  readonly position?: number | undefined
  /** The tag of the error it was rejected with. */
  readonly error?: string | undefined
}

/** How a call ended: an answer, a typed failure, or what must never be. */
export type Report =
  | { readonly _tag: "Told"; readonly step: string; readonly told: ReadonlyArray<Told> }
  | { readonly _tag: "Failed"; readonly step: string; readonly error: string; readonly infrastructure: boolean }
  | { readonly _tag: "Broken"; readonly step: string; readonly why: string }

/** A call. One without `run` closes the controller and opens it again. */
export interface Step {
  readonly name: string
  readonly run?: (controller: App.Controller) => Effect.Effect<ReadonlyArray<Told>, unknown, SqlClient>
  /** The tags of the errors that it may fail with besides the database's. */
  readonly errors?: ReadonlyArray<string>
}

const told = (answer: { readonly _tag: string; readonly id?: unknown }): Told => {
  const id = String(answer.id)
  const one = answer as Outcome.Outcome<{ readonly _tag: string }> | { readonly _tag: "Queued" }
  switch (one._tag) {
    case "Queued":
      return { id, where: "queued" }
    case "Known":
      return { id, where: one.where }
    case "Accepted":
      return { id, where: "accepted", position: one.position }
    case "Deferred":
      return { id, where: "waiting" }
    case "Rejected": {
      const { error, next } = one
      if (next._tag === "Skipped") return { id, where: "accepted", position: next.position, error: error._tag }
      return { id, where: next._tag === "Discarded" ? "discarded" : "rejected", error: error._tag }
    }
    // An answer that an operation of ours never deserves: invalid, or no room.
    default:
      return { id: `${answer._tag}: ${JSON.stringify(answer)}`, where: "rejected" }
  }
}

/** The calls, in order. */
export const steps = (universe: Universe): ReadonlyArray<Step> => {
  const raw = (name: string) => Operation.raw(universe.get(name).operation)
  const raws = (names: string) => names.split(" ").map(raw)
  const id = (name: string) => universe.get(name).operation.id
  const all = universe.items.map(({ operation }) => Operation.raw(operation))
  const none = <A, E>(self: Effect.Effect<A, E>) => Effect.as(self, [])
  const process = (name: string): Step => ({
    name: `process ${name}`,
    run: (c) => Effect.map(c.process(raw(name)), (one) => [told(one)])
  })
  const processAll = (names: string): Step => ({
    name: `processAll ${names}`,
    run: (c) => Effect.map(c.processAll(raws(names)), (answers) => answers.map(told))
  })
  const receiveAll = (names: string): Step => ({
    name: `receiveAll ${names}`,
    run: (c) => Effect.map(c.receiveAll(raws(names)), (answers) => answers.map(told))
  })
  const drain: Step = { name: "drain", run: (c) => none(c.drain) }
  const replay: Step = { name: "replay", run: (c) => none(c.replay()) }
  const decide = ["NotInInbox", "CannotSkip"]
  return [
    process("a1"),
    process("a0"),
    processAll("b0 b1 c0 other child a0"),
    receiveAll("a2 a5 a2 bug"),
    publish(universe, 0),
    refused(universe, { give: 1000, from: "me", to: "parrot" }, "NotEnoughApples"),
    drain,
    { name: "receive c1", run: (c) => Effect.map(c.receive(raw("c1")), (one) => [told(one)]) },
    drain,
    replay,
    { name: "restart" },
    processAll("b2 b3"),
    drain,
    processAll("c2 f0 f1 g3 g2 c4"),
    {
      name: "skip c2",
      errors: decide,
      run: (c) => Effect.map(c.skip(id("c2")), (position) => [{ id: id("c2"), where: "accepted", position }])
    },
    processAll("a3 c3"),
    {
      name: "discard f0",
      errors: decide,
      run: (c) => Effect.as(c.discard(id("f0")), [{ id: id("f0"), where: "discarded" }])
    },
    publish(universe, 1),
    refused(universe, { breaks: "commit" }, "StatementFailed"),
    {
      name: "processAll everything again",
      run: (c) => Effect.map(c.processAll(all), (answers) => answers.map(told))
    }
  ]
}

/** Publishes our n-th operation, unless it is there already or its predecessor is not: the log says which is next. */
const publish = (universe: Universe, nth: number): Step => ({
  name: `publish ${nth}`,
  run: (controller) =>
    Effect.gen(function* () {
      const item = universe.own[nth]
      if (item === undefined) return []
      const head = (yield* Logs.heads([item.log])).get(item.log)
      if ((head === undefined ? 0 : head.seqNum + 1) !== nth) return []
      const { key, topic } = universe
      const published = yield* controller.publish({ key, topic, message: item.message })
      return [{ id: published.id, where: "accepted", position: published.position }]
    })
})

/**
 * Publishes what the application or the commit refuses; that it is published would be told of an unknown operation. Where a fault
 * kept us from publishing the first one, the log has come from outside, and nobody here can know whether it is all.
 */
const refused = ({ key, topic }: Universe, message: App.Message, error: string): Step => ({
  name: `publish ${JSON.stringify(message)}`,
  errors: [error, "OwnLogUnwitnessed"],
  run: (controller) =>
    Effect.map(controller.publish({ key, topic, message }), ({ id, position }) => [{ id, where: "accepted", position }])
})

/** A call waits for a connection that cannot be given back, since what has to be undone on it fails for ever. */
export class Stuck extends Data.TaggedError("Stuck") {}

/** How long the driver waits. */
export interface Patience {
  /** How long a busy database is waited for, in milliseconds. Default: 3. */
  readonly busyLimit?: number
  readonly batchSize?: number | undefined
  /** Fails with {@link Stuck} when a call does not end; the driver stops then. Default: waits for ever. */
  readonly limit?: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Stuck, R>
}

/**
 * Makes the calls one after the other, going on whatever becomes of them. Where there is no controller it is opened
 * first; where that fails, it is tried again once before the next call is.
 */
export const drive = (
  calls: ReadonlyArray<Step>,
  note: (report: Report) => void,
  { batchSize, busyLimit = 3, limit = (call) => call }: Patience = {}
): Effect.Effect<void, never, SqlClient | Crypto> =>
  Effect.gen(function* () {
    let stuck = false
    const record = (name: string, errors: ReadonlyArray<string>, exit: Exit.Exit<ReadonlyArray<Told>, unknown>) => {
      const one = report(name, errors, exit)
      if (one._tag === "Failed" && one.error === "Stuck") stuck = true
      note(one)
    }
    let current: { readonly controller: App.Controller; readonly scope: Scope.CloseableScope } | undefined
    const open = Effect.gen(function* () {
      const scope = yield* Scope.make()
      const exit = yield* Effect.exit(limit(Scope.extend(App.open(busyLimit, batchSize), scope)))
      record("open", [], Exit.as(exit, []))
      if (Exit.isSuccess(exit)) current = { controller: exit.value, scope }
      else yield* Scope.close(scope, exit)
    })
    const close = Effect.suspend(() => (current === undefined ? Effect.void : Scope.close(current.scope, Exit.void)))
    for (const step of calls) {
      if (step.run === undefined) {
        yield* close
        current = undefined
      }
      if (stuck) break
      if (current === undefined) yield* open
      if (current === undefined || step.run === undefined) continue
      record(step.name, step.errors ?? [], yield* Effect.exit(limit(step.run(current.controller))))
    }
    yield* close
  })

/** All calls again, and then a replay until that accepts nothing more, which stands for the replays and restarts in between. */
export const again = (universe: Universe): ReadonlyArray<Step> => [
  ...steps(universe).filter(({ name, run }) => run !== undefined && name !== "replay"),
  {
    name: "replay to the end",
    run: (controller) => Effect.as(Effect.repeat(controller.replay(), { while: ({ accepted }) => accepted > 0 }), [])
  }
]

// internal

const report = (step: string, errors: ReadonlyArray<string>, exit: Exit.Exit<ReadonlyArray<Told>, unknown>): Report => {
  if (Exit.isSuccess(exit)) return { _tag: "Told", step, told: exit.value }
  const failure = Cause.failureOption(exit.cause)
  if (Option.isNone(failure)) return { _tag: "Broken", step, why: `not a typed error: ${Cause.pretty(exit.cause)}` }
  const error = failure.value
  if (error instanceof SqlError) {
    const what = `${SqlReason.of(error)._tag} ${error.message}`
    return SqlReason.isInfrastructure(error)
      ? { _tag: "Failed", step, error: what, infrastructure: true }
      : { _tag: "Broken", step, why: `a SqlError that blames the call: ${what}` }
  }
  if (error instanceof Stuck) return { _tag: "Failed", step, error: "Stuck", infrastructure: true }
  const tag = Predicate.hasProperty(error, "_tag") ? String(error._tag) : String(error)
  return errors.includes(tag)
    ? { _tag: "Failed", step, error: tag, infrastructure: false }
    : { _tag: "Broken", step, why: `an error that it does not deserve: ${tag} ${String(error)}` }
}
