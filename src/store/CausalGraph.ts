/**
 * The graph of accepted operations: which comes after which, and an order of each topic that respects it.
 *
 * The order is that of hybrid logical clocks: an operation's clock is its author's timestamp, or the latest clock of those it
 * comes after and one more, whichever is later. Sorted by clock and id, every operation comes after those it names, and close
 * to when it was made. Clocks follow from the operations that are here and nothing else, so that every peer that has the same
 * ones has the same order: when one comes late or goes, the clocks that depended on it are set again.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as Rows from "./internal/rows.ts"
import type { Migration } from "./Migrations.ts"
import * as Removal from "./Removal.ts"
import { query, statement, type Row, type Transaction } from "./Transaction.ts"

/** The tables. An edge's parent may be an operation that is not here (yet, or any more). */
export const migrations: ReadonlyArray<Migration> = [
  {
    name: "causal graph",
    up: [
      `CREATE TABLE applecart_causal (
        vertex INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        log_id BLOB NOT NULL,
        own INTEGER NOT NULL,
        time INTEGER NOT NULL,
        counter INTEGER NOT NULL,
        named INTEGER NOT NULL,
        unsettled INTEGER NOT NULL
      )`,
      `CREATE INDEX applecart_causal_order ON applecart_causal (log_id, time, counter, id)`,
      `CREATE INDEX applecart_causal_tips ON applecart_causal (log_id, time, counter, id) WHERE named = 0`,
      `CREATE INDEX applecart_causal_unsettled ON applecart_causal (time, counter) WHERE unsettled = 1`,
      `CREATE TABLE applecart_causal_edges (
        parent BLOB NOT NULL,
        child INTEGER NOT NULL REFERENCES applecart_causal,
        PRIMARY KEY (parent, child)
      ) WITHOUT ROWID`,
      `CREATE INDEX applecart_causal_edges_child ON applecart_causal_edges (child)`
    ]
  }
]

/** A place in the order. `time`: microseconds since the epoch, by the clocks of the authors. */
export interface Clock {
  readonly time: number
  readonly counter: number
}

/** The later one of two clocks. */
export const later = (a: Clock | undefined, b: Clock | undefined): Clock | undefined => {
  if (a === undefined || b === undefined) return a ?? b
  return a.time > b.time || (a.time === b.time && a.counter > b.counter) ? a : b
}

/** The clock of an operation with this timestamp, which comes after whatever had the clock `last`. */
export const tick = (own: number, last: Clock | undefined): Clock =>
  last === undefined || own > last.time ? { time: own, counter: 0 } : { time: last.time, counter: last.counter + 1 }

/** What the graph knows of an operation. */
export interface Vertex {
  /** It was accepted, or was pruned: whoever names it need not wait. */
  readonly met: boolean
  /** Whether it stands in the inbox: it was received, and is still to be accepted. */
  readonly received: boolean
  /** Its place in the order; none where it is not in the graph. */
  readonly clock: Clock | undefined
  /** Whether an accepted operation comes directly after it. */
  readonly named: boolean
}

/** An operation that is to come into the graph. */
export interface Added extends Vertex {
  readonly clock: Clock
  readonly logId: LogId.LogId
  /** Its own timestamp, in microseconds since the epoch. */
  readonly own: number
  /** The operation before it in its log, if that is in the graph. */
  readonly before: Hash.Hash | undefined
  /** The operations that it names. */
  readonly previous: ReadonlyArray<Hash.Hash>
  /** Whether clocks are to be set again: its own, or of those that came before it although they name it. */
  readonly unsettled: boolean
}

const select = query(
  `SELECT k.value AS id, c.time, c.counter, c.named,
     c.vertex IS NOT NULL OR EXISTS (SELECT 1 FROM applecart_operations AS o WHERE o.id = unhex(k.value))
       OR EXISTS (SELECT 1 FROM applecart_decisions AS d WHERE d.id = unhex(k.value) AND d.what = 'pruned') AS met,
     EXISTS (SELECT 1 FROM applecart_inbox AS i WHERE i.id = unhex(k.value)) AS received,
     EXISTS (SELECT 1 FROM applecart_causal_edges AS e WHERE e.parent = unhex(k.value)) AS awaited
   FROM json_each(?) AS k LEFT JOIN applecart_causal AS c ON c.id = unhex(k.value)`
)

