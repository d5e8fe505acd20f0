/** Verbs that only look: `status`, `topics`, `log`, `waiting`, `rejected`. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Crypto from "../core/Crypto.ts"
import type * as Hash from "../core/Hash.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Rejection from "../pipeline/Rejection.ts"
import * as Consumers from "../store/Consumers.ts"
import * as Inspect from "../store/Inspect.ts"
import * as Replays from "../store/Replays.ts"
import * as Status from "../store/Status.ts"
import * as Topics from "../store/Topics.ts"
import * as Database from "./Database.ts"
import * as Filter from "./Filter.ts"
import * as Output from "./Output.ts"
import * as Own from "./own.ts"

/** `status`. */
export const status = ({ db }: { readonly db: string }) =>
  Effect.gen(function* () {
    const { found, own, readers } = yield* Database.look(
      db,
      Effect.all({ found: Status.status, readers: ofReaders, own: Own.own })
    )
    yield* Output.result(statusText(db, found, readers, own), { ...found, ...readers, ...own })
  })

/** `topics`. */
export const topics = ({ db, limit }: { readonly db: string; readonly limit: number }) =>
  Effect.gen(function* () {
    const items = yield* Database.look(db, Topics.list({ limit }))
    yield* Output.results(items, topicsText, (item) => ({ ...item }))
  })

/** What the lists take. */
export interface Options extends Filter.Options {
  readonly db: string
  readonly limit: number
}

/** `log`. */
export const log = (options: Options) =>
  Effect.gen(function* () {
    const items = yield* Database.look(options.db, Inspect.log(yield* filter(options)))
    yield* Output.results(items, logText, ({ acceptedAt, position, skipped, ...rest }) => ({
      position,
      ...rest,
      acceptedAt: iso(acceptedAt),
      ...(skipped ? { skipped } : {})
    }))
  }).pipe(Effect.provide(Crypto.layer))

/** `waiting`. */
export const waiting = (options: Options) =>
  Effect.gen(function* () {
    const items = yield* Database.look(options.db, Inspect.waiting(yield* filter(options)))
    yield* Output.results(items, waitingText, ({ receivedAt, ...rest }) => ({ ...rest, receivedAt: iso(receivedAt) }))
  }).pipe(Effect.provide(Crypto.layer))

/** `rejected`. */
export const rejected = (options: Options) =>
  Effect.gen(function* () {
    const items = yield* Database.look(options.db, Inspect.rejected(yield* filter(options)))
    yield* Output.results(items, rejectedText, ({ notBefore, reason, receivedAt, ...rest }) => {
      const { data, message, tag } = Rejection.decode(reason)
      return { ...rest, error: tag, message, data, receivedAt: iso(receivedAt), notBefore: notBefore && iso(notBefore) }
    })
  }).pipe(Effect.provide(Crypto.layer))

/** A moment for programs. */
export const iso = (millis: number): string => new Date(millis).toISOString()

/** Enough characters to go on with: `show`, `skip` and `discard` take beginnings of ids. */
export const brief = (id: Hash.Hash): string => id.slice(0, 16)

// internal

const filter = (options: Options) =>
  Effect.map(Filter.make(options), (made): Inspect.Filter => ({ ...made, limit: options.limit }))

/** What is told of all consumers together. */
interface Readers {
  /** The application, and who else is handed what is accepted; not the processors, which are not handed it. */
  readonly consumers: number
  /** Positions that the last of them was not handed yet; a processor that is built again counts too. */
  readonly lag: number
  readonly parked: number
  readonly inFlight: number
  readonly replays: number
}

/** None where the database is too old to know of any. */
const ofReaders: Effect.Effect<Readers | undefined, SqlError, SqlClient> = Effect.gen(function* () {
  if (!(yield* Inspect.hasConsumers)) return undefined
  const all = yield* Consumers.status
  const sum = (of: (one: Consumers.Status) => number) => all.reduce((total, one) => total + of(one), 0)
  return {
    consumers: sum(({ role }) => (role === "processor" ? 0 : 1)),
    lag: Math.max(0, ...all.map(({ lag }) => lag)),
    parked: sum(({ parked }) => parked),
    inFlight: sum(({ inFlight }) => inFlight),
    replays: (yield* Replays.running).length
  }
})

