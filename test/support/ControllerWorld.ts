/** The real side of the controller's model test: programs on one database file, a clock that stands still, and crashes. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import Sqlite from "better-sqlite3"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Consumer from "../../src/pipeline/Consumer.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import type * as Pull from "../../src/stream/Pull.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import { native } from "../core/support.ts"
import type { Program } from "./ControllerModel.ts"
import { retryAfter, retryUntil } from "./ControllerModelReaders.ts"
import * as Tables from "./ControllerTables.ts"
import { pipeline, Unlucky } from "./Reading.ts"

/** What handlers say yes to where they would say no. */
export interface Switches {
  luck: boolean
}

/** A clock that only tests move. Whoever sleeps long is not woken; of short sleeps, and of a machine that stops, it tells. */
export class StillClock {
  now: number
  onShort: (() => void) | undefined
  onFrozen: (() => void) | undefined
  readonly clock: Clock.Clock

  constructor(now: number) {
    this.now = now
    const real = Clock.make()
    this.clock = {
      [Clock.ClockTypeId]: real[Clock.ClockTypeId],
      unsafeCurrentTimeNanos: () => BigInt(this.now) * 1_000_000n,
      currentTimeNanos: Effect.sync(() => BigInt(this.now) * 1_000_000n),
      unsafeCurrentTimeMillis: () => this.now,
      currentTimeMillis: Effect.sync(() => this.now),
      sleep: (duration) =>
        Effect.suspend(() => {
          const millis = Duration.toMillis(duration)
          if (millis >= frozen) {
            this.onFrozen?.()
            return forever
          }
          // The time limits of handlers, which all end at once here.
          if (millis >= 5000) return forever
          if (this.onShort === undefined) return real.sleep(Duration.millis(1))
          this.onShort()
          return forever
        })
    }
  }
}

/** A program that has the database open. */
export interface Running {
  readonly program: Program
  readonly controller: Effect.Effect.Success<ReturnType<typeof controller>>
  readonly faults: SqlFaults.SqlFaults["Type"]
  readonly close: () => Promise<void>
  /** What was taken out and can be acknowledged. */
  readonly hands: Array<{ readonly name: string; readonly delivery: Pull.Delivery<unknown> }>
}

/** What a machine does at a statement: it stops, or the disk fails before or after it. */
export type Fault = "kill" | "before" | "after"

/** Like `Effect.never`, but nothing holds on to who waits: machines that stopped are collected. */
const forever: Effect.Effect<never> = Effect.async(() => undefined)

const frozen = Duration.toMillis("1 day")

/** What a fault does. A machine that has stopped never answers again. */
export const arm = (at: number, fault: Fault): SqlFaults.Plan =>
  fault === "kill"
    ? { at, fault: SqlFaults.delay(frozen), forever: true }
    : { at, fault: fault === "before" ? SqlFaults.failBefore("io") : SqlFaults.failAfter("io") }

/** Opens a program; `plan`: what happens to it meanwhile. */
export const open = async (
  filename: string,
  program: Program,
  switches: Switches,
  clock: StillClock,
  plan?: SqlFaults.Plan
): Promise<Ended<Running>> => {
  const scope = Effect.runSync(Scope.make())
  const close = () => Effect.runPromise(Scope.close(scope, Exit.void))
  const context = await Effect.runPromise(Layer.buildWithScope(connection(filename), scope))
  const faults = Context.get(context, SqlFaults.SqlFaults)
  const opening = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe("PRAGMA synchronous = OFF")
    yield* faults.reset
    if (plan !== undefined) yield* faults.arm(plan)
    return yield* Scope.extend(controller(program, switches), scope)
  })
  const ended = await run(Effect.provide(opening, context), clock)
  if (ended._tag !== "Answered") {
    await close()
    return ended
  }
  return { _tag: "Answered", answer: { program, controller: ended.answer, faults, close, hands: [] } }
}

/** How a call ended. `Stopped`: the machine did, and nobody will ever hear of it. */
export type Ended<A> =
  | { readonly _tag: "Answered"; readonly answer: A }
  | { readonly _tag: "Failed"; readonly tag: string; readonly detail: string }
  | { readonly _tag: "Stopped" }

/** Runs a call until it ends or its machine stops. */
export const run = <A, E extends { readonly _tag: string }>(
  call: Effect.Effect<A, E>,
  clock: StillClock
): Promise<Ended<A>> =>
  new Promise((resolve) => {
    // A machine that stopped has not tidied up.
    clock.onShort = undefined
    clock.onFrozen = () => {
      clearTimeout(late)
      resolve({ _tag: "Stopped" })
    }
    const late = setTimeout(() => resolve({ _tag: "Failed", tag: "Hangs", detail: "no end after a minute" }), 60_000)
    const fiber = Effect.runFork(Effect.provide(Effect.either(Effect.withClock(call, clock.clock)), silent))
    fiber.addObserver((exit) => {
      clearTimeout(late)
      if (exit._tag === "Failure") resolve({ _tag: "Failed", tag: "Defect", detail: String(exit.cause) })
      else if (exit.value._tag === "Right") resolve({ _tag: "Answered", answer: exit.value.right })
      else resolve({ _tag: "Failed", tag: exit.value.left._tag, detail: String(exit.value.left) })
    })
  })

