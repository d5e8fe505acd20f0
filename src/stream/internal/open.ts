/** Opening a database: its tables, whom it belongs to, who reads it, and what is to be replayed. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import * as Application from "../../pipeline/Application.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Consumers from "../../store/Consumers.ts"
import * as DatabaseFile from "../../store/DatabaseFile.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Migrations from "../../store/Migrations.ts"
import * as Operations from "../../store/Operations.ts"
import * as Tables from "../../store/Tables.ts"
import * as Transaction from "../../store/Transaction.ts"
import { CannotRebuild, NameTaken, Superseded, WrongApplication } from "../Errors.ts"
import type { Setup } from "./setup.ts"

/** Why a database is not opened. */
export type Refusal = WrongApplication | NameTaken | Superseded | CannotRebuild

/**
 * Migrates the database, makes sure that it belongs to this application, records who is to be built or handed anything, and queues
 * what was not accepted, as far as that is wanted.
 */
export const open = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>
): Effect.Effect<void, SqlError | Migrations.MigrationError | Refusal, SqlClient> =>
  Effect.gen(function* () {
    yield* DatabaseFile.overwriteDeleted
    yield* Migrations.run([
      { owner: Tables.owner, migrations: Tables.migrations },
      ...[...setup.pipeline.processors, setup.application, ...setup.consumers]
        .filter(({ migrations }) => migrations.length > 0)
        .map(({ migrations, name }) => ({ owner: name, migrations }))
    ])
    const twice = known(setup).find(({ name }, index, all) => all.findIndex((one) => one.name === name) !== index)
    if (twice !== undefined) return yield* new NameTaken(twice)
    const changes = yield* changed(setup)
    const replay = setup.replayOnStart
    const leftOver = replay !== false && (yield* Inbox.anyHeld)
    if (changes.length === 0 && !leftOver) return
    yield* Transaction.run(
      Effect.gen(function* () {
        // Asked again, since another process may have been quicker.
        for (const change of yield* changed(setup)) yield* change
        if (replay === true) yield* Inbox.requeue
        else if (replay !== false) yield* Inbox.requeueOnly(replay)
      }),
      { busyLimit: setup.busyLimit }
    )
  })

// internal

/** One of those that read what is accepted. */
interface Known {
  readonly name: string
  readonly role: Consumers.Role
  readonly version: number
  readonly reset: unknown
  readonly ready: Effect.Effect<unknown, SqlError, SqlClient | Transaction.Transaction>
}

const known = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>({
  application,
  consumers,
  pipeline
}: Setup<X, Out, A, E, R>): ReadonlyArray<Known> => [
  ...pipeline.processors
    .filter(({ reset }) => reset !== undefined)
    .map((one) => ({
      ...one,
      name: Consumers.processorName(one.name),
      role: "processor" as const,
      ready: Effect.void
    })),
  ...(application.name === Application.noneName ? [] : [{ ...application, role: "application" as const }]),
  ...consumers.map((one) => ({ ...one, role: "reader" as const }))
]

/** Something to be written about one of them. */
type Change = Effect.Effect<void, SqlError, SqlClient | Transaction.Transaction>

/** What is to be written about them. Reads only. */
const changed = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(setup: Setup<X, Out, A, E, R>) =>
  Effect.gen(function* () {
    const recorded = yield* Consumers.all
    const last = yield* Operations.lastPosition
    const owner = recorded.find(({ role }) => role === "application")
    const found = setup.application.name
    if (owner !== undefined && owner.name !== found) return yield* new WrongApplication({ expected: owner.name, found })
    const mine = known(setup)
    const changes: Array<Change> = []
    for (const one of mine) {
      const change = yield* compare(
        one,
        recorded.find(({ name }) => name === one.name),
        last
      )
      if (change !== undefined) changes.push(change)
    }
    const names = new Set(mine.map(({ name }) => name))
    const stale = recorded.filter(
      ({ name, role, state }) => role === "processor" && state === "live" && !names.has(name)
    )
    if (stale.length > 0) changes.push(Consumers.only(Array.from(names)))
    return changes
  })

const compare = (
  { name, ready, reset, role, version }: Known,
  found: Consumers.Consumer | undefined,
  last: number
): Effect.Effect<Change | undefined, Refusal> => {
  if (found === undefined) {
    const add = (state: Consumers.State) => Consumers.add({ name, role, version, position: 0, state })
    if (last === 0) return Effect.succeed(Effect.zipRight(ready, add("live")))
    // A processor may have been here before anybody kept account of it.
    return Effect.succeed(add(role === "processor" ? "reset" : "building"))
  }
  if (found.role !== role) return new NameTaken({ name, role: found.role })
  if (found.version > version) return new Superseded({ name, version, found: found.version })
  if (found.version === version) return Effect.succeed(undefined)
  return reset === undefined ? new CannotRebuild({ name }) : Effect.succeed(Consumers.upgrade(name, version))
}
