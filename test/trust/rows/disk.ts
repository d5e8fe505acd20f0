/** A disk that is full, at every page: `PRAGMA max_page_count` one page more each time, and a real file system without room. */
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Crypto from "../../../src/core/Crypto.ts"
import type { Raw } from "../../../src/core/Operation.ts"
import * as SqlReason from "../../../src/store/SqlReason.ts"
import * as Verify from "../../../src/store/Verify.ts"
import * as Look from "../damage/Look.ts"
import * as Prepared from "../damage/Prepared.ts"
import * as World from "../damage/World.ts"
import type { Row } from "../Row.ts"

export const row: Row = {
  name: "disk",
  fault: "the disk is full, at every page",
  promises: "P1 to P5; typed errors; with room again everything is taken in",
  units: { quick: 3, full: 24 },
  prepare: Effect.map(
    Prepared.directory,
    (dir) => (unit) =>
      Effect.gen(function* () {
        const crypto = yield* Crypto.Crypto
        const raws = World.history(crypto, unit, 16, false)
        const file = path.join(dir, `${unit.nth}.db`)
        yield* Effect.orDie(World.withFile(file, World.takeIn(raws, 4)))
        const lasting = Look.lasting(file)
        const pages = Look.with_(file, (db) => Number(db.pragma("page_count", { simple: true })))
        Look.remove(file)
        const broken: Array<string> = []
        const facts: Record<string, number> = {}
        const world = { file, raws, lasting, facts }
        for (let most = 1; most <= pages + 1; most++) {
          yield* trial(world, limited(most), (text) => broken.push(`${text} [${most} pages]`))
          Look.remove(file)
        }
        const real = yield* onTmpfs(world, dir, unit.nth, pages, (text) => broken.push(`${text} [tmpfs]`))
        return { trials: pages + 1 + real, broken, facts }
      })
  ),
  vacuous: (facts) => ((facts["full"] ?? 0) > 0 ? [] : ["the disk was never full"])
}

// internal

interface World_ {
  readonly file: string
  readonly raws: ReadonlyArray<Raw>
  readonly lasting: string
  readonly facts: Record<string, number>
}

const limited = (most: number) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(`PRAGMA max_page_count = ${most}`))

/** Works with little room, and then with enough. `more`: makes room. */
const trial = <E, R>(
  { facts, file, lasting, raws }: World_,
  little: Effect.Effect<unknown, E, R>,
  broken: (text: string) => void,
  more: () => void = () => {}
) =>
  Effect.gen(function* () {
    const first = yield* Effect.exit(World.withFile(file, Effect.zipRight(little, piecemeal(raws))))
    if (Exit.isSuccess(first)) {
      if (first.value > 0) facts["full"] = (facts["full"] ?? 0) + first.value
    } else if (isFull(first.cause)) facts["full"] = (facts["full"] ?? 0) + 1
    else broken(`typed: ${Cause.pretty(first.cause).slice(0, 600)}`)
    more()
    for (const one of Look.broken(file)) broken(one)
    const again = yield* Effect.exit(World.withFile(file, Effect.zipRight(World.takeIn(raws, 4), Verify.verify())))
    if (Exit.isFailure(again)) return broken(`after there was room, ${Cause.pretty(again.cause).slice(0, 600)}`)
    if (again.value.found > 0) broken(`verify: ${again.value.findings[0]?.message}`)
    for (const one of Look.broken(file)) broken(`after there was room, ${one}`)
    if (Look.lasting(file) !== lasting)
      broken("P6: with room again it ends otherwise than with room from the beginning")
  })

/** Calls that go on although earlier ones failed; gives how many failed for want of room. */
const piecemeal = (raws: ReadonlyArray<Raw>) =>
  Effect.gen(function* () {
    const controller = yield* World.open
    let full = 0
    for (let at = 0; at < raws.length; at += 4) {
      const exit = yield* Effect.exit(controller.processAll(raws.slice(at, at + 4)))
      if (Exit.isSuccess(exit)) continue
      if (!isFull(exit.cause)) return yield* Effect.failCause(exit.cause)
      full += 1
    }
    return full
  }).pipe(Effect.scoped)

const isFull = (cause: Cause.Cause<unknown>): boolean => {
  const failure = Cause.failureOption(cause)
  // The driver throws where it cannot even make the file.
  const error = Option.getOrElse(failure, () => Cause.squash(cause))
  if (error instanceof SqlError) return ["Full", "Io", "Connection"].includes(SqlReason.of(error)._tag)
  return error instanceof Error && error.constructor.name === "SqliteError"
}

/** File systems of a few sizes, where this process may mount any; gives how many trials that were. */
const onTmpfs = (world: World_, dir: string, nth: number, pages: number, broken: (text: string) => void) =>
  Effect.gen(function* () {
    let trials = 0
    for (const part of [0.2, 0.5, 0.8, 1.2, 1.8]) {
      const mount = path.join(dir, `disk-${nth}`)
      fs.mkdirSync(mount, { recursive: true })
      const size = (bytes: number) => `size=${Math.ceil(bytes / 4096) * 4096}`
      const little = size(part * pages * 4096 + 40_000)
      if (childProcess.spawnSync("mount", ["-t", "tmpfs", "-o", little, "tmpfs", mount]).status !== 0) return trials
      const file = path.join(mount, "a.db")
      const more = () =>
        void childProcess.spawnSync("mount", ["-o", `remount,${size(pages * 4096 * 40 + 8_000_000)}`, mount])
      yield* Effect.ensuring(
        trial({ ...world, file }, Effect.void, broken, more),
        Effect.sync(() => childProcess.spawnSync("umount", [mount]))
      )
      world.facts["on a real disk"] = (world.facts["on a real disk"] ?? 0) + 1
      trials += 1
    }
    return trials
  })
