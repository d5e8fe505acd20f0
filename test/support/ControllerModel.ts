/**
 * The model of a controller: what operations, inbox and consumers look like after each call, as plain data. Written from what
 * is promised and not from how it is done; it shares nothing with the implementation.
 *
 * A call is a generator that yields after each transaction, so that a crash can be compared with every point at which it
 * may have happened.
 */
import type { AuthorName, Op } from "./ControllerPool.ts"

/** An operation that was accepted and is still here. */
export interface Accepted {
  readonly op: Op
  readonly position: number
  readonly at: number
  readonly body: boolean
}

/** An operation in the inbox; they stand in the order in which they came. */
export interface Entry {
  readonly op: Op
  status: "queued" | "waiting" | "rejected"
  attempts: number
  body: boolean
}

/** A position that was handed over and is not acknowledged: parked, or in somebody's hands. */
export interface Delivery {
  attempts: number
  parked: boolean
  due: number | undefined
  replay: boolean
}

/** Something that a consumer is to be told at a position: that the operation at `position` is gone. */
export interface Notice {
  readonly at: number
  readonly position: number
  readonly how: "pruned" | "deleted"
  readonly missed: boolean
}

/** The application, a reader, or somebody who pulls. */
export interface Consumer {
  readonly name: string
  readonly role: "application" | "reader" | "puller"
  version: number
  state: "reset" | "building" | "live"
  position: number
  seen: number
  paused: boolean
  readonly deliveries: Map<number, Delivery>
  notices: Array<Notice>
  /** What its handler has left, in order. */
  effects: Array<{ readonly position: number; readonly n: number; readonly replay: boolean }>
  /** What it was told of. */
  told: Array<{ readonly position: number; readonly how: string; readonly missed: boolean }>
}

/** A replay that was asked for. */
export interface Replay {
  readonly number: number
  readonly consumer: string
  readonly meant: Meant
  position: number
  readonly until: number
  handled: number
  parked: number
  state: "running" | "done" | "cancelled"
}

/** Which accepted operations a replay means. */
export interface Meant {
  readonly from?: number | undefined
  readonly to?: number | undefined
  readonly acceptedFrom?: number | undefined
  readonly acceptedUntil?: number | undefined
  readonly writtenFrom?: number | undefined
  readonly writtenUntil?: number | undefined
  readonly author?: AuthorName | undefined
  readonly topic?: Op["topic"] | undefined
}

/** Everything. */
export interface Model {
  now: number
  /** Whether everybody takes everything. */
  luck: boolean
  /** The last position that was given. */
  last: number
  accepted: Array<Accepted>
  readonly heads: Map<string, { readonly seq: number; readonly id: string; readonly prunedBelow: number }>
  inbox: Array<Entry>
  readonly decisions: Map<string, "skipped" | "deleted" | "discarded" | "pruned">
  /** Who deleted what. */
  readonly tombstones: Map<string, Set<AuthorName>>
  /** Operations whose successors are to be decided again, the newest last. */
  wakes: Array<Op>
  readonly consumers: Map<string, Consumer>
  /** Those that were removed: what their handlers have left stays. */
  readonly removed: Map<string, Consumer>
  replays: Array<Replay>
  /** How many replays were asked for. */
  replayed: number
}

/** What a program is made of: it may be an older one than the database knows. */
export interface Program {
  readonly batchSize: number
  readonly application: number
  readonly readers: ReadonlyMap<string, number>
}

/** A call that is answered with a typed error; it has changed nothing since it yielded last. */
export class Refusal extends Error {
  readonly tag: string
  constructor(tag: string) {
    super(tag)
    this.tag = tag
  }
}

/** A call: yields after each transaction, returns its answer. */
export type Call<A = string> = Generator<undefined, A, undefined>

export const make = (now: number): Model => ({
  now,
  luck: false,
  last: 0,
  accepted: [],
  heads: new Map(),
  inbox: [],
  decisions: new Map(),
  tombstones: new Map(),
  wakes: [],
  consumers: new Map([["app", consumer("app", "application", 1, "live")]]),
  removed: new Map(),
  replays: [],
  replayed: 0
})

