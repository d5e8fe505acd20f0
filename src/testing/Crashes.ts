/**
 * Real crashes: starts a program of yours on a real file, kills it (SIGKILL) at a random moment or at a statement, looks at what it
 * left, and starts it again with other options; many times in a row, so that one is killed while it recovers from the last one.
 * After each death it is asked whether what should hold does, given all that the program had confirmed, which is kept outside the
 * database. The last start is let finish.
 *
 * The program is written with `Victim`. See docs/crashes.md.
 *
 * @example
 * const chain = yield* Crashes.run({
 *   command: [process.execPath, "dist/victim.js"],
 *   open: (filename) => SqliteClient.layer({ filename }),
 *   seed: 1,
 *   options: Effect.map(Random.nextIntBetween(1, 100), (batchSize) => ({ batchSize })),
 *   check: ({ told }) => Promises.broken({ told })
 * })
 * assert.isAbove(chain.deaths, 0)
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { At, type Orders } from "./internal/orders.ts"
import * as Processes from "./internal/processes.ts"
import type { Told } from "./Promises.ts"

/**
 * When a program is killed.
 *
 * - `Time`: so many milliseconds after it has confirmed (or noted) so many times since its start;
 * - `Statement`: before or after the n-th statement that begins with `text`; the program kills itself there.
 */
export const Moment = Schema.Union(
  Schema.TaggedStruct("Time", { confirmations: Schema.Int, millis: Schema.Int }),
  Schema.TaggedStruct("Statement", At.fields)
)
export type Moment = typeof Moment.Type

/** What is known when the file is looked at. */
export interface Known {
  /** What was confirmed by all starts together, oldest first. */
  readonly told: ReadonlyArray<Told>
  /** What all starts noted, oldest first. */
  readonly notes: ReadonlyArray<unknown>
  /** How often the program was started before. */
  readonly nth: number
  /** Whether the last start came to its end, so that everything must be done. */
  readonly isOver: boolean
}

/** What is killed, and what must hold. */
export interface Options<E, E2> {
  /** The program and its arguments: `[process.execPath, "dist/victim.js"]`. */
  readonly command: Processes.Command
  /** Opens the file, to look at it. */
  readonly open: (filename: string) => Layer.Layer<SqlClient.SqlClient, E>
  /** What does not hold, each as a sentence; usually `Promises.broken`, and what your own tables promise. */
  readonly check: (known: Known) => Effect.Effect<ReadonlyArray<string>, SqlError | E2, SqlClient.SqlClient>
  /** Everything random follows from it. */
  readonly seed: number
  /** How often it is started to be killed. Default: 10. */
  readonly lives?: number | undefined
  /** What each start is told besides, as JSON; drawn with `Random`. Default: nothing. */
  readonly options?: ((nth: number) => Effect.Effect<unknown>) | undefined
  /** When each start is killed; drawn with `Random`. Default: {@link moment}. */
  readonly moment?: Effect.Effect<Moment> | undefined
  /** Where the directory of the file is made. Default: the system's directory for temporary files. */
  readonly directory?: string | undefined
  /** How long after its beginning a start may take to come to its moment; then it is killed wherever it is. Default: 2 seconds. */
  readonly patience?: Duration.DurationInput | undefined
  /** How long a start may take to begin, and the last one to finish. Default: 1 minute. */
  readonly timeLimit?: Duration.DurationInput | undefined
}

/** What a chain of crashes showed. */
export interface Chain {
  /** How many starts were killed: `atStatement` by themselves at their statement, the others at a moment. */
  readonly deaths: number
  readonly atStatement: number
  /** How many came to their end before they could be killed. */
  readonly survived: number
  /** How much was confirmed. */
  readonly told: number
}

