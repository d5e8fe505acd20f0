/** Where the input of a verb comes from: a file, or standard input (`-`). */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import { Io } from "./Io.ts"
import * as NodeIo from "./NodeIo.ts"
import { UsageError } from "./UsageError.ts"

/** An input that is there. `size` in bytes, where it is known. */
export interface Input {
  readonly name: string
  readonly size: number | undefined
  readonly bytes: Stream.Stream<Uint8Array, PlatformError>
}

/** Why an input cannot be read. */
export type OpenError = PlatformError | UsageError

/** Finds the input; a file that is not there fails here, before anything else is done. */
export const open = (file: string): Effect.Effect<Input, OpenError, FileSystem.FileSystem | Path.Path | Io> =>
  Effect.gen(function* () {
    if (file === "-") return { name: "standard input", size: undefined, bytes: (yield* Io).stdin }
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const { size, type } = yield* fileSystem.stat(file)
    if (type === "Directory") return yield* new UsageError({ message: `${file} is a directory, not a file.` })
    yield* fileSystem.access(file, { readable: true })
    const name = path.basename(file)
    return type === "File"
      ? { name, size: Number(size), bytes: fileSystem.stream(file, { chunkSize: FileSystem.KiB(256) }) }
      : { name, size: undefined, bytes: NodeIo.readable(file, () => createReadStream(file)) }
  })
