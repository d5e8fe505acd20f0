/**
 * Faults at chosen statements. A layer around the `SqlClient` below it that counts every statement, BEGIN, COMMIT,
 * SAVEPOINT and PRAGMA included, and lets the n-th one fail, die, wait, lose its connection, or kill the process: once, a number
 * of times, or until it is mended. Statements are chosen by number, by text, or by chance.
 *
 * The recipe: run a scenario once to learn how many statements it has; then run it once per statement with a fault there
 * and check what must hold.
 *
 * @example
 * const Database = SqlFaults.layer.pipe(Layer.provide(SqliteClient.layer({ filename })))
 * const program = Effect.gen(function* () {
 *   const faults = yield* SqlFaults.SqlFaults
 *   yield* faults.reset
 *   yield* scenario
 *   const statements = yield* faults.count
 *   for (let at = 1; at <= statements; at++) {
 *     yield* faults.reset
 *     yield* faults.arm({ at, fault: SqlFaults.failBefore("full") })
 *     yield* Effect.exit(scenario)
 *     yield* faults.disarm
 *     yield* invariants
 *   }
 * })
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { PCGRandom } from "effect/Utils"
import * as process from "node:process"
import { around } from "./internal/around.ts"

/** Kinds of errors, with the codes that SQLite gives them. */
export type Kind = "busy" | "full" | "io" | "constraint"

/** What happens at a statement. */
export type Fault =
  | { readonly _tag: "FailBefore"; readonly kind: Kind }
  | { readonly _tag: "FailAfter"; readonly kind: Kind }
  | { readonly _tag: "Lose" }
  | { readonly _tag: "Die" }
  | { readonly _tag: "Kill" }
  | { readonly _tag: "Delay"; readonly duration: Duration.DurationInput }

/** It fails and is not run. */
export const failBefore = (kind: Kind = "io"): Fault => ({ _tag: "FailBefore", kind })

/** It is run, and reported as failed all the same. */
export const failAfter = (kind: Kind = "io"): Fault => ({ _tag: "FailAfter", kind })

/**
 * The connection is lost: the database rolls back what was open on it, and the statement fails without being run. Where it happens
 * once, the next statement finds a new connection.
 */
export const lose: Fault = { _tag: "Lose" }

/** The driver throws; it is not run. */
export const die: Fault = { _tag: "Die" }

/** The process is killed (SIGKILL) before it is run. For a process of its own. */
export const kill: Fault = { _tag: "Kill" }

/** It is run after a while, on the `Clock`. */
export const delay = (duration: Duration.DurationInput): Fault => ({ _tag: "Delay", duration })

/** Which statements, and what happens there. */
export interface Plan {
  /**
   * The first one, counted from 1 since the last reset; with `text`, of those that have such a text, since the plan was armed.
   * Default: the first one there is.
   */
  readonly at?: number | undefined
  /** Only statements with such a text, as {@link writes}. Default: all. */
  readonly text?: RegExp | undefined
  readonly fault: Fault
  /** How many statements from there on. Default: 1. */
  readonly times?: number | undefined
  /** From there on for ever, until it is disarmed. */
  readonly forever?: boolean | undefined
}

/** Faults by chance: the same seed strikes the same of the same statements. */
export interface Chaos {
  readonly seed: number
  /** How many of a hundred statements are struck, on an average. */
  readonly percent: number
  /** What strikes, each as often as the others. Default: every error that is nobody's fault, before and after, and a lost connection. */
  readonly faults?: ReadonlyArray<Fault> | undefined
  /** Only statements with such a text. Default: all. */
  readonly text?: RegExp | undefined
}

/** The texts of statements that need room on the disk. Reading, rolling back and settings go on where the disk is full. */
export const writes = /^\s*(?:INSERT|UPDATE|DELETE|REPLACE|WITH|CREATE|DROP|ALTER|COMMIT|RELEASE)\b/i

/**
 * The disk is full from the n-th writing statement on (counted since it is armed), until it is disarmed: then there is room again.
 *
 * @example
 * yield* faults.arm(SqlFaults.fullDisk(3))
 */
export const fullDisk = (at = 1): Plan => ({ at, text: writes, fault: failBefore("full"), forever: true })

/** Plans the faults of the client that was made with it. */
export class SqlFaults extends Context.Tag("applecart/testing/SqlFaults")<
  SqlFaults,
  {
    /** How many statements were begun since the last reset. */
    readonly count: Effect.Effect<number>
    /** How many of them a fault struck. A test whose faults never strike shows nothing. */
    readonly struck: Effect.Effect<number>
    /** Their texts, in order. */
    readonly statements: Effect.Effect<ReadonlyArray<string>>
    /** Sets the plan; it replaces the one before. */
    readonly arm: (plan: Plan | Chaos) => Effect.Effect<void>
    /** Drops the plan: all is well again. The counts go on. */
    readonly disarm: Effect.Effect<void>
    /** Counts from 1 again, forgets the texts, drops the plan. */
    readonly reset: Effect.Effect<void>
  }
>() {}

/** Wraps a SQLite client. Its own name transformations and spans' attributes are left out. */
export const layer: Layer.Layer<SqlClient.SqlClient | SqlFaults, never, SqlClient.SqlClient> = Layer.suspend(() =>
  layerWith(Statement.makeCompilerSqlite())
)

/** Wraps a client of another database, whose compiler has to be given. */
export const layerWith = (
  compiler: Statement.Compiler
): Layer.Layer<SqlClient.SqlClient | SqlFaults, never, SqlClient.SqlClient> =>
  Layer.effectContext(
    Effect.map(SqlClient.SqlClient, (base) => {
      const state: State = { count: 0, struck: 0, statements: [], strikes: never }
      return Context.make(SqlFaults, control(state)).pipe(Context.add(SqlClient.SqlClient, wrap(base, compiler, state)))
    })
  )

