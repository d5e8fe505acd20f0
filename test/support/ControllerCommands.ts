/** What the controller's model test can do: each command as a call of the model, a call of the controller, and words. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Cbor from "../../src/core/Cbor.ts"
import type { Hash } from "../../src/core/Hash.ts"
import type { VerifyingKey } from "../../src/core/VerifyingKey.ts"
import type * as Pull from "../../src/stream/Pull.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import { native } from "../core/support.ts"
import * as Calls from "./ControllerModelCalls.ts"
import type * as Model from "./ControllerModel.ts"
import { mark } from "./ControllerModelReaders.ts"
import { authors, epoch, type Op, sign, topics } from "./ControllerPool.ts"
import { atOnce, type Fault, type Running, type StillClock } from "./ControllerWorld.ts"
import { signingKey } from "./Peer.ts"

const kinds = {
  receive: 4,
  process: 7,
  publish: 4,
  drain: 7,
  replay: 3,
  skip: 2,
  discard: 1,
  open: 4,
  together: 3,
  luck: 2,
  wait: 2,
  pause: 2,
  again: 4,
  retry: 2,
  rebuild: 2,
  remove: 1,
  cancel: 1,
  pull: 4,
  ack: 3,
  nack: 2
}

/** A command as it is generated. Numbers are taken modulo what there is. */
export interface Command {
  readonly kind: keyof typeof kinds
  /** Which of the two programs is asked, where both are running. */
  readonly who: number
  readonly a: number
  readonly b: number
  readonly c: number
  readonly fault: { readonly what: Fault; readonly at: number } | undefined
}

export const command: FastCheck.Arbitrary<Command> = FastCheck.record({
  kind: FastCheck.constantFrom(
    // The keys are those of the object.
    ...(Object.entries(kinds) as Array<[Command["kind"], number]>).flatMap(([kind, weight]) =>
      Array.from({ length: weight }, () => kind)
    )
  ),
  who: FastCheck.constantFrom(0, 0, 0, 1),
  a: FastCheck.nat({ max: 9999 }),
  b: FastCheck.nat({ max: 9999 }),
  c: FastCheck.nat({ max: 9999 }),
  fault: FastCheck.option(
    FastCheck.record({
      what: FastCheck.constantFrom<Fault>("kill", "before", "after"),
      at: FastCheck.integer({ min: 1, max: 50 })
    }),
    { freq: 5, nil: undefined }
  )
})

/** A command that fits the state it meets. */
export interface Planned {
  readonly text: string
  /** The operations that it brings. */
  readonly brings?: ReadonlyArray<Op>
  readonly model: (model: Model.Model, program: Model.Program) => Model.Call
  readonly real: (running: Running) => Effect.Effect<string, { readonly _tag: string }>
}

/** What commands are chosen from. */
export interface Choice {
  readonly model: Model.Model
  readonly pool: ReadonlyArray<Op>
  readonly running: Running
  readonly clock: StillClock
  /** Makes a published operation known. */
  readonly published: (op: Op) => Op
}