const readersText = ({ consumers, inFlight, lag, parked, replays }: Readers): string => {
  const said = [
    lag === 0 ? "all of them up to date" : `up to ${Output.count(lag, "position")} behind`,
    ...(parked === 0 ? [] : [`${parked} parked`]),
    ...(inFlight === 0 ? [] : [`${inFlight} in flight`]),
    ...(replays === 0 ? [] : [Output.count(replays, "replay")])
  ]
  return consumers + lag + parked === 0 ? "" : `${said.join(", ")}: applecart consumers`
}

const statusText = (
  db: string,
  found: Status.Status,
  readers: Readers | undefined,
  own: Own.OwnFields | undefined
): string => {
  const rows: Array<ReadonlyArray<string | number>> = [
    ["accepted", found.accepted, `last position ${found.position}`],
    ["queued", found.queued, found.queued === 0 ? "" : "to be processed: applecart replay"],
    ["waiting", found.waiting, found.waiting === 0 ? "" : "for operations that are not here: applecart waiting"],
    ["rejected", found.rejected, found.rejected === 0 ? "" : "the reasons: applecart rejected"],
    ["discarded", found.discarded, ""],
    ["logs", found.logs, `by ${Output.count(found.authors, "author")}`],
    ["topics", found.topics, found.topics === 0 ? "" : "each of them: applecart topics"]
  ]
  if (readers !== undefined) rows.push(["consumers", readers.consumers, readersText(readers)])
  if (found.pruned > 0)
    rows.push(["pruned", found.pruned, "their authors made them unnecessary; only their ids are kept"])
  if (found.deleted > 0) rows.push(["deleted", found.deleted, "of the accepted: header only, on their authors' wish"])
  if (found.skipped > 0) rows.push(["skipped", found.skipped, "of the accepted: header only"])
  if (found.forks > 0) rows.push(["forks", found.forks, "authors who signed two operations for one place"])
  if (own !== undefined && own.ownLogs > 0) rows.push(["own logs", own.ownLogs, Own.text(own)])
  const unsafe = (own?.unsafe ?? []).map(({ message }) => `\n${message}`)
  return `${db}\n${Output.table(rows, "  ")}${unsafe.join("")}`
}

const topicsText = (items: ReadonlyArray<Topics.Listed>): string =>
  items.length === 0
    ? "No topic is known here. Files carry only log ids; a topic is learnt from what comes under it."
    : Output.table([
        ["topic", "logs", "operations", "queued", "waiting", "rejected"],
        ...items.map(({ logs, operations, queued, rejected, topic, waiting }) => [
          topic,
          logs,
          operations,
          queued,
          waiting,
          rejected
        ])
      ])

const logText = (items: ReadonlyArray<Inspect.Accepted>): string =>
  items.length === 0
    ? "Nothing was accepted here that fits."
    : Output.table([
        ["position", "id", "author", "number", "bytes", "accepted"],
        ...items.map((item) => [
          item.position,
          brief(item.id),
          VerifyingKey.short(item.author),
          item.seqNum,
          item.bodySize ?? (item.skipped ? "skipped" : "-"),
          Output.time(item.acceptedAt)
        ])
      ])

const waitingText = (items: ReadonlyArray<Inspect.Waiting>): string =>
  items.length === 0
    ? "Nothing waits here that fits."
    : Output.table([
        ["id", "author", "number", "says", "waits for"],
        ...items.map((item) => [
          brief(item.id),
          VerifyingKey.short(item.author),
          item.seqNum,
          item.processor,
          more(item.until.map(brief))
        ])
      ])

const more = (ids: ReadonlyArray<string>): string =>
  ids.length <= 3 ? ids.join(" ") : `${ids.slice(0, 3).join(" ")} and ${ids.length - 3} more`

const rejectedText = (items: ReadonlyArray<Inspect.Rejected>): string =>
  items.length === 0
    ? "Nothing was rejected here that fits."
    : items
        .map((item) => {
          const { message, tag } = Rejection.decode(item.reason)
          const tries = item.attempts === 1 ? "once" : `${item.attempts} times`
          const next = item.notBefore === undefined ? "" : `, again at ${Output.time(item.notBefore)}`
          return `${brief(item.id)}  number ${item.seqNum} of ${VerifyingKey.short(item.author)}: ${Output.safe(item.processor)} said ${Output.safe(tag)}, tried ${tries}${next}\n  ${Output.safe(message)}`
        })
        .concat("To try them again: applecart replay. To do without one: applecart skip ID, or discard ID.")
        .join("\n")
