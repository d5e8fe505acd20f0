/** What commands of the controller's model test are made of: calls of the model and of the controller, with words. */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Cbor from "../../src/core/Cbor.ts"
import type { Hash } from "../../src/core/Hash.ts"
import type { VerifyingKey } from "../../src/core/VerifyingKey.ts"
import type * as Event from "../../src/pipeline/Event.ts"
import type * as Pull from "../../src/stream/Pull.ts"
import { native } from "../core/support.ts"
import type * as Model from "./ControllerModel.ts"
import * as Calls from "./ControllerModelCalls.ts"
import * as Pulls from "./ControllerModelPulls.ts"
import { mark } from "./ControllerModelReaders.ts"
import { authors, epoch, type Op, sign, topics } from "./ControllerPool.ts"
import { atOnce, type Running, type StillClock } from "./ControllerWorld.ts"
import { signingKey } from "./Peer.ts"

/** What a command was generated with, to be taken modulo what there is. */
export interface Numbers {
  readonly a: number
  readonly b: number
  readonly c: number
}

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

export const counts = ({ rejected, waiting }: { readonly rejected: number; readonly waiting: number }) =>
  `${waiting} wait, ${rejected} rejected`

export const drain: Planned = {
  text: "drain",
  model: Calls.drain,
  real: ({ controller }) => Effect.map(controller.drain, counts)
}

export const keyOf = (author: Op["author"] | undefined): VerifyingKey | undefined =>
  author === undefined ? undefined : keys[author]
export const topicOf = (topic: Op["topic"] | undefined) => (topic === undefined ? undefined : topics[topic])
// The model has ids as plain text.
export const hash = (id: string) => id as Hash

/** Some of the pool: as it was written, backwards, or what is not here yet; sometimes one of them twice. */
export const chosen = ({ a, b, c }: Numbers, { model, pool }: Choice): ReadonlyArray<Op> => {
  const known = new Set([...model.accepted, ...model.inbox].map(({ op }) => op.id))
  const from = c % 4 < 2 ? pool.filter(({ id }) => !known.has(id) && !model.decisions.has(id)) : pool
  const start = c % 4 === 0 ? a % 3 : a % Math.max(1, from.length)
  const some = from.slice(start, start + 1 + (b % 7))
  const ops = some.length === 0 ? pool.slice(0, 1) : some
  const ordered = c % 3 === 0 ? [...ops].reverse() : ops
  return c % 7 === 0 ? [...ordered, ...ordered.slice(0, 1)] : ordered
}

export const publish = ({ a, b, c }: Numbers, { model, pool, published }: Choice): Planned => {
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
export const meaning = ({ a, b, c }: Numbers, { clock, model }: Choice): Model.Meant =>
  a % 3 === 0 ? {} : mixed(b, c, clock.now, model.last)

export const pull = ({ a, b, c }: Numbers, { clock }: Choice): Planned => {
  const name = a % 3 === 0 ? "pull2" : "pull"
  const from = b % 3 === 0 ? "now" : "beginning"
  const options = { inFlight: 1 + (c % 9), lease: b % 2 === 0 ? 1000 : 30_000 }
  return {
    text: `pull as ${name} from ${from} ${JSON.stringify(options)}`,
    model: (m, p) => Pulls.pull(m, p, name, from, options),
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

export const holding = (
  { b, c }: Numbers,
  acknowledges: boolean,
  { delivery, name }: Running["hands"][number]
): Planned => {
  const { attempt, position } = delivery
  const held = `position ${position} (${attempt}) of ${name}`
  if (acknowledges && b % 5 > 0) {
    return {
      text: `acknowledge ${held}`,
      model: (m, p) => Pulls.ack(m, p, name, position, attempt),
      real: () => Effect.as(delivery.ack, "done")
    }
  }
  if (acknowledges) {
    return {
      text: `extend ${held}`,
      model: (m, p) => Pulls.extend(m, p, name, position, attempt, 5000),
      real: () => Effect.as(delivery.extend(5000), "done")
    }
  }
  const after = c % 2 === 0 ? undefined : 1000
  return {
    text: `refuse ${held}, again ${after === undefined ? "when asked" : `after ${after}`}`,
    model: (m, p) => Pulls.nack(m, p, name, position, attempt, after),
    real: () => Effect.as(delivery.nack(new Error("not now"), after), "done")
  }
}

// internal

const keys = {
  A: native.verifyingKey(signingKey(authors.A)),
  B: native.verifyingKey(signingKey(authors.B)),
  C: native.verifyingKey(signingKey(authors.C)),
  M: native.verifyingKey(signingKey(authors.M))
}
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