/** A command on a program that is running; none where there is nothing to do it with. */
export const plan = (command: Command, choice: Choice): Planned | undefined => {
  const { a, b, c, kind } = command
  const { model, pool, running } = choice
  const recorded = Array.from(model.consumers.keys())
  // Mostly one that has parked something, where it is about that.
  const parking = recorded.filter((it) => model.consumers.get(it)?.deliveries.size !== 0)
  const some =
    (kind === "again" || kind === "retry") && parking.length > 0 && b % 3 > 0 ? parking : [...recorded, "nobody"]
  const name = some[a % some.length] ?? "nobody"
  const inInbox = model.inbox[a % Math.max(1, model.inbox.length)]?.op
  const one = c % 5 === 0 ? pool[a % pool.length] : inInbox
  const hand = running.hands[a % Math.max(1, running.hands.length)]
  switch (kind) {
    case "receive":
    case "process": {
      const ops = chosen(command, choice)
      return take(kind, ops)
    }
    case "publish":
      return publish(command, choice)
    case "drain":
      return drain
    case "replay": {
      const which = [{}, { author: "A" }, { topic: "x" }, { author: "B", topic: "y" }] as const
      const said: { readonly author?: "A" | "B"; readonly topic?: "x" | "y" } = which[a % 4] ?? {}
      const fits = (op: Op) => (said.author ?? op.author) === op.author && (said.topic ?? op.topic) === op.topic
      return {
        text: `replay the inbox ${JSON.stringify(said)}`,
        model: (m, p) => Calls.replay(m, p, fits, a % 4 === 0),
        real: ({ controller }) =>
          Effect.map(
            controller.replay(a % 4 === 0 ? undefined : { author: keyOf(said.author), topic: topicOf(said.topic) }),
            counts
          )
      }
    }
    case "skip":
    case "discard":
      if (one === undefined) return undefined
      return {
        text: `${kind} ${one.name}`,
        model: (m, p) => (kind === "skip" ? Calls.skip(m, p, one) : Calls.discard(m, p, one)),
        real: ({ controller }) =>
          kind === "skip"
            ? Effect.map(controller.skip(hash(one.id)), String)
            : Effect.as(controller.discard(hash(one.id)), "discarded")
      }
    case "pause": {
      const paused = b % 2 === 0
      return {
        text: `${paused ? "pause" : "resume"} ${name}`,
        model: (m, p) => Calls.pause(m, p, name, paused),
        real: ({ controller: { consumers } }) =>
          Effect.as(paused ? consumers.pause(name) : consumers.resume(name), "done")
      }
    }
    case "again": {
      const meant = meaning(command, choice)
      const { author, topic, ...range } = meant
      const filter = { consumer: name, ...range, author: keyOf(author), topic: topicOf(topic) }
      return {
        text: `replay to ${name} ${JSON.stringify(meant)}`,
        model: (m, p) => Calls.again(m, p, name, meant),
        real: ({ controller }) =>
          Effect.map(
            controller.consumers.replay(filter),
            ({ handled, parked, state }) => `${state} ${handled} ${parked}`
          )
      }
    }
    case "retry": {
      const position = b % 2 === 0 ? undefined : 1 + (c % Math.max(1, model.last))
      return {
        text: `retry ${position ?? "everything"} of ${name}`,
        model: (m, p) => Calls.retry(m, p, name, position),
        real: ({ controller }) =>
          Effect.map(controller.consumers.retry(name, position === undefined ? undefined : [position]), String)
      }
    }
    case "rebuild":
      return {
        text: `rebuild ${name}`,
        model: (m, p) => Calls.rebuild(m, p, name),
        real: ({ controller }) => Effect.as(controller.consumers.rebuild(name), "done")
      }
    case "remove":
      return {
        text: `remove ${name}`,
        model: (m, p) => Calls.remove(m, p, name),
        real: ({ controller }) => Effect.as(controller.consumers.remove(name), "done")
      }
    case "cancel": {
      const number = model.replays.at(-1 - (a % 3))?.number ?? 1
      return {
        text: `cancel replay ${number}`,
        model: (m, p) => Calls.cancel(m, p, number),
        real: ({ controller }) => Effect.map(controller.consumers.cancel(number), String)
      }
    }
    case "pull":
      return pull(command, choice)
    case "ack":
    case "nack":
      if (hand === undefined) return undefined
      return holding(command, hand)
    default:
      return undefined
  }
}

/** Operations are received, or processed at once. */
export const take = (kind: "receive" | "process", ops: ReadonlyArray<Op>): Planned => {
  const raws = ops.map(({ raw }) => raw)
  const call = kind === "receive" ? Calls.receive : Calls.process
  return {
    text: `${kind} ${ops.map((op) => op.name).join(" ")}`,
    brings: ops,
    model: (m, p) => call(m, p, ops),
    real: ({ controller }) =>
      kind === "receive"
        ? Effect.as(controller.receiveAll(raws), "received")
        : Effect.map(controller.processAll(raws), (answers) =>
            answers
              .flatMap((it, index) => (it._tag === "Accepted" ? [`${ops[index]?.name} ${it.position}`] : []))
              .join(", ")
          )
  }
}

