/** The verb `ingest`: a file or stream of operations into the database. */
import type * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Raw } from "../core/Operation.ts"
import * as OperationSequence from "../core/OperationSequence.ts"
import * as Database from "./Database.ts"
import * as Input from "./Input.ts"
import * as Output from "./Output.ts"
import { Incomplete } from "./Problem.ts"
import * as Tally from "./Tally.ts"

/** `ingest FILE` or `-`. */
export const ingest = (options: { readonly db: string; readonly file: string }) =>
  Effect.gen(function* () {
    const began = yield* Clock.currentTimeMillis
    const input = yield* Input.open(options.file)
    const tally = Tally.make()
    const cut = yield* Database.work(options.db, true, (controller) =>
      Effect.gen(function* () {
        const cut = yield* readAll(input, controller, tally)
        yield* controller.drain
        yield* Tally.settle(tally)
        return cut
      })
    )
    const seconds = ((yield* Clock.currentTimeMillis) - began) / 1000
    const { accepted, invalid, known, received, refused, rejected, waiting } = tally.counts
    yield* Output.result(summary(input.name, tally.counts, seconds), {
      received,
      accepted,
      known,
      waiting,
      rejected,
      invalid,
      refused,
      seconds
    })
    if (cut !== undefined) return yield* cut
    const lost = rejected + invalid + refused
    if (lost > 0) {
      return yield* new Incomplete({
        message: `Of ${Output.count(received, "operation")}, ${rejected} rejected, ${invalid} invalid, ${refused} refused. \`applecart rejected\` says why.`
      })
    }
  })

// internal

/**
 * Takes in what the input holds, as much at a time as was read at once, so that memory depends on the size of what was read
 * and not on the number of operations. Gives the error that cut the input short, if one did.
 */
const readAll = (input: Input.Input, controller: Database.Controller, tally: Tally.Tally) =>
  Effect.gen(function* () {
    const progress = yield* Output.progress
    let bytes = 0
    const counted = Stream.tap(input.bytes, (chunk) => Effect.sync(() => void (bytes += chunk.length)))
    const take = (raws: Chunk.Chunk<Raw>) =>
      Effect.gen(function* () {
        const some = Array.from(raws)
        yield* Tally.add(tally, yield* controller.processAll(some, { source: input.name }))
        yield* progress.show(() => {
          const part = input.size === undefined ? "" : ` (${Math.floor((100 * bytes) / Math.max(1, input.size))} %)`
          return `${tally.counts.received} operations${part}`
        })
      })
    return yield* counted.pipe(
      OperationSequence.decode(),
      Stream.runForEachChunk(take),
      Effect.as(undefined),
      Effect.catchTags({
        InvalidSequence: (error) => Effect.succeed(error),
        SystemError: (error) => Effect.succeed(error),
        BadArgument: (error) => Effect.succeed(error)
      }),
      Effect.ensuring(progress.end)
    )
  })

const summary = (name: string, counts: Tally.Counts, seconds: number): string => {
  const rate = seconds > 0 ? `, ${Math.round(counts.received / seconds)} a second` : ""
  const rows: Array<ReadonlyArray<string | number>> = [
    ["accepted", counts.accepted, ""],
    ["known", counts.known, counts.known === 0 ? "" : "were here before, nothing was done"]
  ]
  if (counts.waiting > 0)
    rows.push(["waiting", counts.waiting, "kept, for operations that are not here yet: applecart waiting"])
  if (counts.rejected > 0) rows.push(["rejected", counts.rejected, "the reasons: applecart rejected"])
  if (counts.invalid > 0) rows.push(["invalid", counts.invalid, "wrong for everyone, not stored"])
  if (counts.refused > 0)
    rows.push(["refused", counts.refused, "the inbox is full, not stored: applecart replay, or discard some"])
  return `${name}: ${Output.count(counts.received, "operation")} in ${seconds.toFixed(1)} s${rate}\n${Output.table(rows, "  ")}`
}
