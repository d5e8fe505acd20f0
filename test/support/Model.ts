/**
 * The model: what a database may look like after any number of calls, faults, kills and restarts, whatever order things
 * happened in. It reads the tables, and knows the operations; it shares no code with what it checks.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Message } from "./ScenarioApp.ts"
import type { Universe } from "./ScenarioOperations.ts"
import type { Report, Told } from "./Scenario.ts"

type Row = Readonly<Record<string, string | number | null>>

/** The tables, ids and hashes as lower-case hex. */
export interface Snapshot {
  readonly operations: ReadonlyArray<Row>
  readonly logs: ReadonlyArray<Row>
  readonly inbox: ReadonlyArray<Row>
  readonly waiting: ReadonlyArray<Row>
  readonly wakes: ReadonlyArray<Row>
  readonly decisions: ReadonlyArray<Row>
  readonly consumers: ReadonlyArray<Row>
  /** What was handed over again and refused. */
  readonly parked: ReadonlyArray<Row>
  readonly forks: ReadonlyArray<Row>
  readonly sequence: ReadonlyArray<Row>
  readonly tally: ReadonlyArray<Row>
  readonly handled: ReadonlyArray<Row>
  readonly baskets: ReadonlyArray<Row>
  readonly leftovers: ReadonlyArray<Row>
  /** What the shares of the inbox say that a count does not, or the other way round. */
  readonly shares: ReadonlyArray<Row>
  /** What SQLite itself says: `integrity_check` and `foreign_key_check`. */
  readonly complaints: ReadonlyArray<string>
}

const hex = (column: string, name = column) => `lower(hex(${column})) AS ${name}`

const counted = `SELECT author, count(*) AS operations, sum(length(header) + coalesce(length(body), 0)) AS bytes
    FROM applecart_inbox GROUP BY author
  UNION ALL SELECT x'', count(*), sum(length(header) + coalesce(length(body), 0))
    FROM applecart_inbox HAVING count(*) > 0`
const kept = `SELECT author, operations, bytes FROM applecart_inbox_shares`
/** Rows only where the shares of the inbox are not what a count gives. */
export const miscounted = `SELECT ${hex("author")}, operations, bytes, 'counted' AS what FROM (SELECT * FROM (${counted}) EXCEPT ${kept})
  UNION ALL SELECT ${hex("author")}, operations, bytes, 'kept' FROM (${kept} EXCEPT SELECT * FROM (${counted}))`

const selects: { readonly [Table in Exclude<keyof Snapshot, "complaints">]: string } = {
  operations: `SELECT o.position, ${hex("o.id", "id")}, lower(hex(l.author) || '/' || hex(l.log_id)) AS log,
    o.seq_num, ${hex("o.header", "header")}, ${hex("o.body", "body")}
    FROM applecart_operations o LEFT JOIN applecart_logs l USING (log) ORDER BY o.position`,
  logs: `SELECT lower(hex(author) || '/' || hex(log_id)) AS log, head_seq_num, ${hex("head_id")}, pruned_below
    FROM applecart_logs ORDER BY 1`,
  inbox: `SELECT entry, ${hex("id")}, status, ${hex("header")}, ${hex("body")}, processor, json_extract(reason, '$.tag') AS reason,
    not_before FROM applecart_inbox ORDER BY id`,
  waiting: `SELECT ${hex("w.until", "until")}, ${hex("i.id", "id")}, i.status
    FROM applecart_waiting w LEFT JOIN applecart_inbox i USING (entry) ORDER BY 1, 2`,
  wakes: `SELECT ${hex("id")} FROM applecart_wakes ORDER BY wake`,
  decisions: `SELECT ${hex("id")}, what FROM applecart_decisions ORDER BY 1`,
  consumers: `SELECT name, position FROM applecart_consumers`,
  parked: `SELECT position, json_extract(reason, '$.tag') AS reason FROM applecart_deliveries ORDER BY position`,
  forks: `SELECT ${hex("other_id", "other")}, ${hex("accepted_header", "header")} FROM applecart_forks ORDER BY 1`,
  sequence: `SELECT seq FROM sqlite_sequence WHERE name = 'applecart_operations'`,
  tally: `SELECT author, n FROM tally ORDER BY author`,
  handled: `SELECT id, position FROM handled ORDER BY nr`,
  baskets: `SELECT owner, apples FROM baskets ORDER BY owner`,
  leftovers: `SELECT n FROM small UNION ALL SELECT n FROM children`,
  shares: miscounted
}

