/** Whether something of a body that is gone can still be read in a table. */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Bytes from "../../core/Bytes.ts"
import * as Cbor from "../../core/Cbor.ts"
import type { Entry, History } from "../History.ts"
import type { Snapshot } from "../Snapshot.ts"

/** Where it is found: which operation's, what of it, in which table. */
export interface Remain {
  readonly id: string
  readonly what: string
  readonly table: string
}

/** Looks for bodies and for texts and bytes in them, unless something that is still there says the same. */
export const find = (
  { entries }: Pick<History, "entries">,
  gone: ReadonlySet<string>,
  tables: Snapshot
): Remain | undefined => {
  const left = entries.filter(({ operation: { id } }) => !gone.has(id)).flatMap(said)
  for (const entry of entries) {
    if (!gone.has(entry.operation.id)) continue
    const secrets = said(entry).filter((one) => !left.some((other) => other.includes(one)))
    for (const [table, rows] of Object.entries(tables)) {
      const cells = rows.flatMap((row) => Object.values(row)).map((cell) => String(cell).toLowerCase())
      const what = secrets.find((secret) => cells.some((cell) => cell.includes(secret)))
      if (what !== undefined) return { id: entry.operation.id, what, table }
    }
  }
  return undefined
}

// internal

/** What is shorter than this is found anywhere. */
const shortest = 4

/** What a body says, as it may stand in a table: text as it is and as the hex of a blob, in lower case. */
const said = ({ operation: { body } }: Entry): ReadonlyArray<string> => {
  if (body === undefined) return []
  const decoded = Cbor.decode(body)
  return [
    ...(body.length < shortest ? [] : [Bytes.toHex(body)]),
    ...(Either.isRight(decoded) ? leaves(decoded.right) : [])
  ]
}

const leaves = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") {
    return value.length < shortest ? [] : [value.toLowerCase(), Bytes.toHex(new TextEncoder().encode(value))]
  }
  if (value instanceof Uint8Array) return value.length < shortest ? [] : [Bytes.toHex(value)]
  if (Array.isArray(value)) return value.flatMap(leaves)
  return Predicate.isRecord(value) ? Object.values(value).flatMap(leaves) : []
}