const counts = ({ rejected, waiting }: { readonly rejected: number; readonly waiting: number }) =>
  `${waiting} wait, ${rejected} rejected`

export const drain: Planned = {
  text: "drain",
  model: Calls.drain,
  real: ({ controller }) => Effect.map(controller.drain, counts)
}

// internal

const keys = {
  A: native.verifyingKey(signingKey(authors.A)),
  B: native.verifyingKey(signingKey(authors.B)),
  C: native.verifyingKey(signingKey(authors.C)),
  M: native.verifyingKey(signingKey(authors.M))
}
const keyOf = (author: Op["author"] | undefined): VerifyingKey | undefined =>
  author === undefined ? undefined : keys[author]
const topicOf = (topic: Op["topic"] | undefined) => (topic === undefined ? undefined : topics[topic])
// The model has ids as plain text.
const hash = (id: string) => id as Hash

/** Some of the pool: as it was written, backwards, or what is not here yet; sometimes one of them twice. */
const chosen = ({ a, b, c }: Command, { model, pool }: Choice): ReadonlyArray<Op> => {
  const known = new Set([...model.accepted, ...model.inbox].map(({ op }) => op.id))
  const from = c % 4 < 2 ? pool.filter(({ id }) => !known.has(id) && !model.decisions.has(id)) : pool
  const start = c % 4 === 0 ? a % 3 : a % Math.max(1, from.length)
  const some = from.slice(start, start + 1 + (b % 7))
  const ops = some.length === 0 ? pool.slice(0, 1) : some
  const ordered = c % 3 === 0 ? [...ops].reverse() : ops
  return c % 7 === 0 ? [...ordered, ...ordered.slice(0, 1)] : ordered
}

const publish = ({ a, b, c }: Command, { model, pool, published }: Choice): Planned => {
  const topic = a % 2 === 0 ? "x" : "y"
  const no = [[], [], [], ["app"], ["one"], ["two"], ["one@2", "two"]][b % 7] ?? []
  const prune = c % 6 === 0
  const targets = c % 6 === 1 ? [model.accepted[a % Math.max(1, model.last)]?.op ?? pool[a % pool.length]] : []
  const deletes = targets.flatMap((op) => (op === undefined ? [] : [hash(op.id)]))
  const message = c % 6 === 2 ? undefined : { n: 200 + a, no }
  const make = (m: Model.Model): Op => {
    const head = m.heads.get(`M.${topic}`)
    // An operation that prunes repeats what its author has deleted elsewhere: whoever comes later never sees the tombstones.
    const own = (id: string) => m.accepted.some(({ op }) => op.id === id && op.log === `M.${topic}`)
    const repeated = Array.from(m.tombstones)
      .filter(([id, by]) => by.has("M") && m.decisions.get(id) !== "pruned" && !own(id))
      .map(([id]) => hash(id))
      .sort()
    const all = prune ? Array.from(new Set([...deletes, ...repeated])) : deletes
    return sign("M", topic, head, { prune, deletes: all, message, written: m.now }, true)
  }
  const marks = `${prune ? " prune" : ""}${deletes.length > 0 ? ` deletes ${targets.map((op) => op?.name).join()}` : ""}`
  return {
    text: `publish in ${topic} ${JSON.stringify(message)}${marks}`,
    brings: [make(model)],
    model: (m, p) => Calls.publish(m, p, () => published(make(m))),
    real: ({ controller }) =>
      Effect.map(
        controller.publish({ key: signingKey(authors.M), topic: topics[topic], message, prune, deletes }),
        ({ id, position }) => `${position} ${id}`
      )
  }
}

