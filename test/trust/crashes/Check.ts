/** What must hold of the file that a killed process leaves, and when everything is done. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as Operation from "../../../src/core/Operation.ts"
import type * as Crashes from "../../../src/testing/Crashes.ts"
import * as Promises from "../../../src/testing/Promises.ts"
import * as Snapshot from "../../../src/testing/Snapshot.ts"
import * as Program from "./Program.ts"
import type { Work } from "./Work.ts"

/** The operations that were published here, as the file has them. */
interface Own {
  readonly id: string
  readonly author: string
  readonly seqNum: number
}

export const make = (work: Work, processes = 1) =>
  Effect.map(Crypto.Crypto, (crypto) => {
    const authors = Array.from({ length: processes }, (_, who) => String(crypto.verifyingKey(Program.own(who))))
    // Outside the database: what it once had in our own logs, whoever was told.
    const places = new Map<string, string>()
    return (known: Crashes.Known) =>
      Effect.gen(function* () {
        const own = yield* published(authors)
        const names = new Map(work.history.names)
        for (const { author, id, seqNum } of own) names.set(id, `own${authors.indexOf(author)}-${seqNum}`)
        const history = { names, entries: work.history.entries }
        return [
          ...(yield* Promises.broken({ history, told: known.told, causal: true })),
          ...forked(places, [...own, ...noted(known.notes, authors)]),
          ...pulled(known.notes, processes),
          ...(yield* read(known.isOver)),
          ...(known.isOver ? yield* over(work, known) : [])
        ]
      })
  })

// internal

const published = (authors: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Own>, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.if(has("applecart_operations"), {
      onTrue: () => sql<Own>`SELECT lower(hex(o.id)) AS id, lower(hex(l.author)) AS author, o.seq_num AS seqNum
        FROM applecart_operations AS o JOIN applecart_logs AS l USING (log)
        WHERE lower(hex(l.author)) IN (SELECT value FROM json_each(${JSON.stringify(authors)}))`,
      onFalse: () => Effect.succeed([])
    })
  )

const has = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(sql`SELECT 1 FROM sqlite_schema WHERE name = ${table}`, (rows) => rows.length > 0)
  )

/** What was published and said, before it is looked for in the file. */
const noted = (notes: ReadonlyArray<unknown>, authors: ReadonlyArray<string>): ReadonlyArray<Own> =>
  notes
    .flatMap((note) =>
      Predicate.hasProperty(note, "own") ? [note.own as { id: string; who: number; seqNum: number }] : []
    )
    .map(({ id, seqNum, who }) => ({ id, seqNum, author: authors[who] ?? "" }))

/** P11: a place in a log of our own is given once. */
const forked = (places: Map<string, string>, all: ReadonlyArray<Own>): ReadonlyArray<string> =>
  all.flatMap(({ author, id, seqNum }) => {
    const place = `${author} ${seqNum}`
    const there = places.get(place) ?? id
    places.set(place, there)
    return there === id ? [] : [`P11: two operations for place ${seqNum} of our own log: ${there} and ${id}`]
  })

/** What was acknowledged is not handed out again. Of several processes the notes have no order, but each position one end. */
const pulled = (notes: ReadonlyArray<unknown>, processes: number): ReadonlyArray<string> => {
  const done = new Set<unknown>()
  return notes.flatMap((note) => {
    if (Predicate.hasProperty(note, "acknowledged")) {
      if (done.has(note.acknowledged)) return [`P2: position ${String(note.acknowledged)} was acknowledged twice`]
      done.add(note.acknowledged)
    }
    return processes === 1 && Predicate.hasProperty(note, "pulled") && done.has(note.pulled)
      ? [`P2: position ${String(note.pulled)} was acknowledged, and handed out again`]
      : []
  })
}