export const consumer = (
  name: string,
  role: Consumer["role"],
  version: number,
  state: Consumer["state"],
  position = 0
): Consumer => ({
  name,
  role,
  version,
  state,
  position,
  seen: 0,
  paused: false,
  deliveries: new Map(),
  notices: [],
  effects: [],
  told: []
})

/** A copy that goes its own way. */
export const copy = (model: Model): Model => ({
  ...model,
  accepted: [...model.accepted],
  heads: new Map(model.heads),
  inbox: model.inbox.map((entry) => ({ ...entry })),
  decisions: new Map(model.decisions),
  tombstones: new Map(model.tombstones),
  wakes: [...model.wakes],
  consumers: new Map(Array.from(model.consumers, ([name, one]) => [name, copyOf(one)])),
  removed: new Map(model.removed),
  replays: model.replays.map((replay) => ({ ...replay }))
})

const copyOf = (one: Consumer): Consumer => ({
  ...one,
  deliveries: new Map(Array.from(one.deliveries, ([position, delivery]) => [position, { ...delivery }])),
  notices: [...one.notices],
  effects: [...one.effects],
  told: [...one.told]
})

export const app = (model: Model): Consumer => {
  const found = model.consumers.get("app")
  if (found === undefined) throw new Error("the model has lost its application")
  return found
}

/** Whether a handler says no to a message. */
export const saysNo = ({ luck }: Model, { message }: Op, name: string, version: number): boolean =>
  !luck && message !== undefined && (message.no.includes(name) || message.no.includes(`${name}@${version}`))

/** Whether its author has deleted its body. */
export const isDeleted = ({ tombstones }: Model, { author, id }: Op): boolean =>
  tombstones.get(id)?.has(author) === true

export const isHere = ({ accepted }: Model, { id }: Op): boolean => accepted.some(({ op }) => op.id === id)
export const isGone = ({ decisions }: Model, { id }: Op): boolean =>
  ["discarded", "pruned"].includes(decisions.get(id) ?? "")

/** Where an operation stands next to the head of its log. */
export const place = ({ heads }: Model, op: Op, prune = op.prune): "next" | "gap" | "fork" | "outdated" => {
  const head = heads.get(op.log)
  const expected = head === undefined ? 0 : head.seq + 1
  if (prune && op.seq >= expected) return "next"
  if (op.seq > expected) return "gap"
  if (op.seq === expected) return op.backlink === head?.id ? "next" : "fork"
  return op.seq < (head?.prunedBelow ?? 0) ? "outdated" : "fork"
}

/**
 * Decides about an operation: it gets into its log with all that it does, or it is in the inbox afterwards, or gone where nobody
 * needs it any more. Gives its position if it was accepted.
 */
export const decide = (model: Model, version: number, op: Op): number | undefined => {
  const entry = model.inbox.find((one) => one.op.id === op.id)
  const deleted = isDeleted(model, op)
  const body = op.message !== undefined && !deleted && entry?.body !== false
  const where = place(model, op)
  if (where === "next" && !(body && saysNo(model, op, "app", version))) {
    leave(model, op)
    const position = append(model, op, body, op.prune)
    if (deleted) decided(model, op.id, "deleted")
    if (op.message !== undefined && body) app(model).effects.push({ position, n: op.message.n, replay: false })
    if (op.prune && op.seq > 0) prune(model, op.log, op.seq, position)
    for (const id of op.deletes) erase(model, id, op.author, position)
    return position
  }
  if (where === "outdated") {
    leave(model, op)
    decided(model, op.id, "pruned")
    return undefined
  }
  const stays = entry ?? { op, status: "queued" as const, attempts: 0, body }
  if (entry === undefined) model.inbox.push(stays)
  stays.status = where === "gap" ? "waiting" : "rejected"
  if (stays.status === "rejected") stays.attempts += 1
  return undefined
}

/** Decides, and then whatever was waiting for that, before anything else. */
export const decideAll = (model: Model, version: number, op: Op, accepted: Map<string, number>): void => {
  const position = decide(model, version, op)
  if (position === undefined) return
  accepted.set(op.id, position)
  wake(model, version, op, accepted)
}

