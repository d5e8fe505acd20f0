/** The life of a peer's program: it opens its database, exchanges operations, and ends, well or badly. */
import * as SqlClient from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as EffectRandom from "effect/Random"
import * as Connection from "./connection.ts"
import { gossip } from "./gossip.ts"
import { send } from "./network.ts"
import { peer, type Prepared } from "./prepare.ts"
import { recorded, describe } from "./record.ts"
import type { Arrived, Sent } from "../../Simulation.ts"
import { broke, count, say, type Fate, type Life, type Member, type Plan, type World } from "./world.ts"

/** Starts the program of a peer. */
export const start = <M, E>(prepared: Prepared<M, E>, world: World<M, E>, member: Member<M, E>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const life = yield* make(prepared, world, member)
    member.life = life
    yield* within(world, member, life, program(prepared, world, member, life))
  })

/** Runs something in a program, with its clock and randomness of its own; it dies with it. */
export const within = <M, E>(
  world: World<M, E>,
  member: Member<M, E>,
  life: Life<M, E>,
  self: Effect.Effect<unknown, never, SqlClient.SqlClient>
): Effect.Effect<void> =>
  self.pipe(
    Effect.provideService(SqlClient.SqlClient, life.client),
    Effect.withClock(member.clock),
    Effect.withRandom(EffectRandom.make(world.random.peers.below(0x7fff_ffff))),
    Effect.withScheduler(life.group),
    Effect.forkDaemon,
    Effect.map((fiber) => void life.fibers.push(fiber))
  )

/** The power goes off. */
export const crash = <M, E>(world: World<M, E>, member: Member<M, E>, where: string): void => {
  const { life } = member
  if (life === undefined) return
  life.group.isGone = true
  member.life = undefined
  world.ended.push(life)
  const lost = world.faults.has("lies") ? world.random.script.below(4) : 0
  member.disk.crash(lost)
  // What was confirmed is not so any more.
  if (lost > 0) member.told.splice(0)
  count(world, "crashes")
  say(world, `${member.name} crashes ${where}${lost > 0 ? `, and ${lost} commits are lost` : ""}`)
  world.crashed(member)
}

/** Closes a program. */
export const stop = <M, E>(member: Member<M, E>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { life } = member
    if (life === undefined) return Effect.void
    life.controller = undefined
    life.crash = undefined
    life.plan = undefined
    life.busyUntil = 0
    return Effect.map(Fiber.interruptAll(life.fibers), () => {
      if (member.life !== life) return
      life.isOver = true
      member.life = undefined
    })
  })

/** Lets go what has crashed, so that nothing of it is left in memory: its statements fail, and its fibers end. */
export const letGo = <M, E>({ ended }: World<M, E>): Effect.Effect<void> =>
  Effect.forEach(
    ended,
    (life) =>
      Effect.suspend(() => {
        life.isOver = true
        life.group.letGo()
        for (const resume of life.hung.splice(0)) resume()
        return Fiber.interruptAll(life.fibers)
      }),
    { discard: true }
  )

// internal

const make = <M, E>(prepared: Prepared<M, E>, world: World<M, E>, member: Member<M, E>): Effect.Effect<Life<M, E>> =>
  Effect.gen(function* () {
    const fate: Fate = {
      hung: [],
      statements: 0,
      crash: undefined,
      plan: undefined,
      busyUntil: 0,
      isOver: false,
      group: world.turns.group()
    }
    return Object.assign(fate, {
      client: yield* Connection.client(member.disk, around(world, member, fate)),
      peer: peer(prepared.crypto, member.nth, member.opened, world.random.peers.pick([1, 2, 7, 100])),
      mail: yield* Queue.unbounded<Arrived>(),
      published: yield* Queue.unbounded<Sent>(),
      fibers: [],
      controller: undefined
    })
  })

