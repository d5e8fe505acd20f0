/** The calls of the model: the same as the controller's, each a generator that yields after each transaction. */
import * as Model from "./ControllerModel.ts"
import * as Log from "./ControllerModelLog.ts"
import { add, named } from "./ControllerModelPulls.ts"
import * as Readers from "./ControllerModelReaders.ts"
import type { Op } from "./ControllerPool.ts"

type M = Model.Model
type P = Model.Program

/** Opens a program: what is new or newer is recorded, what was not accepted is queued. */
export function* open(m: M, p: P): Model.Call {
  const changes: Array<() => void> = []
  for (const [name, version] of [["app", p.application] as const, ...p.readers]) {
    const found = m.consumers.get(name)
    if (found === undefined) {
      const state = m.last === 0 ? "live" : "building"
      changes.push(() => add(m, Model.consumer(name, "reader", version, state)))
    } else if (found.version > version) throw new Model.Refusal("Superseded")
    else if (found.version < version) changes.push(() => Object.assign(found, { version, state: "reset" }))
  }
  const held = m.inbox.some(({ status }) => status !== "queued")
  if (changes.length === 0 && !held) return "opened"
  for (const change of changes) change()
  requeue(m, () => true)
  m.wakes = []
  yield
  return "opened"
}

export function* receive(m: M, _p: P, ops: ReadonlyArray<Op>): Model.Call {
  for (const op of ops) {
    if (Log.isHere(m, op) || Log.isGone(m, op) || m.inbox.some((one) => one.op.id === op.id)) continue
    const body = op.message !== undefined && !Log.isDeleted(m, op)
    m.inbox.push({ op, status: "queued", attempts: 0, body })
  }
  yield
  return "received"
}

/** Answers with what was accepted of it in its batch, and where. */
export function* process(m: M, p: P, ops: ReadonlyArray<Op>): Model.Call {
  const answers: Array<string> = []
  for (let at = 0; at < ops.length; at += p.batchSize) {
    yield* live(m, p)
    const batch = Array.from(new Set(ops.slice(at, at + p.batchSize)))
    const accepted = new Map<string, number>()
    for (const op of batch.filter((it) => isCandidate(m, it))) Log.decideAll(m, p.application, op, accepted)
    answers.push(...batch.flatMap(({ id, name }) => (accepted.has(id) ? [`${name} ${accepted.get(id)}`] : [])))
    yield
  }
  return answers.join(", ")
}

/** `op`: what is to be published, at its place. */
export function* publish(m: M, p: P, make: () => Op): Model.Call {
  yield* live(m, p)
  const op = make()
  const unsafe = Log.unsafe(m, op.log)
  if (unsafe !== undefined) throw new Model.Refusal(unsafe)
  if (op.message !== undefined && Model.saysNo(m, op, "app", p.application)) throw new Model.Refusal("Unlucky")
  const position = Log.decide(m, p.application, op)
  Log.wakeLater(m, op)
  m.own.set(op.log, m.own.get(op.log) ?? -1)
  yield
  return `${position} ${op.id}`
}

export function* drain(m: M, p: P): Model.Call {
  yield* live(m, p)
  for (;;) {
    const due = m.wakes.length > 0 || m.inbox.some(({ status }) => status === "queued")
    if (due) yield* attempt(m, p)
    if (!(yield* step(m, p)) && !due) return counts(m, () => true)
  }
}

export function* replay(m: M, p: P, which: (op: Op) => boolean, all: boolean): Model.Call {
  requeue(m, which)
  if (all) m.wakes = []
  yield
  yield* drain(m, p)
  return counts(m, which)
}

export function* skip(m: M, p: P, op: Op): Model.Call {
  yield* live(m, p)
  const entry = m.inbox.find((one) => one.op.id === op.id)
  if (entry === undefined) throw new Model.Refusal("NotInInbox")
  // Skipped, it prunes nothing, so it needs what comes before it like any other.
  if (Log.place(m, op, false) !== "next") throw new Model.Refusal("CannotSkip")
  const position = Log.append(m, op, false, false)
  Log.decided(m, op.id, "skipped")
  Log.leave(m, op)
  Log.wakeLater(m, op)
  yield
  return `${position}`
}

export function* discard(m: M, _p: P, op: Op): Model.Call {
  if (!m.inbox.some((one) => one.op.id === op.id)) throw new Model.Refusal("NotInInbox")
  Log.leave(m, op)
  Log.decided(m, op.id, "discarded")
  const heard = m.own.get(op.log)
  if (heard !== undefined) m.own.set(op.log, Math.max(heard, op.seq))
  yield
  return "discarded"
}

export function* pause(m: M, _p: P, name: string, paused: boolean): Model.Call {
  const one = named(m, name)
  if (one.role === "application") throw new Model.Refusal("UnknownConsumer")
  one.paused = paused
  yield
  return "done"
}

