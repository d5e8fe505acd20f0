/** The part of the model that decides: what gets into the logs, what stays in the inbox, and what goes. */
import * as State from "./ControllerModel.ts"
import type { AuthorName, Op } from "./ControllerPool.ts"

/** Whether its author has deleted its body. */
export const isDeleted = ({ tombstones }: State.Model, { author, id }: Op): boolean =>
  tombstones.get(id)?.has(author) === true

export const isHere = ({ accepted }: State.Model, { id }: Op): boolean => accepted.some(({ op }) => op.id === id)
export const isGone = ({ decisions }: State.Model, { id }: Op): boolean =>
  ["discarded", "pruned"].includes(decisions.get(id) ?? "")

/** Where an operation stands next to the head of its log. */
export const place = ({ heads }: State.Model, op: Op, prune = op.prune): "next" | "gap" | "fork" | "outdated" => {
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
export const decide = (model: State.Model, version: number, op: Op): number | undefined => {
  const entry = model.inbox.find((one) => one.op.id === op.id)
  const deleted = isDeleted(model, op)
  const body = op.message !== undefined && !deleted && entry?.body !== false
  const where = place(model, op)
  if (where === "next" && !(body && State.saysNo(model, op, "app", version))) {
    leave(model, op)
    const position = append(model, op, body, op.prune)
    if (deleted) decided(model, op.id, "deleted")
    if (op.message !== undefined && body) State.app(model).effects.push({ position, n: op.message.n, replay: false })
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
  if (where === "fork") prove(model, op)
  return undefined
}

/** Decides, and then whatever was waiting for that, before anything else. */
export const decideAll = (model: State.Model, version: number, op: Op, accepted: Map<string, number>): void => {
  const position = decide(model, version, op)
  if (position === undefined) return
  accepted.set(op.id, position)
  wake(model, version, op, accepted)
}

/** Decides again whoever waits at a place up to the one behind an operation that was accepted. */
export const wake = (model: State.Model, version: number, { log, seq }: Op, accepted: Map<string, number>): void => {
  const waiting = model.inbox.filter(({ op, status }) => status === "waiting" && op.log === log && op.seq <= seq + 1)
  // Sorting is stable: those at one place go in the order in which they came.
  for (const entry of waiting.sort((a, b) => a.op.seq - b.op.seq)) {
    if (model.inbox.includes(entry) && entry.status === "waiting") decideAll(model, version, entry.op, accepted)
  }
}

/** Notes that somebody is to be decided again, for whoever processes next. */
export const wakeLater = (model: State.Model, op: Op): void => {
  const waits = model.inbox.some((one) => one.status === "waiting" && one.op.log === op.log && one.op.seq <= op.seq + 1)
  if (waits) model.wakes.push(op)
}

/** Puts it at the end of its log; gives its position. */
export const append = (model: State.Model, op: Op, body: boolean, prunes: boolean): number => {
  const position = ++model.last
  const prunedBelow = prunes ? op.seq : (model.heads.get(op.log)?.prunedBelow ?? 0)
  model.accepted.push({ op, position, at: model.now, body })
  model.heads.set(op.log, { seq: op.seq, id: op.id, prunedBelow })
  const application = State.app(model)
  application.position = position
  application.seen = Math.max(application.seen, position)
  return position
}

/** Takes it off the inbox. */
export const leave = (model: State.Model, { id }: Op): void => {
  model.inbox = model.inbox.filter(({ op }) => op.id !== id)
}

/** Records a decision; an earlier one stays. */
export const decided = (
  { decisions }: State.Model,
  id: string,
  what: "skipped" | "deleted" | "discarded" | "pruned"
): void => {
  if (!decisions.has(id)) decisions.set(id, what)
}

/**
 * Why nothing is published on a log: somebody has written it twice, operations of it are out there that are not in it, or all that is
 * in it came from outside. What was published and never committed may come from outside here, as after the loss of the last commits.
 */
export const unsafe = ({ forked, heads, inbox, own }: State.Model, log: string): string | undefined => {
  const head = heads.get(log)?.seq ?? -1
  if (forked.has(log)) return "OwnLogForked"
  const known = [own.get(log) ?? -1, ...inbox.flatMap(({ op }) => (op.log === log ? [op.seq] : []))]
  if (Math.max(...known) > head) return "OwnLogBehind"
  return heads.has(log) && !own.has(log) ? "OwnLogUnwitnessed" : undefined
}

// internal

/** A fork can be proved where the accepted operation that it contradicts is still here. */
const prove = ({ accepted, forked, heads }: State.Model, { log, seq }: Op): void => {
  const at = seq === (heads.get(log)?.seq ?? -1) + 1 ? seq - 1 : seq
  if (accepted.some(({ op }) => op.log === log && op.seq === at)) forked.add(log)
}

/** Whoever is told of what goes: readers and pullers that are not about to be emptied anyway. */
const listeners = (model: State.Model) =>
  Array.from(model.consumers.values()).filter(({ role, state }) => role !== "application" && state !== "reset")

const forgetEffect = (model: State.Model, position: number) => {
  const application = State.app(model)
  application.effects = application.effects.filter((one) => one.position !== position)
}

/** Everything before a place of a log goes, accepted or not. */
const prune = (model: State.Model, log: string, below: number, at: number): void => {
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
const erase = (model: State.Model, id: string, by: AuthorName, at: number): void => {
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
