/**
 * The promises, asked of a database: what must hold at any moment, after any number of calls, faults, kills and restarts, in whatever
 * order things happened. It reads the tables with its own statements and shares nothing with what it checks.
 *
 * @example
 * const broken = yield* Promises.broken({ history, told })
 * assert.deepStrictEqual(broken, [])
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Bytes from "../core/Bytes.ts"
import * as Header from "../core/Header.ts"
import type * as Outcome from "../pipeline/Outcome.ts"
import type { History } from "./History.ts"
import { read, type Held, type Tables } from "./internal/tables.ts"

/** What a call confirmed of an operation. It holds whatever happens later. */
export interface Told {
  readonly id: string
  readonly where: Outcome.Where
  readonly position?: number | undefined
}

/** What is known besides the database. */
export interface Options {
  /** The operations that there are; any other one was made up. Default: nothing is known. */
  readonly history?: Pick<History, "names" | "entries"> | undefined
  /** What calls confirmed, written down outside the database. */
  readonly told?: Iterable<Told> | undefined
  /** Whether operations wait for those they name (`CausalOrder`). Default: no. */
  readonly causal?: boolean | undefined
  /** Whether operations may have been handed over without their bodies, whose tombstones come later. Default: no. */
  readonly withheld?: boolean | undefined
}

/**
 * What does not hold, each as a sentence that begins with the number of its promise; operations have their short names where the
 * history has them. Where the application is `Journal.application`, its table is compared with the log (P1, P2, P4).
 */
export const broken = (options: Options = {}): Effect.Effect<ReadonlyArray<string>, SqlError, SqlClient> =>
  Effect.map(read, (tables) => {
    const name = (id: string) => options.history?.names.get(id) ?? id.slice(0, 8)
    const found: Found = { ...tables, name, options }
    return [
      ...tables.complaints.map((one) => `SQLite: ${one}`),
      ...places(found),
      ...order(found),
      ...acknowledged(found),
      ...journal(found),
      ...waits(found),
      ...shares(found),
      ...gone(found),
      ...confirmed(found)
    ]
  })

/** What a call was told about an operation, from its answer. An answer that stores nothing confirms nothing. */
export const told = (answer: {
  readonly _tag: string
  readonly id?: string
  readonly position?: number
  readonly where?: Outcome.Where
  readonly next?: Outcome.Next
}): ReadonlyArray<Told> => {
  const { _tag, id, next, position } = answer
  if (id === undefined) return []
  switch (_tag) {
    case "Queued":
      return [{ id, where: "queued" }]
    case "Known":
      return answer.where === undefined ? [] : [{ id, where: answer.where }]
    case "Accepted":
      return [{ id, where: "accepted", position }]
    case "Deferred":
      return [{ id, where: "waiting" }]
    case "Rejected":
      return next === undefined || next._tag === "Refused" ? [] : [{ id, where: after(next) }]
    default:
      return []
  }
}

// internal

interface Found extends Tables {
  readonly name: (id: string) => string
  readonly options: Options
}

const after = (next: Outcome.Next): Outcome.Where =>
  next._tag === "Skipped" ? "accepted" : next._tag === "Discarded" ? next.as : "rejected"

const decided = ({ decisions }: Tables, ...what: ReadonlyArray<string>): ReadonlySet<string> =>
  new Set(decisions.flatMap((one) => (what.includes(one.what) ? [one.id] : [])))

/** P3: an operation is in one place, and P4: only what was handed over is anywhere. */
const places = (found: Found): ReadonlyArray<string> => {
  const where = new Map<string, Array<string>>()
  const put = (id: string, place: string) => where.set(id, [...(where.get(id) ?? []), place])
  for (const { id } of found.operations) put(id, "accepted")
  for (const { id, status } of found.inbox) put(id, status)
  for (const { id, what } of found.decisions) if (what === "discarded" || what === "pruned") put(id, what)
  return Array.from(where).flatMap(([id, all]) => [
    ...(all.length > 1 ? [`P3: ${found.name(id)} is in several places: ${all.join(", ")}`] : []),
    ...(found.options.history?.names.has(id) === false ? [`P4: ${id} never existed, but is ${all.join(", ")}`] : [])
  ])
}

/** P5: logs without gaps that begin at 0 or at a prune point, in order of acceptance, with heads that are theirs; bodies that are theirs. */
const order = (found: Found): ReadonlyArray<string> => {
  const broken: Array<string> = []
  const without = decided(found, "skipped", "deleted")
  const last = new Map<number, Held>()
  let position = 0
  for (const one of found.operations) {
    const name = found.name(one.id)
    const log = found.logs.get(one.log)
    const header = Either.getOrUndefined(Header.parse(Bytes.fromHex(one.header)))
    if (one.position <= position) broken.push(`P5: ${name} has position ${one.position} after ${position}`)
    position = one.position
    if (
      header === undefined ||
      log === undefined ||
      header.verifyingKey !== log.author ||
      header.seqNum !== one.seqNum
    ) {
      broken.push(`P1: ${name} does not stand where its header says`)
      continue
    }
    const before = last.get(one.log)
    const begins = before === undefined && (one.seqNum === 0 || one.seqNum === log.prunedBelow)
    const follows = before !== undefined && header.seqNum === before.seqNum + 1 && header.backlink === before.id
    // A prune operation may leave a gap behind it until what it makes unnecessary is removed, or for ever without `Pruning`.
    if (!begins && !follows && one.seqNum !== log.prunedBelow)
      broken.push(`P5: ${name} stands in its log after ${before === undefined ? "nothing" : found.name(before.id)}`)
    last.set(one.log, one)
    const isWithout = header.payloadSize > 0 && one.body === null
    if (isWithout && !without.has(one.id) && found.options.withheld !== true) broken.push(`P1: ${name} lost its body`)
  }
  for (const [log, { headId, headSeqNum }] of found.logs) {
    const head = last.get(log)
    if (head?.id !== headId || head.seqNum !== headSeqNum)
      broken.push(
        `P5: the head of a log is ${found.name(headId)}, and its last operation ${head === undefined ? "not there" : found.name(head.id)}`
      )
  }
  return found.options.causal === true ? [...broken, ...causes(found)] : broken
}