const program = <M, E>(
  prepared: Prepared<M, E>,
  world: World<M, E>,
  member: Member<M, E>,
  life: Life<M, E>
): Effect.Effect<void, never, SqlClient.SqlClient> => {
  const { open, sync = gossip } = prepared.options
  const once = Effect.scoped(
    Effect.gen(function* () {
      const controller = recorded(world, member, yield* open({ ...life.peer, opened: member.opened++ }))
      life.controller = controller
      say(world, `${member.name} is open (${life.peer.batchSize} to a batch)`)
      yield* Effect.fork(
        Effect.tapErrorCause(controller.run, (cause) => unexpected(world, `${member.name}: run ended`, cause))
      )
      yield* sync({
        peer: life.peer,
        controller,
        others: world.members.flatMap(({ name }) => (name === member.name ? [] : [name])),
        send: (to, message) => Effect.sync(() => send(world, member, to, message)),
        arrived: all(life.mail),
        published: all(life.published)
      })
    })
  )
  return Effect.catchAllCause(once, (cause) => {
    if (Cause.isInterruptedOnly(cause)) return Effect.void
    const error = Cause.squash(cause)
    if (!(error instanceof SqlError)) return unexpected(world, `${member.name}: its program ended`, cause)
    life.controller = undefined
    say(world, `${member.name} begins again: ${describe(error)}`)
    return Effect.zipRight(Effect.sleep(200), program(prepared, world, member, life))
  })
}

const all = <A>(queue: Queue.Dequeue<A>): Effect.Effect<ReadonlyArray<A>> =>
  Effect.map(Queue.takeBetween(queue, 1, Infinity), Chunk.toReadonlyArray)

const unexpected = <M, E>(world: World<M, E>, what: string, cause: Cause.Cause<unknown>) =>
  Effect.sync(() => {
    if (!Cause.isInterruptedOnly(cause)) broke(world, `P4: ${what}: ${describe(Cause.squash(cause))}`)
  })

const codes = { busy: "SQLITE_BUSY", full: "SQLITE_FULL", io: "SQLITE_IOERR_WRITE" } as const

const injected = (kind: keyof typeof codes) =>
  new SqlError({
    cause: Object.assign(new Error(`injected: ${kind}`), { code: codes[kind] }),
    message: "Failed to execute statement"
  })

const closed = () =>
  new SqlError({
    cause: new TypeError("The database connection is not open"),
    message: "Failed to execute statement"
  })

/** What becomes of the statements of a program. */
const around =
  <M, E>(world: World<M, E>, member: Member<M, E>, life: Fate): Connection.Around =>
  (sql, run) =>
    Effect.suspend(() => {
      if (life.isOver) return Effect.fail(closed())
      if (life.group.isGone) return hang(life)
      life.statements += 1
      if (life.crash !== undefined && life.statements >= life.crash.at) {
        const { isRun } = life.crash
        const ran = isRun ? Connection.plain(sql, run) : Effect.void
        return Effect.flatMap(Effect.ignore(ran), () => {
          crash(world, member, `${isRun ? "behind" : "before"} ${short(sql)}`)
          return hang(life)
        })
      }
      if (life.busyUntil > world.turns.now && /^\s*begin\b/i.test(sql)) return Effect.fail(injected("busy"))
      const { plan } = life
      if (plan !== undefined && life.statements >= plan.at) {
        life.plan = undefined
        return failed(world, member, plan, sql, run)
      }
      if (!world.faults.has("slow") || !world.random.peers.chance(0.004)) return Connection.plain(sql, run)
      count(world, "slow")
      return Effect.zipRight(Effect.sleep(world.random.peers.below(200)), Connection.plain(sql, run))
    })

/** Fails a statement, before or behind it. */
const failed = <M, E, A>(world: World<M, E>, { name }: Member<M, E>, plan: Plan, sql: string, run: () => A) => {
  count(world, "statements failed")
  say(world, `${name}: ${plan.kind} ${plan.isRun ? "behind" : "before"} ${short(sql)}`)
  const error = Effect.fail(injected(plan.kind))
  return plan.isRun ? Effect.zipRight(Connection.plain(sql, run), error) : error
}

const short = (sql: string) => sql.trim().replaceAll(/\s+/g, " ").slice(0, 40)

/** Nobody is answered any more. */
const hang = (life: Fate): Effect.Effect<never, SqlError> =>
  Effect.async((resume) => {
    if (life.isOver) resume(Effect.fail(closed()))
    else life.hung.push(() => resume(Effect.fail(closed())))
  })