/** Decides again whoever waits at a place up to the one behind an operation that was accepted. */
export const wake = (model: Model, version: number, { log, seq }: Op, accepted: Map<string, number>): void => {
  const waiting = model.inbox.filter(({ op, status }) => status === "waiting" && op.log === log && op.seq <= seq + 1)
  // Sorting is stable: those at one place go in the order in which they came.
  for (const entry of waiting.sort((a, b) => a.op.seq - b.op.seq)) {
    if (model.inbox.includes(entry) && entry.status === "waiting") decideAll(model, version, entry.op, accepted)
  }
}

/** Notes that somebody is to be decided again, for whoever processes next. */
export const wakeLater = (model: Model, op: Op): void => {
  const waits = model.inbox.some((one) => one.status === "waiting" && one.op.log === op.log && one.op.seq <= op.seq + 1)
  if (waits) model.wakes.push(op)
}

/** Puts it at the end of its log; gives its position. */
export const append = (model: Model, op: Op, body: boolean, prunes: boolean): number => {
  const position = ++model.last
  const prunedBelow = prunes ? op.seq : (model.heads.get(op.log)?.prunedBelow ?? 0)
  model.accepted.push({ op, position, at: model.now, body })
  model.heads.set(op.log, { seq: op.seq, id: op.id, prunedBelow })
  const application = app(model)
  application.position = position
  application.seen = Math.max(application.seen, position)
  return position
}

/** Takes it off the inbox. */
export const leave = (model: Model, { id }: Op): void => {
  model.inbox = model.inbox.filter(({ op }) => op.id !== id)
}

/** Records a decision; an earlier one stays. */
export const decided = (
  { decisions }: Model,
  id: string,
  what: "skipped" | "deleted" | "discarded" | "pruned"
): void => {
  if (!decisions.has(id)) decisions.set(id, what)
}

// internal

/** Whoever is told of what goes: readers and pullers that are not about to be emptied anyway. */
const listeners = (model: Model) =>
  Array.from(model.consumers.values()).filter(({ role, state }) => role !== "application" && state !== "reset")

const forgetEffect = (model: Model, position: number) => {
  const application = app(model)
  application.effects = application.effects.filter((one) => one.position !== position)
}

/** Everything before a place of a log goes, accepted or not. */
const prune = (model: Model, log: string, below: number, at: number): void => {
  const goes = ({ op }: { readonly op: Op }) => op.log === log && op.seq < below
  for (const { op, position } of model.accepted.filter(goes)) {
    forgetEffect(model, position)
    for (const one of listeners(model)) {
      const unseen = position > one.position
      const missed = unseen || one.deliveries.get(position)?.parked === true
      one.notices.push({ at: unseen ? position : at, position, how: "pruned", missed })
    }
    for (const { deliveries } of model.consumers.values()) {
      if (deliveries.get(position)?.parked === true) deliveries.delete(position)
    }
    model.decisions.set(op.id, "pruned")
  }
  for (const { op } of model.inbox.filter(goes)) decided(model, op.id, "pruned")
  model.accepted = model.accepted.filter((one) => !goes(one))
  model.inbox = model.inbox.filter((one) => !goes(one))
}

/** The body of an operation goes, if it is its author who says so; now, or when it comes. */
const erase = (model: Model, id: string, by: AuthorName, at: number): void => {
  model.tombstones.set(id, new Set([...(model.tombstones.get(id) ?? []), by]))
  const entry = model.inbox.find(({ op }) => op.id === id)
  if (entry?.op.author === by) entry.body = false
  const index = model.accepted.findIndex(({ op }) => op.id === id)
  const found = model.accepted[index]
  if (found === undefined || found.op.author !== by) return
  if (found.body) {
    forgetEffect(model, found.position)
    for (const one of listeners(model)) {
      // Whoever has not handled it will find it without a body.
      if (found.position > one.position || one.deliveries.get(found.position)?.parked === true) continue
      one.notices.push({ at, position: found.position, how: "deleted", missed: false })
    }
  }
  model.accepted[index] = { ...found, body: false }
  decided(model, id, "deleted")
}
