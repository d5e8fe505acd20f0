/** A thread that checks Ed25519 signatures with sodium-native, and does nothing else. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { Worker } from "node:worker_threads"
import * as Bytes from "../../core/Bytes.ts"

/** A signature that is to be checked: 32, 64 and any number of bytes. */
export interface Claim {
  readonly key: Uint8Array
  readonly signature: Uint8Array
  readonly message: Uint8Array
}

/** Checks signatures: 1 where one is valid, in the order of the claims. Without a worker it answers 0 to all. */
export type Check = (claims: ReadonlyArray<Claim>) => Effect.Effect<Uint8Array>

/**
 * The worker: started when it is first asked for, stopped with the scope. It is started in a fiber of its own: the
 * interruption of the first who asks must not be the answer to all others.
 */
export const make: Effect.Effect<Effect.Effect<Check>, never, Scope.Scope> = Effect.gen(function* () {
  const scope = yield* Effect.scope
  const started = yield* Deferred.make<Check>()
  const starting = start.pipe(
    Effect.tap((worker) =>
      Scope.addFinalizer(
        scope,
        Effect.promise(() => worker.terminate())
      )
    ),
    Effect.map(asking),
    // No threads in this runtime, or no native libsodium for them: whoever asks checks by himself.
    Effect.orElseSucceed(() => nobody),
    Effect.intoDeferred(started)
  )
  const begin = yield* Effect.once(Effect.forkIn(starting, scope))
  return Effect.zipRight(begin, Deferred.await(started))
})

// internal

const nobody: Check = (claims) => Effect.succeed(new Uint8Array(claims.length))

/**
 * What the thread runs: CommonJS in a string, since a file would have to be found by bundlers, from sources and from the
 * built package alike. A message holds claims, each as length of the message (32 bits), key, signature, message.
 */
const source = `
  const { parentPort, workerData } = require("node:worker_threads")
  const sodium = require(workerData)
  parentPort.on("message", ({ ask, count, packed }) => {
    const view = new DataView(packed.buffer, packed.byteOffset)
    const verdicts = new Uint8Array(count)
    for (let one = 0, at = 0; one < count; one++) {
      const end = at + 100 + view.getUint32(at)
      const key = packed.subarray(at + 4, at + 36)
      const signature = packed.subarray(at + 36, at + 100)
      verdicts[one] = sodium.crypto_sign_verify_detached(signature, packed.subarray(at + 100, end), key) ? 1 : 0
      at = end
    }
    parentPort.postMessage({ ask, verdicts })
  })
  parentPort.postMessage({ ask: 0 })
`

const pack = (claims: ReadonlyArray<Claim>): Uint8Array =>
  Bytes.concat(
    claims.flatMap(({ key, message, signature }) => {
      const length = new Uint8Array(4)
      new DataView(length.buffer).setUint32(0, message.length)
      return [length, key, signature, message]
    })
  )

/** Starts the thread and waits for its first word. */
const start: Effect.Effect<Worker, unknown> = Effect.tryPromise(async () => {
  const { createRequire } = await import("node:module")
  const { Worker } = await import("node:worker_threads")
  const worker = new Worker(source, {
    eval: true,
    workerData: createRequire(import.meta.url).resolve("sodium-native")
  })
  await new Promise((resolve, reject) => {
    worker.once("message", resolve)
    worker.once("error", reject)
  })
  // Only while it is asked something does it keep the process alive.
  worker.unref()
  return worker
})

const asking = (worker: Worker): Check => {
  const waiting = new Map<number, { readonly size: number; readonly answer: (verdicts: Uint8Array) => void }>()
  let asked = 0
  let broken = false
  worker.on("message", (message: { readonly ask: number; readonly verdicts: Uint8Array }) => {
    waiting.get(message.ask)?.answer(message.verdicts)
    waiting.delete(message.ask)
    if (waiting.size === 0) worker.unref()
  })
  const give = () => {
    broken = true
    for (const { answer, size } of waiting.values()) answer(new Uint8Array(size))
    waiting.clear()
  }
  worker.on("error", give)
  worker.on("exit", give)
  return (claims) =>
    Effect.async<Uint8Array>((resume) => {
      if (broken) return resume(nobody(claims))
      const ask = ++asked
      waiting.set(ask, { size: claims.length, answer: (verdicts) => resume(Effect.succeed(verdicts)) })
      const packed = pack(claims)
      worker.ref()
      worker.postMessage({ ask, count: claims.length, packed }, [packed.buffer as ArrayBuffer])
    })
}
