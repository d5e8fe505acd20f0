/**
 * The side of a program that `Crashes` kills: what it is told at its start, and how it says what was confirmed to it.
 *
 * What is said is out before the next call is made: it is written to file descriptor 3 with a blocking call. So whatever a caller
 * could have relied on when the process died, the driver knows.
 *
 * @example
 * const program = Effect.gen(function* () {
 *   const victim = yield* Victim.Victim
 *   const controller = yield* StreamController.make({ pipeline, application })
 *   do yield* Effect.tap(controller.processAll(some), victim.confirm)
 *   while (!victim.isLast)
 * })
 * const database = Victim.layer((filename) => SqliteClient.layer({ filename }))
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(database)))
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as process from "node:process"
import { around } from "./internal/around.ts"
import { descriptor, read, variable, type At, type Line, type Orders } from "./internal/orders.ts"
import * as Promises from "./Promises.ts"
import * as SqlFaults from "./SqlFaults.ts"

/** An answer of a controller: an outcome, what `receive` says, what was published. */
export type Answer = Parameters<typeof Promises.told>[0] | { readonly id: string; readonly position: number }

/** The orders of this start, and the way back to the driver. */
export class Victim extends Context.Tag("applecart/testing/Victim")<
  Victim,
  Omit<Orders, "at"> & {
    /** Says what an answer, or each of many, confirms. To be done right behind the call: `Effect.tap(call, victim.confirm)`. */
    readonly confirm: (answer: Answer | ReadonlyArray<Answer>) => Effect.Effect<void>
    /** Says anything else that the driver's check is to know, as JSON. */
    readonly note: (note: unknown) => Effect.Effect<void>
  }
>() {}

/** The program was started by hand: nobody told it what to do. */
export class NoOrders extends Schema.TaggedError<NoOrders>()("NoOrders", { variable: Schema.String }) {
  override get message() {
    return `This program is to be started by Crashes.run, which tells it in ${this.variable} what to do; there is nothing, or nothing that can be read.`
  }
}

/** The database of this start, with the moment of death in it where that is a statement. `open` makes the program's client. */
export const layer = <E, R>(
  open: (filename: string) => Layer.Layer<SqlClient.SqlClient, E, R>
): Layer.Layer<Victim | SqlClient.SqlClient, E | NoOrders, R> =>
  Layer.unwrapEffect(
    Effect.gen(function* () {
      const orders = read(process.env[variable])
      if (orders === undefined) return yield* new NoOrders({ variable })
      const { at, ...rest } = orders
      say({ begun: true })
      const client = open(orders.filename)
      return Layer.merge(
        Layer.succeed(Victim, { ...rest, confirm, note: (note) => Effect.sync(() => say({ note })) }),
        // Without a statement to die at it is the program's own client, and nothing around it.
        at === undefined ? client : SqlFaults.layer.pipe(Layer.provide(Layer.provide(mortal(at), client)))
      )
    })
  )

// internal

const say = (line: Line): void => void fs.writeSync(descriptor, `${JSON.stringify(line)}\n`)

const confirm = (answer: Answer | ReadonlyArray<Answer>): Effect.Effect<void> =>
  Effect.sync(() => {
    const told = (isMany(answer) ? answer : [answer]).flatMap(confirmed)
    if (told.length > 0) say({ told })
  })

const isMany = (answer: Answer | ReadonlyArray<Answer>): answer is ReadonlyArray<Answer> => Array.isArray(answer)

const confirmed = (answer: Answer): ReadonlyArray<Promises.Told> =>
  "_tag" in answer ? Promises.told(answer) : [{ id: answer.id, where: "accepted" as const, position: answer.position }]

const die: Effect.Effect<never> = Effect.zipRight(
  Effect.sync(() => process.kill(process.pid, "SIGKILL")),
  Effect.never
)

/** A client whose connections are the death of the process at a statement. Everything else of it `SqlFaults` makes anew. */
const mortal = (at: At): Layer.Layer<SqlClient.SqlClient, never, SqlClient.SqlClient> =>
  Layer.effect(
    SqlClient.SqlClient,
    Effect.map(SqlClient.SqlClient, (base) => {
      let count = 0
      const isDue = (sql: string) => sql.trimStart().startsWith(at.text) && ++count === at.nth
      const reserve = Effect.map(base.reserve, (connection) => deadly(connection, isDue, at.when))
      // A function with properties.
      return Object.assign(base.bind(undefined), base, { reserve })
    })
  )

const deadly = (base: Connection, isDue: (sql: string) => boolean, when: At["when"]): Connection =>
  around(base, (sql, run) => {
    if (!isDue(sql)) return run()
    // Also behind one that fails.
    return when === "before" ? die : Effect.zipRight(Effect.exit(run()), die)
  })