/** P5: whoever names others comes after them, unless somebody decided that only its header goes into the log. */
const causes = (found: Found): ReadonlyArray<string> => {
  const { name, operations, options } = found
  const positions = new Map(operations.map(({ id, position }) => [name(id), position]))
  const skipped = decided(found, "skipped")
  return (options.history?.entries ?? []).flatMap((entry) => {
    const own = skipped.has(entry.operation.id) ? undefined : positions.get(entry.name)
    return entry.after.flatMap((cause) =>
      own !== undefined && (positions.get(cause) ?? 0) > own ? [`P5: ${entry.name} was accepted before ${cause}`] : []
    )
  })
}

/** P1: what was accepted was acknowledged, and nothing else; a position is never given twice. */
const acknowledged = ({ consumers, given, operations }: Found): ReadonlyArray<string> => {
  const last = operations.at(-1)?.position ?? 0
  return [
    ...(given < last ? [`P1: the last position that was given is ${given}, and ${last} is in use`] : []),
    ...consumers.flatMap(({ name, position, role, state }) =>
      role === "application" && state === "live" && position !== given
        ? [`P1: ${name} has acknowledged ${position} of ${given}`]
        : position > given
          ? [`P1: ${name} is at ${position}, and only ${given} were given`]
          : []
    )
  ]
}

/** P1, P2, P4: the journal has every accepted operation once, at its position, with its body, and nothing else. */
const journal = (found: Found): ReadonlyArray<string> => {
  if (found.journal === undefined) return []
  const application = found.consumers.find(({ role }) => role === "application")
  if (application === undefined || application.state !== "live") return []
  const skipped = decided(found, "skipped")
  const show = ({ body, id, position }: Pick<Held, "id" | "position" | "body">) =>
    `${found.name(id)} at ${position}${body === null ? " without body" : ` with ${body.slice(0, 16)}`}`
  const expected = found.operations.filter(({ id }) => !skipped.has(id)).map(show)
  const written = found.journal.map(show)
  const missing = expected.filter((one) => !written.includes(one))
  const extra = written.filter((one, index) => !expected.includes(one) || written.indexOf(one) !== index)
  return [
    ...missing.map((one) => `P1: accepted and not in the journal: ${one}`),
    ...extra.map((one) => `P2: in the journal and not so accepted: ${one}`),
    ...(missing.length + extra.length === 0 && expected.join() !== written.join()
      ? [`P5: handled in another order`]
      : [])
  ]
}

/** P3, P9: whatever waits, waits for something that is not there, or is about to be woken. */
const waits = (found: Found): ReadonlyArray<string> => {
  const there = new Set([...found.operations.map(({ id }) => id), ...decided(found, "pruned")])
  const woken = new Set(found.wakes)
  const waiting = new Set(found.waiting.map(({ id }) => id))
  return [
    ...found.waiting.flatMap(({ id, status, until }) => [
      ...(status === "waiting"
        ? []
        : [`P3: ${found.name(id ?? "")} is ${status ?? "gone"} and waits for ${found.name(until)}`]),
      ...(there.has(until) && !woken.has(until)
        ? [`P3: ${found.name(id ?? "")} waits for ${found.name(until)}, which has come`]
        : [])
    ]),
    ...found.inbox.flatMap(({ id, status }) =>
      status === "waiting" && !waiting.has(id) ? [`P3: ${found.name(id)} waits for nothing`] : []
    )
  ]
}

/** P10: what each author takes up of the inbox is what is said. */
const shares = ({ shares }: Found): ReadonlyArray<string> =>
  shares.map((row) => `P10: the inbox is not shared as is said: ${row}`)

/** P12: nothing is left of a body that was pruned or deleted. */
const gone = (found: Found): ReadonlyArray<string> => {
  const ids = decided(found, "deleted", "pruned", "discarded")
  return [...found.operations, ...found.inbox, ...(found.journal ?? [])].flatMap(({ body, id }) =>
    ids.has(id) && body !== null ? [`P12: the body of ${found.name(id)} is still there`] : []
  )
}

/** P1, P3: what was confirmed holds. What was confirmed may have gone on from there. */
const confirmed = (found: Found): ReadonlyArray<string> => {
  const positions = new Map(found.operations.map(({ id, position }) => [id, position]))
  const inbox = new Set(found.inbox.map(({ id }) => id))
  const discarded = decided(found, "discarded")
  const pruned = decided(found, "pruned")
  const holds = ({ id, position, where }: Told): boolean => {
    if (pruned.has(id)) return where !== "discarded"
    if (where === "accepted") return positions.has(id) && (position === undefined || positions.get(id) === position)
    return discarded.has(id) || (where !== "discarded" && where !== "pruned" && (positions.has(id) || inbox.has(id)))
  }
  return Array.from(found.options.told ?? []).flatMap((one) =>
    holds(one) ? [] : [`P3: ${found.name(one.id)} was confirmed as ${one.where}, and that is not so`]
  )
}
