/** What must hold: of each database at any time, and of all of them when everybody has everything. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Promises from "../../Promises.ts"
import * as Snapshot from "../../Snapshot.ts"
import * as Connection from "./connection.ts"
import { peer, type Prepared } from "./prepare.ts"
import { broke, type Member, type World } from "./world.ts"

/** Looks at the database of a peer whose program does not run. */
export const inspect = <M, E>(
  prepared: Prepared<M, E>,
  world: World<M, E>,
  member: Member<M, E>
): Effect.Effect<void> =>
  on(
    world,
    member,
    Effect.gen(function* () {
      yield* own(world, member)
      const { causal, check } = prepared.options
      const { entries } = world
      const broken = yield* Promises.broken({
        history: { names: world.names.byId, entries },
        told: member.told,
        causal,
        withheld: true
      })
      const more = check === undefined ? [] : yield* check(peer(prepared.crypto, member.nth, member.opened, 100))
      for (const one of [...broken, ...more]) broke(world, `${one} (at ${member.name})`)
    })
  )

/** Compares all databases when the programs have ended. */
export const compare = <M, E>(prepared: Prepared<M, E>, world: World<M, E>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const snapshots: Array<readonly [string, Snapshot.Snapshot]> = []
    for (const member of world.members) {
      yield* inspect(prepared, world, member)
      yield* on(
        world,
        member,
        Effect.gen(function* () {
          const snapshot = yield* Snapshot.lasting(prepared.options.snapshot)
          snapshots.push([member.name, snapshot])
          yield* caughtUp(world, member)
        })
      )
    }
    const pruned = new Set(snapshots.flatMap(([, snapshot]) => prunedIn(snapshot)))
    for (const [name, snapshot] of snapshots) accepted(world, name, snapshot, pruned)
    const [first, ...others] = snapshots.map(([name, snapshot]) => [name, without(snapshot, pruned)] as const)
    if (first === undefined) return
    const [name, expected] = first
    for (const [other, found] of others) {
      for (const { extra, missing, table } of Snapshot.different(expected, found)) {
        const show = (rows: ReadonlyArray<Snapshot.Row>) =>
          rows
            .slice(0, 2)
            .map((row) => readable(world, row))
            .join(" ") || "nothing"
        broke(world, `P6: in ${table} only ${name} has ${show(missing)}, and only ${other} has ${show(extra)}`)
      }
    }
  })

// internal

const on = <M, E>(world: World<M, E>, member: Member<M, E>, self: Effect.Effect<void, SqlError, SqlClient.SqlClient>) =>
  Effect.flatMap(Connection.client(member.disk), (client) =>
    Effect.catchAllCause(Effect.provideService(self, SqlClient.SqlClient, client), (cause) =>
      Effect.sync(() => broke(world, `P1: the database of ${member.name} cannot be read: ${cause.toString()}`))
    )
  )

/** Notes what its author has written, known to it or not. */
const own = <M, E>(world: World<M, E>, { author }: Member<M, E>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe<{ id: string; log: string; seq: number }>(
      `SELECT lower(hex(o.id)) AS id, lower(hex(l.log_id)) AS log, o.seq_num AS seq
       FROM applecart_operations AS o JOIN applecart_logs AS l USING (log) WHERE l.author = unhex(?) ORDER BY o.position`,
      [author]
    )
    for (const { id, log, seq } of rows) {
      const twice = world.names.place(id, author, log, seq)
      if (twice !== undefined) broke(world, twice)
    }
  })

/** Consumers have had everything. */
const caughtUp = <M, E>(world: World<M, E>, { name }: Member<M, E>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe<{ consumer: string; state: string; position: number; last: number }>(
      `SELECT name AS consumer, state, position, (SELECT coalesce(max(position), 0) FROM applecart_operations) AS last
       FROM applecart_consumers WHERE role = 'reader'`
    )
    for (const { consumer, last, position, state } of rows)
      if (position < last || state !== "live")
        broke(world, `I11: at ${name} consumer ${consumer} (${state}) is at ${position} of ${last}`)
  })

/** Everything that was published has been accepted everywhere, but for what was pruned before it came. */
const accepted = <M, E>(
  world: World<M, E>,
  name: string,
  snapshot: Snapshot.Snapshot,
  pruned: ReadonlySet<unknown>
): void => {
  const there = new Set(rowsOf(snapshot, "applecart_operations").map(({ id }) => id))
  const missing = Array.from(world.names.published).filter((id) => !there.has(id) && !pruned.has(id))
  if (missing.length > 0)
    broke(world, `I11: ${name} never accepted ${missing.map((id) => world.names.name(id)).join(" ")}`)
}

const rowsOf = (snapshot: Snapshot.Snapshot, table: string): ReadonlyArray<Snapshot.Row> => snapshot[table] ?? []

const prunedIn = (snapshot: Snapshot.Snapshot) =>
  rowsOf(snapshot, "applecart_decisions").flatMap(({ id, what }) => (what === "pruned" ? [id] : []))

/**
 * Without what is remembered about operations that were pruned: whoever was handed the prune operation first never sees what came
 * before it, since nobody has it any more.
 */
const without = (snapshot: Snapshot.Snapshot, pruned: ReadonlySet<unknown>): Snapshot.Snapshot => ({
  ...snapshot,
  applecart_decisions: rowsOf(snapshot, "applecart_decisions").filter(({ id }) => !pruned.has(id)),
  applecart_tombstones: rowsOf(snapshot, "applecart_tombstones").filter(({ target }) => !pruned.has(target))
})

const readable = <M, E>({ names }: World<M, E>, row: Snapshot.Row): string =>
  JSON.stringify(row, (_, value: unknown) =>
    typeof value !== "string"
      ? value
      : (names.byId.get(value) ?? (value.length > 20 ? `${value.slice(0, 16)}…` : value))
  )
