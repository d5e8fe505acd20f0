/** Random histories of one own log, and the world that holds what was published. */
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Crypto from "../../../../src/core/Crypto.ts"
import * as Log from "../../../../src/core/Log.ts"
import * as Operation from "../../../../src/core/Operation.ts"
import * as SigningKey from "../../../../src/core/SigningKey.ts"
import * as Topic from "../../../../src/core/Topic.ts"
import type { VerifyingKey } from "../../../../src/core/VerifyingKey.ts"
import * as Application from "../../../../src/pipeline/Application.ts"
import * as Pipeline from "../../../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../../../src/processors/LogIntegrity.ts"
import * as Logs from "../../../../src/store/Logs.ts"
import * as Transaction from "../../../../src/store/Transaction.ts"
import * as Witness from "../../../../src/store/Witness.ts"
import * as StreamController from "../../../../src/stream/StreamController.ts"
import { directory, plain } from "../../../support/ScenarioDatabase.ts"
import type { Result, Unit } from "../../Row.ts"
import { handOut, image, put, World, type Image } from "./World.ts"

/** What all trials share. */
export interface Bench {
  readonly dir: string
  /** A database with the tables and nothing in them. */
  readonly template: string
  readonly topic: Topic.Topic
  readonly author: VerifyingKey
  readonly crypto: Layer.Layer<Crypto.Crypto>
}

export const key = Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(11)))

export const open = (crypto: Layer.Layer<Crypto.Crypto>, witness: Layer.Layer<Witness.Witness, never, SqlClient>) =>
  StreamController.make({
    pipeline: Pipeline.make(LogIntegrity.processor),
    application: Application.none,
    witness,
    crypto
  })
type Controller = Effect.Effect.Success<ReturnType<typeof open>>

export const bench: Effect.Effect<Bench, never, Crypto.Crypto | Scope.Scope> = Effect.gen(function* () {
  const dir = yield* directory
  const service = yield* Crypto.Crypto
  const crypto = Layer.succeed(Crypto.Crypto, service)
  const template = path.join(dir, "template.db")
  yield* open(crypto, Witness.memory).pipe(Effect.scoped, Effect.provide(plain(template)), Effect.orDie)
  return { dir, template, crypto, topic: Topic.named(service, "own"), author: service.verifyingKey(key) }
})

/** Some steps, and then everything that others hold is taken in: the log must go on, and nowhere have two operations in a place. */
export const trial = (bench: Bench, unit: Unit): Effect.Effect<Result> =>
  Effect.gen(function* () {
    const life = yield* Effect.acquireRelease(
      Effect.sync(() => begin(bench, unit)),
      (life) =>
        Effect.zipRight(
          close(life),
          Effect.sync(() => remove(life))
        )
    )
    for (let step = 12 + unit.below(8); step > 0; step--) yield* any(life)
    yield* takeIn(life, true)
    if (life.blind) yield* confirm(life)
    yield* publish(life)
    const { here } = yield* opened(life)
    if ((yield* here) !== life.world.top) life.broken.push(`P11: the log does not go on: ${life.refusal}`)
    else fact(life, "goneOn")
    return { trials: life.trials, facts: life.facts, broken: [...life.broken, ...life.world.twice] }
  }).pipe(Effect.scoped)

// internal

/** A program on one database, as far as it is known outside. */
interface Life {
  readonly bench: Bench
  readonly unit: Unit
  readonly file: string
  readonly world: World
  readonly facts: Record<string, number>
  readonly broken: Array<string>
  readonly backups: Array<{ readonly files: Image; readonly here: number }>
  trials: number
  /** The witness was lost, and nobody has said since then that the log is whole. */
  blind: boolean
  /** The process dies before the next note. */
  dying: boolean
  refusal: string
  current: Opened | undefined
}

interface Opened {
  readonly controller: Controller
  readonly scope: Scope.CloseableScope
  /** The newest place of the log in the database; -1 where there is none. */
  readonly here: Effect.Effect<number>
}

