/** Why nothing is published on a log of our own, so that no place in it is ever given twice (docs/own-log.md). */
import * as Schema from "effect/Schema"
import * as Hash from "../core/Hash.ts"
import * as LogId from "../core/LogId.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import { WitnessFailed } from "../store/Witness.ts"

export { WitnessFailed } from "../store/Witness.ts"

/** Which log. Can be handed to `controller.own.confirm` and `acknowledgeFork` as it is. */
const log = { author: VerifyingKey.Schema, logId: LogId.Schema }

/**
 * The world holds more of our log than this database: commits were lost, or an older copy was put back. Nothing was published. When
 * what is missing was taken in, publishing goes on by itself.
 */
export class OwnLogBehind extends Schema.TaggedError<OwnLogBehind>()("OwnLogBehind", {
  ...log,
  /** The newest place that is here; none where nothing is. */
  have: Schema.optional(Schema.Number),
  /** A place that was given. There may be more behind it. */
  known: Schema.Number,
  /**
   * Who knows: the witness; an operation of this log that stands in the inbox; one that came and was discarded or refused; or whoever
   * said so in `confirm`.
   */
  by: Schema.Literal("witness", "inbox", "discarded", "caller")
}) {
  override get message() {
    const have = this.have === undefined ? "nothing of it is here" : `here it ends at place ${this.have}`
    const hint = this.by === "inbox" ? "Process what is in the inbox, and take in" : "Take in"
    return `Not published: our log ${this.author}/${this.logId} goes on to place ${this.known} at least (${who[this.by]}), and ${have}. An operation published now would fork it. ${hint} what others hold of this log, with \`process\` or \`receive\`: then publishing goes on by itself. If nobody holds it any more, \`own.confirm\` (what was discarded, or is a fork: \`own.acknowledgeFork\`) goes on from here.`
  }
}

/**
 * Of this log, operations are here that the witness never heard of: the database came here without its witness, or from elsewhere.
 * Nothing was published. Whether they are all, nobody here knows.
 */
export class OwnLogUnwitnessed extends Schema.TaggedError<OwnLogUnwitnessed>()("OwnLogUnwitnessed", {
  ...log,
  /** The newest place that is here. */
  have: Schema.Number,
  /** Which witness. */
  witness: Schema.String
}) {
  override get message() {
    return `Not published: our log ${this.author}/${this.logId} is here up to place ${this.have}, and the witness ${this.witness} never heard of it. If others hold more of it, an operation published now would fork it. Put the witness back, or take in what others hold of this log, and then say so with \`own.confirm\`.`
  }
}

/**
 * Our key has written this log twice: a backup was used beside the original, or the key is in two places. Nothing was published. No
 * peer can undo it: each keeps the operation that came first.
 */
export class OwnLogForked extends Schema.TaggedError<OwnLogForked>()("OwnLogForked", {
  ...log,
  /** The first place that has two operations, as far as is known here. */
  seqNum: Schema.Number
}) {
  override get message() {
    return `Not published: our log ${this.author}/${this.logId} is forked at place ${this.seqNum}. Another program or an older copy of this database has used the key. Find and stop it. To go on with what stands in the log here: \`own.acknowledgeFork\`; peers that have the other branch will not take it.`
  }
}

/**
 * It was published: it is in the log, on the disk, and will be handed on. Only the witness does not know it yet, and is told before
 * anything else is published. Do not publish it again.
 */
export class PublishedUnwitnessed extends Schema.TaggedError<PublishedUnwitnessed>()("PublishedUnwitnessed", {
  id: Hash.Schema,
  seqNum: Schema.Number,
  position: Schema.Number,
  error: WitnessFailed
}) {
  override get message() {
    return `Operation ${this.id} was published (number ${this.seqNum} of its log, position ${this.position}); do not publish it again. But the witness ${this.error.witness} could not be told: ${this.error.detail}. Nothing more is published until it can.`
  }
}

/** Why nothing may be published on a log. */
export type Unsafe = OwnLogBehind | OwnLogUnwitnessed | OwnLogForked

// internal

const who = {
  witness: "the witness knows that it was published",
  inbox: "an operation of it is in the inbox",
  discarded: "an operation of it came and was not kept",
  caller: "you said so"
}
