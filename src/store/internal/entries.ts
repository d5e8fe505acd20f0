/** Rows of the inbox as operations, for the modules that read it. */
import type * as Hash from "../../core/Hash.ts"
import type * as Operation from "../../core/Operation.ts"
import type * as Topic from "../../core/Topic.ts"
import type { Row } from "../Transaction.ts"
import * as Rows from "./rows.ts"

/** An operation in the inbox, still as bytes. */
export interface Entry extends Operation.Raw {
  readonly entry: number
  readonly id: Hash.Hash
  readonly topic: Topic.Topic | undefined
  readonly source: string | undefined
  readonly receivedAt: number
  readonly attempts: number
}

/** The columns that {@link entry} reads, of the inbox under the name `i`. */
export const columns = `i.entry, i.id, i.header, i.body, i.topic, i.source, i.received_at, i.attempts`

/** The operation in a row with {@link columns}. */
export const entry = (row: Row): Entry => {
  return {
    entry: Rows.integer(row, "entry"),
    id: Rows.hash(row, "id"),
    header: Rows.blob(row, "header"),
    body: Rows.optionalBlob(row, "body"),
    topic: Rows.optionalTopic(row, "topic"),
    source: Rows.optionalText(row, "source"),
    receivedAt: Rows.integer(row, "received_at"),
    attempts: Rows.integer(row, "attempts")
  }
}
