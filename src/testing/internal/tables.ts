/** Reads the tables that the promises are about; tables that are not there yet are empty. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

/** An operation that is kept; blobs are hex. */
export interface Held {
  readonly id: string
  readonly position: number
  readonly log: number
  readonly seqNum: number
  readonly header: string
  readonly body: string | null
}

/** What is in a database. */
export interface Tables {
  /** In order of position. */
  readonly operations: ReadonlyArray<Held>
  readonly logs: ReadonlyMap<
    number,
    { readonly author: string; readonly headSeqNum: number; readonly headId: string; readonly prunedBelow: number }
  >
  readonly inbox: ReadonlyArray<{ readonly id: string; readonly status: string; readonly body: string | null }>
  readonly waiting: ReadonlyArray<{
    readonly until: string
    readonly id: string | null
    readonly status: string | null
  }>
  /** What others are about to be woken by. */
  readonly wakes: ReadonlyArray<string>
  readonly decisions: ReadonlyArray<{ readonly id: string; readonly what: string }>
  readonly consumers: ReadonlyArray<{
    readonly name: string
    readonly role: string
    readonly state: string
    readonly position: number
  }>
  /** The last position that was given. */
  readonly given: number
  /** Rows where the shares of the inbox are not what a count gives. */
  readonly shares: ReadonlyArray<string>
  /** The table of `Journal.application`, if it is there, in the order in which it was written. */
  readonly journal: ReadonlyArray<Pick<Held, "id" | "position" | "body">> | undefined
  /** What SQLite itself says: `integrity_check` and `foreign_key_check`. */
  readonly complaints: ReadonlyArray<string>
}

/** Reads everything. */
export const read: Effect.Effect<Tables, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const names = new Set((yield* sql<{ name: string }>`SELECT name FROM sqlite_schema`).map(({ name }) => name))
  const rows = <A extends object>(table: string, text: string) =>
    names.has(table) ? sql.unsafe<A>(text) : Effect.succeed<ReadonlyArray<A>>([])
  const logs = yield* rows<LogRow>("applecart_logs", selectLogs)
  const [given] = yield* rows<{ seq: number }>("applecart_operations", selectGiven)
  const integrity = yield* sql<{ integrity_check: string }>`PRAGMA integrity_check`
  const keys = yield* sql.unsafe<object>("PRAGMA foreign_key_check")
  return {
    operations: yield* rows<Held>("applecart_operations", selectOperations),
    logs: new Map(logs.map(({ log, ...rest }) => [log, rest])),
    inbox: yield* rows<Tables["inbox"][number]>(
      "applecart_inbox",
      `SELECT ${hex("id")}, status, ${hex("body")} FROM applecart_inbox ORDER BY entry`
    ),
    waiting: yield* rows<Tables["waiting"][number]>("applecart_waiting", selectWaiting),
    wakes: (yield* rows<{ id: string }>("applecart_wakes", `SELECT ${hex("id")} FROM applecart_wakes`)).map(
      ({ id }) => id
    ),
    decisions: yield* rows<Tables["decisions"][number]>(
      "applecart_decisions",
      `SELECT ${hex("id")}, what FROM applecart_decisions ORDER BY decision`
    ),
    consumers: yield* rows<Tables["consumers"][number]>(
      "applecart_consumers",
      `SELECT name, role, state, position FROM applecart_consumers`
    ),
    given: given?.seq ?? 0,
    shares: (yield* rows("applecart_inbox_shares", selectMiscounted)).map((row) => JSON.stringify(row)),
    journal: names.has("journal")
      ? yield* sql.unsafe<Pick<Held, "id" | "position" | "body">>(
          `SELECT id, position, iif(body IS NULL, NULL, lower(hex(body))) AS body FROM journal ORDER BY rowid`
        )
      : undefined,
    complaints: [
      ...integrity.flatMap((row) => (row.integrity_check === "ok" ? [] : [row.integrity_check])),
      ...keys.map((row) => JSON.stringify(row))
    ]
  }
})

// internal

interface LogRow {
  readonly log: number
  readonly author: string
  readonly headSeqNum: number
  readonly headId: string
  readonly prunedBelow: number
}

// Function declarations, since the constants below are made with them while the module loads.
function hex(column: string, name = column): string {
  return `iif(${column} IS NULL, NULL, lower(hex(${column}))) AS ${name}`
}

const selectOperations = `SELECT position, ${hex("id")}, log, seq_num AS seqNum, ${hex("header")}, ${hex("body")}
  FROM applecart_operations ORDER BY position`
const selectLogs = `SELECT log, ${hex("author")}, head_seq_num AS headSeqNum, ${hex("head_id", "headId")}, pruned_below AS prunedBelow
  FROM applecart_logs`
const selectWaiting = `SELECT ${hex("w.until", "until")}, ${hex("i.id", "id")}, i.status
  FROM applecart_waiting AS w LEFT JOIN applecart_inbox AS i USING (entry)`
const selectGiven = `SELECT seq FROM sqlite_sequence WHERE name = 'applecart_operations'`
const counted = `SELECT author, count(*) AS operations, sum(length(header) + coalesce(length(body), 0)) AS bytes
    FROM applecart_inbox GROUP BY author
  UNION ALL SELECT x'', count(*), sum(length(header) + coalesce(length(body), 0)) FROM applecart_inbox HAVING count(*) > 0`
const kept = `SELECT author, operations, bytes FROM applecart_inbox_shares`
const selectMiscounted = `SELECT ${hex("author")}, operations, bytes, 'counted' AS what FROM (SELECT * FROM (${counted}) EXCEPT ${kept})
  UNION ALL SELECT ${hex("author")}, operations, bytes, 'kept' FROM (${kept} EXCEPT SELECT * FROM (${counted}))`
