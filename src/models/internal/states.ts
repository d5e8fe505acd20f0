/**
 * States by key, kept as JSON, in generations: one is shown to readers while the next one is built beside it. Which ones these
 * are stands in a table, so that the switch is a statement, and goes with the transaction that it is in.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type { Migration } from "../../store/Migrations.ts"
import * as Rows from "../../store/internal/rows.ts"
import * as Transaction from "../../store/Transaction.ts"

/** A state as it is kept. */
export interface Kept {
  readonly key: string
  /** JSON. */
  readonly state: string
  /** The version of the application that it was kept by. */
  readonly version: number
}

/** The tables `<name>_generations` and `<name>_shown`, and the view `<name>_states` of what readers are to see. */
export const migration = (name: string): Migration => ({
  name: `${name}_states`,
  up: [
    `CREATE TABLE ${name}_generations (
      generation INTEGER NOT NULL,
      key TEXT NOT NULL,
      state TEXT NOT NULL,
      PRIMARY KEY (generation, key)
    )`,
    // Nothing is shown before the application has caught up for the first time.
    `CREATE TABLE ${name}_shown (shown INTEGER NOT NULL, version INTEGER NOT NULL, written INTEGER NOT NULL)`,
    `INSERT INTO ${name}_shown VALUES (0, 0, 1)`,
    `CREATE VIEW ${name}_states AS SELECT key, state FROM ${name}_generations
     WHERE generation = (SELECT shown FROM ${name}_shown)`
  ]
})

/** What can be done with the states of an application. */
export interface States {
  /** The state that handlers go on from. */
  readonly load: (key: string) => Effect.Effect<string | undefined, SqlError, SqlClient>
  readonly save: (key: string, state: string) => Effect.Effect<unknown, SqlError, Transaction.Transaction>
  /** The state that readers see. */
  readonly find: (key: string) => Effect.Effect<Kept | undefined, SqlError, SqlClient>
  /** The states that readers see, by key, so many after a key; none: from the first on. */
  readonly page: (after: string | undefined, limit: number) => Effect.Effect<ReadonlyArray<Kept>, SqlError, SqlClient>
  /** Begins a generation; readers go on seeing the one that they see. */
  readonly begin: Effect.Effect<void, SqlError, Transaction.Transaction>
  /** Shows what was built by a version, and deletes what was shown before. */
  readonly show: (version: number) => Effect.Effect<void, SqlError, Transaction.Transaction>
}

export const make = (name: string): States => {
  const written = `(SELECT written FROM ${name}_shown)`
  const shown = `SELECT g.key, g.state, s.version FROM ${name}_shown AS s JOIN ${name}_generations AS g ON g.generation = s.shown`
  const load = Transaction.query(`SELECT state FROM ${name}_generations WHERE generation = ${written} AND key = ?`)
  const save = Transaction.statement(
    `INSERT INTO ${name}_generations (generation, key, state) VALUES (${written}, ?, ?)
     ON CONFLICT (generation, key) DO UPDATE SET state = excluded.state`
  )
  const find = Transaction.query(`${shown} WHERE g.key = ?`)
  const first = Transaction.query(`${shown} ORDER BY g.key LIMIT ?`)
  const next = Transaction.query(`${shown} WHERE g.key > ? ORDER BY g.key LIMIT ?`)
  const renew = Transaction.statement(`UPDATE ${name}_shown SET written = shown + 1`)
  const show = Transaction.statement(`UPDATE ${name}_shown SET shown = written, version = ?`)
  const deleteOthers = Transaction.statement(
    `DELETE FROM ${name}_generations WHERE generation <> (SELECT shown FROM ${name}_shown)`
  )
  return {
    load: (key) => Effect.map(load(key), ([row]) => (row === undefined ? undefined : Rows.text(row, "state"))),
    save,
    find: (key) => Effect.map(find(key), ([row]) => (row === undefined ? undefined : kept(row))),
    page: (after, limit) =>
      Effect.map(after === undefined ? first(limit) : next(after, limit), (rows) => rows.map(kept)),
    // What was half built before, by this version or another, goes first.
    begin: Effect.zipRight(deleteOthers(), Effect.asVoid(renew())),
    show: (version) => Effect.zipRight(show(version), Effect.asVoid(deleteOthers()))
  }
}

// internal

const kept = (row: Transaction.Row): Kept => ({
  key: Rows.text(row, "key"),
  state: Rows.text(row, "state"),
  version: Rows.integer(row, "version")
})