/** Something does not hold. The file stays where it is. */
export class Broken extends Schema.TaggedError<Broken>()("Broken", {
  broken: Schema.Array(Schema.String),
  seed: Schema.Number,
  nth: Schema.Number,
  options: Schema.Unknown,
  /** None for the last start, which nobody killed. */
  moment: Schema.optional(Moment),
  /** What was confirmed last. */
  told: Schema.Array(Schema.Unknown),
  filename: Schema.String
}) {
  override get message() {
    return [
      `${this.broken.length} promises do not hold after start ${this.nth} of seed ${this.seed}:`,
      ...this.broken.map((one) => `  ${one}`),
      `It was told ${JSON.stringify(this.options)}, and ${ending(this.moment)}.`,
      `It had confirmed last: ${JSON.stringify(this.told)}`,
      `The file as it was left: ${this.filename}`
    ].join("\n")
  }
}

/** The program did not do as it should: it failed, or did not come to an end. The file stays where it is. */
export class ProgramFailed extends Schema.TaggedError<ProgramFailed>()("ProgramFailed", {
  seed: Schema.Number,
  nth: Schema.Number,
  options: Schema.Unknown,
  moment: Schema.optional(Moment),
  /** How it ended: an exit code or a signal. */
  ended: Schema.String,
  stderr: Schema.String,
  filename: Schema.String
}) {
  override get message() {
    return [
      `The program ended with ${this.ended} at start ${this.nth} of seed ${this.seed}; it was told ${JSON.stringify(this.options)}, and ${ending(this.moment)}.`,
      `The file as it was left: ${this.filename}`,
      this.stderr
    ].join("\n")
  }
}

/** When a start is killed by default: two of three at a random moment, one at a statement. */
export const moment: Effect.Effect<Moment> = Effect.gen(function* () {
  const below = (limit: number) => Random.nextIntBetween(0, limit)
  if ((yield* below(3)) > 0) return { _tag: "Time", confirmations: yield* below(8), millis: yield* below(12) }
  const text = texts[yield* below(texts.length)] ?? "COMMIT"
  // Mostly early: a program that recovers is at its most interesting.
  const nth = 1 + (yield* below(2 ** (1 + (yield* below(6)))))
  return { _tag: "Statement", text, nth, when: (yield* below(2)) === 0 ? "after" : "before" }
})

/**
 * Starts and kills the program so many times, and lets it finish in the end. Fails with {@link Broken} as soon as something does
 * not hold. The same seed draws the same options and moments; what the program had done by a moment is up to the machine, so only
 * a death at a statement is likely to come again.
 */
export const run = <E, E2>(options: Options<E, E2>): Effect.Effect<Chain, Broken | ProgramFailed | SqlError | E | E2> =>
  Effect.gen(function* () {
    const directory = fs.mkdtempSync(path.join(options.directory ?? os.tmpdir(), "applecart-crashes-"))
    const kept: Kept = { filename: path.join(directory, "crashed.db"), told: [], notes: [] }
    const lives = options.lives ?? 10
    const chain = { deaths: 0, atStatement: 0, survived: 0 }
    for (let nth = 0; nth < lives; nth++) {
      const life = yield* draw(options, nth, false)
      const end = yield* live(options, kept, life)
      if (end === "survived") chain.survived += 1
      else chain.deaths += 1
      if (end === "statement") chain.atStatement += 1
      yield* look(options, kept, life, false)
    }
    const last = yield* draw(options, lives, true)
    yield* live(options, kept, last)
    yield* look(options, kept, last, true)
    // Only now: the file of a failure stays.
    fs.rmSync(directory, { recursive: true, force: true })
    return { ...chain, told: kept.told.length }
  })

// internal

/** One start. */
interface Life {
  readonly nth: number
  readonly seed: number
  readonly options: unknown
  readonly moment: Moment | undefined
}

/** What is kept outside the database. */
interface Kept {
  readonly filename: string
  readonly told: Array<Told>
  readonly notes: Array<unknown>
}

/** How the statements begin of which every transaction is made; mostly it is the end of one that matters. */
const texts = ["BEGIN", "SAVEPOINT", "RELEASE", "INSERT", "UPDATE", "DELETE", "SELECT", "PRAGMA"].concat(
  Array.from({ length: 4 }, () => "COMMIT")
)

