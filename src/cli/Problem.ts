/** Errors as the command line tells them: what was wrong, where, and what to do. */
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as ValidationError from "@effect/cli/ValidationError"
import { SystemError } from "@effect/platform/Error"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"
import * as SqlReason from "../store/SqlReason.ts"
import * as Output from "./Output.ts"

/** Everything ran, but not everything that was asked for could be done. */
export class Incomplete extends Data.TaggedError("Incomplete")<{ readonly message: string }> {}

/** An error for the standard error stream. */
export interface Problem {
  readonly error: string
  readonly message: string
}

/** What to say of a failure. */
export const of = (cause: Cause.Cause<unknown>): Problem => {
  const error = Cause.squash(cause)
  if (ValidationError.isValidationError(error)) {
    const text = Output.plain(HelpDoc.toAnsiText(error.error)).replace(/\.?$/, ".")
    return { error: "UsageError", message: `${text} See applecart --help, or applecart VERB --help.` }
  }
  if (error instanceof SystemError) return { error: "SystemError", message: system(error) }
  if (error instanceof SqlError) return { error: "SqlError", message: sql(error) }
  if (error instanceof Error) {
    return Predicate.hasProperty(error, "_tag") && typeof error._tag === "string"
      ? { error: error._tag, message: error.message }
      : { error: "Defect", message: `A bug in applecart; please report it. ${Cause.pretty(cause)}` }
  }
  return { error: "Defect", message: `A bug in applecart; please report it. ${Cause.pretty(cause)}` }
}

// internal

const system = (error: SystemError): string => {
  const file = error.pathOrDescriptor ?? "the file"
  switch (error.reason) {
    case "NotFound":
      return `${file} is not there. Check the name and the directory.`
    case "PermissionDenied":
      return `No permission for ${file}. Check who may read and write it and its directory.`
    case "AlreadyExists":
      return `${file} exists already.`
    default:
      return `${file}: ${error.description ?? error.message}`
  }
}

const sql = (error: SqlError): string => {
  const { _tag, code } = SqlReason.of(error)
  const detail = error.cause instanceof Error ? error.cause.message : error.message
  const hint = hints[_tag] ?? ""
  return `The database said no: ${detail}${code === undefined ? "" : ` (${code})`}.${hint}`
}

const hints: { readonly [Tag in SqlReason.SqlReason["_tag"]]?: string } = {
  Busy: " Another process is writing to it; try again when it is done.",
  Full: " Make room on the disk and try again; nothing was half done.",
  ReadOnly: " It may only be read by you; check the permissions of the file and its directory.",
  Corrupt: " The file is damaged. Keep a copy, and ingest an export into a new one."
}
