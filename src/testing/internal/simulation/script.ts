/** What happens in a run: peers publish and things go wrong; then the faults stop, and everybody has to come to the same. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Extensions from "../../../core/Extensions.ts"
import type { Hash } from "../../../core/Hash.ts"
import * as Operation from "../../../core/Operation.ts"
import type { Topic } from "../../../core/Topic.ts"
import type * as StreamController from "../../../stream/StreamController.ts"
import type * as History from "../../History.ts"
import { heads } from "./gossip.ts"
import * as Life from "./life.ts"
import type { Prepared } from "./prepare.ts"
import { broke, count, say, type Life as Running, type Member, type World } from "./world.ts"

export const script = <M, E>(
  prepared: Prepared<M, E>,
  world: World<M, E>,
  { messages, steps }: { readonly messages: ReadonlyArray<M>; readonly steps: number }
): Effect.Effect<void> =>
  Effect.gen(function* () {
    const draw = world.random.script
    const visits = draw.chance(0.3)
    const strangers = visits ? draw.some(prepared.options.strangers ?? []) : undefined
    strangers?.entries.forEach((entry) => introduce(world, entry))
    yield* Effect.forEach(world.members, (member) => Life.start(prepared, world, member), { discard: true })
    for (const message of messages.slice(0, steps)) {
      yield* Effect.sleep(draw.below(120))
      const member = draw.some(world.members)
      if (member === undefined) return
      const life = member.life
      const what = draw.below(100)
      if (what >= 62) yield* trouble(prepared, world, member, what)
      else if (life?.controller === undefined) say(world, `${member.name} is not there`)
      else if (what < 55 || strangers === undefined) yield* publish(prepared, world, member, life, message)
      else yield* visit(world, member, life, strangers.operations, draw.below(strangers.operations.length))
    }
    yield* Effect.sleep(draw.below(500))
    yield* heal(prepared, world, strangers?.operations ?? [])
  })

// internal

/** Operations of strangers have names as well. */
const introduce = <M, E>(world: World<M, E>, entry: History.Entry): void => {
  world.names.byId.set(entry.operation.id, entry.name.toUpperCase())
  world.entries.push({ ...entry, name: entry.name.toUpperCase(), after: entry.after.map((one) => one.toUpperCase()) })
}

const publish = <M, E>(
  prepared: Prepared<M, E>,
  world: World<M, E>,
  member: Member<M, E>,
  life: Running<M, E>,
  message: M
): Effect.Effect<void> => {
  const draw = world.random.script
  const kind = draw.pick(prepared.kinds)
  const topic = draw.some(world.topics)
  const target = draw.some(member.own)
  const { controller } = life
  if (controller === undefined || topic === undefined) return Effect.void
  // They are ids, of what was published.
  const deletes = kind === "delete" && target !== undefined ? [target as Hash] : []
  const call = controller.publish({ key: member.key, topic, message, prune: kind === "prune", deletes })
  say(world, `${member.name} publishes (${kind})`)
  return Life.within(
    world,
    member,
    life,
    Effect.map(Effect.exit(call), (exit) => {
      if (Exit.isFailure(exit)) return
      published(world, member, life, topic, exit.value)
    })
  )
}

const published = <M, E>(
  world: World<M, E>,
  member: Member<M, E>,
  life: Running<M, E>,
  topic: Topic,
  { id, operation, position, seqNum }: StreamController.Published
): void => {
  const extensions = Either.getOrUndefined(Extensions.any.decode(operation.header.extensions))
  if (extensions === undefined) return broke(world, `P8: ${member.name} published what cannot be read`)
  const twice = world.names.place(id, member.author, extensions.logId, seqNum)
  if (twice !== undefined) broke(world, twice)
  const name = world.names.name(id)
  const named = (ids: ReadonlyArray<Hash> = []) => ids.map((one) => world.names.name(one))
  const { deletes, previous } = extensions._tag === "Open" ? extensions : { deletes: [], previous: [] }
  count(world, "published")
  say(world, `${member.name} published ${name} at ${position}`)
  member.told.push({ id, where: "accepted", position })
  member.own.push(id)
  const kind = extensions.prune ? "prune" : deletes.length > 0 ? "delete" : "say"
  world.entries.push({
    name,
    operation,
    kind,
    author: member.nth,
    topic,
    after: named(previous),
    deletes: named(deletes)
  })
  life.published.unsafeOffer({ ...Operation.raw(operation), topic })
}

/** Strangers hand over some of what they have. */
const visit = <M, E>(
  world: World<M, E>,
  member: Member<M, E>,
  life: Running<M, E>,
  operations: ReadonlyArray<Operation.Operation>,
  from: number
): Effect.Effect<void> => {
  const { controller } = life
  if (controller === undefined) return Effect.void
  const some = operations.slice(from, from + 1 + world.random.script.below(4))
  say(world, `strangers hand ${member.name} ${some.map(({ id }) => world.names.name(id)).join(" ")}`)
  return Life.within(
    world,
    member,
    life,
    Effect.ignore(Effect.sandbox(controller.processAll(some.map(Operation.raw), { source: "strangers" })))
  )
}

