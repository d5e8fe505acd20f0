/**
 * How long the event loop makes others wait. Another thread sends a message each millisecond, whatever this one does, and each
 * message notes how long it took until it was handled. That is what a socket or a timer meets that is ready at a random moment, and
 * the longest wait is the longest gap.
 *
 * `monitorEventLoopDelay` looks only as often as its timer gets a turn: a gap of half a second is one sample next to hundreds of
 * short ones, and its percentiles are too good. A loop of `setImmediate` knows every gap, but never lets the loop sleep, which
 * takes the core from the threads that verify.
 */
import { Worker } from "node:worker_threads"

/** Waits in milliseconds, in the order of their messages. */
export type Waits = ReadonlyArray<number>

/** The waits while `use` runs. */
export const during = async (use: () => Promise<void>): Promise<Waits> => {
  const shared = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(source, { eval: true, workerData: shared })
  const waits: Array<number> = []
  let counts = false
  await new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve())
    worker.once("error", reject)
  })
  worker.on("message", (sent: bigint) => {
    if (counts) waits.push(Number(process.hrtime.bigint() - sent) / 1e6)
  })
  counts = true
  try {
    await use()
    // What was sent during the last gap is still on its way.
    await new Promise((resolve) => setTimeout(resolve, 5))
  } finally {
    Atomics.store(shared, 0, 1)
    await worker.terminate()
  }
  return waits
}

/** The value below which this part of them is. */
export const quantile = (values: ReadonlyArray<number>, part: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? NaN
}

// internal

/** The clock is the same in all threads. */
const source = `
  const { parentPort, workerData } = require("node:worker_threads")
  while (Atomics.wait(workerData, 0, 0, 1) === "timed-out") parentPort.postMessage(process.hrtime.bigint())
`
