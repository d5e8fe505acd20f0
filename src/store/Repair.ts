/**
 * Mends what {@link Verify.verify} finds, as far as it can be had again: what follows from what is here and whole is written
 * anew, and an operation whose bytes are damaged or gone is put back into its place from outside, by its id. The place, the
 * position and the effects are what they were; nothing is processed again. What cannot be had is named and stays as it is.
 *
 * Nothing that is whole is changed. A body that was deleted or skipped does not come back. Where the file itself is damaged it
 * is not written to: copy it first ({@link Salvage.copy}).
 *
 * @example
 * const { after } = yield* Repair.repair(fileSystem.stream("export.cbor").pipe(OperationSequence.decode()))
 * for (const finding of after.findings) console.log(finding.message)
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Crypto from "../core/Crypto.ts"
import * as Extensions from "../core/Extensions.ts"
import type { Hash } from "../core/Hash.ts"
import type * as Operation from "../core/Operation.ts"
import type { Finding } from "./Finding.ts"
import * as Mend from "./internal/mend.ts"
import { format } from "./internal/verifying.ts"
import * as SqlReason from "./SqlReason.ts"
import * as Transaction from "./Transaction.ts"
import * as Verify from "./Verify.ts"

/** The file itself is damaged, so that writing to it might destroy more. What was mended until that was noticed stays so. */
export class NeedsCopy extends Schema.TaggedError<NeedsCopy>()("NeedsCopy", { detail: Schema.String }) {
  override get message() {
    return `Not repaired: the file itself is damaged (${this.detail}). Copy what can be read into a new file first (Salvage.copy, \`applecart verify --into FILE\`), and repair that.`
  }
}

/** What was mended. */
export interface Repaired {
  /** What was found before anything was done. */
  readonly before: Verify.Report
  /** Operations that were put back into their places, or taken in again. */
  readonly restored: number
  /** Rows that were made anew from what is here. */
  readonly derived: number
  /** What is found now: what could not be had. */
  readonly after: Verify.Report
}

/** How many findings are worked off at once; what is left the next round finds again. */
const most = 20_000

/** As often as it gets further; what is put back may say what is missing before it. */
const rounds = 64

/**
 * Repairs the database of the client. `source`: operations from outside, read once in each round; it is given many that nobody
 * needs, and takes those that are wanted and valid. Nobody else should work on the database meanwhile.
 *
 * Fails with {@link NeedsCopy}, or where the source or the database fails; what was mended until then stays so.
 */
export const repair = <X extends Extensions.Fields = Extensions.Any, E = never, R = never>(
  source: Stream.Stream<Operation.Raw, E, R> = Stream.empty,
  options: Pick<Verify.Options<X>, "extensions"> = {}
): Effect.Effect<Repaired, SqlError | NeedsCopy | E, SqlClient | Crypto.Crypto | R> =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const { extensions } = options
    const read = extensions === undefined ? format(crypto, Extensions.any) : format(crypto, extensions)
    const needs = { crypto, format: read, tables: yield* Mend.tables }
    const first = yield* look(options)
    let { findings, report } = first
    let restored = 0
    let derived = 0
    let last: boolean = false
    for (let round = 0; round < rounds && findings.length > 0; round++) {
      const broken = findings.find(({ kind, mend }) => mend === "copy" && (kind === "File" || kind === "Unreadable"))
      if (broken !== undefined) return yield* new NeedsCopy({ detail: broken.detail })
      const made = yield* Mend.derived(needs, findings)
      const put: number = yield* restore(needs, Mend.wanted(findings), source, last)
      derived += made
      restored += put
      const before = fingerprint(findings)
      if (made + put > 0) ({ findings, report } = yield* look(options))
      const isStuck: boolean = put === 0 && fingerprint(findings) === before
      if (isStuck && last) break
      last = isStuck
    }
    return { before: first.report, restored, derived, after: report }
  }).pipe(
    Effect.catchIf(
      isOfFile,
      (error) => new NeedsCopy({ detail: error.cause instanceof Error ? error.cause.message : error.message })
    )
  )

// internal

/** Our statements are right, so one that SQLite does not understand meets a table that is not what it was. */
const isOfFile = (error: unknown): error is SqlError =>
  error instanceof SqlError && ["Statement", "Corrupt"].includes(SqlReason.of(error)._tag)

/** So many operations of a source share a transaction. */
const chunk = 64

const look = <X extends Extensions.Fields>(options: Pick<Verify.Options<X>, "extensions">) =>
  Effect.gen(function* () {
    const findings: Array<Finding> = []
    const report = yield* Verify.verify<X>({
      ...options,
      onFinding: (finding) =>
        Effect.sync(() => {
          if (findings.length < most) findings.push(finding)
        })
    })
    return { findings, report }
  })

const fingerprint = (findings: ReadonlyArray<Finding>): string => findings.map(({ message }) => message).join("\n")

const restore = <E, R>(
  needs: Mend.Needs,
  wanted: ReadonlyMap<Hash, ReadonlyArray<Mend.Want>>,
  source: Stream.Stream<Operation.Raw, E, R>,
  last: boolean
) => {
  if (wanted.size === 0) return Effect.succeed(0)
  return source.pipe(
    Stream.filterMap((raw) => Mend.isWanted(needs, wanted, raw)),
    Stream.grouped(chunk),
    Stream.runFoldEffect(0, (sum, some) =>
      Effect.map(
        Transaction.run(
          Effect.forEach(some, ({ operation, wants }) => Mend.restore(needs, operation, wants, last)),
          { durable: true }
        ),
        (done) => sum + done.filter((one) => one).length
      )
    )
  )
}
