/** The tables of a controller's database, and what they should be by the model: lines of text, for people to compare. */
import type Sqlite from "better-sqlite3"
import type * as Model from "./ControllerModel.ts"
import { mark } from "./ControllerModelReaders.ts"
import { authors, type AuthorName, topics } from "./ControllerPool.ts"
import * as Topic from "../../src/core/Topic.ts"
import { native } from "../core/support.ts"
import { signingKey } from "./Peer.ts"

export type Tables = Readonly<Record<keyof typeof selects, ReadonlyArray<string>>>

/** What operations are called. */
export type Names = ReadonlyMap<string, string>

/** What the tables should hold. */
export const expected = (model: Model.Model, names: Names): Tables => {
  const name = (id: string) => names.get(id) ?? id
  const here = Array.from(model.consumers.values())
  const ever = [...here, ...model.removed.values()]
  const each = <A>(of: (one: Model.Consumer) => Iterable<A>, text: (it: A) => string, all = here) =>
    all.flatMap((one) => Array.from(of(one), (it) => `${one.name} ${text(it)}`))
  return {
    operations: model.accepted.map(({ at, body, op, position }) => `${position} ${op.name} ${body} ${at}`),
    logs: Array.from(
      model.heads,
      ([log, { id, prunedBelow, seq }]) => `${log} ${seq} ${name(id)} ${prunedBelow}`
    ).sort(),
    inbox: model.inbox.map(({ attempts, body, op, status }) => `${op.name} ${status} ${attempts} ${body}`),
    decisions: Array.from(model.decisions, ([id, what]) => `${name(id)} ${what}`).sort(),
    tombstones: Array.from(model.tombstones, ([id, by]) => Array.from(by, (author) => `${name(id)} by ${author}`))
      .flat()
      .sort(),
    consumers: here.map(
      (it) => `${it.name}@${it.version} ${it.role} ${it.state} at ${it.position}, seen ${it.seen}, paused ${it.paused}`
    ),
    deliveries: each(
      ({ deliveries }) => deliveries,
      ([position, it]) =>
        `${position} ${it.attempts} ${it.parked ? "parked" : "held"} ${it.due ?? "-"}${it.replay ? " *" : ""}`
    ).sort(),
    notices: each(
      ({ notices }) => notices,
      (it) => `${it.at}: ${it.position} ${it.how}${mark(it)}`
    ).sort(),
    replays: model.replays.map(
      (it) => `${it.consumer} at ${it.position} of ${it.until}, ${it.handled} and ${it.parked}, ${it.state}`
    ),
    effects: each(({ effects }) => effects, line, ever).sort(byConsumer),
    told: each(
      ({ told }) => told,
      (it) => `${it.position} ${it.how}${mark(it)}`,
      ever
    ).sort()
  }
}

/** What a handler has left, as a line. */
export const effect = (one: Model.Consumer, it: Model.Consumer["effects"][number]): string => `${one.name} ${line(it)}`

/** What they hold. Reads only what is committed: it is a connection of its own. */
export const reading = (database: Sqlite.Database): ((names: Names) => Tables) => {
  const prepared = (table: keyof Tables) => database.prepare(selects[table]).raw()
  const statements = {
    operations: prepared("operations"),
    logs: prepared("logs"),
    inbox: prepared("inbox"),
    decisions: prepared("decisions"),
    tombstones: prepared("tombstones"),
    consumers: prepared("consumers"),
    deliveries: prepared("deliveries"),
    notices: prepared("notices"),
    replays: prepared("replays"),
    effects: prepared("effects"),
    told: prepared("told")
  }
  return (names) => {
    const text = (value: unknown) => {
      if (value === null) return "-"
      if (!(value instanceof Uint8Array)) return String(value)
      const hex = Buffer.from(value).toString("hex")
      return names.get(hex) ?? places.get(hex) ?? hex
    }
    const lines = (table: keyof Tables) =>
      // Every select gives one column for each part of a line.
      (statements[table].all() as Array<ReadonlyArray<unknown>>).map((row) => row.map(text).join(""))
    return {
      operations: lines("operations"),
      logs: lines("logs").sort(),
      inbox: lines("inbox"),
      decisions: lines("decisions").sort(),
      tombstones: lines("tombstones").sort(),
      consumers: lines("consumers"),
      deliveries: lines("deliveries").sort(),
      notices: lines("notices").sort(),
      replays: lines("replays"),
      effects: lines("effects").sort(byConsumer),
      told: lines("told").sort()
    }
  }
}

// internal

const line = (it: Model.Consumer["effects"][number]) => `${it.position}: ${it.n}${it.replay ? "*" : ""}`

/** Stable: what a consumer has noted stays in its order. */
const byConsumer = (a: string, b: string) => {
  const [one = "", other = ""] = [a.split(" ")[0], b.split(" ")[0]]
  return one < other ? -1 : one > other ? 1 : 0
}

const yes = (condition: string) => `iif(${condition}, 'true', 'false')`
const of = `FROM applecart_consumers AS c JOIN`

const selects = {
  operations: `SELECT position, ' ', id, ' ', ${yes("body IS NOT NULL")}, ' ', accepted_at FROM applecart_operations ORDER BY position`,
  logs: `SELECT author, '.', log_id, ' ', head_seq_num, ' ', head_id, ' ', pruned_below FROM applecart_logs`,
  inbox: `SELECT id, ' ', status, ' ', attempts, ' ', ${yes("body IS NOT NULL")} FROM applecart_inbox ORDER BY entry`,
  decisions: `SELECT id, ' ', what FROM applecart_decisions`,
  tombstones: `SELECT target, ' by ', author FROM applecart_tombstones`,
  consumers: `SELECT name, '@', version, ' ', role, ' ', state, ' at ', position, ', seen ', seen, ', paused ', ${yes("paused")}
    FROM applecart_consumers ORDER BY consumer`,
  deliveries: `SELECT c.name, ' ', d.position, ' ', attempts, ' ', iif(reason IS NULL, 'held', 'parked'), ' ', not_before, iif(replay, ' *', '')
    ${of} applecart_deliveries AS d USING (consumer)`,
  notices: `SELECT c.name, ' ', n.at, ': ', n.position, ' ', how, iif(missed, '?', '') ${of} applecart_notices AS n USING (consumer)`,
  replays: `SELECT c.name, ' at ', r.position, ' of ', until, ', ', handled, ' and ', parked, ', ', r.state
    ${of} applecart_replays AS r USING (consumer) ORDER BY replay`,
  effects: `SELECT consumer, ' ', position, ': ', n, iif(replay, '*', '') FROM effects ORDER BY rowid`,
  told: `SELECT consumer, ' ', position, ' ', how, iif(missed, '?', '') FROM told`
}

/** Authors and log ids. */
const places = new Map<string, string>([
  ...(Object.keys(authors) as Array<AuthorName>).map(
    (name) => [native.verifyingKey(signingKey(authors[name])), name] as const
  ),
  ...Object.entries(topics).map(([name, topic]) => [Topic.logId(native, topic), name] as const)
])
