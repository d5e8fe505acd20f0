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
  /** The logs that were published on, and the newest place that one had which came from outside and was discarded. */
  readonly own: Map<string, number>
  /** The logs that somebody has written twice, as far as that can be proved. */
  readonly forked: Set<string>
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
  replayed: 0,
  own: new Map(),
  forked: new Set()
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
  replays: model.replays.map((replay) => ({ ...replay })),
  own: new Map(model.own),
  forked: new Set(model.forked)
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
