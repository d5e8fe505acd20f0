/** The verb `collect`: frees what nobody needs any more. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Garbage from "../store/Garbage.ts"
import * as Database from "./Database.ts"
import * as Output from "./Output.ts"
import { Incomplete } from "./Problem.ts"

/** `collect [--vacuum] [--older-than DURATION]`. */
export const collect = (options: {
  readonly db: string
  readonly vacuum: boolean
  readonly olderThan: Duration.Duration | undefined
}) =>
  Effect.gen(function* () {
    const { olderThan, vacuum } = options
    const report = yield* Database.work(options.db, false, (controller) =>
      controller.collect({ vacuum, prunedOlderThan: olderThan })
    )
    yield* Output.result(text(report, olderThan !== undefined), fields(report))
    if (report.file?.wal === "blocked") {
      return yield* new Incomplete({
        message:
          "Somebody reads an older state of the database, so its write-ahead log could not be emptied: deleted bytes may still stand in it. Collect again when that has ended."
      })
    }
  })

// internal

const fields = ({ file, ...rows }: Garbage.Report): Output.Fields => ({ ...rows, ...file })

const text = ({ discarded, file, processors, pruned, topics }: Garbage.Report, forgets: boolean): string => {
  const rows = Object.entries(processors).filter(([, count]) => count > 0)
  const freed = Output.table(
    [
      ["pruned", pruned, forgets ? "ids forgotten" : "ids forgotten; --older-than says which may be"],
      ...(discarded === 0 ? [] : [["discarded", discarded, "ids forgotten"]]),
      ["topics", topics, "without an operation"],
      ...rows.map(([name, count]) => [name, count, "rows of this processor"])
    ],
    "  "
  )
  return file === undefined ? `Collected:\n${freed}` : `Collected:\n${freed}\n${size(file)}`
}

const size = ({ bytesAfter, bytesBefore, pagesFree, pagesFreed, vacuumed }: Garbage.FileReport): string =>
  `The file${vacuumed ? " was rewritten: it" : ""} has ${bytesAfter} bytes now, ${bytesBefore} before; ${Output.count(pagesFreed, "page")} given back, ${pagesFree} free to be used again.`
