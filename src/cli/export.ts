/** The verb `export`: accepted operations as a file, in the order of their acceptance. */
import { SystemError, type PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as Bytes from "../core/Bytes.ts"
import * as Crypto from "../core/Crypto.ts"
import * as OperationSequence from "../core/OperationSequence.ts"
import * as Operations from "../store/Operations.ts"
import * as Database from "./Database.ts"
import * as Filter from "./Filter.ts"
import { Io } from "./Io.ts"
import * as Output from "./Output.ts"
import { UsageError } from "./UsageError.ts"

/** `export [--topic T] [--author A] [-o FILE]`. */
export const exportAll = (options: Filter.Options & { readonly db: string; readonly out: string | undefined }) =>
  Effect.gen(function* () {
    const io = yield* Io
    const file = options.out === "-" ? undefined : options.out
    if (file === undefined && io.outIsTerminal) {
      return yield* new UsageError({
        message: "These bytes are not for a terminal. Name a file with -o FILE, or pipe them on."
      })
    }
    const filter = yield* Filter.make(options)
    const total = { operations: 0, bytes: 0 }
    yield* file === undefined
      ? Database.look(options.db, write(filter, io.out, total))
      : Database.look(
          options.db,
          toFile(file, (append) => write(filter, append, total))
        )
    const fields = { exported: total.operations, bytes: total.bytes, file }
    const said = `Exported ${Output.count(total.operations, "operation")}, ${total.bytes} bytes${file === undefined ? "" : ` to ${file}`}.`
    const { json } = yield* Output.Output
    // Where the operations go to standard output, nothing else may.
    if (file !== undefined && json) yield* Output.result(said, fields)
    else yield* Output.note(said)
  }).pipe(Effect.provide(Crypto.layer))

// internal

type Append<E> = (bytes: Uint8Array) => Effect.Effect<void, E>

/** A page at a time, and the next one only when that was taken. */
const write = <E>(filter: Operations.Filter, append: Append<E>, total: { operations: number; bytes: number }) =>
  Effect.gen(function* () {
    const progress = yield* Output.progress
    yield* Stream.runForEachChunk(Operations.stream(filter), (page) => {
      const bytes = Bytes.concat(Array.from(page, OperationSequence.encode))
      total.operations += page.length
      total.bytes += bytes.length
      return Effect.zipRight(
        append(bytes),
        progress.show(() => `${total.operations} operations`)
      )
    }).pipe(Effect.ensuring(progress.end))
  })

/**
 * Writes a file that has its name only when it is complete and on the disk. What is no plain file (a device, a pipe) is
 * written to directly.
 */
const toFile = <A, E, R>(
  file: string,
  use: (append: Append<PlatformError>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | PlatformError, R | FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fileSystem = yield* FileSystem.FileSystem
    const exists = yield* fileSystem.exists(file)
    if (exists && (yield* fileSystem.stat(file)).type !== "File") {
      const opened = yield* fileSystem.open(file, { flag: "w" })
      return yield* use((bytes) => opened.writeAll(bytes))
    }
    // The file behind a link is replaced, not the link.
    const target = exists ? yield* fileSystem.realPath(file) : file
    const partial = `${target}.${yield* Random.nextIntBetween(0, 2 ** 31)}.partial`
    const opened = yield* Effect.mapError(fileSystem.open(partial, { flag: "wx" }), called(file))
    return yield* use((bytes) => opened.writeAll(bytes)).pipe(
      Effect.zipLeft(opened.sync),
      Effect.zipLeft(fileSystem.rename(partial, target)),
      Effect.onError(() => Effect.ignore(fileSystem.remove(partial)))
    )
  }).pipe(Effect.scoped)

/** The error under the name that the user gave. */
const called =
  (file: string) =>
  (error: PlatformError): PlatformError =>
    error._tag === "SystemError" ? new SystemError({ ...error, pathOrDescriptor: file }) : error