/** What the graph knows of these operations. */
export const load = (
  ids: ReadonlyArray<Hash.Hash>
): Effect.Effect<ReadonlyMap<Hash.Hash, Vertex>, SqlError, SqlClient> =>
  Effect.map(select(Rows.list(ids)), (rows) => {
    const found = new Map(rows.map((row) => [Rows.text(row, "id"), vertex(row)]))
    return new Map(
      ids.flatMap((id) => {
        const known = found.get(id)
        return known === undefined ? [] : [[id, known] as const]
      })
    )
  })

const selectTips = query(
  `SELECT id FROM applecart_causal WHERE log_id = ? AND named = 0 ORDER BY time DESC, counter DESC, id DESC LIMIT ?`
)

/** The operations of a topic that nothing comes after, the latest ones first. */
export const tips = (logId: LogId.LogId, limit: number): Effect.Effect<ReadonlyArray<Hash.Hash>, SqlError, SqlClient> =>
  Effect.map(selectTips(LogId.toBytes(logId), limit), (rows) => rows.map((row) => Rows.hash(row, "id")))

const insertVertices = Rows.insert(
  `INSERT INTO applecart_causal (id, log_id, own, time, counter, named, unsettled)`,
  `(?, ?, ?, ?, ?, ?, ?)`,
  `ON CONFLICT (id) DO UPDATE SET named = max(named, excluded.named)`
)
const insertEdges = Rows.insert(
  `INSERT INTO applecart_causal_edges (parent, child)`,
  `(?, (SELECT vertex FROM applecart_causal WHERE id = ?))`,
  `ON CONFLICT (parent, child) DO NOTHING`
)
const updateNamed = statement(
  `UPDATE applecart_causal SET named = 1 WHERE id IN (SELECT unhex(value) FROM json_each(?))`
)
const deleteDangling = statement(
  `DELETE FROM applecart_causal_edges
   WHERE child = (SELECT vertex FROM applecart_causal WHERE id = ?) AND parent = ?
     AND NOT EXISTS (SELECT 1 FROM applecart_causal AS c WHERE c.id = applecart_causal_edges.parent)`
)

/** Brings operations into the graph. `named`: those of the others that something comes after from now on. */
export const save = (
  added: ReadonlyMap<Hash.Hash, Added>,
  named: ReadonlyArray<Hash.Hash>
): Effect.Effect<void, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    yield* insertVertices(
      Array.from(added, ([id, { clock, logId, named, own, unsettled }]) => [
        Hash.toBytes(id),
        LogId.toBytes(logId),
        own,
        clock.time,
        clock.counter,
        named ? 1 : 0,
        unsettled ? 1 : 0
      ])
    )
    if (named.length > 0) yield* updateNamed(Rows.list(named))
    yield* insertEdges(
      Array.from(added, ([id, { before, previous }]) =>
        (before === undefined ? previous : [before, ...previous]).map((parent) => [
          Hash.toBytes(parent),
          Hash.toBytes(id)
        ])
      ).flat()
    )
    for (const [id, { before, previous, unsettled }] of added) {
      if (!unsettled) continue
      // Pruned by this very operation: another peer may never have had it.
      if (before !== undefined && !previous.includes(before)) {
        yield* deleteDangling(Hash.toBytes(id), Hash.toBytes(before))
      }
      yield* unsettleChildren(Hash.toBytes(id))
    }
    if (Array.from(added.values()).some(({ unsettled }) => unsettled)) yield* settle
  })

