/** Verbs about operations that were not accepted: `replay`, `skip`, `discard`. */
import * as Effect from "effect/Effect"
import type { Counts } from "../stream/StreamController.ts"
import * as Database from "./Database.ts"
import * as Id from "./Id.ts"
import * as Output from "./Output.ts"
import { Incomplete } from "./Problem.ts"

/** `replay`. */
export const replay = ({ db }: { readonly db: string }) =>
  Effect.gen(function* () {
    // Opening does it: to ask for it again would count every attempt twice.
    const counts = yield* Database.work(db, false, (_, replayed) => Effect.succeed(replayed))
    const { accepted, rejected, waiting } = counts
    yield* Output.result(
      accepted + rejected + waiting === 0
        ? "Nothing is waiting or rejected."
        : `Replayed what was waiting or rejected.\n${after(counts)}`,
      { accepted, waiting, rejected }
    )
    if (rejected > 0) {
      return yield* new Incomplete({
        message: `${Output.count(rejected, "operation")} rejected again. \`applecart rejected\` says why.`
      })
    }
  })

/** `skip ID`. */
export const skip = (options: { readonly db: string; readonly id: string }) =>
  Effect.gen(function* () {
    const done = yield* Database.work(options.db, false, (controller) =>
      Effect.gen(function* () {
        const id = yield* Id.find(options.id)
        const position = yield* controller.skip(id)
        return { id, position, counts: yield* controller.drain }
      })
    )
    const { counts, id, position } = done
    yield* Output.result(
      `Skipped ${id}\n  Its header is in the log at position ${position}; its body and effects are not.${others(counts)}`,
      { id, position, skipped: 1, ...counts }
    )
  })

/** `discard ID [--why TEXT]`. */
export const discard = (options: { readonly db: string; readonly id: string; readonly why: string | undefined }) =>
  Effect.gen(function* () {
    const done = yield* Database.work(options.db, false, (controller) =>
      Effect.gen(function* () {
        const id = yield* Id.find(options.id)
        yield* controller.discard(id, options.why)
        return { id, counts: yield* controller.drain }
      })
    )
    const { counts, id } = done
    yield* Output.result(
      `Discarded ${id}\n  It is deleted and will not be taken in again; its log stays where it is.${others(counts)}`,
      { id, discarded: 1, ...counts }
    )
  })

// internal

/** What a decision about one operation set free. What waits for something else, or was rejected before, is not told of. */
const others = ({ accepted }: Counts): string =>
  accepted === 0 ? "" : `\nAccepted since then: ${Output.count(accepted, "operation")}.`

/** What was accepted, and what is left in the inbox. */
const after = ({ accepted, rejected, waiting }: Counts): string =>
  Output.table(
    [
      ["accepted", accepted, ""],
      ["waiting", waiting, waiting === 0 ? "" : "for operations that are not here: applecart waiting"],
      ["rejected", rejected, rejected === 0 ? "" : "the reasons: applecart rejected"]
    ],
    "  "
  )
