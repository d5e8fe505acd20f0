/**
 * Whose turn it is, and what time: a run queue from which the seed picks, and a clock that moves on when nobody can run. Nothing
 * in it takes real time; but for promises from outside, which get a turn of the event loop before time passes, all that happens
 * follows from the seed.
 */
import type { RuntimeFiber } from "effect/Fiber"
import type { Scheduler } from "effect/Scheduler"
import type { Random } from "./random.ts"

/** Something that happens at a time, unless it is called off. */
export interface Timer {
  readonly at: number
  readonly run: () => void
  off: boolean
}

interface Ready {
  readonly run: () => void
  readonly group: Group
}

/** Why nobody is driven any more: all is done, nobody can run, or it takes more turns than a run may. */
export type End = "done" | "stuck" | "restless"

export class Turns {
  /** Milliseconds since the run began, for everybody: clocks of peers are off from it. */
  now = 0
  /** How many turns were taken. */
  taken = 0
  private readonly ready: Array<Ready> = []
  /** The next one is the last. */
  private readonly timers: Array<Timer> = []
  private isDone = false
  private readonly random: Random
  private readonly most: number
  /** After so many steps a fiber lets others have a turn. */
  private readonly slice: number

  constructor(random: Random, most: number) {
    this.random = random
    this.most = most
    this.slice = random.pick([40, 200, 2048])
  }

  /** Fibers that live and die together. */
  group(): Group {
    return new Group(this, this.slice)
  }

  add(run: () => void, group: Group): void {
    this.ready.push({ run, group })
  }

  /** Does something after so many milliseconds. */
  after(millis: number, run: () => void): Timer {
    const timer = { at: this.now + Math.max(0, Math.ceil(millis)), run, off: false }
    // Behind those of the same time that were there before.
    let low = 0
    let high = this.timers.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.timers[middle]?.at ?? 0) > timer.at) low = middle + 1
      else high = middle
    }
    this.timers.splice(low, 0, timer)
    return timer
  }

  /** There is nothing to wait for any more. */
  done(): void {
    this.isDone = true
  }

  /** Gives turns until all is done. */
  drive(ended: (end: End) => void): void {
    let quiet = 0
    const go = (): void => {
      while (this.ready.length > 0 && this.taken < this.most) this.one()
      if (this.isDone) return ended("done")
      if (this.taken >= this.most) return ended("restless")
      // A promise gets its turn before time passes.
      setImmediate(() => {
        if (this.ready.length > 0 || this.pass()) {
          quiet = 0
          return go()
        }
        if (++quiet > patience) return ended("stuck")
        return go()
      })
    }
    this.isDone = false
    go()
  }

  private one(): void {
    const which = this.ready.length === 1 ? 0 : this.random.below(this.ready.length)
    const last = this.ready.pop()
    if (last === undefined) return
    const next = which === this.ready.length ? last : (this.ready[which] ?? last)
    if (next !== last) this.ready[which] = last
    if (next.group.isGone) return next.group.keep(next.run)
    this.taken += 1
    next.run()
  }

  /** Lets time pass until something happens; false if nothing ever will. */
  private pass(): boolean {
    let timer = this.timers.pop()
    while (timer?.off === true) timer = this.timers.pop()
    if (timer === undefined) return false
    this.now = timer.at
    timer.run()
    return true
  }
}

/** So many turns of the event loop something outside may take. */
const patience = 1000

/**
 * The scheduler of fibers that die together. When they are gone, none of them has a turn, and none of their finalizers runs: that is
 * what a crash is. After the run they can be let go, so that nothing of them is left behind.
 */
export class Group implements Scheduler {
  isGone = false
  private readonly kept: Array<() => void> = []
  private readonly turns: Turns
  private readonly slice: number

  constructor(turns: Turns, slice: number) {
    this.turns = turns
    this.slice = slice
  }

  shouldYield(fiber: RuntimeFiber<unknown, unknown>): number | false {
    return fiber.currentOpCount > this.slice ? 0 : false
  }

  scheduleTask(run: () => void): void {
    if (this.isGone) this.keep(run)
    else this.turns.add(run, this)
  }

  keep(run: () => void): void {
    this.kept.push(run)
  }

  /** Their turns come after all. */
  letGo(): void {
    if (!this.isGone) return
    this.isGone = false
    for (const run of this.kept.splice(0)) this.turns.add(run, this)
  }
}
