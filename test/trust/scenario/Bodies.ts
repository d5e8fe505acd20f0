/** P12, from what the history says and not from what the library has noted: nothing is left of a body that its author deleted. */
import type { Entry, History } from "../../../src/testing/History.ts"
import * as Remains from "../../../src/testing/internal/remains.ts"
import type { Snapshot } from "../../../src/testing/Snapshot.ts"

/** What is left in these tables of bodies whose tombstones were accepted. */
export const left = (history: Pick<History, "entries" | "names">, tables: Snapshot): ReadonlyArray<string> => {
  const { entries, names } = history
  const deleted = gone(entries, tables)
  const ids = new Set<string>(deleted.map(({ operation }) => operation.id))
  // In a snapshot of our tables there is no difference between no body and an empty one.
  const bodies = ["applecart_operations", "applecart_inbox", "journal"].flatMap((table) =>
    (tables[table] ?? []).flatMap(({ body, id }) =>
      typeof id === "string" && ids.has(id) && body !== null && body !== ""
        ? [`P12: ${table} has the body of ${names.get(id)}, which was deleted`]
        : []
    )
  )
  const telling = new Set<string>(
    deleted.flatMap(({ operation: { body, id } }) => (body !== undefined && body.length >= shortest ? [id] : []))
  )
  const remain = Remains.find(history, telling, tables)
  if (remain === undefined) return bodies
  return [...bodies, `P12: ${remain.table} has something of ${names.get(remain.id)}, which was deleted: ${remain.what}`]
}

// internal

/** What is shorter stands somewhere in a hash by chance. */
const shortest = 8

/** The operations whose bodies their own authors have deleted. A tombstone that was skipped has no effect. */
const gone = (entries: ReadonlyArray<Entry>, tables: Snapshot): ReadonlyArray<Entry> => {
  const accepted = new Set((tables["applecart_operations"] ?? []).map(({ id }) => id))
  for (const { id, what } of tables["applecart_decisions"] ?? []) if (what === "skipped") accepted.delete(id ?? "")
  return entries.filter(({ author, name }) =>
    entries.some((one) => one.author === author && one.deletes.includes(name) && accepted.has(one.operation.id))
  )
}
