/**
 * Plays a scenario once without any fault, keeping the state before each call. From then on a call can be played again from there,
 * with something done to it, and what is left of that be looked at, and be finished.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type * as Crypto from "../../../src/core/Crypto.ts"
import * as Promises from "../../../src/testing/Promises.ts"
import * as Snapshot from "../../../src/testing/Snapshot.ts"
import { toTheEnd, type Answer, type Call, type Scenario } from "./Calls.ts"
import * as Kept from "./Kept.ts"
import type * as Layers from "./Layers.ts"
import * as Stage from "./Stage.ts"

/** What is done to a call; gives its exit. */
export type Harm = (
  call: Effect.Effect<Exit.Exit<ReadonlyArray<Answer>, unknown>>
) => Effect.Effect<Exit.Exit<ReadonlyArray<Answer>, unknown>>

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
  /** Gives the connection the settings of a new one. */
  readonly renew: Effect.Effect<unknown, SqlError>
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
      const { base, faults } = stage
      const { calls, history } = scenario
      const names = new Map(history.names)
      const on = <A>(self: Effect.Effect<A, SqlError, SqlClient.SqlClient>) =>
        Effect.orDie(Effect.provideService(self, SqlClient.SqlClient, base))
      const look = (told: Iterable<Promises.Told>) =>
        on(Promises.broken({ history: { ...history, names }, told, causal: true }))
      yield* stage.controller
      const kept = yield* Kept.make(base)
      const words = new Map<string, number>()
      const note = (ended: Stage.Ended): ReadonlyArray<Promises.Told> =>
        ended._tag === "Answered" ? ended.answers.flatMap(({ told }) => told) : []

      /** Calls from the n-th on, and then all of them again. */
      const rest = (from: number, each: (call: Call, ended: Stage.Ended) => void) =>
        Effect.gen(function* () {
          for (const call of [...calls.slice(from), ...calls]) each(call, Stage.ended(call, yield* stage.call(call)))
          const end: Call = { name: "to the end", run: (c) => Effect.as(toTheEnd(c), []) }
          each(end, Stage.ended(end, yield* stage.call(end)))
        })

      const before: Array<string> = []
      const statements: Array<ReadonlyArray<string>> = []
      const told: Array<Promises.Told> = []
      const broken: Array<string> = []
      const reference = (call: Call, ended: Stage.Ended) => {
        if (ended._tag === "Broken") broken.push(`${ended.why} (without a fault)`)
        for (const one of ended._tag === "Answered" ? ended.answers : []) {
          words.set(one.word, (words.get(one.word) ?? 0) + 1)
          if (one.word === "published") for (const { id } of one.told) names.set(id, `me${names.size}`)
        }
        if (ended._tag === "Failed" && ended.infrastructure) broken.push(`typed: "${call.name}" failed without a fault`)
        told.push(...note(ended))
      }
      for (const [nth, call] of calls.entries()) {
        yield* kept.keep(nth)
        before.push(yield* kept.rows)
        yield* faults.reset
        reference(call, Stage.ended(call, yield* stage.call(call)))
        statements.push(yield* faults.statements)
        broken.push(...(yield* look(told)).map((what) => `${what} (without a fault, after "${call.name}")`))
      }
      yield* rest(calls.length, reference)
      broken.push(...(yield* look(told)).map((what) => `${what} (without a fault, in the end)`))
      const expected = yield* on(Snapshot.lasting())

      const ends = new Map<string, ReadonlyArray<string>>()
      /** From equal rows the same calls come to equal ends, so each is finished once. */
      const finish = (nth: number, rows: string) =>
        Effect.gen(function* () {
          const begin = `${nth} ${rows}`
          const known = ends.get(begin)
          if (known !== undefined) return known
          const found: Array<string> = []
          const confirmed = yield* on(facts)
          yield* rest(nth, (call, ended) => {
            if (ended._tag === "Broken") found.push(ended.why)
            if (ended._tag === "Failed" && ended.infrastructure) found.push(`typed: afterwards "${call.name}" failed`)
            confirmed.push(...note(ended))
          })
          found.push(...(yield* look(confirmed)))
          for (const { extra, missing, table } of Snapshot.different(expected, yield* on(Snapshot.lasting())))
            found.push(`P6: ${table} ends without ${JSON.stringify(missing)} and with ${JSON.stringify(extra)}`)
          const after = found.map((what) => `${what} (finished from "${calls[nth]?.name ?? "the end"}")`)
          ends.set(begin, after)
          return after
        })

      /** Of equal rows the same is said, so each state is looked at once, and once more for each thing that was told of it. */
      const looks = new Map<string, ReadonlyArray<string>>()
      const lookOnce = (rows: string, told: ReadonlyArray<Promises.Told>) => {
        const key = `${rows} ${JSON.stringify(told)}`
        const known = looks.get(key)
        return known !== undefined
          ? Effect.succeed(known)
          : Effect.tap(look(told), (found) => Effect.sync(() => looks.set(key, found)))
      }

      let now: string | undefined
      const trial = (nth: number, harm: Harm, errors: ReadonlyArray<string> = []) =>
        Effect.gen(function* () {
          const call = calls[nth]
          if (call === undefined) return []
          // Most faults leave everything as it was.
          if (now === undefined || now !== before[nth]) yield* kept.restore(nth)
          yield* faults.reset
          const exit = yield* harm(stage.call(call))
          yield* faults.disarm
          const ended = Stage.ended({ ...call, errors: [...(call.errors ?? []), ...errors] }, exit)
          const open = yield* leftOpen(base)
          const rows = yield* kept.rows
          const found = [
            ...(ended._tag === "Broken" ? [ended.why] : []),
            ...open,
            ...(yield* lookOnce(rows, note(ended)))
          ]
          now = ends.has(`${nth} ${rows}`) ? rows : undefined
          return [...found, ...(yield* finish(nth, rows))]
        }).pipe(inTime(calls[nth]?.name ?? ""), Effect.orDie)

      const renew = Effect.scoped(Effect.flatMap(base.reserve, renewed))
      return { stage, statements, words, broken, trial, renew, finished: () => ends.size }
    })
  )

// internal

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

/** The connection is as it was: no transaction is open, and what was set for one is set back. */
const leftOpen = (sql: SqlClient.SqlClient): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const on = yield* sql.reserve
      const begun = yield* Effect.either(on.execute("BEGIN", [], undefined))
      yield* on.execute("ROLLBACK", [], undefined)
      const settings = [
        ...(yield* on.executeValues("PRAGMA busy_timeout", [])),
        ...(yield* on.executeValues("PRAGMA synchronous", []))
      ].flat()
      // Whatever it was left with, the next trial is not to suffer for it.
      yield* renewed(on)
      return [
        ...(begun._tag === "Right" ? [] : ["P1: a transaction was left open"]),
        ...(settings.join() === "5000,2" ? [] : [`P1: the connection was left with other settings: ${settings.join()}`])
      ]
    })
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

const renewed = (on: Connection) =>
  Effect.zipRight(
    on.execute("PRAGMA busy_timeout = 5000", [], undefined),
    on.execute("PRAGMA synchronous = FULL", [], undefined)
  )