/** Any mix of what can be said of a replay. */
const meaning = ({ a, b, c }: Command, { clock, model }: Choice): Model.Meant =>
  a % 3 === 0 ? {} : mixed(b, c, clock.now, model.last)

const mixed = (b: number, c: number, now: number, last: number): Model.Meant => ({
  ...(b % 2 === 0 ? {} : { from: 1 + (c % (last + 2)) }),
  ...(b % 3 === 0 ? { to: c % (last + 2) } : {}),
  ...(c % 5 === 0 ? { author: "A" as const } : {}),
  ...(c % 5 === 1 ? { topic: "y" as const } : {}),
  ...(c % 7 === 0 ? { acceptedFrom: now - 1000 } : {}),
  ...(c % 7 === 1 ? { acceptedUntil: now } : {}),
  ...(c % 8 === 2 ? { writtenFrom: epoch - 3000 } : {}),
  ...(c % 8 > 4 && b % 5 === 0 ? { writtenUntil: epoch + 4000 } : {})
})

const pull = ({ a, b, c }: Command, { clock }: Choice): Planned => {
  const name = a % 3 === 0 ? "pull2" : "pull"
  const from = b % 3 === 0 ? "now" : "beginning"
  const options = { inFlight: 1 + (c % 9), lease: b % 2 === 0 ? 1000 : 30_000 }
  return {
    text: `pull as ${name} from ${from} ${JSON.stringify(options)}`,
    model: (m, p) => Calls.pull(m, p, name, from, options),
    real: ({ controller, hands }) =>
      Effect.gen(function* () {
        const taken = yield* atOnce(Stream.runHead(Stream.chunks(controller.pull(name, { from, ...options }))), clock)
        const all = taken === undefined ? [] : Chunk.toReadonlyArray(Option.getOrElse(taken, Chunk.empty))
        const texts = yield* Effect.forEach(all, told)
        for (const delivery of all) hands.push({ name, delivery })
        return texts
          .sort(([one], [other]) => one - other)
          .map(([, text]) => text)
          .join(", ")
      })
  }
}

const told = ({ attempt, event, forgotten, position }: Pull.Delivery<Event.Event>) =>
  Effect.map(Stream.runCollect(forgotten), (pages) => {
    const payload = event?.payload
    // The pool has written these bodies.
    const message =
      payload === undefined ? undefined : (Either.getOrThrow(Cbor.decode(payload)) as { readonly n: number })
    const what = event === undefined ? "gone" : `${message?.n ?? "-"}${event.replay ? "*" : ""}`
    const gone = Chunk.toReadonlyArray(pages).flatMap((it) =>
      it.operations.map((op) => `${op.position}${it.how}${mark(it)}`)
    )
    return [position, [`${position}: ${what} (${attempt})`, ...gone.sort()].join(" ")] as const
  })

const holding = ({ b, c, kind }: Command, { delivery, name }: Running["hands"][number]): Planned => {
  const { attempt, position } = delivery
  const held = `position ${position} (${attempt}) of ${name}`
  if (kind === "ack" && b % 5 > 0) {
    return {
      text: `acknowledge ${held}`,
      model: (m, p) => Calls.ack(m, p, name, position, attempt),
      real: () => Effect.as(delivery.ack, "done")
    }
  }
  if (kind === "ack") {
    return {
      text: `extend ${held}`,
      model: (m, p) => Calls.extend(m, p, name, position, attempt, 5000),
      real: () => Effect.as(delivery.extend(5000), "done")
    }
  }
  const after = c % 2 === 0 ? undefined : 1000
  return {
    text: `refuse ${held}, again ${after === undefined ? "when asked" : `after ${after}`}`,
    model: (m, p) => Calls.nack(m, p, name, position, attempt, after),
    real: () => Effect.as(delivery.nack(new Error("not now"), after), "done")
  }
}
