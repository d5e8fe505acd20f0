/**
 * Interruptions at chosen steps. An effect is made of many small steps, and whoever waits for it may be gone at any of them: a
 * timeout, a request that was given up, a program that shuts down. This interrupts at the n-th, exactly, every time.
 *
 * The recipe: run it once to learn how many steps it has; then run it again with an interruption at each, or at some of them, and
 * check what must hold. Where an effect cannot be interrupted at a step, it is as soon as it can be.
 *
 * @example
 * const { steps } = yield* Interruptions.count(call)
 * for (let step = 1; step <= steps; step++) {
 *   yield* Interruptions.at(step, call)
 *   assert.deepStrictEqual(yield* Promises.broken({ history }), [])
 * }
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as RuntimeFlags from "effect/RuntimeFlags"
import * as RuntimeFlagsPatch from "effect/RuntimeFlagsPatch"
import * as Supervisor from "effect/Supervisor"

/** How it ended, and after how many steps: its own and those of the fibers that it started. */
export interface Ran<out A, out E> {
  readonly exit: Exit.Exit<A, E>
  readonly steps: number
}

/** Runs the effect in a fiber of its own and counts its steps. */
export const count = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Ran<A, E>, never, R> => at(Infinity, self)

/** Runs the effect in a fiber of its own and interrupts that at a step, counted from 1, if it comes so far. */
export const at = <A, E, R>(step: number, self: Effect.Effect<A, E, R>): Effect.Effect<Ran<A, E>, never, R> =>
  Effect.suspend(() => {
    const steps = new Steps(step)
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const fiber = yield* Effect.fork(supervised(Effect.interruptible(self), steps))
        const exit = yield* restore(Fiber.await(fiber)).pipe(Effect.onInterrupt(() => Fiber.interrupt(fiber)))
        return { exit, steps: steps.count }
      })
    )
  })

// internal

/** The fiber begins with what makes it be counted; its first step is the one after that. */
const supervised = <A, E, R>(self: Effect.Effect<A, E, R>, steps: Steps): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime<A, E, R>((fiber) => {
    steps.interrupt = () => fiber.unsafeInterruptAsFork(FiberId.none)
    return Effect.withRuntimeFlagsPatch(
      Effect.supervised(self, steps),
      RuntimeFlagsPatch.enable(RuntimeFlags.OpSupervision)
    )
  })

class Steps extends Supervisor.AbstractSupervisor<void> {
  count = 0
  interrupt: () => void = () => undefined
  private readonly last: number
  constructor(last: number) {
    super()
    this.last = last
  }
  override get value() {
    return Effect.void
  }
  override onStart(_context: Context.Context<never>): void {}
  override onEffect(): void {
    if (++this.count === this.last) this.interrupt()
  }
}