export function* remove(m: M, _p: P, name: string): Model.Call {
  const one = named(m, name)
  if (one.role === "application") throw new Model.Refusal("UnknownConsumer")
  m.consumers.delete(name)
  m.replays = m.replays.filter(({ consumer }) => consumer !== name)
  m.removed.set(name, one)
  yield
  return "done"
}

export function* retry(m: M, _p: P, name: string, position: number | undefined): Model.Call {
  let count = 0
  for (const [at, delivery] of named(m, name).deliveries) {
    if (!delivery.parked || (position !== undefined && at !== position)) continue
    delivery.due = m.now
    count += 1
  }
  yield
  return `${count}`
}

export function* rebuild(m: M, p: P, name: string): Model.Call {
  const one = named(m, name)
  // Nobody knows how to hand a puller everything again but the puller.
  if (one.role === "puller") throw new Model.Refusal("UnknownConsumer")
  if (Readers.versionIn(p, name) === undefined) throw new Model.Refusal("CannotRebuild")
  one.state = "reset"
  yield
  return "done"
}

export function* again(m: M, p: P, name: string, meant: Model.Meant): Model.Call {
  const one = named(m, name)
  const job: Model.Replay = {
    number: ++m.replayed,
    consumer: name,
    meant,
    position: Math.max(0, (meant.from ?? 1) - 1),
    until: Math.min(meant.to ?? one.position, one.position),
    handled: 0,
    parked: 0,
    state: "running"
  }
  m.replays.push(job)
  yield
  while (Readers.replay(m, p, job)) yield
  return `${job.state} ${job.handled} ${job.parked}`
}

export function* cancel(m: M, _p: P, number: number): Model.Call {
  const job = m.replays.find((it) => it.number === number)
  const running = job?.state === "running"
  if (job !== undefined && running) job.state = "cancelled"
  yield
  return `${running}`
}

// internal

const counts = (m: M, which: (op: Op) => boolean) => {
  const count = (wanted: string) => m.inbox.filter(({ op, status }) => status === wanted && which(op)).length
  return `${count("waiting")} wait, ${count("rejected")} rejected`
}

const requeue = (m: M, which: (op: Op) => boolean) => {
  for (const entry of m.inbox) if (which(entry.op)) entry.status = "queued"
}

/** New here, or queued only. */
const isCandidate = (m: M, op: Op): boolean => {
  if (Log.isHere(m, op) || Log.isGone(m, op)) return false
  const entry = m.inbox.find((one) => one.op.id === op.id)
  return entry === undefined || entry.status === "queued"
}

/** Nothing is accepted unless the application has everything: it is built first. */
function* live(m: M, p: P): Model.Call<void> {
  for (;;) {
    const application = Model.app(m)
    if (application.version !== p.application) throw new Model.Refusal("Superseded")
    if (application.state === "live" && application.position === m.last) return
    yield* build(m, p)
  }
}

function* build(m: M, p: P): Model.Call<void> {
  yield* empty(m, p, Model.app(m))
  while (Readers.follow(m, p, Model.app(m), p.batchSize)) yield
}

function* empty(m: M, p: P, one: Model.Consumer): Model.Call<void> {
  if (one.state !== "reset") return
  // A newer program empties it.
  if (one.version !== Readers.versionIn(p, one.name)) return
  Object.assign(one, { state: "building", position: 0, notices: [], effects: [], told: [] })
  one.deliveries.clear()
  for (const job of m.replays) if (job.consumer === one.name && job.state === "running") job.state = "cancelled"
  yield
}

/** What was woken last, or else the oldest of the queue. */
function* attempt(m: M, p: P): Model.Call<void> {
  yield* live(m, p)
  const woken = m.wakes.pop()
  if (woken !== undefined) Log.wake(m, p.application, woken, new Map())
  else {
    const batch = m.inbox.filter(({ status }) => status === "queued").slice(0, p.batchSize)
    for (const entry of batch) {
      if (m.inbox.includes(entry)) Log.decideAll(m, p.application, entry.op, new Map())
    }
  }
  yield
}

/** A page for each that has something to do, and of each replay; whether anybody had. */
function* step(m: M, p: P): Model.Call<boolean> {
  let moved = false
  for (const one of m.consumers.values()) {
    if (one.role === "puller" || one.paused || Readers.versionIn(p, one.name) === undefined) continue
    // What it parks now is not due before the next step.
    const due = Array.from(one.deliveries.values()).some((it) => it.due !== undefined && it.due <= m.now)
    const behind = one.state !== "live" || one.position < m.last
    if (one.role === "reader") {
      yield* empty(m, p, one)
      if (behind && Readers.follow(m, p, one)) {
        moved = true
        yield
      }
    }
    if (due && Readers.retry(m, p, one)) {
      moved = true
      yield
    }
  }
  for (const job of m.replays.filter(({ state }) => state === "running")) {
    if (Readers.replay(m, p, job)) {
      moved = true
      yield
    }
  }
  return moved
}
