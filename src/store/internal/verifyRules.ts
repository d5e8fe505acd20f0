/** The other tables: what each row must be, as statements that give the rows that are not. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Header from "../../core/Header.ts"
import type { Kind, Mend } from "../Finding.ts"
import { query } from "../Transaction.ts"
import type { Row } from "./capability.ts"
import * as Cells from "./cells.ts"
import { scan } from "./scan.ts"
import { found, rowsOf, type Verifying } from "./verifying.ts"

/** Asks every rule, and looks at the evidence of forks. */
export const verifyRules = <E, R>(
  verifying: Verifying<E, R>,
  last: number
): Effect.Effect<void, SqlError | E, SqlClient | R> =>
  Effect.gen(function* () {
    for (const rule of rules) {
      if (!rule.needs.every((table) => verifying.tables.has(table))) continue
      const [table = ""] = rule.needs
      const rows = yield* rowsOf(verifying, table, rule.ask(...(rule.takesLast === true ? [last] : [])))
      const { detail, kind, mend } = rule
      for (const row of rows) {
        const key = Cells.integer(row, "key") ?? Cells.text(row, "key")
        yield* found(verifying, { kind, mend, table, key, id: Cells.hash(row, "id"), detail })
      }
      yield* Effect.yieldNow()
    }
    yield* forks(verifying)
  })

// internal

interface Rule {
  /** The tables that it reads; findings are about the first. */
  readonly needs: ReadonlyArray<string>
  /** Gives `key` and, where there is one, `id` of each row that is wrong. */
  readonly ask: ReturnType<typeof query>
  /** Whether it is given the last position. */
  readonly takesLast?: boolean
  readonly kind: Kind
  readonly mend: Mend
  readonly detail: string
}

/** Findings of one rule; whoever has so many has seen enough. */
const most = 1000

const rule = (
  needs: ReadonlyArray<string>,
  where: string,
  { key, id = "NULL", ...rest }: Pick<Rule, "detail" | "mend" | "takesLast"> & { key: string; id?: string; kind?: Kind }
): Rule => ({
  kind: "Row",
  ...rest,
  needs: needs.map((name) => `applecart_${name}`),
  ask: query(`SELECT ${key} AS key, ${id} AS id FROM applecart_${needs[0]} AS x WHERE ${where} LIMIT ${most}`)
})

const not32 = (column: string) => `(typeof(x.${column}) <> 'blob' OR length(x.${column}) <> 32)`
const notCount = (column: string) => `(typeof(x.${column}) <> 'integer' OR x.${column} < 0)`
const isOperation = (id: string) => `EXISTS (SELECT 1 FROM applecart_operations AS o WHERE o.id = ${id})`

/** What waits is decided again when it is queued, which is always right. */
const queuedAgain = "derived" as const

const counted = `SELECT author, count(*) AS operations, sum(length(header) + coalesce(length(body), 0)) AS bytes
    FROM applecart_inbox GROUP BY author
  UNION ALL SELECT x'', count(*), sum(length(header) + coalesce(length(body), 0))
    FROM applecart_inbox HAVING count(*) > 0`
const shares = `SELECT author, operations, bytes FROM applecart_inbox_shares`

