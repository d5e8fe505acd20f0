/**
 * Signed operations in, one SQL transaction through every layer and the application, accepted or rejected, replayed.
 *
 * Each module is a namespace: `Pipeline.make`, `Transaction.run`, `StreamController.Tag`.
 */

/** Strict canonical CBOR, p2panda's encoding of headers and messages. */
export * as Cbor from "./core/Cbor.ts"
/** Signatures and hashes behind one small service. */
export * as Crypto from "./core/Crypto.ts"
/** What operations carry besides their body, and the formats it is written in. */
export * as Extensions from "./core/Extensions.ts"
/** BLAKE3 hashes: the ids of operations. */
export * as Hash from "./core/Hash.ts"
/** The signed headers of operations. */
export * as Header from "./core/Header.ts"
/** Logs, and the place of an operation in its log. */
export * as Log from "./core/Log.ts"
/** Names a log of an author. */
export * as LogId from "./core/LogId.ts"
/** p2panda's node extensions. */
export * as NodeExtensions from "./core/NodeExtensions.ts"
/** Extensions as an open map of text keys. */
export * as OpenExtensions from "./core/OpenExtensions.ts"
/** Operations: decode, verify, build. */
export * as Operation from "./core/Operation.ts"
/** Operations in files and streams. */
export * as OperationSequence from "./core/OperationSequence.ts"
/** The secret key of an author. */
export * as SigningKey from "./core/SigningKey.ts"
/** What operations are about; names the log of each author. */
export * as Topic from "./core/Topic.ts"
/** What p2panda says of bytes that claim to be an operation. */
export * as Verdict from "./core/Verdict.ts"
/** The public key of an author. */
export * as VerifyingKey from "./core/VerifyingKey.ts"

/** The SQLite file beneath the tables. */
export * as DatabaseFile from "./store/DatabaseFile.ts"
/** Which operations are meant: by topic, author, log. */
export * as Filter from "./store/Filter.ts"
/** Evidence of forks. */
export * as Forks from "./store/Forks.ts"
/** What nobody needs any more. */
export * as Garbage from "./store/Garbage.ts"
/** Read-only lists of what is where. */
export * as Inspect from "./store/Inspect.ts"
/** Signing keys in files that only their owner can read. */
export * as KeyFile from "./store/KeyFile.ts"
/** The heads of the logs that are kept here. */
export * as Logs from "./store/Logs.ts"
/** Tables and their versions. */
export * as Migrations from "./store/Migrations.ts"
/** The accepted operations. */
export * as Operations from "./store/Operations.ts"
/** Mends what is damaged, as far as it can be had again. */
export * as Repair from "./store/Repair.ts"
/** Copies what can be read of a damaged file. */
export * as Salvage from "./store/Salvage.ts"
/** How much of the inbox each author takes up. */
export * as Shares from "./store/Shares.ts"
/** What an SQL error means: nobody's verdict, or the operation's own fault. */
export * as SqlReason from "./store/SqlReason.ts"
/** The logs of our own, as the database shows them. */
export * as OwnLogs from "./store/OwnLogs.ts"
/** Looks for damage in everything that is stored. */
export * as Verify from "./store/Verify.ts"
/** Removing operations and bodies, for processors of one's own. */
export * as Removal from "./store/Removal.ts"
/** How much is where. */
export * as Status from "./store/Status.ts"
/** Transactions, and the capability that writes require. */
export * as Transaction from "./store/Transaction.ts"
/** What remembers outside the database how far our own logs are. */
export * as Witness from "./store/Witness.ts"

/** The handler at the end of the pipeline. */
export * as Application from "./pipeline/Application.ts"
/** Readers of accepted operations beside the application. */
export * as Consumer from "./pipeline/Consumer.ts"
/** An operation on its way through the pipeline. */
export * as Event from "./pipeline/Event.ts"
/** What became of an operation. */
export * as Outcome from "./pipeline/Outcome.ts"
/** Processors in order. */
export * as Pipeline from "./pipeline/Pipeline.ts"
/** What happens to a rejected operation. */
export * as Policy from "./pipeline/Policy.ts"
/** System layers: keyed state machines. */
export * as Processor from "./pipeline/Processor.ts"
/** Why operations are rejected, and how that is stored. */
export * as Rejection from "./pipeline/Rejection.ts"

/** Sizes, timestamps, and how much of an author is accepted in a time. */
export * as Limits from "./processors/Limits.ts"
/** Causal order: who answers is heard after whom he answers. */
export * as CausalOrder from "./processors/CausalOrder.ts"
/** Tombstones: bodies that are to be forgotten. */
export * as Deletion from "./processors/Deletion.ts"
/** Checks the place of an operation in its log. */
export * as LogIntegrity from "./processors/LogIntegrity.ts"
/** Removes what authors made unnecessary. */
export * as Pruning from "./processors/Pruning.ts"
/** Keeps logs with their topics, and lists those. */
export * as Topics from "./processors/Topics.ts"

/** CRDT documents: Yjs, Automerge and the like. */
export * as Documents from "./models/Documents.ts"
/** Messages that are simply stored. */
export * as Feed from "./models/Feed.ts"
/** Event sourcing: states, and what events make of them. */
export * as Events from "./models/Events.ts"

/** What the stream controller answers besides outcomes. */
export * as Errors from "./stream/Errors.ts"
/** What can be asked of the consumers of a controller. */
export type * as Consumers from "./stream/Consumers.ts"
/** Our own logs, and whether it is safe to publish on them. */
export type * as Own from "./stream/Own.ts"
/** What must happen outside the database, at least once. */
export * as Outbox from "./stream/Outbox.ts"
/** What an application makes of the operations, compared with a rebuild. */
export type * as Projection from "./stream/Projection.ts"
/** Accepted operations for readers that are not in the database. */
export type * as Pull from "./stream/Pull.ts"
/** When operations are processed. */
export * as StreamController from "./stream/StreamController.ts"
