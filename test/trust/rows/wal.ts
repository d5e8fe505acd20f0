/** Damage in the write-ahead log: cut anywhere, bits flipped, gone, or that of an earlier moment. A prefix of the commits is left. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Crypto from "../../../src/core/Crypto.ts"
import * as Verify from "../../../src/store/Verify.ts"
import { flip } from "../damage/edits.ts"
import * as Look from "../damage/Look.ts"
import * as Prepared from "../damage/Prepared.ts"
import * as World from "../damage/World.ts"
import type { Row, Unit } from "../Row.ts"

const trialsPerUnit = 25

export const row: Row = {
  name: "wal",
  fault: "a damaged write-ahead log: cut at a byte, 1 to 64 bits flipped, deleted, or an older one",
  promises: "P1 to P5 at a prefix of the commits; taken in again everything is as without the damage",
  units: { quick: 12, full: 200 },
  prepare: Effect.map(
    Prepared.directory,
    (dir) => (unit) =>
      Effect.gen(function* () {
        const world = yield* make(dir, unit)
        const broken: Array<string> = []
        const facts: Record<string, number> = {}
        const count = (name: string) => void (facts[name] = (facts[name] ?? 0) + 1)
        for (let nth = 0; nth < trialsPerUnit; nth++) {
          const file = `${world.main}.${nth}`
          const what = damage(world, file, unit)
          const told = (text: string) => void broken.push(`${text} [${what}]`)
          count(what.split(" ")[0] ?? what)
          yield* trial(world, file, told, count)
          Look.remove(file)
        }
        Look.remove(world.main)
        return { trials: trialsPerUnit, broken, facts }
      })
  ),
  vacuous: (facts) =>
    ["cut", "flipped", "deleted", "older", "lost something"].flatMap((name) =>
      (facts[name] ?? 0) > 0 ? [] : [`nothing was ${name}`]
    )
}

// internal

/** A database whose last commits stand in its write-ahead log. */
interface Logged {
  readonly main: string
  readonly wal: Buffer
  /** The log before the last checkpoint, whole; everything of it is in the main file. */
  readonly earlier: Buffer
  /** Where each commit ends in the log. */
  readonly commits: ReadonlyArray<number>
  /** What the database holds after each number of commits. */
  readonly states: ReadonlySet<string>
  readonly whole: string
  readonly raws: Parameters<typeof World.takeIn>[0]
  /** What lasts when everything was taken in. */
  readonly lasting: string
}

const make = (dir: string, unit: Unit) =>
  Effect.gen(function* () {
    const crypto = yield* Crypto.Crypto
    const raws = World.history(crypto, unit, 40)
    const main = path.join(dir, `${unit.nth}.db`)
    const at = unit.below(raws.length)
    // A second connection holds the log back, so that nothing is written into the file but when it is to be.
    const { earlier, wal } = yield* World.withFile(
      main,
      Effect.gen(function* () {
        yield* World.takeIn(raws.slice(0, at), 5)
        const earlier = fs.readFileSync(`${main}-wal`)
        Look.with_(main, (db) => db.pragma("wal_checkpoint(TRUNCATE)"))
        fs.copyFileSync(main, `${main}.kept`)
        yield* World.takeIn(raws, 5)
        return { earlier, wal: fs.readFileSync(`${main}-wal`) }
      })
    ).pipe(Effect.orDie)
    const lasting = Look.lasting(main)
    Look.remove(main)
    fs.renameSync(`${main}.kept`, main)
    const commits = commitsOf(wal)
    const states = [0, ...commits].map((end) => {
      const file = `${main}.prefix`
      fs.copyFileSync(main, file)
      if (end > 0) fs.writeFileSync(`${file}-wal`, wal.subarray(0, end))
      const state = Look.fingerprint(file)
      Look.remove(file)
      return state
    })
    return { main, wal, earlier, commits, states: new Set(states), whole: states.at(-1) ?? "", raws, lasting }
  })

/** Frames are a page and a head of 24 bytes, which says how large the database is after a commit (sqlite.org/fileformat2.html). */
const commitsOf = (wal: Buffer): ReadonlyArray<number> => {
  const ends: Array<number> = []
  if (wal.length < 32) return ends
  const frame = wal.readUInt32BE(8) + 24
  for (let at = 32; at + frame <= wal.length; at += frame) {
    const isOfThisLog = wal.subarray(at + 8, at + 16).equals(wal.subarray(16, 24))
    if (isOfThisLog && wal.readUInt32BE(at + 4) !== 0) ends.push(at + frame)
  }
  return ends
}

/** Makes a damaged copy; says how. */
const damage = (world: Logged, file: string, unit: Unit): string => {
  const log = `${file}-wal`
  fs.copyFileSync(world.main, file)
  switch (unit.below(8)) {
    case 0:
      return "deleted"
    case 1: {
      const end = world.commits[unit.below(Math.max(1, world.commits.length))] ?? 0
      fs.writeFileSync(log, world.wal.subarray(0, end))
      return `older of the same log, up to ${end}`
    }
    case 2:
      fs.writeFileSync(log, world.earlier)
      return "older from before the checkpoint"
    case 3:
    case 4:
    case 5: {
      const end = unit.below(world.wal.length)
      fs.writeFileSync(log, world.wal.subarray(0, end))
      return `cut at ${end} of ${world.wal.length}`
    }
    default: {
      const bits = 1 << unit.below(7)
      fs.writeFileSync(log, world.wal)
      flip(log, unit, bits, 0, world.wal.length)
      return `flipped ${bits} bits`
    }
  }
}

const trial = (world: Logged, file: string, broken: (text: string) => void, count: (name: string) => void) =>
  Effect.gen(function* () {
    const state = yield* Effect.try(() => Look.fingerprint(file)).pipe(Effect.either)
    if (state._tag === "Left") return broken(`open: ${String(state.left)}`)
    if (!world.states.has(state.right)) broken("P1: what is left is no prefix of the commits")
    if (state.right !== world.whole) count("lost something")
    for (const one of Look.broken(file)) broken(one)
    const exit = yield* Effect.exit(
      World.withFile(
        file,
        Effect.gen(function* () {
          yield* World.takeIn(world.raws, 8)
          return yield* Verify.verify()
        })
      )
    )
    if (Exit.isFailure(exit)) return broken(`typed: ${Cause.pretty(exit.cause).slice(0, 600)}`)
    if (exit.value.found > 0) broken(`verify: ${exit.value.findings[0]?.message}`)
    for (const one of Look.broken(file)) broken(`after the restart, ${one}`)
    if (Look.lasting(file) !== world.lasting) broken("P6: taken in again, it ends otherwise than without the damage")
  })
