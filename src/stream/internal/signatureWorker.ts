/** A thread that checks the signatures of headers with sodium-native, and does nothing else. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Worker } from "node:worker_threads"
import * as HeaderLayout from "../../core/internal/HeaderLayout.ts"
import * as Defaults from "./defaults.ts"

/**
 * Checks the signatures of headers, which may be any bytes: 1 where one is valid if the header is, in their order. Without a worker,
 * or before it has started, the answer is 0 to all.
 */
export type Check = (headers: ReadonlyArray<Uint8Array>) => Effect.Effect<Uint8Array>

/**
 * The worker: started when it is first asked for, stopped with the scope. Nobody waits for it: in the time that it takes to start
 * whoever asks has checked more than a thousand. It is started in a fiber of its own: the interruption of the first who asks must
 * not be the answer to all others.
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
  const now = Effect.flatMap(
    Deferred.poll(started),
    Option.getOrElse(() => Effect.succeed(nobody))
  )
  return Effect.zipRight(begin, Defaults.meanwhile ? now : Deferred.await(started))
})

// internal

const nobody: Check = (headers) => Effect.succeed(new Uint8Array(headers.length))

/**
 * What the thread runs: CommonJS in a string, since a file would have to be found by bundlers, from sources and from the
 * built package alike. A message holds headers, each behind its length (32 bits).
 */
const source = `
  const { parentPort, workerData: { library, keyStart, signatureStart, signatureEnd } } = require("node:worker_threads")
  const sodium = require(library)
  const isValid = (header) => {
    if (header.length < signatureEnd) return false
    const key = header.subarray(keyStart, keyStart + 32)
    const signature = header.subarray(signatureEnd - 64, signatureEnd)
    // As \`Header.signingBytes\` says it.
    const signed = new Uint8Array(header.length - (signatureEnd - signatureStart))
    signed.set(header.subarray(0, signatureStart))
    signed.set(header.subarray(signatureEnd), signatureStart)
    signed[0] -= 1
    return sodium.crypto_sign_verify_detached(signature, signed, key)
  }
  parentPort.on("message", ({ ask, count, packed }) => {
    const view = new DataView(packed.buffer, packed.byteOffset)
    const verdicts = new Uint8Array(count)
    for (let one = 0, at = 0; one < count; one++) {
      const end = at + 4 + view.getUint32(at)
      verdicts[one] = isValid(packed.subarray(at + 4, end)) ? 1 : 0
      at = end
    }
    parentPort.postMessage({ ask, verdicts })
  })
  parentPort.postMessage({ ask: 0 })
`

const pack = (headers: ReadonlyArray<Uint8Array>): Uint8Array<ArrayBuffer> => {
  const packed = new Uint8Array(headers.reduce((size, { length }) => size + 4 + length, 0))
  const view = new DataView(packed.buffer)
  let at = 0
  for (const header of headers) {
    view.setUint32(at, header.length)
    packed.set(header, at + 4)
    at += 4 + header.length
  }
  return packed
}

/** Starts the thread and waits for its first word. */
const start: Effect.Effect<Worker, unknown> = Effect.tryPromise(async () => {
  const { createRequire } = await import("node:module")
  const { Worker } = await import("node:worker_threads")
  const worker = new Worker(source, {
    eval: true,
    workerData: { library: createRequire(import.meta.url).resolve("sodium-native"), ...HeaderLayout }
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
  return (headers) =>
    Effect.async<Uint8Array>((resume) => {
      if (broken) return resume(nobody(headers))
      const ask = ++asked
      waiting.set(ask, { size: headers.length, answer: (verdicts) => resume(Effect.succeed(verdicts)) })
      const packed = pack(headers)
      worker.ref()
      worker.postMessage({ ask, count: headers.length, packed }, [packed.buffer])
    })
}
