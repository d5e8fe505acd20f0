/** Damage in the database file: flipped bits, rows edited by hand. All of it is found, and what somebody has comes back. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as Repair from "../../../src/store/Repair.ts"
import * as Salvage from "../../../src/store/Salvage.ts"
import * as Verify from "../../../src/store/Verify.ts"
import * as Look from "../damage/Look.ts"
import * as Prepared from "../damage/Prepared.ts"
import { damages } from "../damage/edits.ts"
import * as World from "../damage/World.ts"
import type { Row, Unit } from "../Row.ts"

const trialsPerUnit = 25

export const row: Row = {
  name: "file",
  fault: "a damaged database file: 1 to 64 bits flipped, or rows edited by hand",
  promises: "typed errors; every changed byte of every operation is found; what the originals have comes back",
  units: { quick: 12, full: 200 },
  prepare: Effect.map(
    Prepared.directory,
    (dir) => (unit) =>
      Effect.gen(function* () {
        const world = yield* Prepared.make(dir, unit, 40)
        const tally = new Tally()
        const clean = yield* verified(world.file)
        if (typeof clean === "string") tally.broken.push(`verify: an undamaged file: ${clean}`)
        else if (clean.found > 0) tally.broken.push(`verify: found something in an undamaged file: ${said(clean)}`)
        for (let nth = 0; nth < trialsPerUnit; nth++) {
          const file = `${world.file}.${nth}`
          yield* Effect.ensuring(
            trial(world, file, unit, tally),
            Effect.sync(() => [file, `${file}.open`, `${file}.new`].forEach(Look.remove))
          )
        }
        Look.remove(world.file)
        return { trials: trialsPerUnit, broken: tally.broken, facts: tally.facts }
      })
  ),
  vacuous: (facts) =>
    ["changed operations", "refused", "mended in place", "copied"].flatMap((name) =>
      (facts[name] ?? 0) > 0 ? [] : [`no ${name}`]
    )
}

// internal

class Tally {
  readonly broken: Array<string> = []
  readonly facts: Record<string, number> = {}
  count(name: string, by = 1) {
    this.facts[name] = (this.facts[name] ?? 0) + by
  }
}

const trial = (world: Prepared.Prepared, file: string, unit: Unit, tally: Tally) =>
  Effect.gen(function* () {
    fs.copyFileSync(world.file, file)
    const what = damages(file, unit)
    const broken = (text: string) => tally.broken.push(`${text} [${what}]`)
    fs.copyFileSync(file, `${file}.open`)
    yield* opened(world, `${file}.open`, broken, tally)
    const report = yield* verified(file)
    if (typeof report === "string") return tally.count("unopenable")
    tally.count("findings", report.found)
    for (const one of changed(world, file)) {
      tally.count("changed operations")
      if (!report.findings.some((finding) => names(finding, one)))
        broken(`verify: ${one.id} at ${one.position} changed unnoticed: ${said(report)}`)
    }
    yield* repaired(world, file, broken, tally)
  })

/** The operations that cannot be read back as they were written. */
const changed = (world: Prepared.Prepared, file: string): ReadonlyArray<Look.Stored> => {
  const now = Look.singly(
    file,
    world.operations.map(({ position }) => position)
  )
  return world.operations.filter((one, at) => JSON.stringify(one) !== JSON.stringify(now[at]))
}

const names = (finding: Verify.Finding, { id, place, position }: Look.Stored): boolean => {
  if (finding.id === id || place === `${finding.author}/${finding.logId}/${finding.seqNum}`) return true
  if (finding.table === "applecart_logs") return place.startsWith(`${finding.author}/${finding.logId}/`)
  if (finding.table !== "applecart_operations") return false
  if (typeof finding.key !== "number") return finding.kind === "Unreadable"
  return position >= finding.key && position <= (finding.until ?? finding.key)
}

const said = ({ findings }: Verify.Report) =>
  findings
    .slice(0, 4)
    .map(({ message }) => message)
    .join(" | ")

