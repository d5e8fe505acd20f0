/** Mail: files of operations, which are read in any order, and some of them twice. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { Operations, OperationSequence } from "applecart"

/** Writes the operations of the current database that are meant into a file; gives its name. */
export const write = (file: string, which: Operations.Filter) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    yield* Operations.stream(which).pipe(Stream.map(OperationSequence.encode), Stream.run(files.sink(file)))
    return file
  })

/** All operations of these files, every third one twice, shuffled: for each seed differently, in each run alike. */
export const shuffled = (seed: string, paths: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const read = yield* Stream.fromIterable(paths).pipe(
      Stream.flatMap((path) => files.stream(path).pipe(OperationSequence.decode())),
      Stream.runCollect
    )
    const all = Array.fromIterable(read)
    return Array.fromIterable(yield* Random.shuffle([...all, ...all.filter((_, i) => i % 3 === 0)]))
  }).pipe(Effect.withRandom(Random.make(seed)))
