/**
 * Statements that a connection prepares once and that are run past its client's cache of prepared statements: asking that
 * cache takes a dozen steps of Effect and a hash of the whole text, which is more than SQLite takes for an insert.
 *
 * The way past it is `executeUnprepared`: the SQLite client of Node prepares the text when it is called, and what it returns
 * runs that statement as often as it is run, with the parameters that are in the array by then. No interface promises either,
 * so a connection is tried once, and one that does otherwise gets its statements by `execute`.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Row } from "./capability.ts"

/** The statements of a connection. */
export interface Prepared {
  /** A statement, ready to be run; throws where it cannot be prepared. One after the other, since two of the same text share their parameters. */
  readonly statement: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<Row>, SqlError>
  /** Lets go of the parameters of the last one: bodies may be large. */
  readonly forget: () => void
}

/** The statements of a connection of SQLite, if it can be used so: that is found out when it is first asked for. */
export const of = (connection: Connection): Effect.Effect<Prepared | undefined> => {
  if (found.has(connection)) return Effect.succeed(found.get(connection))
  return Effect.map(isPreparing(connection), (preparing) => {
    const prepared = preparing ? make(connection) : undefined
    found.set(connection, prepared)
    return prepared
  })
}

// internal

const found = new WeakMap<Connection, Prepared | undefined>()

/** As many as the client's own cache holds. */
const capacity = 200

/** Whether a text is prepared when it is handed over, and its parameters are read when it is run. */
const isPreparing = (connection: Connection): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    if (!throws(() => connection.executeUnprepared("no statement", [], undefined))) return Effect.succeed(false)
    const params: Array<unknown> = [1]
    const probe = connection.executeUnprepared("SELECT ? AS probe", params, undefined)
    const read = Effect.map(probe, ([row]) => row?.probe)
    return Effect.flatMap(read, (first) => {
      params[0] = 2
      return Effect.map(read, (second) => first === 1 && second === 2)
    })
  }).pipe(Effect.catchAllCause(() => Effect.succeed(false)))

const throws = (f: () => unknown): boolean => {
  try {
    f()
    return false
  } catch {
    return true
  }
}

const make = (connection: Connection): Prepared => {
  const statements = new Map<
    string,
    { readonly params: Array<unknown>; readonly run: ReturnType<Prepared["statement"]> }
  >()
  let last: Array<unknown> = []
  const prepare = (sql: string) => {
    const params: Array<unknown> = []
    const made = { params, run: connection.executeUnprepared(sql, params, undefined) }
    const [oldest] = statements.keys()
    if (statements.size >= capacity && oldest !== undefined) statements.delete(oldest)
    statements.set(sql, made)
    return made
  }
  return {
    statement: (sql, params) => {
      const made = statements.get(sql) ?? prepare(sql)
      made.params.length = 0
      for (const param of params) made.params.push(param)
      last = made.params
      return made.run
    },
    forget: () => void (last.length = 0)
  }
}