/** The vertices of the operations below a place in a log. */
const gone = `WITH gone (vertex, id) AS (
  SELECT c.vertex, c.id FROM applecart_logs AS l JOIN applecart_operations AS o ON o.log = l.log
    JOIN applecart_causal AS c ON c.id = o.id
  WHERE l.author = unhex(?) AND l.log_id = unhex(?) AND o.seq_num < ?)`

const unnameParents = statement(
  `${gone} UPDATE applecart_causal SET named = EXISTS (
     SELECT 1 FROM applecart_causal_edges AS e
     WHERE e.parent = applecart_causal.id AND e.child NOT IN (SELECT vertex FROM gone))
   WHERE id IN (SELECT e.parent FROM applecart_causal_edges AS e WHERE e.child IN (SELECT vertex FROM gone))`
)
const unsettleGone = statement(
  `${gone} UPDATE applecart_causal SET unsettled = 1
   WHERE vertex IN (SELECT e.child FROM applecart_causal_edges AS e WHERE e.parent IN (SELECT id FROM gone))`
)
const deleteEdges = statement(`${gone} DELETE FROM applecart_causal_edges WHERE child IN (SELECT vertex FROM gone)`)
const deleteVertices = statement(`${gone} DELETE FROM applecart_causal WHERE vertex IN (SELECT vertex FROM gone)`)

/** Takes operations out of the graph that are about to go. Who names them goes on naming them. */
export const forget = (removal: Removal.Removal): Effect.Effect<void, SqlError, SqlClient | Transaction> =>
  removal._tag === "Bodies"
    ? Effect.void
    : Effect.gen(function* () {
        const where = Removal.place(removal)
        yield* unnameParents(...where)
        yield* unsettleGone(...where)
        yield* deleteEdges(...where)
        yield* deleteVertices(...where)
        yield* settle
      })

/** Forgets everything, for a rebuild. */
export const reset: Effect.Effect<void, SqlError, Transaction> = Effect.asVoid(
  Effect.zipRight(statement(`DELETE FROM applecart_causal_edges`)(), statement(`DELETE FROM applecart_causal`)())
)

// internal

const selectUnsettled = query(
  `SELECT vertex, id, own, time, counter FROM applecart_causal WHERE unsettled = 1 ORDER BY time, counter LIMIT 1`
)
const selectLast = query(
  `SELECT p.time, p.counter FROM applecart_causal_edges AS e JOIN applecart_causal AS p ON p.id = e.parent
   WHERE e.child = ? ORDER BY p.time DESC, p.counter DESC LIMIT 1`
)
const updateClock = statement(`UPDATE applecart_causal SET time = ?, counter = ?, unsettled = 0 WHERE vertex = ?`)
const unsettleChildren = statement(
  `UPDATE applecart_causal SET unsettled = 1 WHERE vertex IN (SELECT child FROM applecart_causal_edges WHERE parent = ?)`
)

/** Sets clocks again, earliest first, so that each is set about once; ends since nothing comes after itself. */
const settle: Effect.Effect<void, SqlError, SqlClient | Transaction> = Effect.gen(function* () {
  for (;;) {
    const [row] = yield* selectUnsettled()
    if (row === undefined) return
    const number = Rows.integer(row, "vertex")
    const [last] = yield* selectLast(number)
    const { counter, time } = tick(Rows.integer(row, "own"), last === undefined ? undefined : clock(last))
    yield* updateClock(time, counter, number)
    if (time !== Rows.integer(row, "time") || counter !== Rows.integer(row, "counter")) {
      yield* unsettleChildren(Rows.blob(row, "id"))
    }
  }
})

const clock = (row: Row): Clock => ({ time: Rows.integer(row, "time"), counter: Rows.integer(row, "counter") })

const vertex = (row: Row): Vertex => {
  const isIn = row["time"] !== null
  return {
    met: Rows.integer(row, "met") === 1,
    received: Rows.integer(row, "received") === 1,
    clock: isIn ? clock(row) : undefined,
    named: Rows.integer(row, isIn ? "named" : "awaited") === 1
  }
}
