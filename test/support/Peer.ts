/** What tests of the controller share: signing authors, a database of one's own, and dumps of its tables. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import type * as Crypto from "../../src/core/Crypto.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Topic from "../../src/core/Topic.ts"

/** A directory that is gone when the scope closes. */
export const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "applecart-"))),
  (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
)

/** A database file of one's own. */
export const database = Layer.unwrapScoped(
  Effect.map(directory, (dir) => SqliteClient.layer({ filename: path.join(dir, "peer.db") }))
)

/** A key that is the same in every run. */
export const signingKey = (seed: number): SigningKey.SigningKey =>
  Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(seed)))

/** Somebody who writes logs. Each call to `next` appends to the log of a topic; `fork` signs a second one for a place. */
export class Author {
  readonly key: SigningKey.SigningKey
  readonly operations: Array<Operation.Operation> = []
  private readonly crypto: Crypto.Service
  private readonly topic: Topic.Topic

  constructor(crypto: Crypto.Service, seed: number, topic: Topic.Topic) {
    this.crypto = crypto
    this.key = signingKey(seed)
    this.topic = topic
  }

  next(body: Uint8Array | undefined, prune = false): Operation.Operation {
    const operation = this.sign(this.operations.length, this.operations.at(-1)?.id, body, prune)
    this.operations.push(operation)
    return operation
  }

  sign(seqNum: number, backlink: Hash | undefined, body: Uint8Array | undefined, prune = false): Operation.Operation {
    const extensions = NodeExtensions.codec.draft({
      logId: Topic.logId(this.crypto, this.topic),
      timestamp: 1_786_000_000_000_000n + BigInt(seqNum),
      prune,
      previous: []
    })
    const bytes = Either.getOrThrow(NodeExtensions.codec.encode(extensions))
    return Either.getOrThrow(Operation.signWith(this.crypto)(this.key, { seqNum, backlink, extensions: bytes, body }))
  }
}

/** Every row of every table of ours, without what depends on when and in which order things arrived. */
export const state = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return {
    operations: yield* sql`
      SELECT hex(o.id) AS id, hex(l.author) AS author, hex(l.log_id) AS log_id, o.seq_num, hex(o.header) AS header, hex(o.body) AS body
      FROM applecart_operations o JOIN applecart_logs l USING (log) ORDER BY o.id`,
    logs: yield* sql`
      SELECT hex(author) AS author, hex(log_id) AS log_id, head_seq_num, hex(head_id) AS head, pruned_below
      FROM applecart_logs ORDER BY author, log_id`,
    inbox: yield* sql`
      SELECT hex(id) AS id, status, processor, json_extract(reason, '$.tag') AS reason, hex(header) AS header, hex(body) AS body
      FROM applecart_inbox ORDER BY id`,
    waiting: yield* sql`
      SELECT hex(w.until) AS until, hex(i.id) AS id FROM applecart_waiting w JOIN applecart_inbox i USING (entry) ORDER BY 1, 2`,
    wakes: yield* sql`SELECT hex(id) AS id FROM applecart_wakes ORDER BY wake`,
    decisions: yield* sql`SELECT hex(id) AS id, what FROM applecart_decisions ORDER BY id`
  }
})