const ending = (moment: Moment | undefined): string => {
  if (moment === undefined) return "was to finish"
  return moment._tag === "Time"
    ? `was killed ${moment.millis} ms after ${moment.confirmations} confirmations (the same moment does not come again exactly)`
    : `was killed ${moment.when} statement ${moment.nth} that begins with ${moment.text}`
}

const draw = <E, E2>(options: Options<E, E2>, nth: number, isLast: boolean): Effect.Effect<Life> =>
  Effect.withRandom(
    Effect.gen(function* () {
      const when = yield* options.moment ?? moment
      const seed = yield* Random.nextIntBetween(0, 0x7fff_ffff)
      const told = yield* options.options?.(nth) ?? Effect.succeed(undefined)
      return { nth, seed, options: told, moment: isLast ? undefined : when }
    }),
    Random.make(`${options.seed} ${nth}`)
  )

/** How a life has ended. */
type End = "killed" | "statement" | "survived"

const live = <E, E2>(
  { command, patience = "2 seconds", seed, timeLimit = "1 minute" }: Options<E, E2>,
  kept: Kept,
  life: Life
): Effect.Effect<End, ProgramFailed> =>
  Effect.gen(function* () {
    const { moment } = life
    let isLate = false
    const running = yield* Processes.start(command, orders(kept.filename, life))
    const whole = Effect.sleep(timeLimit)
    const own = Effect.zipRight(running.said(0), Effect.sleep(patience))
    const limit = Effect.zipRight(
      moment === undefined ? whole : Effect.raceFirst(own, whole),
      Effect.suspend(() => ((isLate = true), running.kill))
    )
    if (moment?._tag === "Time") {
      const due = Effect.zipRight(running.said(moment.confirmations), Effect.sleep(moment.millis))
      yield* Effect.raceFirst(Effect.zipRight(due, running.kill), limit)
    } else yield* Effect.raceFirst(running.ended, limit)
    const { code, lines, signal, stderr } = yield* running.ended
    for (const line of lines) {
      if ("told" in line) kept.told.push(...line.told)
      else if ("note" in line) kept.notes.push(line.note)
    }
    // One that has not even begun was not killed by us at its moment.
    if (signal === "SIGKILL" && moment !== undefined && lines.length > 0)
      return moment._tag === "Statement" && !isLate ? ("statement" as const) : ("killed" as const)
    if (code === 0) return "survived" as const
    const { filename } = kept
    return yield* new ProgramFailed({ ...life, seed, ended: String(signal ?? code), stderr, filename })
  }).pipe(Effect.scoped)

const orders = (filename: string, { moment, nth, options, seed }: Life): Orders => ({
  filename,
  nth,
  seed,
  isLast: moment === undefined,
  options,
  ...(moment?._tag === "Statement" ? { at: { text: moment.text, nth: moment.nth, when: moment.when } } : {})
})

/** Looks at a copy, so that whoever comes next finds what the dead one left: its write-ahead log, and nobody having read it. */
const look = <E, E2>(
  { check, open, seed }: Options<E, E2>,
  { filename, notes, told }: Kept,
  life: Life,
  isOver: boolean
): Effect.Effect<void, Broken | SqlError | E | E2> =>
  Effect.gen(function* () {
    const copy = `${filename}.copy`
    yield* copied(filename, copy)
    const known: Known = { told: told.slice(), notes: notes.slice(), nth: life.nth, isOver }
    const broken = yield* Effect.provide(check(known), open(copy))
    if (broken.length > 0) return yield* new Broken({ ...life, seed, broken, told: told.slice(-3), filename })
  }).pipe(Effect.scoped)

const ends = ["", "-wal"]

const copied = (from: string, to: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.sync(() => {
        for (const end of ends) if (fs.existsSync(from + end)) fs.copyFileSync(from + end, to + end)
      }),
      () => Effect.sync(() => ["", "-wal", "-shm"].forEach((end) => fs.rmSync(to + end, { force: true })))
    )
  )
