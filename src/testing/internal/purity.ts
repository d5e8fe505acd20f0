/**
 * Looks whether an effect reads the clock or random numbers: those of Effect, and those of JavaScript. What is read stays as it is; it
 * is only noted, and what is global is put back when the effect has ended. What other fibers read meanwhile does not count: Effect
 * itself asks for the time where it makes one.
 */
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Random from "effect/Random"

/** How it ended, and what it read, by the names that a programmer knows. */
export interface Seen<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly read: ReadonlySet<string>
}

/** Runs an effect and notes what it reads. */
export const watch = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Seen<A, E>, never, R> =>
  Effect.withFiberRuntime((fiber) => {
    const read = new Set<string>()
    const services = Effect.flatMap(Effect.all([Effect.clock, Effect.random]), ([clock, random]) =>
      Effect.exit(self).pipe(
        Effect.withClock(noting<Clock.Clock>(clock, "Clock", read)),
        Effect.withRandom(noting<Random.Random>(random, "Random", read))
      )
    )
    return Effect.acquireUseRelease(
      Effect.sync(() => replace(read, fiber)),
      () => Effect.map(services, (exit) => ({ exit, read })),
      (restore) => Effect.sync(restore)
    )
  })

// internal

/** The same service; whatever is asked of it is noted. */
const noting = <S extends object>(service: S, name: string, read: Set<string>): S =>
  new Proxy(service, {
    get: (target, key) => {
      if (typeof key === "string") read.add(name)
      const found: unknown = Reflect.get(target, key, target)
      return typeof found === "function" ? found.bind(target) : found
    }
  })

/** Notes what a fiber reads of the globals that differ from call to call; gives what puts them back. */
const replace = (read: Set<string>, fiber: Fiber.RuntimeFiber<unknown, unknown>): (() => void) => {
  const note = (what: string) => {
    if (Option.getOrUndefined(Fiber.getCurrentFiber()) === fiber) read.add(what)
  }
  const { Date: date } = globalThis
  const { random } = Math
  const { now } = performance
  globalThis.Date = new Proxy(date, {
    construct: (target, args, self) => {
      if (args.length === 0) note("new Date()")
      return Reflect.construct(target, args, self)
    },
    get: (target, key, self) => {
      if (key === "now") note("Date.now()")
      return Reflect.get(target, key, self)
    }
  })
  Math.random = () => {
    note("Math.random()")
    return random()
  }
  performance.now = () => {
    note("performance.now()")
    return now.call(performance)
  }
  return () => {
    globalThis.Date = date
    Math.random = random
    performance.now = now
  }
}
