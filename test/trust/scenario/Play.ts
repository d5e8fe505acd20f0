/**
 * Plays a scenario once without any fault, keeping the state before each call. From then on a call can be played again from there,
 * with something done to it, and what is left of that be looked at, and be finished.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type * as Crypto from "../../../src/core/Crypto.ts"
import * as Promises from "../../../src/testing/Promises.ts"
import * as Snapshot from "../../../src/testing/Snapshot.ts"
import { toTheEnd, type Answer, type Call, type Scenario } from "./Calls.ts"
import * as Bodies from "./Bodies.ts"
import * as Connection from "./Connection.ts"
import * as Kept from "./Kept.ts"
import * as Layers from "./Layers.ts"
import * as Stage from "./Stage.ts"

type Made = Effect.Effect<Exit.Exit<ReadonlyArray<Answer>, unknown>>

/** What is done to a call. */
export type Harm = (call: Made) => Made

/** A scenario that was played. */
export interface Play {
  readonly stage: Stage.Stage
  /** The statements of each call without faults. */
  readonly statements: ReadonlyArray<ReadonlyArray<string>>
  /** How often each thing was answered. */
  readonly words: ReadonlyMap<string, number>
  /** What was broken without any fault. */
  readonly broken: ReadonlyArray<string>
  /**
   * Plays the n-th call with harm from the state before it, and then all the others to the end; gives what is broken. `errors`:
   * the tags of those that it may fail with besides.
   */
  readonly trial: (nth: number, harm: Harm, errors?: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<string>>
  /** How many states were finished; the others were equal to one of them. */
  readonly finished: () => number
}

export const make = (
  crypto: Crypto.Service,
  scenario: Scenario,
  more?: Layers.More
): Effect.Effect<Play, never, Scope.Scope> =>
  Effect.orDie(
    Effect.gen(function* () {
      const stage = yield* Stage.make(crypto, scenario, more)
      yield* stage.controller
      const names = new Map(scenario.history.names)
      const set: Set = { scenario, stage, names, kept: yield* Kept.make(stage.base) }
      const first = yield* reference(set)
      const finishing = makeFinishing(set, first)
      return { ...first, stage, finished: finishing.finished, trial: trials(set, first, finishing) }
    })
  )

// internal

/** What a play is made of. */
interface Set {
  readonly scenario: Scenario
  readonly stage: Stage.Stage
  readonly kept: Kept.Kept
  /** The short names, those of what is published among them. */
  readonly names: Map<string, string>
}

/** What a run without faults showed. */
interface Reference extends Pick<Play, "statements" | "words" | "broken"> {
  /** The rows before each call. */
  readonly before: ReadonlyArray<string>
  /** What lasts of it. */
  readonly lasting: Snapshot.Snapshot
}

type Look = (told: Iterable<Promises.Told>) => Effect.Effect<ReadonlyArray<string>, SqlError>

const on = <A>({ stage }: Set, self: Effect.Effect<A, SqlError, SqlClient.SqlClient>): Effect.Effect<A, SqlError> =>
  Effect.provideService(self, SqlClient.SqlClient, stage.base)

const looking =
  (set: Set): Look =>
  (told) => {
    const { names, scenario } = set
    return on(
      set,
      Effect.zipWith(
        Promises.broken({ history: { ...scenario.history, names }, told, causal: true }),
        Layers.passedOver((id) => names.get(id) ?? id),
        (promises, passedOver) => [...promises, ...passedOver]
      )
    )
  }

/** What a call confirmed. */
const confirmed = (ended: Stage.Ended): ReadonlyArray<Promises.Told> =>
  ended._tag === "Answered" ? ended.answers.flatMap(({ told }) => told) : []

const play = ({ stage }: Set, call: Call): Effect.Effect<Stage.Ended> =>
  Effect.map(stage.call(call), (exit) => Stage.ended(call, exit))

const end: Call = { name: "to the end", run: (controller) => Effect.as(toTheEnd(controller), []) }

const reference = (set: Set): Effect.Effect<Reference, SqlError> =>
  Effect.gen(function* () {
    const { kept, names, scenario, stage } = set
    const words = new Map<string, number>()
    const [statements, before, broken]: [Array<ReadonlyArray<string>>, Array<string>, Array<string>] = [[], [], []]
    const told: Array<Promises.Told> = []
    const once = (call: Call) =>
      Effect.map(play(set, call), (ended) => {
        if (ended._tag === "Broken") broken.push(`${ended.why} (without a fault)`)
        if (ended._tag === "Failed" && ended.infrastructure) broken.push(`typed: "${call.name}" failed without a fault`)
        for (const { told, word } of ended._tag === "Answered" ? ended.answers : []) {
          words.set(word, (words.get(word) ?? 0) + 1)
          if (word === "published") for (const { id } of told) names.set(id, `me${names.size}`)
        }
        told.push(...confirmed(ended))
      })
    const look = looking(set)
    for (const [nth, call] of scenario.calls.entries()) {
      yield* kept.keep(nth)
      before.push(yield* kept.rows)
      yield* stage.faults.reset
      yield* once(call)
      statements.push(yield* stage.faults.statements)
      broken.push(...(yield* look(told)).map((what) => `${what} (without a fault, after "${call.name}")`))
    }
    for (const call of [...scenario.calls, end]) yield* once(call)
    const lasting = yield* on(set, Snapshot.lasting())
    const found = [...(yield* look(told)), ...Bodies.left(scenario.history, lasting)]
    broken.push(...found.map((what) => `${what} (without a fault, in the end)`))
    return { statements, words, broken, before, lasting }
  })

interface Finishing extends Pick<Play, "finished"> {
  /** Finishes what a trial of the n-th call left, which has these rows; gives what is broken then. */
  readonly finish: (nth: number, rows: string) => Effect.Effect<ReadonlyArray<string>, SqlError>
}

/** From equal rows the same calls come to equal ends, so each is finished once. */
const makeFinishing = (set: Set, { lasting }: Reference): Finishing => {
  const { calls } = set.scenario
  const ends = new Map<string, ReadonlyArray<string>>()
  const finish: Finishing["finish"] = (nth, rows) =>
    Effect.gen(function* () {
      const known = ends.get(`${nth} ${rows}`)
      if (known !== undefined) return known
      const found: Array<string> = []
      const told = yield* on(set, facts)
      for (const call of [...calls.slice(nth), ...calls, end]) {
        const ended = yield* play(set, call)
        if (ended._tag === "Broken") found.push(ended.why)
        if (ended._tag === "Failed" && ended.infrastructure) found.push(`typed: afterwards "${call.name}" failed`)
        told.push(...confirmed(ended))
      }
      const left = yield* on(set, Snapshot.lasting())
      found.push(...(yield* looking(set)(told)), ...Bodies.left(set.scenario.history, left))
      for (const { extra, missing, table } of Snapshot.different(lasting, left))
        found.push(`P6: ${table} ends without ${JSON.stringify(missing)} and with ${JSON.stringify(extra)}`)
      const after = found.map((what) => `${what} (finished from "${calls[nth]?.name ?? "the end"}")`)
      ends.set(`${nth} ${rows}`, after)
      return after
    })
  return { finish, finished: () => ends.size }
}

const trials = (set: Set, { before }: Reference, { finish, finished }: Finishing): Play["trial"] => {
  const { kept, scenario, stage } = set
  const look = lookingOnce(looking(set))
  let now: string | undefined
  return (nth, harm, errors = []) =>
    Effect.gen(function* () {
      const call = scenario.calls[nth]
      if (call === undefined) return []
      // Most harm leaves everything as it was.
      if (now === undefined || now !== before[nth]) yield* kept.restore(nth)
      yield* stage.faults.reset
      const exit = yield* harm(stage.call(call))
      yield* stage.faults.disarm
      const ended = Stage.ended({ ...call, errors: [...(call.errors ?? []), ...errors] }, exit)
      const left = yield* Connection.wrong(stage.base)
      const rows = yield* kept.rows
      const found = yield* look(rows, confirmed(ended))
      const many = finished()
      const after = yield* finish(nth, rows)
      now = finished() === many ? rows : undefined
      return [...(ended._tag === "Broken" ? [ended.why] : []), ...left, ...found, ...after]
    }).pipe(inTime(scenario.calls[nth]?.name ?? ""), Effect.orDie)
}

/** Of equal rows the same is said, so each state is looked at once, and once more for each thing that was told of it. */
const lookingOnce = (look: Look) => {
  const looks = new Map<string, ReadonlyArray<string>>()
  return (rows: string, told: ReadonlyArray<Promises.Told>): Effect.Effect<ReadonlyArray<string>, SqlError> => {
    const key = `${rows} ${JSON.stringify(told)}`
    const known = looks.get(key)
    return known !== undefined
      ? Effect.succeed(known)
      : Effect.tap(look(told), (found) => Effect.sync(() => looks.set(key, found)))
  }
}

/** Where everything is, as if it had been told. */
const facts: Effect.Effect<Array<Promises.Told>, SqlError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    Effect.map(
      sql<{ id: string; where: "accepted" | "queued" | "waiting" | "rejected" | "discarded"; position: number | null }>`
        SELECT lower(hex(id)) AS id, 'accepted' AS "where", position FROM applecart_operations
        UNION ALL SELECT lower(hex(id)), status, NULL FROM applecart_inbox
        UNION ALL SELECT lower(hex(id)), 'discarded', NULL FROM applecart_decisions WHERE what = 'discarded'`,
      (rows) => rows.map(({ id, position, where }) => ({ id, where, ...(position === null ? {} : { position }) }))
    )
)

/** Nothing that is done to a call makes anybody wait for ever; the limit is far off, and on the world's clock. */
const inTime =
  (name: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>) =>
    Effect.clockWith((clock) =>
      Effect.withClock(
        Effect.timeoutFail(Effect.disconnect(Effect.withClock(self, clock)), {
          duration: "30 seconds",
          onTimeout: () => new Error(`"${name}", or what came after it, did not end`)
        }),
        Clock.make()
      )
    )
