/** What two databases do not have in common, in words. */
import * as Snapshot from "../Snapshot.ts"

/** The first tables that differ, with the first rows that only one of them has; `undefined` where nothing differs. */
export const between = (
  nameOfOne: string,
  one: Snapshot.Snapshot,
  nameOfOther: string,
  other: Snapshot.Snapshot,
  ignore: ReadonlyArray<string> = []
): string | undefined => {
  const found = Snapshot.different(one, other).filter(({ table }) => !ignore.includes(table))
  if (found.length === 0) return undefined
  return found
    .slice(0, mostTables)
    .map(
      ({ extra, missing, table }) =>
        `In table ${table}: ${[...only(nameOfOne, missing), ...only(nameOfOther, extra)].join("; ")}.`
    )
    .join(" ")
}

// internal

const mostTables = 3
const mostRows = 2
const mostCharacters = 80

const only = (name: string, rows: ReadonlyArray<Snapshot.Row>): ReadonlyArray<string> => {
  if (rows.length === 0) return []
  const more = rows.length > mostRows ? ` and ${rows.length - mostRows} more` : ""
  return [`only ${name}, ${rows.slice(0, mostRows).map(show).join(", ")}${more}`]
}

const show = (row: Snapshot.Row): string =>
  `{ ${Object.entries(row)
    .map(([name, value]) => `${name}: ${cut(String(value))}`)
    .join(", ")} }`

const cut = (text: string): string => (text.length > mostCharacters ? `${text.slice(0, 12)}…` : text)
