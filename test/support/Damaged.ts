/** A database with something of everything, to be damaged. */
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as Crypto from "../../src/core/Crypto.ts"
import type { Raw } from "../../src/core/Operation.ts"
import * as Repair from "../../src/store/Repair.ts"
import * as Verify from "../../src/store/Verify.ts"
import * as Look from "../trust/damage/Look.ts"
import * as World from "../trust/damage/World.ts"
import { unit } from "../trust/Row.ts"
import { directory } from "./Peer.ts"

/** A world with something of everything, the same in every run; made once, and copied. */
export const world = Effect.gen(function* () {
  const raws = World.history(yield* Crypto.Crypto, unit(7, 1, 1), 40)
  const file = `${yield* directory}/a.db`
  if (made === undefined) {
    yield* World.withFile(file, World.takeIn(raws, 5))
    made = fs.readFileSync(file)
  } else fs.writeFileSync(file, made)
  return { raws, file, originals: Look.operations(file) }
})
let made: Buffer | undefined

export const edit = (file: string, ...statements: ReadonlyArray<string>) =>
  Effect.sync(() =>
    Look.with_(file, (db) => {
      db.pragma("foreign_keys = OFF")
      for (const text of statements) db.exec(text)
    })
  )

export const verify = (file: string) => World.withFile(file, Verify.verify())

export const repair = (file: string, raws: ReadonlyArray<Raw>) =>
  World.withFile(file, Repair.repair(Stream.fromIterable(raws)))

export const test = <E>(name: string, self: Effect.Effect<void, E, Crypto.Crypto | Scope.Scope>) =>
  it.scoped(name, () => Effect.provide(self, Crypto.layer))
