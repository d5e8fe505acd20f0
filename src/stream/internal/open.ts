/** Opening a database: its tables, the application it belongs to, and what is to be replayed. */
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
import { ApplicationBehind, WrongApplication } from "../Errors.ts"
import type { Setup } from "./setup.ts"

/** Migrates the database, makes sure that it belongs to this application, and queues what was not accepted, as far as that is wanted. */
export const open = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>
): Effect.Effect<void, SqlError | Migrations.MigrationError | WrongApplication | ApplicationBehind, SqlClient> =>
  Effect.gen(function* () {
    yield* DatabaseFile.overwriteDeleted
    yield* Migrations.run([
      { owner: Tables.owner, migrations: Tables.migrations },
      ...[...setup.pipeline.processors, setup.application]
        .filter(({ migrations }) => migrations.length > 0)
        .map(({ migrations, name }) => ({ owner: name, migrations }))
    ])
    const { name, version } = setup.application
    const isNew = yield* claim(name, version)
    const replay = setup.replayOnStart
    const leftOver = replay !== false && (yield* Inbox.anyHeld)
    if (!isNew && !leftOver) return
    yield* Transaction.run(
      Effect.gen(function* () {
        // Asked again, since another process may have been quicker.
        if (yield* claim(name, version)) yield* Consumers.register({ name, version, position: 0 })
        if (replay === true) yield* Inbox.requeue
        else if (replay !== false) yield* Inbox.requeueOnly(replay)
      }),
      { busyLimit: setup.busyLimit }
    )
  })

// internal

/** Whether the application is still to be registered here; fails where the database is another's. */
const claim = (
  name: string,
  version: number
): Effect.Effect<boolean, SqlError | WrongApplication | ApplicationBehind, SqlClient> =>
  Effect.gen(function* () {
    const consumer = yield* Consumers.application
    if (consumer !== undefined && consumer.name !== name) {
      return yield* new WrongApplication({ expected: consumer.name, found: name })
    }
    if (name === Application.noneName) return false
    const position = yield* Operations.lastPosition
    const acknowledged = consumer?.position ?? 0
    const found = consumer?.version
    if (acknowledged < position || (found !== undefined && found !== version)) {
      return yield* new ApplicationBehind({
        name,
        version,
        ...(found === undefined ? {} : { found }),
        acknowledged,
        position
      })
    }
    return consumer === undefined
  })