/** P2: the reader's table has each accepted operation that it was handed once, and none that it was not. */
const read = (isOver: boolean): Effect.Effect<ReadonlyArray<string>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    if (!(yield* has("ledger"))) return []
    const [reader] = yield* sql<{ position: number; state: string; parked: number }>`
      SELECT position, state, (SELECT count(*) FROM applecart_deliveries AS d WHERE d.consumer = c.consumer) AS parked
      FROM applecart_consumers AS c WHERE name = 'ledger'`
    if (reader === undefined) return []
    const { parked, position, state } = reader
    const twice = yield* sql<{ position: number; times: number }>`
      SELECT position, times FROM ledger WHERE times <> 1 OR position > ${position}`
    const missing = yield* sql<{ position: number }>`
      SELECT position FROM applecart_operations AS o
      WHERE position <= ${position} AND lower(hex(id)) NOT IN (SELECT id FROM ledger)
        AND id NOT IN (SELECT id FROM applecart_decisions WHERE what IN ('deleted', 'skipped'))`
    const [last] = yield* sql<{ last: number }>`SELECT coalesce(max(position), 0) AS last FROM applecart_operations`
    return [
      ...twice.map((one) => `P2: the reader at ${position} was handed ${one.position} ${one.times} times`),
      ...(state === "reset"
        ? []
        : missing.map((one) => `P2: the reader at ${position} has not handled ${one.position}`)),
      ...(parked > 0 ? [`P2: the reader has parked ${parked}`] : []),
      ...(isOver && (state !== "live" || position < (last?.last ?? 0))
        ? [`P2: the reader is ${state} at ${position} in the end`]
        : [])
    ]
  })

/** In the end nothing is missing anywhere, and without forks everything is where it would be without a crash (P6). */
const over = (work: Work, { notes }: Crashes.Known) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const there = new Set(
      (yield* sql<{ id: string }>`SELECT lower(hex(id)) AS id FROM applecart_operations
        UNION ALL SELECT lower(hex(id)) FROM applecart_inbox WHERE status <> 'queued'
        UNION ALL SELECT lower(hex(id)) FROM applecart_decisions`).map(({ id }) => id)
    )
    const handed = new Set(notes.flatMap((note) => (Predicate.hasProperty(note, "pulled") ? [note.pulled] : [])))
    const positions = yield* sql<{ position: number }>`SELECT position FROM applecart_operations`
    return [
      ...work.history.entries.flatMap(({ name, operation }) =>
        there.has(operation.id) ? [] : [`P3: ${name} is nowhere, or queued, in the end`]
      ),
      ...positions.flatMap(({ position }) =>
        handed.has(position) ? [] : [`P2: position ${position} was never handed out`]
      ),
      ...(work.forks ? [] : yield* diverged(work))
    ]
  })

/** P6: compared with a database that took in the same operations, in the order in which they were accepted, without a crash. */
const diverged = ({ history }: Work) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const accepted = yield* sql<{ id: string; header: Uint8Array; body: Uint8Array | null }>`
      SELECT lower(hex(id)) AS id, header, body FROM applecart_operations ORDER BY position`
    const found = yield* Snapshot.lasting()
    const raws = history.operations.map(Operation.raw)
    const own = accepted.flatMap(
      ({ body, header, id }): ReadonlyArray<Operation.Raw> =>
        history.names.has(id) ? [] : [{ header, body: body ?? undefined }]
    )
    const expected = yield* reference([...raws, ...own])
    const left = found["applecart_inbox"] ?? []
    return [
      ...Snapshot.different(expected, found).map((one) => `P6: ${JSON.stringify(one).slice(0, 600)}`),
      ...(left.length > 0 ? [`P3: ${left.length} operations are not accepted in the end`] : [])
    ]
  })

const reference = (raws: ReadonlyArray<Operation.Raw>) =>
  Effect.gen(function* () {
    const controller = yield* Program.open({ batchSize: 100, crypto: "native", readers: true, strict: false })
    yield* controller.processAll(raws)
    yield* controller.drain
    return yield* Snapshot.lasting()
  }).pipe(Effect.scoped, Effect.provide(Program.database(":memory:")))