// internal

interface State {
  count: number
  struck: number
  statements: Array<string>
  /** What happens at a statement of this number and text. */
  strikes: (number: number, sql: string) => Fault | undefined
}

const never: State["strikes"] = () => undefined

const control = (state: State): SqlFaults["Type"] => ({
  count: Effect.sync(() => state.count),
  struck: Effect.sync(() => state.struck),
  statements: Effect.sync(() => state.statements.slice()),
  arm: (plan) =>
    Effect.sync(() => {
      state.strikes = "seed" in plan ? byChance(plan) : planned(plan)
    }),
  disarm: Effect.sync(() => {
    state.strikes = never
  }),
  reset: Effect.sync(() => {
    state.strikes = never
    state.count = 0
    state.struck = 0
    state.statements = []
  })
})

const planned = ({ at = 0, fault, forever = false, text, times = 1 }: Plan): State["strikes"] => {
  let matching = 0
  let left = forever ? Infinity : times
  return (number, sql) => {
    if (text !== undefined && !text.test(sql)) return undefined
    const nth = text === undefined ? number : ++matching
    // Past the first one it is a matter of how often it has struck; a plan for what is over strikes nothing.
    if (nth < at || left <= 0 || (!forever && at > 0 && nth >= at + times)) return undefined
    left -= 1
    return fault
  }
}

const usual: ReadonlyArray<Fault> = [
  ...(["busy", "full", "io"] as const).flatMap((kind) => [failBefore(kind), failAfter(kind)]),
  lose
]

const byChance = ({ faults = usual, percent, seed, text }: Chaos): State["strikes"] => {
  const random = new PCGRandom(seed)
  return (_, sql) =>
    (text === undefined || text.test(sql)) && random.number() * 100 < percent
      ? faults[random.integer(faults.length)]
      : undefined
}

/** Made of the same parts as stock clients are, so that it behaves as they do, their faults included. */
const wrap = (base: SqlClient.SqlClient, compiler: Statement.Compiler, state: State): SqlClient.SqlClient => {
  const reserve = Effect.map(base.reserve, (connection) => faulty(connection, state))
  const connection = Effect.flatMap(Effect.serviceOption(SqlClient.TransactionConnection), (open) =>
    open._tag === "Some" ? Effect.succeed(open.value[0]) : reserve
  )
  const send = (text: string) => (on: Connection) => on.executeUnprepared(text, [], undefined)
  const sendNamed = (text: string) => (on: Connection, id: number) => send(`${text} effect_sql_${id}`)(on)
  const id: Pick<SqlClient.SqlClient, SqlClient.TypeId> = { [SqlClient.TypeId]: base[SqlClient.TypeId] }
  const client: SqlClient.SqlClient = Object.assign(Statement.make(connection, compiler, [], undefined), id, {
    safe: base,
    withoutTransforms: () => client,
    reserve,
    withTransaction: SqlClient.makeWithTransaction({
      transactionTag: SqlClient.TransactionConnection,
      spanAttributes: [],
      acquireConnection: Effect.flatMap(Scope.make(), (scope) =>
        Effect.map(Scope.extend(reserve, scope), (on) => [scope, on] as const)
      ),
      begin: send("BEGIN"),
      commit: send("COMMIT"),
      rollback: send("ROLLBACK"),
      savepoint: sendNamed("SAVEPOINT"),
      rollbackSavepoint: sendNamed("ROLLBACK TO SAVEPOINT")
    }),
    reactive: base.reactive,
    reactiveMailbox: base.reactiveMailbox
  })
  return Object.assign(client, { safe: client })
}

const faulty = (base: Connection, state: State): Connection =>
  around(base, (sql, run) => apply(next(state, sql), run, base))

/** Counts a statement and tells what happens to it. */
const next = (state: State, sql: string): Fault | undefined => {
  const number = ++state.count
  state.statements.push(sql)
  const fault = state.strikes(number, sql)
  if (fault !== undefined) state.struck += 1
  return fault
}

const apply = <A>(
  fault: Fault | undefined,
  run: () => Effect.Effect<A, SqlError>,
  base: Connection
): Effect.Effect<A, SqlError> => {
  switch (fault?._tag) {
    case undefined:
      return run()
    case "FailBefore":
      return Effect.fail(injected(fault.kind))
    case "FailAfter":
      return Effect.zipRight(Effect.suspend(run), Effect.fail(injected(fault.kind)))
    case "Lose":
      // Where nothing is open there is nothing to roll back.
      return Effect.zipRight(Effect.ignore(base.execute("ROLLBACK", [], undefined)), Effect.fail(lost()))
    case "Die":
      return Effect.die(new Error("injected: the driver threw"))
    case "Kill":
      return Effect.zipRight(
        Effect.sync(() => process.kill(process.pid, "SIGKILL")),
        Effect.never
      )
    case "Delay":
      return Effect.delay(Effect.suspend(run), fault.duration)
  }
}

/** What better-sqlite3 says on a connection that is closed; PostgreSQL's drivers say it in other words. */
const lost = (): SqlError =>
  new SqlError({
    cause: new TypeError("The database connection is not open"),
    message: "Failed to execute statement"
  })

const codes = {
  busy: "SQLITE_BUSY",
  full: "SQLITE_FULL",
  io: "SQLITE_IOERR_WRITE",
  constraint: "SQLITE_CONSTRAINT_CHECK"
} satisfies Record<Kind, string>

const injected = (kind: Kind): SqlError =>
  new SqlError({
    cause: Object.assign(new Error(`injected: ${kind}`), { code: codes[kind] }),
    message: "Failed to execute statement"
  })
