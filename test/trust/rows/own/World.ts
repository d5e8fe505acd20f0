/** The world outside of one own log: what others hold of it, and the files that backups are made of. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as Operation from "../../../../src/core/Operation.ts"
import * as Operations from "../../../../src/store/Operations.ts"

/** What was published, by place: what others hold. Whoever puts a second operation at a place has broken the promise. */
export class World {
  readonly places: Array<Operation.Operation> = []
  readonly twice: Array<string> = []

  take(operation: Operation.Operation): void {
    const { seqNum } = operation.header
    const there = this.places[seqNum]
    if (there !== undefined && there.id !== operation.id) {
      this.twice.push(`P11: place ${seqNum} has two operations, ${there.id} and ${operation.id}`)
    }
    this.places[seqNum] ??= operation
  }

  get top(): number {
    return this.places.length - 1
  }
}

/** Everything that is in a database goes out into the world, as it would when it is opened and its peers ask. */
export const handOut = (world: World): Effect.Effect<void, never, SqlClient> =>
  Operations.stream().pipe(
    Stream.runForEach((stored) =>
      Effect.sync(() => world.take(Either.getOrThrow(Operation.trusted(stored.id, stored))))
    ),
    Effect.orDie
  )

/** The files of a database, without its witness. */
const ends = ["", "-wal"] as const
export type Image = ReadonlyArray<Uint8Array | undefined>

/** What a backup program copies. */
export const image = (file: string): Image =>
  ends.map((end) => (fs.existsSync(file + end) ? new Uint8Array(fs.readFileSync(file + end)) : undefined))

/** Puts a backup in place of what is there. */
export const put = (file: string, files: Image): void => {
  for (const end of [...ends, "-shm"]) fs.rmSync(file + end, { force: true })
  for (const [index, end] of ends.entries()) {
    const bytes = files[index]
    if (bytes !== undefined) fs.writeFileSync(file + end, bytes)
  }
}