/** What is found; or why the driver does not open the file. */
const verified = (file: string) =>
  World.withFile(file, Verify.verify()).pipe(
    Effect.catchAllCause((cause) => (isDriver(cause) ? Effect.succeed(Cause.pretty(cause)) : Effect.failCause(cause))),
    Effect.orDie
  )

/** The driver throws where it is to open what is no database; nothing of ours has run then. */
const isDriver = (cause: Cause.Cause<unknown>): boolean => {
  const error = Cause.squash(cause)
  return error instanceof Error && error.constructor.name === "SqliteError"
}

/** A controller works on it, or says with a typed error that it does not. */
const opened = (world: Prepared.Prepared, file: string, broken: (text: string) => void, tally: Tally) =>
  Effect.gen(function* () {
    const exit = yield* Effect.exit(World.withFile(file, World.takeIn(world.raws, 20)))
    if (Exit.isSuccess(exit)) return tally.count("worked on")
    if (Cause.isFailure(exit.cause) || isDriver(exit.cause)) return tally.count("refused")
    broken(`typed: a controller ended with a defect: ${Cause.pretty(exit.cause).slice(0, 1500)}`)
  })

const repaired = (world: Prepared.Prepared, file: string, broken: (text: string) => void, tally: Tally) =>
  Effect.gen(function* () {
    const source = Stream.fromIterable(world.raws)
    const inPlace = yield* Effect.either(World.withFile(file, Repair.repair(source)))
    let mended = file
    let done: Repair.Repaired
    if (inPlace._tag === "Right") {
      tally.count("mended in place")
      done = inPlace.right
    } else if (inPlace.left._tag !== "NeedsCopy") return void broken(`repair: failed with ${inPlace.left.message}`)
    else {
      mended = `${file}.new`
      const copied = yield* Effect.either(
        World.withFile(
          mended,
          Effect.flatMap(SqlClient.SqlClient, (target) => World.withFile(file, Salvage.copy(target)))
        )
      )
      if (copied._tag === "Left") {
        if (copied.left._tag === "NothingToSalvage") return tally.count("nothing to copy")
        return void broken(`repair: the copy failed with ${copied.left.message}`)
      }
      tally.count("copied")
      const again = yield* Effect.either(World.withFile(mended, Repair.repair(source)))
      if (again._tag === "Left") return void broken(`repair: the copy cannot be mended: ${again.left.message}`)
      done = again.right
    }
    tally.count("restored", done.restored)
    tally.count("left", done.after.found)
    const now = new Map(Look.operations(mended).map((one) => [one.id, one]))
    for (const one of world.operations) {
      const found = now.get(one.id)
      const isBack = JSON.stringify({ ...one, position: 0 }) === JSON.stringify({ ...found, position: 0 })
      // Where nothing says any more at which position it stood, it stands where it may have.
      if (isBack && found?.position !== one.position) tally.count("at another position")
      if (isBack) continue
      tally.count("not brought back")
      const named = done.after.findings.filter((finding) => names(finding, one))
      if (named.length === 0) {
        broken(`repair: ${one.id} at ${one.position} did not come back, and is not named: ${said(done.after)}`)
      }
      // It is known which one is missing, and the source has it.
      if (named.some(({ id, kind, mend }) => mend === "source" && id === one.id && kind !== "BodyMissing")) {
        broken(`repair: ${one.id} at ${one.position} did not come back from the source: ${said(done.after)}`)
      }
      // Only where it is not sure that there was a body none is put back.
      const isUnsure = done.after.findings.some(({ table }) => table === "applecart_decisions")
      if (one.body !== null && found?.body === null && !isUnsure) {
        broken(`repair: the body of ${one.id} did not come back: ${said(done.after)}`)
      }
    }
  }).pipe(Effect.catchAllCause((cause) => Effect.sync(() => broken(`repair: ${Cause.pretty(cause).slice(0, 1500)}`))))
