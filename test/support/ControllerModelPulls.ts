/** The calls of the model that are about single consumers: adding and finding them, and what those who pull can do. */
import * as Model from "./ControllerModel.ts"
import * as Readers from "./ControllerModelReaders.ts"

type M = Model.Model
type P = Model.Program

/** One that was here before has left its tables as they were. */
export const add = (m: M, one: Model.Consumer) => {
  const before = m.removed.get(one.name)
  m.consumers.set(one.name, { ...one, effects: before?.effects ?? [], told: before?.told ?? [] })
  m.removed.delete(one.name)
}

/** It has to be there. */
export const named = (m: M, name: string): Model.Consumer => {
  const found = m.consumers.get(name)
  if (found === undefined) throw new Model.Refusal("UnknownConsumer")
  return found
}

export function* pull(
  m: M,
  p: P,
  name: string,
  from: "beginning" | "now",
  options: { inFlight: number; lease: number }
) {
  const known = m.consumers.get(name)
  if (known === undefined) add(m, Model.consumer(name, "puller", 1, "live", from === "now" ? m.last : 0))
  yield
  const taken = Readers.take(m, p, named(m, name), options)
  yield
  return taken.map(({ text }) => text).join(", ")
}

export function* ack(m: M, _p: P, name: string, position: number, attempt: number): Model.Call {
  const one = holder(m, name)
  held(one, position, attempt)
  one.deliveries.delete(position)
  one.notices = one.notices.filter(({ at }) => at !== position)
  yield
  return "done"
}

export function* nack(m: M, _p: P, name: string, position: number, attempt: number, after?: number): Model.Call {
  Object.assign(held(holder(m, name), position, attempt), {
    parked: true,
    due: after === undefined ? undefined : m.now + after
  })
  yield
  return "done"
}

export function* extend(m: M, _p: P, name: string, position: number, attempt: number, lease: number): Model.Call {
  held(holder(m, name), position, attempt).due = m.now + lease
  yield
  return "done"
}

// internal

/** Whoever holds something of one that was removed has lost it with all the rest. */
const holder = (m: M, name: string): Model.Consumer => {
  const found = m.consumers.get(name)
  if (found === undefined) throw new Model.Refusal("LeaseLost")
  return found
}

const held = (one: Model.Consumer, position: number, attempt: number): Model.Delivery => {
  const delivery = one.deliveries.get(position)
  if (delivery === undefined || delivery.parked || delivery.attempts !== attempt) throw new Model.Refusal("LeaseLost")
  return delivery
}
