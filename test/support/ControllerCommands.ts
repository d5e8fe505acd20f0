/** What the controller's model test can do, and how often. */
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Calls from "./ControllerModelCalls.ts"
import * as Plans from "./ControllerPlans.ts"
import type { Op } from "./ControllerPool.ts"
import type { Fault } from "./ControllerWorld.ts"

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
  ack: 5,
  nack: 2
}

/** A command as it is generated. */
export interface Command extends Plans.Numbers {
  readonly kind: keyof typeof kinds
  /** Which of the two programs is asked. */
  readonly who: number
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

/** A command on a program that is running; none where there is nothing to do it with. */
export const plan = (command: Command, choice: Plans.Choice): Plans.Planned | undefined => {
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
  // Mostly one that is told something.
  const tells = running.hands.filter(({ delivery, name }) =>
    model.consumers.get(name)?.notices.some(({ at }) => at === delivery.position)
  )
  const hands = tells.length > 0 && b % 4 > 0 ? tells : running.hands
  const hand = hands[a % Math.max(1, hands.length)]
  switch (kind) {
    case "receive":
    case "process": {
      const ops = Plans.chosen(command, choice)
      return Plans.take(kind, ops)
    }
    case "publish":
      return Plans.publish(command, choice)
    case "drain":
      return Plans.drain
    case "replay": {
      const which = [{}, { author: "A" }, { topic: "x" }, { author: "B", topic: "y" }] as const
      const said: { readonly author?: "A" | "B"; readonly topic?: "x" | "y" } = which[a % 4] ?? {}
      const fits = (op: Op) => (said.author ?? op.author) === op.author && (said.topic ?? op.topic) === op.topic
      return {
        text: `replay the inbox ${JSON.stringify(said)}`,
        model: (m, p) => Calls.replay(m, p, fits, a % 4 === 0),
        real: ({ controller }) =>
          Effect.map(
            controller.replay(
              a % 4 === 0 ? undefined : { author: Plans.keyOf(said.author), topic: Plans.topicOf(said.topic) }
            ),
            Plans.counts
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
            ? Effect.map(controller.skip(Plans.hash(one.id)), String)
            : Effect.as(controller.discard(Plans.hash(one.id)), "discarded")
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
      const meant = Plans.meaning(command, choice)
      const { author, topic, ...range } = meant
      const filter = { consumer: name, ...range, author: Plans.keyOf(author), topic: Plans.topicOf(topic) }
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
      return Plans.pull(command, choice)
    case "ack":
    case "nack":
      if (hand === undefined) return undefined
      return Plans.holding(command, kind === "ack", hand)
    default:
      return undefined
  }
}