/** Reads everything. Tables that are not there yet are empty. */
export const snapshot: Effect.Effect<Snapshot, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const there = new Set((yield* sql<{ name: string }>`SELECT name FROM sqlite_schema`).map(({ name }) => name))
  const read = (text: string) =>
    Array.from(text.matchAll(/(?:FROM|JOIN) (\w+)/g), ([, name = ""]) => name).every((name) => there.has(name))
      ? sql.unsafe<Row>(text)
      : Effect.succeed([])
  const tables = yield* Effect.all({
    operations: read(selects.operations),
    logs: read(selects.logs),
    inbox: read(selects.inbox),
    waiting: read(selects.waiting),
    wakes: read(selects.wakes),
    decisions: read(selects.decisions),
    consumers: read(selects.consumers),
    parked: read(selects.parked),
    forks: read(selects.forks),
    sequence: read(selects.sequence),
    tally: read(selects.tally),
    handled: read(selects.handled),
    baskets: read(selects.baskets),
    leftovers: read(selects.leftovers),
    shares: read(selects.shares)
  })
  const integrity = yield* sql<{ integrity_check: string }>`PRAGMA integrity_check`
  const keys = yield* sql.unsafe<Row>("PRAGMA foreign_key_check")
  const complaints = integrity.flatMap((row) => (row.integrity_check === "ok" ? [] : [row.integrity_check]))
  return { ...tables, complaints: [...complaints, ...keys.map((row) => JSON.stringify(row))] }
})

/** The promises that are broken, each as a sentence that begins with its number. `finished`: everything was done. */
export const violations = (
  universe: Universe,
  found: Snapshot,
  reports: ReadonlyArray<Report>,
  finished: boolean
): ReadonlyArray<string> => [
  ...found.complaints.map((complaint) => `SQLite: ${complaint}`),
  ...found.shares.map((share) => `P10: the inbox is not shared as is said: ${JSON.stringify(share)}`),
  ...places(universe, found, finished),
  ...effects(universe, found),
  ...order(universe, found),
  ...waits(found, finished),
  ...evidence(universe, found),
  ...confirmed(universe, found, reports),
  ...answers(universe, reports)
]

/** What must be the same in every run that was finished: everything but positions, the inbox's numbers and attempts. */
export const lasting = (found: Snapshot) => {
  const ids = (rows: ReadonlyArray<Row>) => rows.map(({ id }) => String(id)).sort()
  const without = (rows: ReadonlyArray<Row>, ...columns: ReadonlyArray<string>) =>
    rows.map((row) => JSON.stringify(Object.entries(row).filter(([column]) => !columns.includes(column)))).sort()
  return {
    operations: without(found.operations, "position"),
    logs: without(found.logs),
    inbox: without(found.inbox, "entry"),
    waiting: without(found.waiting),
    wakes: without(found.wakes),
    decisions: without(found.decisions),
    // Which of the accepted headers stands beside a forged one depends on what was accepted before it came.
    forks: without(found.forks, "header"),
    tally: without(found.tally),
    baskets: without(found.baskets),
    handled: ids(found.handled)
  }
}

// internal

const skipped = (found: Snapshot) =>
  new Set(found.decisions.flatMap((row) => (row["what"] === "skipped" ? [String(row["id"])] : [])))