/** What somebody gives without having to wait; nothing where it would wait. */
export const atOnce = <A, E>(self: Effect.Effect<A, E>, clock: StillClock): Effect.Effect<A | undefined, E> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(self)
    const idle = Effect.async<undefined>((resume) => {
      clock.onShort = () => resume(Effect.succeed(undefined))
    })
    const done = Effect.zipRight(
      Fiber.interrupt(fiber),
      Effect.sync(() => {
        clock.onShort = undefined
      })
    )
    return yield* Effect.ensuring(Effect.raceFirst(Fiber.join(fiber), idle), done)
  })

/** A database file, and a connection that reads what is committed. */
export interface Database {
  readonly filename: string
  readonly read: (names: Tables.Names) => Tables.Tables
  readonly close: () => void
}

export const connect = (filename: string): Database => {
  const database = new Sqlite(filename)
  return { filename, read: Tables.reading(database), close: () => void database.close() }
}

/** A directory in memory where there is one: what is tested is what is committed, not the disk. */
export const directory = (): string =>
  fs.mkdtempSync(path.join(fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir(), "applecart-model-"))

/** Makes a database as it is when an application was opened on it once, with the tables of its handlers. */
export const create = async (filename: string, clock: StillClock): Promise<void> => {
  const opened = await open(filename, { batchSize: 1, application: 1, readers: new Map() }, { luck: false }, clock)
  if (opened._tag !== "Answered") throw new Error(`the database cannot be opened: ${JSON.stringify(opened)}`)
  await opened.answer.close()
  const database = new Sqlite(filename)
  database.exec("CREATE TABLE effects (consumer TEXT, position INTEGER, n INTEGER, replay INTEGER)")
  database.exec("CREATE TABLE told (consumer TEXT, position INTEGER, how TEXT, missed INTEGER)")
  database.close()
}

// internal

/** That a disk fails is what the test does. */
const silent = Logger.remove(Logger.defaultLogger)

const connection = (filename: string) => SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename })))

const insertEffect = Transaction.statement(`INSERT INTO effects (consumer, position, n, replay) VALUES (?, ?, ?, ?)`)
const deleteEffect = Transaction.statement(`DELETE FROM effects WHERE consumer = ? AND position = ?`)
const insertTold = Transaction.statement(`INSERT INTO told (consumer, position, how, missed) VALUES (?, ?, ?, ?)`)
const deleteEffects = Transaction.statement(`DELETE FROM effects WHERE consumer = ?`)
const deleteTold = Transaction.statement(`DELETE FROM told WHERE consumer = ?`)

const Message = Schema.Struct({ n: Schema.Int, no: Schema.Array(Schema.String) })

/** Notes what it was handed; then it may say no. */
const handling = (name: string, version: number, switches: Switches) => ({
  name,
  version,
  message: Message,
  reset: Effect.zipRight(deleteEffects(name), deleteTold(name)),
  handle: ({ event, message: { n, no }, position }: Application.Input<typeof Message.Type>) =>
    Effect.gen(function* () {
      yield* insertEffect(name, position, n, event.replay ? 1 : 0)
      if (!switches.luck && (no.includes(name) || no.includes(`${name}@${version}`))) return yield* new Unlucky({ n })
    })
})

const recurring = Schedule.spaced(retryAfter).pipe(Schedule.intersect(Schedule.recurs(retryUntil - 1)))

const reader = (name: string, version: number, switches: Switches) =>
  Consumer.make({
    ...handling(name, version, switches),
    forget: ({ how, missed, operations }) =>
      Effect.forEach(operations, ({ position }) =>
        Effect.zipRight(deleteEffect(name, position), insertTold(name, position, how, missed ? 1 : 0))
      ),
    policy: () => (name === "two" ? Policy.retry(recurring) : Policy.hold)
  })

const controller = ({ application, batchSize, readers }: Program, switches: Switches) =>
  StreamController.make({
    pipeline,
    application: Application.make({
      ...handling("app", application, switches),
      forget: ({ operations }) => Effect.forEach(operations, ({ position }) => deleteEffect("app", position))
    }),
    consumers: Array.from(readers, ([name, version]) => reader(name, version, switches)),
    batchSize,
    crypto: Layer.succeed(Crypto.Crypto, native)
  })
