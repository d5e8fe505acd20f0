/** Handlers, consumers and processors that misbehave, each in its own way, in every call of generated scenarios. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as Misbehaviour from "../../../src/testing/Misbehaviour.ts"
import type { Result, Row, Unit } from "../Row.ts"
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

const unit = (crypto: Crypto.Service, unit: Unit): Effect.Effect<Result> => {
  const { clock, leap } = Leap.make()
  let current: Kind | undefined
  let left = 0
  let struck = 0
  const asked = { handler: 0, consumer: 0, processor: 0 }
  const choose =
    <E>(who: keyof Layers.More, how: (kind: Kind) => Misbehaviour.Misbehaviour<E, SqlClient>) =>
    (): Misbehaviour.Misbehaviour<E, SqlClient> | undefined => {
      asked[who] += 1
      if (current?.who !== who || --left !== 0) return undefined
      struck += 1
      return how(current)
    }
  const more: Layers.More = {
    handler: choose("handler", ({ how }) => how),
    consumer: choose("consumer", ({ how }) => how),
    // Only what fails with nothing typed is among the processors' kinds.
    processor: choose("processor", ({ how }) => how as Misbehaviour.Misbehaviour<never, SqlClient>)
  }
  return Effect.scoped(
    Effect.gen(function* () {
      const scenario = Calls.scenario(crypto, unit, Layers.welcomed(crypto, 6 + unit.below(4)))
      const play = yield* Play.make(crypto, scenario, more)
      const broken = [...play.broken]
      const facts: Record<string, number> = {}
      let trials = 0
      /** A call, and a drain that hands the consumers what it left, with one event mistreated; gives what is broken. */
      const run = (nth: number, kind: Kind | undefined, at: number) =>
        play.trial(
          nth,
          (made) =>
            Effect.suspend(() => {
              current = kind
              left = at
              struck = 0
              return Effect.flatMap(made, (exit) =>
                Exit.isFailure(exit)
                  ? Effect.succeed(exit)
                  : Effect.map(play.stage.call(Calls.drain), (drained) => Exit.zipLeft(exit, drained))
              )
            }).pipe(
              Effect.tap(Effect.sync(() => (current = undefined))),
              // What was detached writes now.
              Effect.zipLeft(Effect.zipRight(turn, turn))
            ),
          errors
        )
      for (const [nth, call] of scenario.calls.entries()) {
        Object.assign(asked, { handler: 0, consumer: 0, processor: 0 })
        broken.push(...(yield* run(nth, undefined, 0)))
        const often = { ...asked }
        for (const kind of kinds(leap(11_000))) {
          if (often[kind.who] === 0) continue
          const at = 1 + unit.below(Math.min(3, often[kind.who]))
          const found = yield* run(nth, kind, at)
          broken.push(...found.map((what) => `${what}: ${kind.name} at event ${at} of "${call.name}"`))
          trials += struck
          facts[kind.name] = (facts[kind.name] ?? 0) + struck
        }
      }
      facts["ends"] = play.finished()
      return { trials, broken, facts }
    })
  ).pipe(Effect.withClock(clock))
}

export const row: Row = {
  name: "handlers",
  fault: "handlers, consumers and processors that throw, fail, die, hang, detach, end the transaction",
  promises: "P1 P2 P3 P4 P5 P6 P9",
  units: { quick: 12, full: 240 },
  prepare: Effect.map(Crypto.Crypto, (crypto) => (one: Unit) => unit(crypto, one)),
  vacuous: (facts, tier) =>
    kinds(Effect.void).flatMap(({ name }) =>
      (facts[name] ?? 0) < wanted[tier] ? [`"${name}" struck ${facts[name] ?? 0} times, and not ${wanted[tier]}`] : []
    )
}