const rules: ReadonlyArray<Rule> = [
  rule(["topics"], `${not32("log_id")} OR ${not32("hash")}`, {
    key: "x.topic",
    mend: "derived",
    detail: "its log id or its topic is no hash"
  }),
  rule(["logs"], `${not32("author")} OR ${not32("log_id")} OR ${not32("head_id")} OR ${notCount("head_seq_num")}`, {
    key: "x.log",
    kind: "Log",
    mend: "derived",
    detail: "its author, its log id or its head is none"
  }),
  rule(
    ["inbox", "topics"],
    `x.topic IS NULL AND EXISTS (SELECT 1 FROM applecart_topics AS t WHERE t.log_id = x.log_id)`,
    {
      key: "x.entry",
      id: "x.id",
      mend: "derived",
      detail: "it has not the topic that was learnt for its log id"
    }
  ),
  rule(["inbox", "operations"], isOperation("x.id"), {
    key: "x.entry",
    id: "x.id",
    mend: "derived",
    detail: "it was accepted, and is still in the inbox"
  }),
  rule(
    ["inbox", "waiting"],
    `x.status = 'waiting' AND NOT EXISTS (SELECT 1 FROM applecart_waiting AS w WHERE w.entry = x.entry)`,
    { key: "x.entry", id: "x.id", mend: queuedAgain, detail: "it waits, and for nothing" }
  ),
  rule(
    ["waiting", "inbox"],
    `NOT EXISTS (SELECT 1 FROM applecart_inbox AS i WHERE i.entry = x.entry AND i.status = 'waiting')`,
    {
      key: "x.entry",
      mend: queuedAgain,
      detail: "something that does not wait is noted as waiting"
    }
  ),
  rule(["waiting"], not32("until"), { key: "x.entry", mend: queuedAgain, detail: "what it waits for is no operation" }),
  rule(
    ["waiting", "operations", "wakes"],
    `${isOperation("x.until")} AND NOT EXISTS (SELECT 1 FROM applecart_wakes AS k WHERE k.id = x.until)`,
    { key: "x.entry", id: "x.until", mend: queuedAgain, detail: "it waits for an operation that was accepted" }
  ),
  rule(
    ["wakes"],
    `${not32("id")} OR x.seq_num IS NOT NULL AND (${not32("author")} OR ${not32("log_id")} OR ${notCount("seq_num")})
       OR typeof(x.after_entry) <> 'integer' OR typeof(x.after_seq_num) NOT IN ('null', 'integer')
       OR typeof(x.root) NOT IN ('null', 'integer')`,
    { key: "x.wake", mend: queuedAgain, detail: "whom it wakes is not said" }
  ),
  rule(
    ["inbox_shares", "inbox"],
    `x.author IN (SELECT author FROM (SELECT * FROM (${shares}) EXCEPT SELECT * FROM (${counted})))`,
    { key: "lower(hex(x.author))", mend: "derived", detail: "its author has another share of the inbox" }
  ),
  {
    needs: ["applecart_inbox_shares", "applecart_inbox"],
    ask: query(
      `SELECT lower(hex(author)) AS key, NULL AS id FROM (SELECT * FROM (${counted}) EXCEPT SELECT * FROM (${shares}))
       WHERE author NOT IN (SELECT author FROM applecart_inbox_shares) LIMIT ${most}`
    ),
    kind: "Row",
    mend: "derived",
    detail: "its author has a share of the inbox, and none is noted"
  },
  rule(
    ["decisions"],
    `${not32("id")} OR ${notCount("decided_at")} OR x.what NOT IN ('skipped', 'deleted', 'discarded', 'pruned')
       OR typeof(x.why) NOT IN ('null', 'text')`,
    { key: "x.decision", id: "x.id", mend: "none", detail: "what was decided of which operation is not said" }
  ),
  rule(["decisions", "operations"], `x.what IN ('skipped', 'deleted') AND NOT ${isOperation("x.id")}`, {
    key: "x.decision",
    id: "x.id",
    mend: "none",
    detail: "an operation that is not here is said to be without its body"
  }),
  rule(["decisions", "operations"], `x.what IN ('discarded', 'pruned') AND ${isOperation("x.id")}`, {
    key: "x.decision",
    id: "x.id",
    mend: "none",
    detail: "an operation that is here is said to be gone"
  }),
  rule(
    ["consumers"],
    `${notCount("position")} OR x.position > ? OR typeof(x.version) <> 'integer' OR typeof(x.name) <> 'text'`,
    { key: "x.name", takesLast: true, mend: "rebuild", detail: "how far it has come cannot be" }
  ),
  rule(["consumers", "deliveries"], `x.role = 'application' AND x.state = 'live' AND x.position <> ?`, {
    key: "x.name",
    takesLast: true,
    mend: "rebuild",
    detail: "the application has not acknowledged what was accepted, or more than that"
  }),
  rule(
    ["deliveries"],
    `${notCount("attempts")} OR typeof(x.reason) NOT IN ('null', 'text') OR x.reason IS NULL AND x.not_before IS NULL
       OR typeof(x.not_before) NOT IN ('null', 'integer') OR typeof(x.position) <> 'integer' OR x.position > ?`,
    { key: "x.position", takesLast: true, mend: "rebuild", detail: "what a consumer has not acknowledged cannot be" }
  ),
  rule(
    ["notices"],
    `${not32("id")} OR ${not32("author")} OR typeof(x.position) <> 'integer' OR x.position > ? OR x.how NOT IN ('pruned', 'deleted')`,
    {
      key: "x.position",
      id: "x.id",
      takesLast: true,
      mend: "rebuild",
      detail: "what a consumer is to be told cannot be"
    }
  ),
  rule(
    ["replays"],
    `NOT json_valid(x.which) OR ${notCount("position")} OR ${notCount("until")} OR x.state NOT IN ('running', 'done', 'cancelled')`,
    { key: "x.replay", mend: "none", detail: "what is to be handed over again is not said; cancel it and ask again" }
  ),
  rule(["tombstones"], `${not32("target")} OR ${not32("author")}`, {
    key: "lower(hex(x.target))",
    mend: "none",
    detail: "who has deleted what is not said"
  }),
  rule(
    ["causal"],
    `${not32("id")} OR ${not32("log_id")} OR x.unsettled <> 0 OR x.named NOT IN (0, 1) OR NOT ${isOperation("x.id")}`,
    {
      key: "x.vertex",
      id: "x.id",
      mend: "rebuild",
      detail: "the graph holds what was not accepted; rebuild processor:causal-order"
    }
  )
]

