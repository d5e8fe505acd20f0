/** The verb `verify`: looks for damage, and with `--from` repairs what the files have. */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Crypto from "../core/Crypto.ts"
import type { Raw } from "../core/Operation.ts"
import * as OperationSequence from "../core/OperationSequence.ts"
import * as Repair from "../store/Repair.ts"
import * as Salvage from "../store/Salvage.ts"
import * as Verify from "../store/Verify.ts"
import * as Database from "./Database.ts"
import * as Input from "./Input.ts"
import type { Io } from "./Io.ts"
import * as Output from "./Output.ts"
import { Incomplete } from "./Problem.ts"
import { UsageError } from "./UsageError.ts"

interface Options {
  readonly db: string
  readonly from: ReadonlyArray<string>
  readonly into: string | undefined
}

/** `verify [--from FILE]... [--into FILE]`. */
export const verify = (options: Options) =>
  Effect.gen(function* () {
    if (options.into !== undefined) {
      yield* copy(options.db, options.into)
      return yield* repair(options.into, options.from)
    }
    if (options.from.length > 0) return yield* repair(options.db, options.from)
    const report = yield* Database.examine(options.db, Verify.verify({ onFinding: tell }))
    yield* summary(report, {})
    yield* failIfFound(report)
  }).pipe(Effect.provide(Crypto.layer))

// internal

/** Programs are told of every finding, people of the first few. */
const tell = (finding: Verify.Finding) =>
  Effect.flatMap(Output.Output, ({ json }) => (json ? Output.result("", fields(finding)) : Effect.void))

const fields = (finding: Verify.Finding): Output.Fields => ({ ...finding, message: finding.message })

const shown = 20

const summary = (report: Verify.Report, more: Output.Fields) =>
  Effect.gen(function* () {
    const { found, inbox, logs, operations, unread } = report
    const lines = report.findings.slice(0, shown).map(({ message }) => `  ${Output.safe(message)}`)
    if (found > lines.length) lines.push(`  … and ${found - lines.length} more; --json tells of each.`)
    const seen = `${Output.count(operations, "accepted operation")}, ${logs} logs, ${inbox} in the inbox`
    const strange =
      unread === 0
        ? ""
        : `\n${unread} have extensions of another format; whether each is in its own log was not looked at.`
    yield* Output.result(
      found === 0
        ? `Nothing is damaged: ${seen}.${strange}\n${unseen}`
        : `${Output.count(found, "finding")} in ${seen}.${strange}\n${lines.join("\n")}`,
      { operations, logs, inbox, unread, found, ...more }
    )
  })

const unseen = "What an application made of them was not compared: that needs its handler (StreamController.verify)."

const failIfFound = ({ findings, found }: Verify.Report) => {
  if (found === 0) return Effect.void
  const hint = findings.some(({ mend }) => mend === "copy")
    ? "The file itself is damaged: --into FILE copies what can be read."
    : findings.some(({ mend }) => mend === "source" || mend === "derived")
      ? "--from FILE repairs what an export has."
      : "What is left cannot be had again from a file."
  return new Incomplete({ message: `${Output.count(found, "finding")}. ${hint}` })
}

const repair = (db: string, from: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    if (from.includes("-")) {
      return yield* new UsageError({
        message: "--from takes a file that can be read more than once, not standard input."
      })
    }
    // A file that is not there fails before anything is done.
    for (const file of from) yield* Input.open(file)
    const { after, before, derived, restored } = yield* Database.mend(db, Repair.repair(operations(from)))
    const { json } = yield* Output.Output
    if (json) yield* Effect.forEach(after.findings, tell, { discard: true })
    else {
      const did = `${Output.count(restored, "operation")} put back, ${Output.count(derived, "row")} made anew.`
      yield* Output.note(`${Output.count(before.found, "finding")} before. ${did}`)
    }
    yield* summary(after, { before: before.found, restored, derived })
    yield* failIfFound(after)
  })

const operations = (
  from: ReadonlyArray<string>
): Stream.Stream<Raw, Input.OpenError | OperationSequence.InvalidSequence, FileSystem.FileSystem | Path.Path | Io> =>
  Stream.flatMap(Stream.fromIterable(from), (file) =>
    Stream.unwrap(Effect.map(Input.open(file), ({ bytes }) => bytes)).pipe(OperationSequence.decode())
  )

/** Copies what can be read into a file that is not there yet. */
const copy = (db: string, into: string) =>
  Effect.gen(function* () {
    const fileSystem = yield* FileSystem.FileSystem
    if (yield* fileSystem.exists(into)) {
      return yield* new UsageError({ message: `${into} exists already and was not touched. Choose another name.` })
    }
    const copying = (target: SqlClient) => Database.examine(db, Salvage.copy(target))
    const { lost, rows, tables } = yield* Database.fresh(into, copying)
    const { json } = yield* Output.Output
    for (const finding of lost) {
      if (json) yield* Output.result("", fields(finding))
      else yield* Output.note(`not copied: ${Output.safe(finding.message)}`)
    }
    yield* Output.note(`Copied ${Output.count(rows, "row")} of ${tables} tables into ${into}; ${db} is as it was.`)
  })
