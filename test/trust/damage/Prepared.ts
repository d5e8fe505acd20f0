/** A directory in memory, and what a unit's world is before it is damaged. */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Crypto from "../../../src/core/Crypto.ts"
import type { Raw } from "../../../src/core/Operation.ts"
import type { Unit } from "../Row.ts"
import * as Look from "./Look.ts"
import * as World from "./World.ts"

const base = fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir()

/** A directory that is gone when the scope closes. */
export const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(base, "applecart-damage-"))),
  (dir) => Effect.sync(() => fs.rmSync(dir, { recursive: true, force: true }))
)

/** A world as a file that is closed, with an empty write-ahead log. */
export interface Prepared {
  readonly file: string
  readonly raws: ReadonlyArray<Raw>
  readonly operations: ReadonlyArray<Look.Stored>
  readonly lasting: string
}

/** Makes the world of a unit; `size`: how many operations are written in it. */
export const make = (dir: string, unit: Unit, size: number): Effect.Effect<Prepared, never, Crypto.Crypto> =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const raws = World.history(crypto, unit, size)
    const file = path.join(dir, `${unit.nth}.db`)
    yield* Effect.orDie(World.withFile(file, World.takeIn(raws, 5)))
    Look.with_(file, (db) => db.pragma("wal_checkpoint(TRUNCATE)"))
    return { file, raws, operations: Look.operations(file), lasting: Look.lasting(file) }
  })
