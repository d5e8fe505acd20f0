/** Operations of every size, time and place, for tests of what a peer takes in. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import * as Cbor from "../../src/core/Cbor.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import { native, random } from "../core/support.ts"
import { signingKey } from "./Peer.ts"

/** What an operation says. */
export interface Said {
  readonly seqNum?: number
  readonly backlink?: Hash | undefined
  readonly body?: Uint8Array | undefined
  /** Microseconds since the epoch. */
  readonly timestamp?: bigint | undefined
  /** Bytes that the extensions hold besides. */
  readonly padding?: number
}

/** An author who signs whatever is asked, and appends to a log with `next`. */
export class Writer {
  readonly key
  readonly author
  readonly operations: Array<Operation.Operation> = []
  private readonly logId

  constructor(seed: number, topic = "apples") {
    this.key = signingKey(seed)
    this.author = native.verifyingKey(this.key)
    this.logId = Topic.logId(native, Topic.named(native, topic))
  }

  sign(said: Said): Operation.Operation {
    const pad = Either.getOrThrow(Cbor.encode(new Uint8Array(said.padding ?? 0)))
    const draft = OpenExtensions.draft({ logId: this.logId, timestamp: said.timestamp })
    const extensions = Either.getOrThrow(OpenExtensions.encode({ ...draft, rest: new Map([["pad", pad]]) }))
    const { backlink, body, seqNum = 0 } = said
    return Either.getOrThrow(Operation.signWith(native)(this.key, { seqNum, backlink, extensions, body }))
  }

  next(said: Omit<Said, "seqNum" | "backlink"> = {}): Operation.Operation {
    const operation = this.sign({
      ...said,
      seqNum: this.operations.length,
      backlink: this.operations.at(-1)?.id
    })
    this.operations.push(operation)
    return operation
  }
}

/** Header and body in bytes. */
export const sizeOf = ({ header, headerBytes }: Operation.Operation) => headerBytes.length + header.payloadSize

/** A database in memory, of one's own. */
export const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(self, SqliteClient.layer({ filename: ":memory:" })))

/** The number of rows of every table. */
export const rows = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql<{ name: string }>`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`
  const counts: Record<string, number> = {}
  for (const { name } of tables) {
    const [row] = yield* sql.unsafe<{ n: number }>(`SELECT count(*) AS n FROM "${name}"`)
    counts[name] = row?.n ?? 0
  }
  return counts
})

/** Pieces of random size. */
export const cut = <A>(items: ReadonlyArray<A>, most: number, seed: number): ReadonlyArray<ReadonlyArray<A>> => {
  const { below } = random(seed)
  const pieces: Array<ReadonlyArray<A>> = []
  for (let at = 0; at < items.length; at += pieces.at(-1)?.length ?? 1) {
    pieces.push(items.slice(at, at + 1 + below(most)))
  }
  return pieces
}
