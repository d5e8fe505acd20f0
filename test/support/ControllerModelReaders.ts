/** The part of the model that hands accepted operations over: pages, retries, replays, and whoever pulls. */
import * as Model from "./ControllerModel.ts"

/** After how long the reader `two` wants to be asked again, and how often it may say no until it is asked no more. */
export const retryAfter = 1000
export const retryUntil = 3

/** So many batches are a page of what is handed to readers. */
export const pages = 3

/** The version of a consumer in a program. */
export const versionIn = (program: Model.Program, name: string): number | undefined =>
  name === "app" ? program.application : program.readers.get(name)

/** A page of what comes next; whether there was one. It holds so many operations and so many notices at the most. */
export const follow = (
  model: Model.Model,
  program: Model.Program,
  one: Model.Consumer,
  size = program.batchSize * pages
): boolean => {
  if (!isOurs(program, one) || (one.position === model.last && one.state === "live")) return false
  const ahead = model.accepted.filter(({ position }) => position > one.position)
  const read = end(ahead, size, model.last)
  const notices = one.notices
    .filter(({ at }) => at > one.position && at <= read)
    .sort((a, b) => a.at - b.at || a.position - b.position)
  const until = notices.length >= size ? (notices[size - 1]?.at ?? read) : read
  const positions = [...ahead.map(({ position }) => position), ...one.notices.map(({ at }) => at)]
  for (const position of unique(positions)) {
    if (position <= one.position || position > until) continue
    handOver(model, one, position, { replay: position <= one.seen, attempts: 0, again: false })
  }
  one.position = until
  one.seen = Math.max(one.seen, until)
  if (one.state === "building" && until === model.last) one.state = "live"
  return true
}

/** A page of what is parked and due; whether there was one. */
export const retry = (model: Model.Model, program: Model.Program, one: Model.Consumer): boolean => {
  if (!isOurs(program, one)) return false
  const due = dueOf(model, one).slice(0, program.batchSize * pages)
  for (const position of unique(due)) {
    const { attempts, replay } = one.deliveries.get(position) ?? { attempts: 0, replay: false }
    handOver(model, one, position, { replay, attempts, again: false })
  }
  return due.length > 0
}

/** A page of a replay; whether there was one. */
export const replay = (model: Model.Model, program: Model.Program, job: Model.Replay): boolean => {
  const one = model.consumers.get(job.consumer)
  if (one === undefined || job.state !== "running") return false
  if (one.role !== "puller" && !isOurs(program, one)) return false
  const found = model.accepted.filter(
    (it) => it.position > job.position && it.position <= job.until && isMeant(job, it)
  )
  const size = one.role === "puller" ? program.batchSize : program.batchSize * pages
  const page = found.slice(0, size)
  job.position = end(found, size, job.until)
  for (const accepted of page.filter((it) => wasWritten(job, it))) {
    const { position } = accepted
    const before = one.deliveries.get(position)
    job.handled += 1
    if (one.role === "puller") {
      const attempts = (before?.attempts ?? 0) + 1
      one.deliveries.set(position, { attempts, parked: false, due: model.now, replay: before?.replay ?? false })
    } else {
      // What it was told once it is not told again; what is parked it has not been told yet.
      const again = before === undefined
      const handled = handOver(model, one, position, { replay: true, attempts: before?.attempts ?? 0, again })
      if (handled) continue
      job.handled -= 1
      job.parked += 1
    }
  }
  if (job.position >= job.until) job.state = "done"
  return true
}

/** What somebody who pulls is given. */
export interface Taken {
  readonly position: number
  readonly attempt: number
  readonly text: string
}