const hour = 3_600_000
const jumps = [-365 * 24 * hour, 50 * 365 * 24 * hour, hour, -hour, 700, -700, 0, 0] as const

/** Something goes wrong with a peer, if that is switched on. */
const trouble = <M, E>(prepared: Prepared<M, E>, world: World<M, E>, member: Member<M, E>, what: number) =>
  Effect.suspend(() => {
    const { faults, random, turns } = world
    const draw = random.script
    const { life } = member
    const number = draw.below(150)
    const isRun = draw.chance(0.5)
    if (what < 72) {
      if (!faults.has("crash") || life === undefined) return Effect.void
      if (number < 20) return Effect.sync(() => Life.crash(world, member, "between two calls"))
      life.crash = { at: life.statements + number, isRun }
    } else if (what < 80) {
      if (!faults.has("statement") || life === undefined) return Effect.void
      life.plan = { at: life.statements + number, kind: draw.pick(["busy", "full", "io"]), isRun }
    } else if (what < 84) {
      if (!faults.has("busy") || life === undefined) return Effect.void
      life.busyUntil = turns.now + number * 40
      count(world, "busy")
      say(world, `${member.name}: another program has the database`)
    } else if (what < 90) {
      if (!faults.has("clock")) return Effect.void
      member.clock.ahead = draw.pick(jumps)
      count(world, "clocks set")
      say(world, `the clock of ${member.name} is set ${member.clock.ahead / 1000} s ahead`)
    } else if (what < 96) {
      if (!faults.has("partition")) return Effect.void
      return Effect.sync(() => partition(world))
    } else {
      if (!faults.has("restart") || life === undefined) return Effect.void
      count(world, "restarts")
      say(world, `${member.name} is closed`)
      return Effect.zipRight(Life.stop(member), Life.start(prepared, world, member))
    }
    return Effect.void
  })

const partition = <M, E>(world: World<M, E>): void => {
  if (world.apart.size > 0) {
    world.apart.clear()
    return say(world, "the network is whole again")
  }
  for (const { name } of world.members) if (world.random.script.chance(0.5)) world.apart.add(name)
  count(world, "partitions")
  const others = world.members.flatMap(({ name }) => (world.apart.has(name) ? [] : [name]))
  say(world, `the network falls apart: ${Array.from(world.apart).join(" ")} | ${others.join(" ")}`)
}

/** All clocks are right in the end, and later than any of them ever said. */
const late = 60 * 365 * 24 * hour

/** Rounds of about a second that it may take until everybody has everything. */
const patience = 90

/** Nothing comes of it any more when nothing has changed for so many rounds. */
const stubborn = 20

/** The faults stop. */
const heal = <M, E>(prepared: Prepared<M, E>, world: World<M, E>, strangers: ReadonlyArray<Operation.Operation>) =>
  Effect.gen(function* () {
    say(world, "the faults stop")
    world.faults.clear()
    world.apart.clear()
    for (const { clock, life } of world.members) {
      clock.ahead = late
      if (life === undefined) continue
      life.crash = undefined
      life.plan = undefined
      life.busyUntil = 0
    }
    for (const member of world.members) if (member.life === undefined) yield* Life.start(prepared, world, member)
    let before = ""
    let same = 0
    for (let round = 0; round < patience && same < stubborn; round++) {
      yield* Effect.sleep(1000)
      for (const member of world.members)
        yield* look(world, member, round % 10 === 0 ? strangers : [], round % 10 === 5)
      yield* Effect.sleep(100)
      if (isSettled(world)) return yield* rest(world)
      const now = world.members.map(({ has }) => has).join()
      same = now === before ? same + 1 : 0
      before = now
    }
    say(world, "and there is no end to it")
  })

/** Consumers catch up. */
const rest = <M, E>(world: World<M, E>) =>
  Effect.gen(function* () {
    say(world, "everybody has everything")
    for (const member of world.members) {
      const { life } = member
      if (life?.controller === undefined) continue
      yield* Life.within(world, member, life, Effect.ignore(Effect.sandbox(life.controller.drain)))
    }
    yield* Effect.sleep(1000)
  })

/** Asks a peer what it has; hands it what strangers have; replays what stands rejected. */
const look = <M, E>(
  world: World<M, E>,
  member: Member<M, E>,
  strangers: ReadonlyArray<Operation.Operation>,
  isReplayed: boolean
): Effect.Effect<void> => {
  const { life } = member
  const controller = life?.controller
  if (life === undefined || controller === undefined) return Effect.void
  const call = Effect.gen(function* () {
    if (strangers.length > 0) yield* controller.processAll(strangers.map(Operation.raw), { source: "strangers" })
    if (isReplayed && (yield* controller.status).rejected > 0) yield* controller.replay()
    const { accepted, queued, rejected, waiting } = yield* controller.status
    const logs = Array.from(yield* heads)
    member.has = queued > 0 ? `${member.name} is at work` : JSON.stringify([accepted, rejected, waiting, logs])
  })
  return Life.within(world, member, life, Effect.ignore(Effect.sandbox(call)))
}

const isSettled = <M, E>({ flying, members }: World<M, E>): boolean =>
  flying === 0 &&
  members.every(({ has, life }) => life?.controller !== undefined && has !== "" && has === members[0]?.has)