/** P3: every operation is in one place, and in the end in the right one. */
const places = (universe: Universe, found: Snapshot, finished: boolean): ReadonlyArray<string> => {
  const where = new Map<string, Array<string>>()
  const put = (id: unknown, place: string) => where.set(String(id), [...(where.get(String(id)) ?? []), place])
  const skips = skipped(found)
  for (const { id } of found.operations) put(id, skips.has(String(id)) ? "skipped" : "accepted")
  for (const { id, status } of found.inbox) put(id, String(status))
  for (const { id, what } of found.decisions) if (isGone(what)) put(id, "discarded")
  const broken: Array<string> = []
  for (const [id, all] of where) {
    const name = universe.byId.get(id)?.name
    if (name === undefined) broken.push(`P4: operation ${id} never existed, but is ${all.join()}`)
    else if (all.length > 1) broken.push(`P3: ${name} is in several places: ${all.join()}`)
  }
  for (const id of skips)
    if (!where.get(id)?.includes("skipped")) broken.push(`P3: ${id} was skipped, but is not in its log`)
  if (!finished) return broken
  for (const { fate, name, operation } of universe.items) {
    const place = where.get(operation.id)?.join() ?? "nowhere"
    if (place !== fate) broken.push(`P3: ${name} should be ${fate} in the end and is ${place}`)
  }
  return broken
}

const moves = (message: Message): ReadonlyArray<readonly [string, number]> =>
  "pick" in message
    ? [[message.by, message.pick]]
    : "give" in message
      ? [
          [message.from, -message.give],
          [message.to, message.give]
        ]
      : []

/** P1, P2, P4: the effects of the accepted operations, once, and of nothing else. */
const effects = (universe: Universe, found: Snapshot): ReadonlyArray<string> => {
  const skips = skipped(found)
  const broken: Array<string> = []
  const baskets = new Map<string, number>()
  const tally = new Map<string, number>()
  const handled: Array<Row> = []
  for (const row of found.operations) {
    const item = universe.byId.get(String(row["id"]))
    if (item === undefined) continue
    const isSkipped = skips.has(item.operation.id)
    if ((row["body"] === "") !== isSkipped) broken.push(`P1: ${item.name} ${isSkipped ? "has" : "lost"} its body`)
    if (isSkipped) continue
    handled.push({ id: item.operation.id, position: row["position"] ?? null })
    for (const [owner, apples] of moves(item.message)) baskets.set(owner, (baskets.get(owner) ?? 0) + apples)
    const author = item.operation.header.verifyingKey
    tally.set(author, (tally.get(author) ?? 0) + 1)
  }
  const differ = (what: string, expected: ReadonlyArray<unknown>, actual: ReadonlyArray<unknown>) => {
    if (JSON.stringify(expected) !== JSON.stringify(actual))
      broken.push(`P1: ${what} should be ${JSON.stringify(expected)} and is ${JSON.stringify(actual)}`)
  }
  const sorted = (map: ReadonlyMap<string, number>) => Array.from(map).sort(([a], [b]) => (a < b ? -1 : 1))
  differ("the handled journal", handled, found.handled)
  differ(
    "the baskets",
    sorted(baskets),
    found.baskets.map(({ apples, owner }) => [owner, apples])
  )
  differ(
    "the processor's table",
    sorted(tally),
    found.tally.map(({ author, n }) => [author, n])
  )
  for (const row of found.parked) broken.push(`P2: what was handled was handed over again: ${JSON.stringify(row)}`)
  for (const row of found.leftovers) broken.push(`P4: a refused row stayed: ${JSON.stringify(row)}`)
  return broken
}

/** P5: logs without gaps, in order, with heads that are theirs; positions without gaps, all acknowledged. */
const order = (universe: Universe, found: Snapshot): ReadonlyArray<string> => {
  const broken: Array<string> = []
  const heads = new Map<string, readonly [seqNum: number, id: string, prunedBelow: number]>()
  for (const [index, { id, log, position }] of found.operations.entries()) {
    if (position !== index + 1) broken.push(`P5: position ${position} after position ${index}`)
    const item = universe.byId.get(String(id))
    if (item === undefined) continue
    const { header } = item.operation
    const [seqNum, before, pruned] = heads.get(item.log) ?? [-1, undefined, 0]
    const begins = item.name === "g3"
    if (log !== item.log) broken.push(`P5: ${item.name} is in the log ${log}`)
    if (!begins && (header.seqNum !== seqNum + 1 || header.backlink !== before))
      broken.push(`P5: ${item.name} was accepted at place ${header.seqNum} after place ${seqNum}`)
    heads.set(item.log, [header.seqNum, item.operation.id, begins ? header.seqNum : pruned])
  }
  const expected = Array.from(heads, ([log, head]) => [log, ...head]).sort(([a], [b]) =>
    String(a) < String(b) ? -1 : 1
  )
  const actual = found.logs.map((row) => [row["log"], row["head_seq_num"], row["head_id"], row["pruned_below"]])
  if (JSON.stringify(expected) !== JSON.stringify(actual))
    broken.push(`P5: heads should be ${JSON.stringify(expected)} and are ${JSON.stringify(actual)}`)
  const last = found.operations.length
  for (const { name, position } of found.consumers)
    if (position !== last) broken.push(`P1: ${name} has acknowledged ${position} of ${last}`)
  if (last > 0 && found.consumers.length !== 1) broken.push(`P1: ${found.consumers.length} consumers`)
  const given = found.sequence[0]?.["seq"] ?? 0
  if (given !== last) broken.push(`P1: the last position that was given is ${given}, not ${last}`)
  return broken
}

