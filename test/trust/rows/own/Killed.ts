/** A real process that is killed by SIGKILL between the commit of an own operation and its note, and what is found afterwards. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as process from "node:process"
import * as Crypto from "../../../../src/core/Crypto.ts"
import * as Topic from "../../../../src/core/Topic.ts"
import * as Witness from "../../../../src/store/Witness.ts"
import { plain } from "../../../support/ScenarioDatabase.ts"
import type { Result, Unit } from "../../Row.ts"
import { key, open, type Bench } from "./History.ts"
import { handOut, World } from "./World.ts"

/** What tells a process of this row that it is one to be killed: `NUMBER FILE`. */
export const variable = "APPLECART_OWN_KILLED"

/** Publishes, and is killed where the witness would be told of the operation with this number. Says what `publish` answered. */
export const publishing = (job: string) =>
  Effect.gen(function* () {
    const last = Number(job.slice(0, job.indexOf(" ")))
    const file = job.slice(job.indexOf(" ") + 1)
    const service = yield* Crypto.Crypto
    const witness = Layer.effect(
      Witness.Witness,
      Effect.map(Witness.Witness, (witness) => ({
        ...witness,
        write: (entry: Witness.Entry) => {
          if (entry._tag === "Published" && entry.place.seqNum === last) process.kill(process.pid, "SIGKILL")
          return witness.write(entry)
        }
      }))
    ).pipe(Layer.provide(Witness.file(Witness.beside(file))))
    const controller = yield* open(Layer.succeed(Crypto.Crypto, service), witness)
    for (;;) {
      const { seqNum } = yield* controller.publish({ key, topic: Topic.named(service, "own"), message: undefined })
      fs.writeSync(1, `${seqNum}\n`)
    }
  }).pipe(Effect.provide(plain(job.slice(job.indexOf(" ") + 1))), Effect.orDie)

/** One that is killed: whoever opens the database then finds one operation more than was told, and no reason for an alarm. */
export const trial = (bench: Bench, unit: Unit): Effect.Effect<Result> =>
  Effect.gen(function* () {
    const file = path.join(bench.dir, `${unit.nth}.killed.db`)
    fs.copyFileSync(bench.template, file)
    const last = unit.below(4)
    const told = yield* Effect.promise(() => run(`${last} ${file}`))
    const world = new World()
    const broken: Array<string> = []
    if (told.signal !== "SIGKILL" || told.count !== last) {
      broken.push(`typed: the process ended with ${told.signal} after ${told.count} of ${last} operations: ${told.err}`)
    }
    const backup = fs.readFileSync(file)
    const known = yield* Effect.gen(function* () {
      const controller = yield* open(bench.crypto, Witness.file(Witness.beside(file)))
      yield* handOut(world)
      if (world.top !== last) broken.push(`P3: the database is at ${world.top}, not at ${last}`)
      const caught = (yield* controller.own.status)[0]?.witnessed
      if (caught !== last) broken.push(`P11: handed on up to ${last}, and the witness was told of ${caught}`)
      const published = yield* Effect.either(controller.publish({ key, topic: bench.topic, message: undefined }))
      if (published._tag === "Left") broken.push(`P11: a false alarm after a kill: ${published.left.message}`)
      else world.take(published.right.operation)
      return (yield* controller.own.status)[0]?.witnessed
    }).pipe(Effect.scoped, Effect.provide(plain(file)))
    if (known !== world.top) broken.push(`P11: the witness is at ${known}, not at ${world.top}`)
    for (const end of ["", "-wal", "-shm"]) fs.rmSync(file + end, { force: true })
    fs.writeFileSync(file, backup)
    const late = yield* Effect.gen(function* () {
      const controller = yield* open(bench.crypto, Witness.file(Witness.beside(file)))
      return yield* Effect.either(controller.publish({ key, topic: bench.topic, message: undefined }))
    }).pipe(Effect.scoped, Effect.provide(plain(file)))
    if (late._tag === "Right") broken.push(`P11: place ${late.right.seqNum} was given twice`)
    for (const end of ["", "-wal", "-shm", "-own"]) fs.rmSync(file + end, { force: true })
    return { trials: 3, broken: [...broken, ...world.twice], facts: { killed: 1 } }
  }).pipe(Effect.orDie)

// internal

interface Told {
  readonly signal: NodeJS.Signals | null
  readonly count: number
  readonly err: string
}

/** This program once more, which does the job instead of its row. */
const run = (job: string): Promise<Told> =>
  new Promise((resolve) => {
    const [program = "", ...args] = process.argv.slice(1)
    const child = childProcess.spawn(process.execPath, [program, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, [variable]: job }
    })
    let out = ""
    let err = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text))
    child.on("close", (_, signal) => resolve({ signal, count: out.split("\n").length - 1, err }))
  })
