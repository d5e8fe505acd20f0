/** Two processes take in the same operations: what each of them does, and what the database must hold afterwards. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Cause from "effect/Cause"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as fs from "node:fs"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Apples from "./Apples.ts"
import { Author } from "./Peer.ts"
import * as Database from "./ScenarioDatabase.ts"

/** Operations of an author. */
export const length = 250
/** Authors. */
export const authors = 3

/** What a process answers in the end. */
export interface Result {
  readonly accepted: ReadonlyArray<string>
  readonly errors: ReadonlyArray<string>
}

/** The same operations in both processes. */
export const operations: Effect.Effect<ReadonlyArray<Operation.Operation>, never, Crypto.Crypto> = Effect.map(
  Crypto.Crypto,
  (crypto) =>
    Array.from({ length: authors }, (_, nth) => {
      const author = new Author(crypto, nth + 1, Topic.named(crypto, "apples"))
      return Array.from({ length }, () => author.next(Apples.body({ pick: 1, by: `author ${nth}` })))
    }).flat()
)

/** By how many calls a process may be ahead of the other. */
const lead = 5

/**
 * Says how many calls it has made, and waits until the other process is not far behind: on a loaded machine one would be
 * through before the other began. The seeds of the two are 1 and 2.
 */
const keepPace = (file: string, seed: number, calls: number) => {
  const pace = (of: number) => `${file}.pace.${of}`
  const other = Effect.sync(() => (fs.existsSync(pace(3 - seed)) ? Number(fs.readFileSync(pace(3 - seed), "utf8")) : 0))
  return Effect.zipRight(
    Effect.sync(() => fs.writeFileSync(pace(seed), String(calls))),
    Effect.repeat(other, { until: (theirs) => theirs >= calls - lead, schedule: Schedule.spaced("2 millis") })
  )
}

/** Waits for `ready`, and then takes everything in, in an order of its own, by every way there is, beside another process that does the same. */
export const run = (file: string, seed: number, ready: Effect.Effect<void>) =>
  Effect.gen(function* () {
    const raws = Array.from(
      yield* Effect.withRandom(Effect.flatMap(operations, Random.shuffle), Random.make(seed)),
      Operation.raw
    )
    const accepted: Array<string> = []
    const errors: Array<string> = []
    const noting = <A, E>(self: Effect.Effect<A, E>) =>
      Effect.flatMap(Effect.exit(self), (exit) => {
        if (Exit.isSuccess(exit)) return Effect.succeed([exit.value])
        errors.push(Cause.pretty(exit.cause))
        return Effect.succeed([])
      })
    const controller = yield* StreamController.make({
      pipeline: Apples.pipeline,
      application: Apples.application,
      batchSize: 10,
      busyLimit: "20 seconds"
    })
    yield* Effect.forkScoped(
      Stream.runForEach(controller.outcomes, (one) =>
        Effect.sync(() => one._tag === "Accepted" && accepted.push(one.id))
      )
    )
    yield* ready
    for (let at = 0; at < raws.length; at += 12) {
      yield* keepPace(file, seed, at / 12)
      const some = raws.slice(at, at + 12)
      if ((at / 12) % 3 === 0) {
        yield* noting(controller.receiveAll(some))
        yield* noting(controller.drain)
      } else {
        yield* noting(controller.processAll(some))
      }
    }
    yield* noting(controller.drain)
    // The outcomes of the last batch are on their way.
    yield* Effect.sleep("50 millis")
    return { accepted, errors }
  }).pipe(Effect.scoped, Effect.provide(Database.plain(file)))