const begin = (bench: Bench, unit: Unit): Life => {
  const file = path.join(bench.dir, `${unit.nth}.db`)
  fs.copyFileSync(bench.template, file)
  return {
    bench,
    unit,
    file,
    world: new World(),
    facts: {},
    broken: [],
    backups: [{ files: image(file), here: -1 }],
    trials: 0,
    blind: false,
    dying: false,
    refusal: "nothing was refused",
    current: undefined
  }
}

const remove = ({ file }: Life) => {
  for (const end of ["", "-wal", "-shm", "-own"]) fs.rmSync(file + end, { force: true })
}

const fact = ({ facts }: Life, name: string) => void (facts[name] = (facts[name] ?? 0) + 1)

/** The file, unless the process is about to die before it is told. */
const mortal = (life: Life): Layer.Layer<Witness.Witness> =>
  Layer.effect(
    Witness.Witness,
    Effect.map(Witness.Witness, (file) => ({
      ...file,
      write: (entry) => (life.dying && entry._tag === "Published" ? Effect.void : file.write(entry))
    }))
  ).pipe(Layer.provide(Witness.file(Witness.beside(life.file))))

/** The program, opened if it is not. What it finds in its database it hands on. */
const opened = (life: Life): Effect.Effect<Opened> =>
  Effect.gen(function* () {
    if (life.current !== undefined) return life.current
    const { author, crypto, topic } = life.bench
    const scope = yield* Scope.make()
    const client = yield* Scope.extend(Layer.build(plain(life.file)), scope)
    const controller = yield* Scope.extend(Effect.provide(open(crypto, mortal(life)), client), scope)
    yield* Effect.provide(handOut(life.world), client)
    const log = yield* Effect.map(Effect.provide(Crypto.Crypto, crypto), (service) =>
      Log.key(author, Topic.logId(service, topic))
    )
    const here = Effect.map(Logs.heads([log]), (heads) => heads.get(log)?.seqNum ?? -1)
    life.current = { controller, scope, here: Effect.orDie(Effect.provide(here, client)) }
    return life.current
  }).pipe(Effect.orDie)

const close = (life: Life): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { current } = life
    life.current = undefined
    return current === undefined ? Effect.void : Scope.close(current.scope, Exit.void)
  })

/** Publishes, and says whether that was right to be done or refused. */
const publish = (life: Life): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { controller, here } = yield* opened(life)
    const { bench, broken, world } = life
    const before = yield* here
    const isBehind = before < world.top
    const message = new TextEncoder().encode(`${++life.trials} of ${life.unit.nth}`)
    const exit = yield* Effect.either(controller.publish({ key, topic: bench.topic, message }))
    const where = `here up to ${before}, in the world up to ${world.top}`
    if (exit._tag === "Left") {
      life.refusal = `${exit.left._tag}, ${where}`
      fact(life, exit.left._tag === "OwnLogUnwitnessed" ? "unwitnessed" : "refused")
      const deserved =
        life.blind && before >= 0 ? ["OwnLogUnwitnessed", "OwnLogBehind"] : isBehind ? ["OwnLogBehind"] : []
      if (!deserved.includes(exit.left._tag)) broken.push(`P11: a false alarm, ${life.refusal}`)
      return
    }
    fact(life, "published")
    if (isBehind) broken.push(`P11: published place ${exit.right.seqNum}, ${where}`)
    if (life.blind && before >= 0) broken.push(`P11: published without a witness, ${where}`)
    // A process that dies here has told nobody.
    if (!life.dying) world.take(exit.right.operation)
  })

/** The process dies between the commit and the note, or in the middle of the note. */
const crash = (life: Life): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* opened(life)
    life.dying = true
    yield* publish(life)
    yield* close(life)
    life.dying = false
    fact(life, "crashed")
    const witness = Witness.beside(life.file)
    if (life.unit.below(2) === 0 && fs.existsSync(witness)) fs.appendFileSync(witness, "\nPublished 0a0b/")
  })

