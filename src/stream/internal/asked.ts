/**
 * What is asked of consumers, as it is recorded: the same for the controller and for the command line, which has none. Nothing
 * here needs a handler; the program that has it carries out what is recorded.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Crypto from "../../core/Crypto.ts"
import * as Store from "../../store/Consumers.ts"
import * as Deliveries from "../../store/Deliveries.ts"
import * as Replays from "../../store/Replays.ts"
import type { Transaction } from "../../store/Transaction.ts"
import type { Replay } from "../Consumers.ts"
import { UnknownConsumer } from "../Errors.ts"

/** Fails with the names that there are. */
type Asking<A, R = SqlClient> = Effect.Effect<A, SqlError | UnknownConsumer, R>

/** The consumer of this name, of one of these roles; none said: of any. */
export const named = (name: string, ...wanted: ReadonlyArray<Store.Role>): Asking<Store.Consumer> =>
  Effect.gen(function* () {
    const known = (yield* Store.all).filter(({ role }) => wanted.length === 0 || wanted.includes(role))
    const found = known.find((one) => one.name === name)
    return found ?? (yield* new UnknownConsumer({ name, wanted, known: known.map((one) => one.name) }))
  })

/** Says whether a reader or puller is handed anything. */
export const pause = (name: string, isPaused: boolean): Asking<void, SqlClient | Transaction> =>
  Effect.zipRight(named(name, "reader", "puller"), Effect.asVoid(Store.pause(name, isPaused)))

/** Forgets a reader or puller. */
export const remove = (name: string): Asking<void, SqlClient | Transaction> =>
  Effect.zipRight(named(name, "reader", "puller"), Effect.asVoid(Store.remove(name)))

/** Makes parked positions due, these or all of them; gives how many. */
export const retry = (
  name: string,
  positions: ReadonlyArray<number> | undefined
): Asking<number, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const { consumer } = yield* handed(name)
    return yield* Deliveries.retry(consumer, positions, yield* Clock.currentTimeMillis)
  })

/** What of its past a consumer is to be handed. */
export interface Job {
  readonly consumer: Store.Consumer
  readonly job: Replays.Job
}

/** What a replay is about. Records nothing. */
export const job = (crypto: Crypto.Service, replay: Replay): Asking<Job> =>
  Effect.map(handed(replay.consumer), (consumer) => ({
    consumer,
    job: Replays.job(crypto, replay, consumer.position)
  }))

/** Records a replay; gives its number too. */
export const replay = (
  crypto: Crypto.Service,
  replay: Replay
): Asking<Job & { readonly number: number }, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const one = yield* job(crypto, replay)
    const number = yield* Replays.begin(one.consumer.consumer, one.job, yield* Clock.currentTimeMillis)
    return { ...one, number }
  })

// internal

/** One that can be handed something again. A processor is not: it decides once, or is rebuilt as a whole. */
const handed = (name: string): Asking<Store.Consumer> => named(name, "application", "reader", "puller")
