/** Handlers, consumers and processors that misbehave, each in its own way, in every call of generated scenarios. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as Misbehaviour from "../../../src/testing/Misbehaviour.ts"
import type * as Row from "../Row.ts"
import * as Calls from "../scenario/Calls.ts"
import * as Layers from "../scenario/Layers.ts"
import * as Leap from "../scenario/Leap.ts"
import * as Play from "../scenario/Play.ts"

/** How often each kind must have struck. */
const wanted = { quick: 20, full: 500 }

/** With what a call of ours fails when it is our own operation that is mistreated. */
const errors = ["Defect", "StatementFailed", "TimeLimitExceeded", "Unwelcome"]

interface Kind {
  readonly name: string
  readonly who: keyof Layers.More
  readonly how: Misbehaviour.Misbehaviour<Layers.Unwelcome, SqlClient>
}

/** Past the time limit of ten seconds. */
const kinds = (pass: Effect.Effect<void>): ReadonlyArray<Kind> => {
  const anywhere = (who: "handler" | "consumer"): ReadonlyArray<Kind> =>
    Object.entries({
      throws: Misbehaviour.throws,
      fails: Misbehaviour.fails(new Layers.Unwelcome()),
      dies: Misbehaviour.dies,
      "interrupts itself": Misbehaviour.interrupts,
      hangs: late(pass, Misbehaviour.hangs),
      sleeps: late(pass, Misbehaviour.sleeps("1 hour")),
      detaches: Misbehaviour.detaches(turn),
      nests: Misbehaviour.nests,
      begins: Misbehaviour.begins,
      commits: Misbehaviour.commits,
      "rolls back": Misbehaviour.rollsBack,
      "breaks a constraint": Misbehaviour.violates,
      "breaks the commit": Misbehaviour.violatesAtCommit
    }).map(([name, how]) => ({ name: `${who} ${name}`, who, how }))
  return [
    ...anywhere("handler"),
    ...anywhere("consumer"),
    { name: "processor throws", who: "processor", how: Misbehaviour.throws },
    { name: "processor dies", who: "processor", how: Misbehaviour.dies },
    { name: "processor interrupts itself", who: "processor", how: Misbehaviour.interrupts }
  ]
}

const late =
  <E, R>(pass: Effect.Effect<void>, how: Misbehaviour.Misbehaviour<E, R>): Misbehaviour.Misbehaviour<E, R> =>
  (handle) =>
    how(Effect.zipLeft(handle, pass))

const turn = Effect.async<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** Who is asked, and mistreats the event that it is told to. */
interface Mischief {
  readonly more: Layers.More
  /** Lets one event be mistreated while a call is made, if a kind is given: the `at`-th that its code is asked about. */
  readonly during: <A>(kind: Kind | undefined, at: number, call: Effect.Effect<A>) => Effect.Effect<A>
  /** How often each was asked during the last call, and how often it has struck. */
  readonly asked: Readonly<Record<keyof Layers.More, number>>
  readonly struck: () => number
}

const mischief = (): Mischief => {
  let current: Kind | undefined
  let isDuring = false
  let [left, struck] = [0, 0]
  const asked = { handler: 0, consumer: 0, processor: 0 }
  const choose =
    <E>(who: keyof Layers.More, how: (kind: Kind) => Misbehaviour.Misbehaviour<E, SqlClient>) =>
    (): Misbehaviour.Misbehaviour<E, SqlClient> | undefined => {
      if (isDuring) asked[who] += 1
      if (current?.who !== who || --left !== 0) return undefined
      struck += 1
      return how(current)
    }
  return {
    more: {
      handler: choose("handler", ({ how }) => how),
      consumer: choose("consumer", ({ how }) => how),
      // Only what fails with nothing typed is among the processors' kinds.
      processor: choose("processor", ({ how }) => how as Misbehaviour.Misbehaviour<never, SqlClient>)
    },
    during: (kind, at, call) =>
      Effect.suspend(() => {
        current = kind
        left = at
        struck = 0
        isDuring = true
        Object.assign(asked, { handler: 0, consumer: 0, processor: 0 })
        return Effect.ensuring(
          call,
          Effect.sync(() => {
            current = undefined
            isDuring = false
          })
        )
      }),
    asked,
    struck: () => struck
  }
}

const unit = (crypto: Crypto.Service, unit: Row.Unit): Effect.Effect<Row.Result> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { clock, leap } = Leap.make()
      const { asked, during, more, struck } = mischief()
      const scenario = Calls.scenario(crypto, unit, Layers.welcomed(crypto, 6 + unit.below(4)))
      const play = yield* Effect.withClock(Play.make(crypto, scenario, more), clock)
      /** A call, and a drain that hands the consumers what it left; what was detached in it writes before it is looked at. */
      const run = (nth: number, kind: Kind | undefined, at: number) =>
        play
          .trial(
            nth,
            (made) =>
              during(
                kind,
                at,
                Effect.flatMap(made, (exit) =>
                  Exit.isFailure(exit)
                    ? Effect.succeed(exit)
                    : Effect.map(play.stage.call(Calls.drain), (drained) => Exit.zipLeft(exit, drained))
                )
              ).pipe(Effect.zipLeft(turn), Effect.zipLeft(turn)),
            errors
          )
          .pipe(Effect.withClock(clock))
      const broken = [...play.broken]
      const facts: Record<string, number> = {}
      let trials = 0
      for (const [nth, call] of scenario.calls.entries()) {
        broken.push(...(yield* run(nth, undefined, 0)))
        const often = { ...asked }
        for (const kind of kinds(leap(11_000))) {
          if (often[kind.who] === 0 || broken.length >= unit.enough) continue
          const at = 1 + unit.below(Math.min(3, often[kind.who]))
          const found = yield* run(nth, kind, at)
          broken.push(...found.map((what) => `${what}: ${kind.name} at event ${at} of "${call.name}"`))
          trials += struck()
          facts[kind.name] = (facts[kind.name] ?? 0) + struck()
        }
      }
      return { trials, broken, facts }
    })
  )

export const row: Row.Row = {
  name: "handlers",
  fault: "handlers, consumers and processors that throw, fail, die, hang, detach, end the transaction",
  promises: "P1 P2 P3 P4 P5 P6 P9",
  units: { quick: 7, full: 120 },
  prepare: Effect.map(Crypto.Crypto, (crypto) => (one: Row.Unit) => unit(crypto, one)),
  vacuous: (facts, tier) =>
    kinds(Effect.void).flatMap(({ name }) =>
      (facts[name] ?? 0) < wanted[tier] ? [`"${name}" struck ${facts[name] ?? 0} times, and not ${wanted[tier]}`] : []
    )
}
