/** What the command line reads and writes besides files: the standard streams of the process, or those of a test. */
import type { PlatformError } from "@effect/platform/Error"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"

/** Whoever read our standard output has gone (`| head`). Nothing is wrong, but nothing more can be said either. */
export class OutputClosed extends Data.TaggedError("OutputClosed") {}

/** Our standard output could not be written, for example because the disk it goes to is full. */
export class OutputFailed extends Data.TaggedError("OutputFailed")<{ readonly detail: string }> {
  override get message() {
    return `The output could not be written: ${this.detail}`
  }
}

/** Why nothing more can be written to standard output. */
export type OutputError = OutputClosed | OutputFailed

/** The standard streams. */
export class Io extends Context.Tag("applecart/cli/Io")<
  Io,
  {
    readonly stdin: Stream.Stream<Uint8Array, PlatformError>
    /** Waits until the reader has taken it, so that memory does not grow with what is written. */
    readonly out: (data: string | Uint8Array) => Effect.Effect<void, OutputError>
    readonly err: (text: string) => Effect.Effect<void>
    readonly outIsTerminal: boolean
    readonly errIsTerminal: boolean
    readonly env: Readonly<Record<string, string | undefined>>
  }
>() {}

/** What `Io` offers. */
export type Service = Io["Type"]
