/** How peers exchange operations, as a sync layer would: new ones are pushed, and what is missing is asked for. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Hash } from "../../../core/Hash.ts"
import * as Hashes from "../../../core/Hash.ts"
import * as Rows from "../../../store/internal/rows.ts"
import * as Topic from "../../../core/Topic.ts"
import { query } from "../../../store/Transaction.ts"
import type { Arrived, Node, Sent } from "../../Simulation.ts"

/**
 * The way in which peers exchange operations unless another is given: what a peer publishes it sends to all others soon; and about
 * every second it tells one of them how far its logs go and what it waits for, and gets what it lacks. Whatever is lost is so sent
 * again.
 */
export const gossip = <M, E>(node: Node<M, E>): Effect.Effect<never, unknown, SqlClient> =>
  Effect.forever(
    Effect.zipRight(
      pause(0, 60),
      Effect.flatMap(node.arrived, (arrived) => Effect.fork(patiently(handle(node, arrived))))
    )
  ).pipe(
    Effect.race(
      Effect.forever(
        Effect.zipRight(
          pause(0, 60),
          Effect.flatMap(node.published, (operations) => push(node, operations))
        )
      )
    ),
    Effect.race(Effect.forever(Effect.zipRight(pause(500, 1500), patiently(ask(node)))))
  )

/** How far the logs go. */
export const heads: Effect.Effect<ReadonlyMap<string, number>, SqlError, SqlClient> = Effect.suspend(() =>
  Effect.map(
    selectHeads(),
    (rows) => new Map(rows.map((row) => [Rows.text(row, "log"), Rows.integer(row, "head_seq_num")] as const))
  )
)

// internal

const pause = (least: number, most: number) =>
  Effect.flatMap(Random.nextIntBetween(least, most), (millis) => Effect.sleep(millis))

/** A database in trouble is asked again another time, as the others will ask again. */
const patiently = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.catchIf(self, isSqlError, () => Effect.void)

const isSqlError = (error: unknown): error is SqlError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "SqlError"

const push = <M, E>(node: Node<M, E>, operations: ReadonlyArray<Sent>) =>
  Effect.forEach(node.others, (other) => node.send(other, { operations }), { discard: true })

const selectHeads = query(
  `SELECT lower(hex(author)) || lower(hex(log_id)) AS log, head_seq_num FROM applecart_logs ORDER BY 1`
)
const selectWanted = query(`SELECT DISTINCT until FROM applecart_waiting ORDER BY 1 LIMIT 100`)

const ask = <M, E>(node: Node<M, E>) =>
  Effect.gen(function* () {
    const { others } = node
    const other = others[yield* Random.nextIntBetween(0, Math.max(1, others.length))]
    if (other === undefined) return
    const has = yield* heads
    const wants = (yield* selectWanted()).map((row) => Hashes.fromBytes(Rows.blob(row, "until")))
    yield* node.send(other, { operations: [], has, wants })
  })

/** Takes in what came together, and answers what was asked. */
const handle = <M, E>(node: Node<M, E>, arrived: ReadonlyArray<Arrived>) =>
  Effect.gen(function* () {
    for (const [topic, operations] of byTopic(arrived.flatMap(({ message }) => message.operations))) {
      const call = (yield* Random.nextIntBetween(0, 3)) > 0 ? node.controller.processAll : node.controller.receiveAll
      yield* call(operations, { topic, source: arrived[0]?.from })
    }
    for (const { from, message } of arrived) {
      if (message.has === undefined) continue
      const operations = yield* missing(message.has, message.wants ?? [])
      if (operations.length > 0) yield* node.send(from, { operations })
    }
  })

const byTopic = (operations: ReadonlyArray<Sent>): ReadonlyMap<Topic.Topic | undefined, ReadonlyArray<Sent>> => {
  const found = new Map<Topic.Topic | undefined, Array<Sent>>()
  for (const one of operations) {
    const same = found.get(one.topic)
    if (same === undefined) found.set(one.topic, [one])
    else same.push(one)
  }
  return found
}

const selectAll = query(
  `SELECT lower(hex(o.id)) AS id, lower(hex(l.author)) || lower(hex(l.log_id)) AS log, o.seq_num, o.header, o.body, t.hash AS topic
   FROM applecart_operations AS o JOIN applecart_logs AS l USING (log) LEFT JOIN applecart_topics AS t ON t.topic = l.topic
   ORDER BY o.position`
)

/** What is behind the heads, and what is waited for. */
const missing = (has: ReadonlyMap<string, number>, wants: ReadonlyArray<Hash>) =>
  Effect.map(selectAll(), (rows) => {
    const wanted = new Set<string>(wants)
    return rows.flatMap((row): ReadonlyArray<Sent> => {
      const isNew = Rows.integer(row, "seq_num") > (has.get(Rows.text(row, "log")) ?? -1)
      if (!isNew && !wanted.has(Rows.text(row, "id"))) return []
      const topic = Rows.optionalBlob(row, "topic")
      return [
        {
          header: Rows.blob(row, "header"),
          body: Rows.optionalBlob(row, "body"),
          topic: topic === undefined ? undefined : Topic.fromBytes(topic)
        }
      ]
    })
  })
