/** Verbs that look at consumers: `consumers`, `parked`. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Hash } from "../core/Hash.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rejection from "../pipeline/Rejection.ts"
import * as Consumers from "../store/Consumers.ts"
import * as Deliveries from "../store/Deliveries.ts"
import * as Operations from "../store/Operations.ts"
import * as Replays from "../store/Replays.ts"
import * as Asked from "../stream/internal/asked.ts"
import * as Database from "./Database.ts"
import { brief, iso } from "./lists.ts"
import * as Output from "./Output.ts"

/** `consumers`. */
export const consumers = ({ db }: { readonly db: string }) =>
  Effect.gen(function* () {
    const { all, running } = yield* Database.lookAtConsumers(
      db,
      Effect.all({ all: Consumers.status, running: Replays.running })
    )
    const items: ReadonlyArray<Item> = [
      ...all.map((consumer) => ({ _tag: "Consumer" as const, consumer })),
      ...running.map((replay) => ({ _tag: "Replay" as const, replay }))
    ]
    yield* Output.results(
      items,
      () => text(all, running),
      (item) => (item._tag === "Consumer" ? { ...item.consumer } : replayFields(item.replay))
    )
  })

/** `parked NAME [--limit N] [--after POSITION]`. */
export const parked = (options: {
  readonly db: string
  readonly name: string
  readonly limit: number
  readonly after: number | undefined
}) =>
  Effect.gen(function* () {
    const { after = 0, db, limit, name } = options
    const now = yield* Clock.currentTimeMillis
    const found = yield* Database.lookAtConsumers(
      db,
      Effect.gen(function* () {
        const { consumer } = yield* Asked.named(name)
        // One more than asked for tells whether there are more.
        const rows = yield* Deliveries.parked(consumer, after, limit + 1)
        const ids = yield* Operations.idsAt(rows.map(({ position }) => position))
        return rows.map((row): Parked => ({ ...row, id: ids.get(row.position) }))
      })
    )
    const more = found.length > limit
    yield* Output.results(found.slice(0, limit), (items) => parkedText(name, items, { more, now }), parkedFields)
  })

// internal

type Item =
  | { readonly _tag: "Consumer"; readonly consumer: Consumers.Status }
  | { readonly _tag: "Replay"; readonly replay: Replays.Replay }

const text = (all: ReadonlyArray<Consumers.Status>, running: ReadonlyArray<Replays.Replay>): string => {
  if (all.length === 0) return "Nobody is recorded here who reads what is accepted."
  const table = Output.table([
    ["name", "role", "version", "state", "position", "lag", "parked", "in flight"],
    ...all.map((one) => [
      Output.safe(one.name),
      one.role,
      one.version,
      stateText(one),
      one.position,
      one.lag,
      one.parked,
      one.inFlight
    ])
  ])
  const hint = all.some((one) => one.parked > 0) ? ["What is parked, and why: applecart parked NAME."] : []
  return [table, ...running.map(replayText), ...hint].join("\n")
}

const stateText = ({ lag, paused, position, state }: Consumers.Status): string => {
  const build = { reset: "to be reset", building: `building ${percent(position, position + lag)}`, live: "live" }[state]
  if (!paused) return build
  return state === "live" ? "paused" : `${build}, paused`
}

const percent = (done: number, all: number): string => `${all <= 0 ? 100 : Math.floor((100 * done) / all)} %`

const replayText = (one: Replays.Replay): string => {
  const { begunAt, handled, name, parked, position, replay, until, which } = one
  const start = Math.min(until, Math.max(0, (which.from ?? 1) - 1))
  const came = `at position ${position} of ${until} (${percent(position - start, until - start)})`
  const did = `${handled} handled, ${parked} parked`
  return `Replay ${replay} of ${Output.safe(name)}${whichText(which)}: ${came}, ${did}, asked for at ${Output.time(begunAt)}. To end it: applecart cancel ${replay}`
}

/** What a replay is restricted to, as far as its positions do not say it. */
const whichText = (which: Replays.Replay["which"]): string => {
  const { acceptedFrom, acceptedUntil, author, topic, writtenFrom, writtenUntil } = which
  const times = [
    ["accepted since", acceptedFrom],
    ["accepted until", acceptedUntil],
    ["written since", writtenFrom],
    ["written until", writtenUntil]
  ] as const
  const said = [
    ...(topic === undefined ? [] : [`topic ${topic.topic.slice(0, 8)}`]),
    ...(author === undefined ? [] : [`author ${VerifyingKey.short(author)}`]),
    ...times.flatMap(([name, at]) => (at === undefined ? [] : [`${name} ${Output.time(at)}`]))
  ]
  return said.length === 0 ? "" : ` (${said.join(", ")})`
}

const replayFields = (one: Replays.Replay): Output.Fields => {
  const { begunAt, handled, name, parked, position, replay, state, until, which } = one
  const { acceptedFrom, acceptedUntil, author, from, to, topic, writtenFrom, writtenUntil } = which
  const at = (millis: number | undefined) => (millis === undefined ? undefined : iso(millis))
  return {
    replay,
    consumer: name,
    state,
    position,
    until,
    handled,
    parked,
    begunAt: iso(begunAt),
    from,
    to,
    topic: topic?.topic,
    author,
    acceptedSince: at(acceptedFrom),
    acceptedUntil: at(acceptedUntil),
    writtenSince: at(writtenFrom),
    writtenUntil: at(writtenUntil)
  }
}

/** A parked position, and the id of its operation if that is still here. */
interface Parked extends Deliveries.Parked {
  readonly id: Hash | undefined
}

const parkedFields = ({ notBefore, reason, since, ...rest }: Parked): Output.Fields => {
  const { data, message, tag } = Rejection.decode(reason)
  const next = notBefore === undefined ? undefined : iso(notBefore)
  return { ...rest, since: iso(since), notBefore: next, error: tag, message, data }
}

const parkedText = (
  name: string,
  items: ReadonlyArray<Parked>,
  { more, now }: { readonly more: boolean; readonly now: number }
): string => {
  const last = items.at(-1)
  if (last === undefined) return `Nothing of ${Output.safe(name)} is parked there.`
  const told = items.map((item) => {
    const { message, tag } = Rejection.decode(item.reason)
    const tries = item.attempts === 1 ? "once" : `${item.attempts} times`
    const id = item.id === undefined ? "an operation that is gone" : brief(item.id)
    return `position ${item.position}, ${id}: ${Output.safe(tag)}, tried ${tries} since ${Output.time(item.since)}${next(item.notBefore, now)}\n  ${Output.safe(message)}`
  })
  const rest = more ? [`More of them: applecart parked ${name} --after ${last.position}`] : []
  return [...told, ...rest, `To have them handed over again: applecart retry ${name} [POSITION...]`].join("\n")
}

const next = (notBefore: number | undefined, now: number): string => {
  if (notBefore === undefined) return ""
  return notBefore <= now ? ", again when its program runs" : `, again at ${Output.time(notBefore)}`
}