/** P3, P9: whatever waits, waits for something that is not there, or is about to be woken. */
const waits = (found: Snapshot, finished: boolean): ReadonlyArray<string> => {
  const broken: Array<string> = []
  const accepted = new Set(found.operations.map(({ id }) => id))
  const waiting = new Set(found.waiting.map(({ id }) => id))
  const woken = new Set(found.wakes.map(({ id }) => id))
  for (const { id, status, until } of found.waiting) {
    if (status !== "waiting") broken.push(`P3: something that is ${status ?? "gone"} waits for ${until}: ${id}`)
    if (accepted.has(until ?? null) && !woken.has(until ?? null))
      broken.push(`P3: ${id} waits for ${until}, which was accepted`)
  }
  for (const { id, status } of found.inbox)
    if (status === "waiting" && !waiting.has(id ?? null)) broken.push(`P3: ${id} waits for nothing`)
  if (finished) for (const id of woken) broken.push(`P3: ${id} was to wake others, and nobody was woken`)
  return broken
}

/** Evidence of a fork names an accepted operation and one that is not. */
const evidence = (universe: Universe, found: Snapshot): ReadonlyArray<string> => {
  const headers = new Set(found.operations.map(({ header }) => header))
  return found.forks.flatMap(({ header, other }) => {
    const item = universe.byId.get(String(other))
    if (item === undefined || !item.errors.includes("Fork")) return [`P8: evidence against ${other}, which is no fork`]
    return headers.has(header ?? null) ? [] : [`P1: evidence names an operation that was not accepted`]
  })
}

/** P1, P3: what was confirmed holds. */
const confirmed = (universe: Universe, found: Snapshot, reports: ReadonlyArray<Report>): ReadonlyArray<string> => {
  const positions = new Map(found.operations.map(({ id, position }) => [String(id), position]))
  const inbox = new Set(found.inbox.map(({ id }) => String(id)))
  const discarded = new Set(found.decisions.flatMap(({ id, what }) => (isGone(what) ? [String(id)] : [])))
  const holds = ({ id, position, where }: Told): boolean => {
    if (where === "accepted") return positions.has(id) && (position === undefined || positions.get(id) === position)
    return discarded.has(id) || (where !== "discarded" && (positions.has(id) || inbox.has(id)))
  }
  return reports.flatMap((report) =>
    report._tag !== "Told"
      ? []
      : report.told.flatMap((told) =>
          holds(told)
            ? []
            : [
                `P3: "${report.step}" confirmed ${universe.byId.get(told.id)?.name ?? told.id} as ${told.where}${told.position === undefined ? "" : ` at ${told.position}`}, which does not hold`
              ]
        )
  )
}

/** Calls end as they may, and nobody is rejected for what the database did. */
const answers = (universe: Universe, reports: ReadonlyArray<Report>): ReadonlyArray<string> =>
  reports.flatMap((report) => {
    if (report._tag === "Broken") return [`typed: "${report.step}" ended with ${report.why}`]
    if (report._tag === "Failed") return []
    return report.told.flatMap(({ error, id }) => {
      const item = universe.byId.get(id)
      return error === undefined || item?.errors.includes(error) === true
        ? []
        : [`verdict: "${report.step}" rejected ${item?.name ?? id} with ${error}`]
    })
  })

/** Nothing of it is kept but its id. */
const isGone = (what: unknown) => what === "discarded" || what === "pruned"
