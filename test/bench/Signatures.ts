/** Threads that check signatures, as somebody would write them by hand for nothing else: one for each core. */
import { createRequire } from "node:module"
import * as os from "node:os"
import { Worker } from "node:worker_threads"
import type * as Crypto from "../../src/core/Crypto.ts"

/** A signature that is to be checked. */
export interface Claim {
  readonly key: Uint8Array
  readonly signature: Uint8Array
  readonly message: Uint8Array
}

/** Claims in one piece of memory, which a thread takes over. */
export interface Packed {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly count: number
}

export interface Pool {
  /** How many threads there are. */
  readonly size: number
  /** How many of the signatures are valid; the threads take turns. */
  readonly check: (packed: Packed) => Promise<number>
  readonly close: () => Promise<void>
}

export const pack = (claims: ReadonlyArray<Claim>): Packed => {
  const size = claims.reduce((sum, { message }) => sum + 100 + message.length, 0)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const { key, message, signature } of claims) {
    view.setUint32(at, message.length)
    bytes.set(key, at + 4)
    bytes.set(signature, at + 36)
    bytes.set(message, at + 100)
    at += 100 + message.length
  }
  return { bytes, count: claims.length }
}

/** As many threads as there are cores; where libsodium is not native, this thread does it. */
export const pool = async (crypto: Crypto.Service): Promise<Pool> => {
  if (crypto.name !== "sodium-native") return here(crypto)
  const threads = await Promise.all(Array.from({ length: os.availableParallelism() }, start))
  let turn = 0
  return {
    size: threads.length,
    check: async (packed) => {
      const thread = threads[turn++ % threads.length]
      if (thread === undefined) throw new Error("there is no thread")
      return thread.ask(packed)
    },
    close: async () => {
      for (const { worker } of threads) await worker.terminate()
    }
  }
}

// internal

const source = `
  const { parentPort, workerData } = require("node:worker_threads")
  const sodium = require(workerData)
  parentPort.on("message", ({ bytes, count }) => {
    const view = new DataView(bytes.buffer)
    let good = 0
    for (let at = 0; at < bytes.length;) {
      const end = at + 100 + view.getUint32(at)
      const key = bytes.subarray(at + 4, at + 36)
      if (sodium.crypto_sign_verify_detached(bytes.subarray(at + 36, at + 100), bytes.subarray(at + 100, end), key)) good += 1
      at = end
    }
    parentPort.postMessage(good)
  })
  parentPort.postMessage(0)
`

/** A thread, once it has loaded the library. It answers in the order in which it was asked. */
const start = async () => {
  const worker = new Worker(source, {
    eval: true,
    workerData: createRequire(import.meta.url).resolve("sodium-native")
  })
  const waiting: Array<(good: number) => void> = []
  await new Promise((resolve, reject) => {
    worker.once("message", resolve)
    worker.once("error", reject)
  })
  worker.on("message", (good: number) => waiting.shift()?.(good))
  const ask = ({ bytes, count }: Packed) =>
    new Promise<number>((resolve) => {
      waiting.push(resolve)
      worker.postMessage({ bytes, count }, [bytes.buffer])
    })
  return { worker, ask }
}

const here = (crypto: Crypto.Service): Pool => ({
  size: 1,
  close: async () => undefined,
  check: async ({ bytes }) => {
    const view = new DataView(bytes.buffer)
    let good = 0
    for (let at = 0; at < bytes.length; ) {
      const end = at + 100 + view.getUint32(at)
      const [key, signature] = [bytes.subarray(at + 4, at + 36), bytes.subarray(at + 36, at + 100)]
      if (crypto.verify(key, bytes.subarray(at + 100, end), signature)) good += 1
      at = end
    }
    return good
  }
})