/** What a backup program copies: all files at once, of a database that is open or closed. */
const backUp = (life: Life): Effect.Effect<void> =>
  Effect.gen(function* () {
    const here = yield* (yield* opened(life)).here
    if (life.unit.below(2) === 0) yield* close(life)
    life.backups.push({ files: image(life.file), here })
  })

const restore = (life: Life): Effect.Effect<void> =>
  Effect.gen(function* () {
    // An empty database without a witness is a new one: nobody can know.
    const usable = life.backups.filter(({ here }) => here >= 0 || !life.blind)
    const backup = usable[life.unit.below(usable.length)]
    if (backup === undefined) return
    yield* close(life)
    put(life.file, backup.files)
    fact(life, "restored")
  })

/** The process is killed, and of its last commits the disk has kept only a part. */
const cut = (life: Life): Effect.Effect<void> =>
  Effect.gen(function* () {
    const before = yield* (yield* opened(life)).here
    const files = image(life.file)
    yield* close(life)
    const wal = files[1]
    const kept = [files[0], wal?.subarray(0, life.unit.below(wal.length + 1))]
    // As above.
    if (life.blind && (yield* at(life, kept)) < 0) return put(life.file, files)
    put(life.file, kept)
    fact(life, "cut")
    if ((yield* (yield* opened(life)).here) < before) fact(life, "lost")
  })

/** Puts files in place; gives how far the log is in them. */
const at = (life: Life, files: Image): Effect.Effect<number> =>
  Effect.gen(function* () {
    put(life.file, files)
    const head = Transaction.query("SELECT max(head_seq_num) AS head FROM applecart_logs")()
    const [row] = yield* Effect.orDie(Effect.provide(head, plain(life.file)))
    put(life.file, files)
    return typeof row?.["head"] === "number" ? row["head"] : -1
  })

const loseWitness = (life: Life): Effect.Effect<void> =>
  Effect.gen(function* () {
    if ((yield* (yield* opened(life)).here) < 0) return
    yield* close(life)
    fs.rmSync(Witness.beside(life.file), { force: true })
    life.blind = true
  })

/** Others send what they hold: all of it in order, or some of it in any. */
const takeIn = (life: Life, all = false): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { controller } = yield* opened(life)
    const raws = life.world.places.map(Operation.raw)
    if (all || life.unit.below(2) === 0) {
      yield* controller.processAll(raws)
      return
    }
    for (let some = life.unit.below(raws.length + 1); some > 0; some--) {
      const [one] = raws.splice(life.unit.below(raws.length), 1)
      if (one !== undefined) yield* controller.process(one)
    }
  }).pipe(Effect.orDie)

/** Somebody has asked the world, and says so. */
const confirm = (life: Life): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { controller, here } = yield* opened(life)
    const { bench, broken, world } = life
    const isBehind = (yield* here) < world.top
    const said = yield* Effect.either(controller.own.confirm(bench, { upTo: Math.max(0, world.top) }))
    if (said._tag === "Right") {
      if (isBehind) broken.push(`P11: confirmed up to ${said.right.here}, and the world is at ${world.top}`)
      fact(life, "confirmed")
      life.blind = false
    } else if (isBehind) fact(life, "contradicted")
    else if (world.top >= 0) broken.push(`P11: not confirmed, ${said.left._tag}`)
  })

/** What happens, and how often of all. */
const any = (life: Life): Effect.Effect<void> => {
  const step = life.unit.below(24)
  if (step < 8) return publish(life)
  if (step < 10) return backUp(life)
  if (step < 13) return restore(life)
  if (step < 15) return cut(life)
  if (step < 16) return crash(life)
  if (step < 18) return takeIn(life)
  if (step < 20) return life.blind ? confirm(life) : loseWitness(life)
  // Also where others hold more, and where nothing was lost.
  if (step < 23) return confirm(life)
  return close(life)
}
