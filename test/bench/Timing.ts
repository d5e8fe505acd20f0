/** Measuring one run. */
import * as v8 from "node:v8"
import * as vm from "node:vm"

/** How long something took, and how long processors worked for it; all threads of the process, so a little more. */
export interface Time {
  readonly seconds: number
  readonly cpu: number
}

/** So many operations took so long, and this is what was wrong with the result. */
export interface Measured extends Time {
  readonly count: number
  readonly problems: ReadonlyArray<string>
}

/** Operations a second. */
export const rate = ({ count, seconds }: Measured): number => count / seconds

/** Microseconds of processor time for an operation: what a busy machine disturbs least. */
export const cpuMicros = ({ count, cpu }: Measured): number => (cpu / count) * 1e6

/** How long it takes. The garbage of earlier runs is collected first, so that nobody pays for another. */
export const timed = async (run: () => Promise<void>): Promise<Time> => {
  collect()
  const before = process.cpuUsage()
  const start = performance.now()
  await run()
  const seconds = (performance.now() - start) / 1000
  const { system, user } = process.cpuUsage(before)
  return { seconds, cpu: (system + user) / 1e6 }
}

/** Bytes that are in use, of objects and of what they point to outside the heap, after a collection. */
export const heap = (): number => {
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** The middle one; the mean of the two in the middle where there is none. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.ceil(middle) - 1] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2
}

// internal

v8.setFlagsFromString("--expose-gc")
const collect: () => void = vm.runInNewContext("gc")
