/** What a look for damage has found: where, what is wrong, and how it can be had again. */
import * as Schema from "effect/Schema"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"

/**
 * - `File`: SQLite itself complains about the file, an index or a reference;
 * - `Unreadable`: rows that SQLite cannot read;
 * - `Header`: the header, its id or its signature is not what was received;
 * - `Body`: the body is not the one of its header; `BodyMissing`: there is none, and nothing says why; `BodyKept`: there is one
 *   although it was deleted or skipped;
 * - `Column`: a column says something else than the header beside it;
 * - `Missing`: operations that were accepted are not there, by what their log says;
 * - `Chain`: an operation does not follow the one before it;
 * - `Log`: what is kept about a log (head, prune point, topic) is not what its operations say;
 * - `Position`: the numbering of what was accepted does not fit;
 * - `Row`: a row of another table holds what cannot be;
 * - `Projection`: what an application, a consumer or a processor keeps is not what comes of the operations.
 */
export const Kind = Schema.Literal(
  "File",
  "Unreadable",
  "Header",
  "Body",
  "BodyMissing",
  "BodyKept",
  "Column",
  "Missing",
  "Chain",
  "Log",
  "Position",
  "Row",
  "Projection"
)
export type Kind = typeof Kind.Type

/**
 * How what is damaged can be had again.
 *
 * - `source`: from whoever has the operation: a peer, an export;
 * - `derived`: from what is here and is whole;
 * - `copy`: by copying all that can be read into a new file;
 * - `rebuild`: by handing the application, or a consumer, everything again;
 * - `none`: not at all.
 */
export const Mend = Schema.Literal("source", "derived", "copy", "rebuild", "none")
export type Mend = typeof Mend.Type

/** Something that is not as it was written. */
export class Finding extends Schema.Class<Finding>("Finding")({
  kind: Kind,
  mend: Mend,
  /** The table, without the schema; empty where it is the file as a whole. */
  table: Schema.String,
  /** The key of the row: `position` of an operation, `entry` of the inbox, and so on. With `until`, the first of a range. */
  key: Schema.optional(Schema.Union(Schema.Number, Schema.String)),
  /** The last key of a range of rows. */
  until: Schema.optional(Schema.Number),
  /** The operation that is meant, as far as anything still says which. */
  id: Schema.optional(Hash.Schema),
  author: Schema.optional(VerifyingKey.Schema),
  logId: Schema.optional(LogId.Schema),
  seqNum: Schema.optional(Schema.Number),
  detail: Schema.String
}) {
  get message(): string {
    const range = this.until === undefined ? "" : `-${this.until}`
    const row = this.key === undefined ? "" : ` ${this.key}${range}`
    const where = this.table === "" ? "the file" : `${this.table}${row}`
    const which = this.id === undefined ? "" : `, operation ${this.id}`
    return `${where}${which}: ${this.detail}. ${hints[this.mend]}`
  }
}

const hints: { readonly [M in Mend]: string } = {
  source: "Repair it from a peer or an export that has the operation.",
  derived: "A repair sets it right from what is here.",
  copy: "Copy what can be read into a new file, and repair that.",
  rebuild: "Rebuild whoever has handled it.",
  none: "It cannot be had again."
}
