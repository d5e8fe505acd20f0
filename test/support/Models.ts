/** What tests of models share: histories of what authors published, delivered to a peer in any way. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import type * as Operation from "../../src/core/Operation.ts"
import type * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Delivery from "../../src/testing/Delivery.ts"
import { native } from "../core/support.ts"
import * as History from "./History.ts"

export const { logId, topic } = History

/** An operation as its author meant it. */
export interface Deed {
  readonly author: number
  /** The message, encoded as the body; none for a tombstone. */
  readonly message: unknown
  readonly prune?: boolean
  readonly deletes?: ReadonlyArray<Hash>
  readonly timestamp?: bigint
}

/** Authors who write one log each. */
export class Authors {
  readonly written: Array<Operation.Operation & { readonly by: number; readonly prunes: boolean }> = []

  head(author: number) {
    return this.written.findLast(({ by }) => by === author)
  }

  write({ author, deletes = [], message, prune = false, timestamp }: Deed): Operation.Operation {
    const head = this.head(author)
    const operation = History.sign(author, {
      seqNum: head === undefined ? 0 : head.header.seqNum + 1,
      backlink: head?.id,
      extensions: OpenExtensions.draft({
        logId,
        timestamp: timestamp ?? 1_786_000_000_000_000n + BigInt(this.written.length),
        prune,
        deletes
      }),
      body: message === undefined ? undefined : Either.getOrThrow(Cbor.encode(message))
    })
    this.written.push({ ...operation, by: author, prunes: prune })
    return operation
  }

  /** Those that are left when everybody has everything: neither pruned nor deleted, and with a body from the beginning. */
  left(deleted: ReadonlySet<Hash>): ReadonlyArray<Operation.Operation> {
    const below = new Map<number, number>()
    for (const { by, header, prunes } of this.written) if (prunes) below.set(by, header.seqNum)
    return this.written.filter(
      ({ body, by, header, id }) => body !== undefined && header.seqNum >= (below.get(by) ?? 0) && !deleted.has(id)
    )
  }
}

const pipeline = Pipeline.make(LogIntegrity.processor).pipe(
  Pipeline.andThen(Pruning.processor),
  Pipeline.andThen(Deletion.processor)
)

/** Opens a controller on all that models have to do with. */
export const open = <A, E, R>(
  application: Application.Application<Deletion.Tombstone & StreamController.Placed, A, E, R>,
  batchSize?: number
) => StreamController.make({ pipeline, application, batchSize, crypto: Layer.succeed(Crypto.Crypto, native) })

/** A peer with a database in memory, for one test. */
export const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.provide(self, SqliteClient.layer({ filename: ":memory:" }))))

/** In CI the same histories each time, so that a change is to blame for what turns red; elsewhere others in every run. */
export const seeded = process.env["CI"] === undefined ? {} : { seed: 20_261_124 }

/** How operations reach a peer. */
export const delivery = Delivery.arbitrary({ faults: false })

/** Delivers operations in any order and pieces, some twice, with restarts in between; nothing is left over. */
export const deliver = <A, E, R>(
  application: Application.Application<Deletion.Tombstone & StreamController.Placed, A, E, R>,
  operations: ReadonlyArray<Operation.Operation>,
  plan: Delivery.Plan
) =>
  Effect.gen(function* () {
    yield* Delivery.deliver((batchSize) => open(application, batchSize), plan, operations)
    yield* Effect.scoped(
      Effect.gen(function* () {
        const controller = yield* open(application)
        yield* controller.drain
        assert.deepInclude(yield* controller.status, { queued: 0, waiting: 0 })
      })
    )
  })
