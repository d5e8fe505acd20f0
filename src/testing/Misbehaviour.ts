/**
 * Handlers that misbehave, in every way in which code that somebody else wrote can: it throws, never returns, writes and then fails,
 * detaches a fiber that writes too late, ends the transaction that it was given, exits the process. Put around an application, a
 * consumer or a processor; what holds with these holds with whatever a handler may do.
 *
 * Each does first what the handler does, so that there is something to undo.
 *
 * @example
 * const application = Misbehaviour.when(apples, Misbehaviour.nth(3, Misbehaviour.violatesAtCommit))
 * const controller = yield* StreamController.make({ pipeline, application })
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as process from "node:process"
import type * as Application from "../pipeline/Application.ts"
import type * as Consumer from "../pipeline/Consumer.ts"
import type { Event } from "../pipeline/Event.ts"
import type * as Processor from "../pipeline/Processor.ts"

/** What becomes of what a handler does: it may fail with `E`, and needs the services `R`. */
export type Misbehaviour<E = never, R = never> = <A, E2, R2>(
  handle: Effect.Effect<A, E2, R2>
) => Effect.Effect<A, E | E2 | SqlError, R | R2>

/** Says how an event is mistreated. `undefined`: it is handled well. */
export type Choose<In, E = never, R = never> = (event: In & Event) => Misbehaviour<E, R> | undefined

/** The application, but for events that are chosen. What is undone of these is the controller's business. */
export const when = <In, A, E, R, E2 = never, R2 = never>(
  application: Application.Application<In, A, E, R>,
  choose: Choose<In, E2, R2>
): Application.Application<In, A, E | E2, R | R2> => ({
  ...application,
  handle: (event, position) => {
    const misbehave = choose(event)
    const handled = application.handle(event, position)
    return misbehave === undefined ? handled : misbehave(handled)
  }
})

/** The consumer, but for events that are chosen. */
export const whenConsuming = <In, R, R2 = never>(
  consumer: Consumer.Consumer<In, R>,
  choose: Choose<In, unknown, R2>
): Consumer.Consumer<In, R | R2> => ({
  ...consumer,
  handle: (event, position) => {
    const misbehave = choose(event)
    const handled = consumer.handle(event, position)
    return misbehave === undefined ? handled : misbehave(handled)
  }
})

/**
 * The processor, but for events that are chosen. It decides purely and has no time limit, so that one that never decides, or that
 * writes, is nothing that a pipeline protects anybody from.
 */
export const whenDeciding = <In extends Event, Adds, E, R>(
  processor: Processor.Processor<In, Adds, E, R>,
  choose: Choose<In, never, SqlClient.SqlClient>
): Processor.Processor<In, Adds, E, R> => ({
  ...processor,
  open: () => {
    const session = processor.open()
    return {
      ...session,
      decide: (event) => {
        const misbehave = choose(event)
        return misbehave === undefined ? session.decide(event) : misbehave(session.decide(event))
      }
    }
  }
})

/** Chooses the n-th event that it is asked about, counted from 1, and no other one. */
export const nth = <E, R>(n: number, misbehaviour: Misbehaviour<E, R>): Choose<unknown, E, R> => {
  let asked = 0
  return () => (++asked === n ? misbehaviour : undefined)
}

/** Throws where it should have returned an effect. */
export const throws: Misbehaviour = () => {
  throw new Error("misbehaviour: it throws")
}

/** Fails with a typed error. */
export const fails =
  <E>(error: E): Misbehaviour<E> =>
  (handle) =>
    Effect.zipRight(handle, Effect.fail(error))

/** Dies of a bug. */
export const dies: Misbehaviour = (handle) => Effect.zipRight(handle, Effect.die(new Error("misbehaviour: it dies")))

/** Interrupts itself. */
export const interrupts: Misbehaviour = (handle) => Effect.zipRight(handle, Effect.interrupt)

/** Never returns. */
export const hangs: Misbehaviour = (handle) => Effect.zipRight(handle, Effect.never)

/** Takes its time, on the `Clock`, and then returns. */
export const sleeps =
  (duration: Duration.DurationInput): Misbehaviour =>
  (handle) =>
    Effect.zipLeft(handle, Effect.sleep(duration))

/**
 * Detaches a fiber that does the same once more when `until` has come, which may be long after the transaction, and returns.
 * `ended` is told what became of that.
 */
export const detaches =
  (until: Effect.Effect<void>, ended: (exit: Exit.Exit<unknown, unknown>) => void = () => undefined): Misbehaviour =>
  (handle) =>
    Effect.zipLeft(
      handle,
      Effect.forkDaemon(Effect.zipRight(until, handle).pipe(Effect.onExit((exit) => Effect.sync(() => ended(exit)))))
    )

/** Does it in a transaction of its own, with `sql.withTransaction`. That is allowed: it nests. */
export const nests: Misbehaviour<never, SqlClient.SqlClient> = (handle) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.withTransaction(handle))

/** Sends BEGIN, and returns. */
export const begins: Misbehaviour<never, SqlClient.SqlClient> = (handle) => Effect.zipLeft(handle, send("BEGIN"))

/** Sends COMMIT in the middle of the transaction that it is in, and returns. */
export const commits: Misbehaviour<never, SqlClient.SqlClient> = (handle) => Effect.zipLeft(handle, send("COMMIT"))

/** Sends ROLLBACK, and returns. */
export const rollsBack: Misbehaviour<never, SqlClient.SqlClient> = (handle) => Effect.zipLeft(handle, send("ROLLBACK"))

/** Breaks a constraint with a statement of its own. */
export const violates: Misbehaviour<never, SqlClient.SqlClient> = (handle) =>
  Effect.zipLeft(
    handle,
    Effect.zipRight(
      send("CREATE TABLE misbehaviour (n INTEGER CHECK (n < 10))"),
      send("INSERT INTO misbehaviour VALUES (11)")
    )
  )

/** Breaks a constraint that is only looked at when the transaction commits, and returns. */
export const violatesAtCommit: Misbehaviour<never, SqlClient.SqlClient> = (handle) =>
  Effect.zipLeft(
    handle,
    Effect.all([
      send("CREATE TABLE misbehaviour_parents (n INTEGER PRIMARY KEY)"),
      send("CREATE TABLE misbehaviour (n INTEGER REFERENCES misbehaviour_parents (n) DEFERRABLE INITIALLY DEFERRED)"),
      send("INSERT INTO misbehaviour VALUES (7)")
    ])
  )

/** Exits the process. For a process of its own. */
export const exits =
  (code: number): Misbehaviour =>
  (handle) =>
    Effect.zipLeft(
      handle,
      Effect.sync(() => process.exit(code))
    )

// internal

const send = (text: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text))
