/** The operations of a topic in causal order: each after those that it names, the same on every peer that has the same ones. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import type { Clock } from "./CausalGraph.ts"
import * as Rows from "./internal/rows.ts"
import type * as Operations from "./Operations.ts"
import { query, type Row } from "./Transaction.ts"

/** An operation at its place in the order. */
export interface Sorted extends Operations.Stored, Clock {}

/** A place in the order, to go on from. */
export interface Place extends Clock {
  readonly id: Hash.Hash
}

/** Which operations, and from where. */
export interface Options {
  /** The topic, as the log id that its authors write under; see `Topic.logId`. */
  readonly logId: LogId.LogId
  /** `later`: from the first one on (the default). `earlier`: from the last one back, for the newest page of a long talk. */
  readonly towards?: "later" | "earlier" | undefined
  /** Only behind this place, in the direction that is read in. */
  readonly after?: Place | undefined
}

const page = (compare: "<" | ">", direction: "DESC" | "ASC") =>
  query(
    `SELECT c.time, c.counter, o.position, o.id, o.header, o.body, o.accepted_at
     FROM applecart_causal AS c JOIN applecart_operations AS o ON o.id = c.id
     WHERE c.log_id = ? AND (c.time, c.counter, c.id) ${compare} (?, ?, ?)
     ORDER BY c.time ${direction}, c.counter ${direction}, c.id ${direction} LIMIT ?`
  )
const pages = { later: page(">", "ASC"), earlier: page("<", "DESC") }

const pageSize = 256

/** Reads by pages, so that memory does not grow with the topic. What comes in meanwhile is seen if it is still ahead. */
export const stream = ({ after, logId, towards = "later" }: Options): Stream.Stream<Sorted, SqlError, SqlClient> => {
  const begin = after === undefined ? edges[towards] : [after.time, after.counter, Hash.toBytes(after.id)]
  return Stream.paginateChunkEffect(begin, (from) =>
    Effect.map(pages[towards](LogId.toBytes(logId), ...from, pageSize), (rows) => {
      const last = rows.length < pageSize ? undefined : rows.at(-1)
      return [
        Chunk.unsafeFromArray(rows.map(sorted)),
        last === undefined ? Option.none() : Option.some([last["time"], last["counter"], last["id"]])
      ]
    })
  )
}

// internal

/** Before the first one, and behind the last. */
const edges: Record<"later" | "earlier", ReadonlyArray<unknown>> = {
  later: [-1, 0, new Uint8Array()],
  earlier: [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, new Uint8Array()]
}

const sorted = (row: Row): Sorted => ({
  time: Rows.integer(row, "time"),
  counter: Rows.integer(row, "counter"),
  position: Rows.integer(row, "position"),
  id: Rows.hash(row, "id"),
  header: Rows.blob(row, "header"),
  body: Rows.optionalBlob(row, "body"),
  acceptedAt: Rows.integer(row, "accepted_at")
})
