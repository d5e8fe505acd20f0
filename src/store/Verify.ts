/**
 * Looks for damage: whether everything that is stored is still what was written. SQLite does not notice a flipped bit in a
 * page; but every operation has a hash and a signature, and names the one before it, so that no changed byte of one goes
 * unnoticed. Reads only, a page at a time, one state of the database whoever writes meanwhile.
 *
 * What the application has made of the operations cannot be seen here: `StreamController.verify` compares that.
 *
 * @example
 * const { findings } = yield* Verify.verify()
 * for (const finding of findings) console.log(finding.message)
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Crypto from "../core/Crypto.ts"
import * as Extensions from "../core/Extensions.ts"
import type { Finding } from "./Finding.ts"
import * as Cells from "./internal/cells.ts"
import { unlessDamaged } from "./internal/scan.ts"
import { snapshot } from "./internal/snapshot.ts"
import { verifyInbox } from "./internal/verifyInbox.ts"
import { verifyLogs } from "./internal/verifyLogs.ts"
import { verifyOperations } from "./internal/verifyOperations.ts"
import { verifyRules } from "./internal/verifyRules.ts"
import { format, found, type Counts, type Verifying } from "./internal/verifying.ts"
import { query } from "./Transaction.ts"

export { Finding, Kind, Mend } from "./Finding.ts"

/** How to look. */
export interface Options<X extends Extensions.Fields = Extensions.Any, E = never, R = never> {
  /** How extensions are read. Default: p2panda's node extensions, and open maps. */
  readonly extensions?: Extensions.Codec<X> | undefined
  /** Is told each finding as it is made. */
  readonly onFinding?: ((finding: Finding) => Effect.Effect<unknown, E, R>) | undefined
}

/** What was looked at, and what was found. */
export interface Report {
  /** Accepted operations that could be read. */
  readonly operations: number
  /** Operations of the inbox that could be read. */
  readonly inbox: number
  readonly logs: number
  /**
   * Accepted operations that are whole, but whose extensions are of another format than those that are read here: whether each
   * stands in its own log was not looked at.
   */
  readonly unread: number
  /** How many findings there are. */
  readonly found: number
  /** The first 1,000 of them. */
  readonly findings: ReadonlyArray<Finding>
}

const most = 1000

/**
 * Looks at everything. Fails only where the database is not to be had at all (locked, not there): what cannot be read of a file
 * is a finding. Only SQLite.
 *
 * The connection is in use meanwhile: take a client of its own where the program has other work to do with the database.
 */
export const verify = <X extends Extensions.Fields = Extensions.Any, E = never, R = never>(
  options: Options<X, E, R> = {}
): Effect.Effect<Report, SqlError | E, SqlClient | Crypto.Crypto | R> =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const counts: Counts = { operations: 0, inbox: 0, logs: 0, unread: 0, findings: 0 }
    const findings: Array<Finding> = []
    const report = (finding: Finding): Effect.Effect<void, E, R> => {
      if (findings.length < most) findings.push(finding)
      return options.onFinding === undefined ? Effect.void : Effect.asVoid(options.onFinding(finding))
    }
    const { extensions } = options
    const read = extensions === undefined ? format(crypto, Extensions.any) : format(crypto, extensions)
    const base = { crypto, format: read, counts, report }
    yield* snapshot(everything(base))
    const { findings: found, ...rest } = counts
    return { ...rest, found, findings }
  })

// internal

/** The tables that every store has, of any version. */
const needed = [
  "operations",
  "logs",
  "topics",
  "inbox",
  "inbox_shares",
  "waiting",
  "wakes",
  "decisions",
  "forks",
  "consumers"
].map((name) => `applecart_${name}`)

const everything = <E, R>(base: Omit<Verifying<E, R>, "tables">) =>
  Effect.gen(function* () {
    const none: Verifying<E, R> = { ...base, tables: new Set() }
    const schema = yield* unlessDamaged(selectTables())
    if (typeof schema === "string") {
      const detail = `SQLite cannot read which tables there are: ${schema}`
      return yield* found(none, { kind: "Unreadable", mend: "none", table: "", detail })
    }
    const tables = new Set(schema.flatMap((row) => Cells.text(row, "name") ?? []))
    const missing = needed.filter((name) => !tables.has(name))
    for (const table of missing) {
      yield* found(none, { kind: "Unreadable", mend: "none", table, detail: "there is no such table" })
    }
    if (missing.length > 0) return
    const verifying = { ...base, tables }
    yield* complaints(verifying)
    const last = yield* verifyOperations(verifying)
    yield* verifyLogs(verifying)
    yield* verifyInbox(verifying)
    yield* verifyRules(verifying, last)
  })

// To SQLite the case of letters makes no difference, so one that a damaged bit has changed goes unnoticed.
const selectTables = query(`SELECT lower(name) AS name FROM sqlite_schema WHERE lower(type) = 'table'`)
const integrityCheck = query("PRAGMA integrity_check(1000)")
const foreignKeyCheck = query("PRAGMA foreign_key_check")

/** What SQLite itself says. It knows nothing of what stands in the cells. */
const complaints = <E, R>(verifying: Verifying<E, R>) =>
  Effect.gen(function* () {
    const file = (detail: string, isIndex: boolean) =>
      found(verifying, { kind: "File", mend: isIndex ? "derived" : "copy", table: "", detail })
    const rows = yield* unlessDamaged(integrityCheck())
    if (typeof rows === "string") yield* file(`SQLite cannot check it: ${rows}`, false)
    else {
      for (const row of rows) {
        const said = Cells.text(row, "integrity_check") ?? ""
        if (said !== "ok") yield* file(`SQLite says: ${said.replace(/\.$/, "")}`, ofIndex.test(said))
      }
    }
    const references = yield* unlessDamaged(foreignKeyCheck())
    if (typeof references === "string") return yield* file(`SQLite cannot check its references: ${references}`, false)
    for (const row of references.slice(0, most)) {
      const table = Cells.text(row, "table") ?? ""
      const detail = `it refers to a row of ${Cells.text(row, "parent")} that is not there`
      const mend = !table.startsWith("applecart_") ? "rebuild" : ofOthers.has(table) ? "derived" : "none"
      yield* found(verifying, { kind: "File", mend, table, key: Cells.integer(row, "rowid"), detail })
    }
  })

/** Tables whose references follow from other rows. */
const ofOthers = new Set(["applecart_operations", "applecart_logs", "applecart_waiting"])

/** Complaints about an index beside a table that is whole. */
const ofIndex = /missing from index|in index|non-unique entry/
