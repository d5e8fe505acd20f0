/** One run: what happens until the faults stop, and what has to come of it then. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as HashSet from "effect/HashSet"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Topic from "../../../core/Topic.ts"
import * as History from "../../History.ts"
import type { Fault, Replay, Report } from "../../Simulation.ts"
import { PeerClock } from "./clock.ts"
import { Disk } from "./disk.ts"
import * as Life from "./life.ts"
import type { Prepared } from "./prepare.ts"
import { Random } from "./random.ts"
import { script } from "./script.ts"
import { Turns } from "./turns.ts"
import * as Verdict from "./verdict.ts"
import { broke, Names, say, type Member, type World } from "./world.ts"

/** Makes a run. It has its own scheduler and clocks; from outside it takes no time. */
export const run = <M, E>(prepared: Prepared<M, E>, replay: Replay): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const crashed = yield* Queue.unbounded<Member<M, E>>()
    const { steps, world } = begin(prepared, replay, (member) => void crashed.unsafeOffer(member))
    const group = world.turns.group()
    // What is logged belongs to what happened.
    const logger = Logger.make(({ message }) => say(world, `logged: ${Array.isArray(message) ? message[0] : message}`))
    const driven = <A>(self: Effect.Effect<A>) =>
      Effect.locally(drive(world, group, self), FiberRef.currentLoggers, HashSet.make(logger))
    const messages = FastCheck.sample(prepared.options.message, { seed: replay.seed, numRuns: steps })
    yield* driven(
      Effect.gen(function* () {
        const keeper = yield* Effect.forkDaemon(keep(prepared, world, crashed))
        yield* script(prepared, world, { messages, steps: replay.steps ?? steps })
        yield* Fiber.interrupt(keeper)
        yield* Effect.forEach(world.members, (member) => Life.stop(member), { discard: true })
        yield* Verdict.compare(prepared, world)
      })
    )
    yield* driven(Life.letGo(world))
    for (const { disk } of world.members) disk.close()
    say(world, `after ${world.turns.taken} turns`)
    return { replay, broken: world.broken, log: world.log, facts: world.facts }
  })

// internal

/** Turns that a run may take. */
const most = 3_000_000

const begin = <M, E>(prepared: Prepared<M, E>, { seed, without = [] }: Replay, crashed: World<M, E>["crashed"]) => {
  const { crypto, faults, options, peers, steps } = prepared
  const drawn = new Random(seed, 0)
  const turns = new Turns(new Random(seed, 1), most)
  // Few rather than many: what goes wrong between two seldom needs seven.
  const more = peers[1] - peers[0] + 1
  const number = peers[0] + Math.min(drawn.below(more), drawn.below(more))
  const length = steps[0] + drawn.below(steps[1] - steps[0] + 1)
  // Each run has some of the faults, so that none hides what another would show.
  const on = faults.filter(() => drawn.chance(0.6)).filter((fault) => !without.includes(fault))
  const topics = Array.from({ length: options.topics ?? 1 }, (_, nth) => History.topic(crypto, nth))
  const names = new Names(crypto)
  topics.forEach((topic, nth) => names.topic(Topic.logId(crypto, topic), nth))
  const members = Array.from({ length: number }, (_, nth) => member(prepared, turns, drawn, nth, on))
  for (const { author, name } of members) names.author(author, name)
  const world: World<M, E> = {
    turns,
    random: { script: new Random(seed, 2), network: new Random(seed, 3), peers: new Random(seed, 4) },
    members,
    topics,
    names,
    faults: new Set(on),
    log: [],
    facts: {},
    broken: [],
    ended: [],
    entries: [],
    apart: new Set(),
    flying: 0,
    crashed
  }
  say(world, `${number} peers, ${length} steps; ${on.join(", ") || "no faults"}`)
  return { world, steps: length }
}

const member = <M, E>(
  { crypto, image }: Prepared<M, E>,
  turns: Turns,
  drawn: Random,
  nth: number,
  on: ReadonlyArray<Fault>
): Member<M, E> => {
  const clock = new PeerClock(turns)
  const off = drawn.below(4000) - 2000
  if (on.includes("clock")) clock.ahead = off
  const key = History.signingKey(nth)
  return {
    name: String.fromCharCode(97 + nth),
    nth,
    key,
    author: crypto.verifyingKey(key),
    clock,
    disk: new Disk(image, on.includes("lies") ? 4 : 0),
    told: [],
    own: [],
    opened: 0,
    life: undefined,
    has: ""
  }
}

/** Looks at whatever has crashed, and starts it again after a while. */
const keep = <M, E>(prepared: Prepared<M, E>, world: World<M, E>, crashed: Queue.Dequeue<Member<M, E>>) =>
  Effect.forever(
    Effect.flatMap(Queue.take(crashed), (member) =>
      Effect.forkDaemon(
        Effect.gen(function* () {
          yield* Verdict.inspect(prepared, world, member)
          yield* Effect.sleep(world.random.script.below(1200))
          if (member.life === undefined) yield* Life.start(prepared, world, member)
        })
      )
    )
  )

/** Gives turns until an effect has come to its end. */
const drive = <M, E, A>(world: World<M, E>, group: ReturnType<Turns["group"]>, self: Effect.Effect<A>) =>
  Effect.gen(function* () {
    const { turns } = world
    const fiber = yield* self.pipe(
      Effect.withClock(new PeerClock(turns)),
      Effect.withScheduler(group),
      Effect.forkDaemon
    )
    fiber.addObserver((exit) => {
      turns.done()
      if (Exit.isFailure(exit)) broke(world, `P4: the simulation itself failed: ${exit.cause.toString()}`)
    })
    const end = yield* Effect.async<"done" | "stuck" | "restless">((resume) => {
      turns.drive((end) => resume(Effect.succeed(end)))
    })
    if (end !== "done")
      broke(world, `I11: the peers ${end === "stuck" ? "wait for each other for ever" : "never come to rest"}`)
  })