/** Evidence that proves nothing any more. */
const forks = <E, R>(verifying: Verifying<E, R>) =>
  Effect.flatMap(rowsOf(verifying, "sqlite_sequence", selectLastFork()), ([last = {}]) =>
    scan(
      { name: "applecart_forks", key: "fork", select: "x.*" },
      Cells.integer(last, "seq") ?? 0,
      (rows) => Effect.forEach(rows, (row) => fork(verifying, row), { discard: true }),
      ({ from, to, why }) => {
        const detail = `SQLite cannot read it: ${why}`
        return found(verifying, {
          kind: "Unreadable",
          mend: "copy",
          table: "applecart_forks",
          key: from,
          until: to,
          detail
        })
      }
    )
  )

const selectLastFork = query("SELECT seq FROM sqlite_sequence WHERE name = 'applecart_forks'")

const fork = <E, R>(verifying: Verifying<E, R>, row: Row) =>
  Effect.gen(function* () {
    const { crypto, format } = verifying
    const signed = (column: string) => {
      const bytes = Cells.blob(row, column)
      const decoded = bytes === undefined ? undefined : Header.decode(crypto, bytes)
      if (bytes === undefined || decoded?._tag !== "Right") return undefined
      const logId = format(decoded.right.extensions)?.fields.logId ?? Cells.logId(row, "log_id")
      return { id: crypto.hash(bytes), logId, ...decoded.right }
    }
    const [accepted, other] = [signed("accepted_header"), signed("other_header")]
    const isWhole =
      accepted !== undefined &&
      other !== undefined &&
      [accepted, other].every(
        (one) => one.verifyingKey === Cells.key(row, "author") && one.logId === Cells.logId(row, "log_id")
      ) &&
      accepted.seqNum === Cells.integer(row, "seq_num") &&
      other.id === Cells.hash(row, "other_id") &&
      other.id !== accepted.id &&
      (other.seqNum === accepted.seqNum || (other.seqNum === accepted.seqNum + 1 && other.backlink !== accepted.id))
    if (isWhole) return
    yield* found(verifying, {
      kind: "Row",
      mend: "none",
      table: "applecart_forks",
      key: Cells.integer(row, "fork"),
      id: Cells.hash(row, "other_id"),
      detail: "the evidence of a fork proves nothing any more"
    })
  })
