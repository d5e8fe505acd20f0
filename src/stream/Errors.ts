/** What the stream controller can answer besides an outcome. */
import * as Schema from "effect/Schema"
import type * as Extensions from "../core/Extensions.ts"
import * as Hash from "../core/Hash.ts"
import type * as Header from "../core/Header.ts"
import type * as Operation from "../core/Operation.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import type { WrongTopic } from "../processors/Topics.ts"

export { WrongTopic } from "../processors/Topics.ts"
export { OwnLogBehind, OwnLogForked, OwnLogUnwitnessed, PublishedUnwitnessed, WitnessFailed } from "./OwnErrors.ts"

/** The operation is wrong for everyone: it is not stored, and sending it again will not help. */
export type Invalid = Header.InvalidHeader | Operation.InvalidPayload | Extensions.InvalidExtensions | WrongTopic

/**
 * The inbox holds as many operations as it may: in all, or of one `author`. Nothing of this one was stored; its sender may
 * send it again. An operation that is accepted at once needs no room, so what fills a gap still gets in.
 */
export class InboxFull extends Schema.TaggedError<InboxFull>()("InboxFull", {
  capacity: Schema.Number,
  /** Whose share is used up; none where the whole inbox is full. */
  author: Schema.optional(VerifyingKey.Schema)
}) {
  override get message() {
    return this.author === undefined
      ? `The inbox is full (${this.capacity} operations wait or were rejected). Replay or discard some of them, or raise the capacity.`
      : `The inbox holds as many operations of author ${this.author} as it may (${this.capacity} wait or were rejected). Send what they wait for with \`process\`, replay or discard some of them, or raise \`capacityPerAuthor\`.`
  }
}

/** The operation is not in the inbox, so there is nothing to skip or discard. */
export class NotInInbox extends Schema.TaggedError<NotInInbox>()("NotInInbox", {
  id: Hash.Schema,
  where: Schema.optional(Schema.Literal("accepted", "queued", "waiting", "rejected", "discarded", "pruned"))
}) {
  override get message() {
    return this.where === undefined
      ? `Operation ${this.id} is not known here.`
      : `Operation ${this.id} is ${this.where}; only what is in the inbox can be skipped or discarded.`
  }
}

/** The operation cannot be skipped: its header has no place at the end of its log now. */
export class CannotSkip extends Schema.TaggedError<CannotSkip>()("CannotSkip", {
  id: Hash.Schema,
  reason: Schema.String
}) {
  override get message() {
    return `Operation ${this.id} cannot be skipped: ${this.reason}. Skip or replay what comes before it first, or discard it.`
  }
}

/** An operation of our own would have to wait; nothing was published. */
export class MustWait extends Schema.TaggedError<MustWait>()("MustWait", {
  processor: Schema.String,
  until: Schema.Array(Schema.String)
}) {
  override get message() {
    return `Not published: ${this.processor} wants these operations first: ${this.until.join(", ")}.`
  }
}

/** The controller was called from inside a handler or another transaction, where it would wait for itself. */
export class InsideTransaction extends Schema.TaggedError<InsideTransaction>()("InsideTransaction", {
  call: Schema.String
}) {
  override get message() {
    return `${this.call} was called inside a transaction and would wait for it for ever. Hand it to Transaction.afterCommit.`
  }
}

/** The database belongs to another application, whose handler must not be passed over. */
export class WrongApplication extends Schema.TaggedError<WrongApplication>()("WrongApplication", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message() {
    return `This database belongs to the application "${this.expected}"; "${this.found}" would accept operations that it never sees. Open it with "${this.expected}", or use another file.`
  }
}

/**
 * What keeps a database up to date is another version than this program's: this one is too old, or another process has opened
 * the database with a newer one meanwhile. Nothing is accepted here any more.
 */
export class Superseded extends Schema.TaggedError<Superseded>()("Superseded", {
  /** The application, the consumer, or `processor:` and the name of a processor. */
  name: Schema.String,
  version: Schema.Number,
  found: Schema.Number
}) {
  override get message() {
    return this.found === this.version
      ? `"${this.name}" is to be rebuilt, and its definition here has no reset. Give it the same definition in all programs that open this database.`
      : `This database is kept by version ${this.found} of "${this.name}", and this program has version ${this.version}. Close it, and open the database with the newer program.`
  }
}

/** It would have to be rebuilt, and has no `reset` that empties its tables; its effects would be there twice. Nothing was changed. */
export class CannotRebuild extends Schema.TaggedError<CannotRebuild>()("CannotRebuild", { name: Schema.String }) {
  override get message() {
    return `"${this.name}" cannot be rebuilt, since it has no reset. Give it one that empties its tables, such as Application.emptying("table").`
  }
}

/** There is no such consumer here, or it is not of the kind that this can be done with. */
export class UnknownConsumer extends Schema.TaggedError<UnknownConsumer>()("UnknownConsumer", {
  name: Schema.String,
  /** The roles that it may have; none said: any. */
  wanted: Schema.Array(Schema.String),
  /** The names of those that there are, of these roles. */
  known: Schema.Array(Schema.String)
}) {
  override get message() {
    const wanted = this.wanted.length === 0 ? "consumer" : this.wanted.join(" or ")
    const known = this.known.length === 0 ? "none" : this.known.map((name) => `"${name}"`).join(", ")
    return `There is no ${wanted} "${this.name}" in this database. Those that there are: ${known}.`
  }
}

/** Two consumers of one name, or one that is called like something else in the database. */
export class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", {
  name: Schema.String,
  role: Schema.String
}) {
  override get message() {
    return `"${this.name}" is the name of the database's ${this.role} already; give the other one another name.`
  }
}

/** The lease of a delivery has run out, and it was handed to somebody else, or it was acknowledged before. Nothing was changed. */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {
  name: Schema.String,
  position: Schema.Number
}) {
  override get message() {
    return `Position ${this.position} is not in your hands any more: its lease has run out and "${this.name}" was handed it again, or it was acknowledged. Make the lease longer, or extend it.`
  }
}
