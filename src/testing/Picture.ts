/**
 * Histories as pictures in text: a column for each log, a line for each operation, in the order in which it was done, and at its
 * side what it says of others. Ids are shown by the short names that the history gives them.
 *
 * ```
 * a    b
 * a0
 * │    b0    after a0
 * a1   │     prunes what is before it
 *      b1    deletes b0
 * a1*        fork: another one for the place of a1
 * ```
 *
 * @example
 * console.log(Picture.draw(history, Picture.places(history, yield* Snapshot.lasting())))
 */
import type { Entry, History } from "./History.ts"
import type { Row, Snapshot } from "./Snapshot.ts"

/** What else is to be said of operations, by their short names. */
export type Notes = ReadonlyMap<string, string>

/** Draws a history. The same one gives the same text. */
export const draw = ({ entries }: Pick<History, "entries">, notes: Notes = new Map()): string => {
  if (entries.length === 0) return "(nothing was done)"
  const lanes = lanesOf(entries)
  const width = Math.max(...lanes.map(({ title }) => title.length), ...entries.map(({ name }) => name.length)) + 2
  const line = (cells: ReadonlyArray<string>, says: string) =>
    `${cells.map((cell) => cell.padEnd(width)).join("")}  ${says}`.trimEnd()
  const lines = entries.map((entry, at) =>
    line(
      lanes.map((lane) => (lane.key === key(entry) ? entry.name : isUnderWay(lane, at) ? "│" : "")),
      [...saysOf(entry, at, entries), ...(notes.has(entry.name) ? [`— ${notes.get(entry.name)}`] : [])].join(", ")
    )
  )
  const titles = line(
    lanes.map(({ title }) => title),
    ""
  )
  return [titles, ...lines].join("\n")
}

/** A text, such as an error's message, with the short names in place of ids, and `author a` in place of a key. */
export const named = ({ entries, names }: Pick<History, "entries" | "names">, text: string): string => {
  const authors = new Map<string, string>(
    entries.map(({ name, operation }) => [operation.header.verifyingKey, `author ${name.replace(/\d.*$/, "")}`])
  )
  const short = (hex: string) => names.get(hex) ?? authors.get(hex) ?? hex
  return text.replaceAll(/\b[0-9a-f]{64}\b/gi, (hex) => short(hex.toLowerCase()))
}

/** Where each operation of a history is, as a snapshot (`Snapshot.lasting`) has it; notes for {@link draw}. */
export const places = (history: Pick<History, "entries" | "names">, snapshot: Snapshot): Notes => {
  const where = new Map<string, string>()
  for (const row of snapshot["applecart_operations"] ?? []) where.set(id(row), "accepted")
  for (const row of snapshot["applecart_decisions"] ?? []) {
    where.set(id(row), row["what"] === "deleted" ? "accepted, deleted" : String(row["what"]))
  }
  for (const row of snapshot["applecart_inbox"] ?? []) where.set(id(row), inInbox(row))
  for (const row of snapshot["applecart_waiting"] ?? []) {
    const until = String(row["until"])
    where.set(id(row), `waiting for ${history.names.get(until) ?? until.slice(0, 8)}`)
  }
  return new Map(history.entries.map(({ name, operation }) => [name, where.get(operation.id) ?? "nowhere"]))
}

// internal

/** The log of an author under a topic. */
interface Lane {
  readonly key: string
  readonly title: string
  /** Where it begins and ends, by the places of its operations in the history. */
  readonly first: number
  readonly last: number
}

const key = ({ author, topic }: Entry): string => `${author}/${topic}`

/** In order of authors, and of the topics in which they first said something. */
const lanesOf = (entries: ReadonlyArray<Entry>): ReadonlyArray<Lane> => {
  const lanes = new Map<string, Lane & { readonly author: number }>()
  for (const [at, entry] of entries.entries()) {
    const lane = lanes.get(key(entry))
    lanes.set(
      key(entry),
      lane === undefined
        ? { key: key(entry), title: title(entry.name), author: entry.author, first: at, last: at }
        : { ...lane, last: at }
    )
  }
  return Array.from(lanes.values()).sort((one, other) => one.author - other.author)
}

/** `b3/2*` stands in the log `b/2`. */
const title = (name: string): string => name.replace(/\d+(\/\d+)?\**$/, "$1")

const isUnderWay = ({ first, last }: Lane, at: number): boolean => first < at && at < last

const saysOf = (entry: Entry, at: number, entries: ReadonlyArray<Entry>): ReadonlyArray<string> => [
  ...(entry.after.length > 0 ? [`after ${entry.after.join(" ")}`] : []),
  ...(entry.kind === "prune" ? [at === firstOf(entry, entries) ? "prunes nothing" : "prunes what is before it"] : []),
  ...(entry.deletes.length > 0 ? [`deletes ${entry.deletes.join(" ")}`] : []),
  ...(entry.kind === "fork" && entry.name.endsWith("*")
    ? [`fork: another one for the place of ${entry.name.replace(/\*+$/, "")}`]
    : []),
  ...(entry.operation.header.payloadSize === 0 ? ["no body"] : [])
]

const firstOf = (entry: Entry, entries: ReadonlyArray<Entry>): number =>
  entries.findIndex((one) => key(one) === key(entry))

const id = (row: Row): string => String(row["id"])

const inInbox = ({ processor, reason, status }: Row): string =>
  status === "rejected" ? `rejected by ${processor} (${reason})` : String(status)