/** Takes out what is due and what comes next, as far as there is room. */
export const take = (
  model: Model.Model,
  program: Model.Program,
  one: Model.Consumer,
  { inFlight, lease }: { readonly inFlight: number; readonly lease: number }
): ReadonlyArray<Taken> => {
  const held = Array.from(one.deliveries.values()).filter(({ due, parked }) => !parked && (due ?? 0) > model.now)
  const room = Math.min(program.batchSize, inFlight - held.length)
  if (one.paused || room <= 0) return []
  const due = dueOf(model, one).slice(0, room)
  const ahead = unique([...model.accepted.map(({ position }) => position), ...one.notices.map(({ at }) => at)])
    .filter((position) => position > one.position)
    .slice(0, room - due.length)
  const seen = one.seen
  if (due.length < room && one.position < model.last) {
    one.position = due.length + ahead.length < room ? model.last : (ahead.at(-1) ?? one.position)
    one.seen = Math.max(seen, one.position)
  }
  return unique([...due, ...ahead]).map((position) => {
    const attempt = (one.deliveries.get(position)?.attempts ?? 0) + 1
    const replay = one.deliveries.get(position)?.replay ?? false
    one.deliveries.set(position, { attempts: attempt, parked: false, due: model.now + lease, replay })
    const accepted = model.accepted.find((it) => it.position === position)
    const what = accepted === undefined ? "gone" : accepted.body ? `${accepted.op.message?.n}` : "-"
    const again = accepted !== undefined && position <= seen ? "*" : ""
    const told = one.notices.filter(({ at }) => at === position).map((it) => `${it.position}${it.how}${mark(it)}`)
    return { position, attempt, text: [`${position}: ${what}${again} (${attempt})`, ...told.sort()].join(" ") }
  })
}

export const mark = ({ missed }: { readonly missed: boolean }): string => (missed ? "?" : "")

// internal

const isOurs = (program: Model.Program, one: Model.Consumer): boolean =>
  !one.paused && one.state !== "reset" && one.version === versionIn(program, one.name)

const unique = (positions: ReadonlyArray<number>) => Array.from(new Set(positions)).sort((a, b) => a - b)

/** Up to where a page reads: to the end where it is not full. */
const end = (found: ReadonlyArray<Model.Accepted>, size: number, last: number): number =>
  found.length < size ? last : (found[size - 1]?.position ?? last)

/** What is due, what was due first before the rest. */
const dueOf = ({ now }: Model.Model, { deliveries }: Model.Consumer): ReadonlyArray<number> =>
  Array.from(deliveries)
    .flatMap(([position, { due }]) => (due !== undefined && due <= now ? [{ position, due }] : []))
    .sort((a, b) => a.due - b.due || a.position - b.position)
    .map(({ position }) => position)

/**
 * Hands over what is at a position: the operation, and what is to be told there; all of it is undone and parked where the
 * handler says no. `again`: the consumer has had it before. Gives whether it was handled.
 */
const handOver = (
  model: Model.Model,
  one: Model.Consumer,
  position: number,
  how: { readonly replay: boolean; readonly attempts: number; readonly again: boolean }
): boolean => {
  const found = model.accepted.find((it) => it.position === position)
  const before = one.deliveries.get(position)
  if (found?.body === true && Model.saysNo(model, found.op, one.name, one.version)) {
    const attempts = how.attempts + 1
    const due = one.name === "two" && attempts < retryUntil ? model.now + retryAfter : undefined
    one.deliveries.set(position, { attempts, parked: true, due, replay: before?.replay ?? how.replay })
    return false
  }
  one.deliveries.delete(position)
  if (found?.body === true && found.op.message !== undefined) {
    one.effects.push({ position, n: found.op.message.n, replay: how.replay })
  }
  // The application is told when it happens.
  if (one.role === "application" || how.again) return true
  const skipped = found !== undefined && model.decisions.get(found.op.id) === "skipped"
  const lacks = found !== undefined && !found.body && found.op.message !== undefined
  // What was skipped was never handled, not even where it has no body.
  if (skipped || lacks) tell(one, { position, how: skipped ? "skipped" : "deleted", missed: true })
  for (const notice of one.notices.filter(({ at }) => at === position)) tell(one, notice)
  one.notices = one.notices.filter(({ at }) => at !== position)
  return true
}

const tell = (one: Model.Consumer, { how, missed, position }: { position: number; how: string; missed: boolean }) => {
  one.effects = one.effects.filter((effect) => effect.position !== position)
  one.told.push({ position, how, missed })
}

const isMeant = ({ meant }: Model.Replay, { at, op }: Model.Accepted): boolean =>
  (meant.author === undefined || meant.author === op.author) &&
  (meant.topic === undefined || meant.topic === op.topic) &&
  at >= (meant.acceptedFrom ?? -Infinity) &&
  at < (meant.acceptedUntil ?? Infinity)

const wasWritten = (
  { meant: { writtenFrom, writtenUntil } }: Model.Replay,
  { op: { written } }: Model.Accepted
): boolean =>
  (writtenFrom === undefined && writtenUntil === undefined) ||
  (written !== undefined && written >= (writtenFrom ?? -Infinity) && written < (writtenUntil ?? Infinity))
