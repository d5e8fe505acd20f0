/** The standard streams of a Node process. */
import { SystemError, type PlatformError } from "@effect/platform/Error"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Readable } from "node:stream"
import { OutputClosed, OutputFailed, type Service } from "./Io.ts"

/** Reads and writes the standard streams. Call it once, in the main module. */
export const make = (): Service => {
  // A stream without a listener throws when its reader has gone; the callbacks of the writes say it as well.
  process.stdout.on("error", () => {})
  process.stderr.on("error", () => {})
  return {
    stdin: readable("standard input", () => process.stdin),
    out: (data) =>
      Effect.async((resume) => {
        process.stdout.write(data, (error) => resume(error ? writeFailed(error) : Effect.void))
      }),
    err: (text) =>
      Effect.async((resume) => {
        process.stderr.write(text, () => resume(Effect.void))
      }),
    outIsTerminal: process.stdout.isTTY === true,
    errIsTerminal: process.stderr.isTTY === true,
    env: process.env
  }
}

/** Reads from the beginning to the end what cannot be read at a place of choice, as a file can: pipes, devices. */
export const readable = (name: string, open: () => Readable): Stream.Stream<Uint8Array, PlatformError> =>
  NodeStream.fromReadable(open, (cause) => readFailed(name, cause))

// internal

const writeFailed = (error: NodeJS.ErrnoException) =>
  error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED"
    ? new OutputClosed()
    : new OutputFailed({ detail: error.message })

const readFailed = (name: string, cause: unknown) =>
  new SystemError({
    reason: "Unknown",
    module: "Stream",
    method: "read",
    pathOrDescriptor: name,
    description: cause instanceof Error ? cause.message : String(cause)
  })
