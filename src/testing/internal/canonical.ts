/** Values as text: the same for the same content, whatever they are made of. For comparing what was with what is. */
import * as Predicate from "effect/Predicate"
import * as Bytes from "../../core/Bytes.ts"

/** The text of a value. Keys of objects, maps and sets have no order; what is nested deeper than `depth` is left out. */
export const text = (value: unknown, depth = 16): string => {
  if (typeof value === "string") return JSON.stringify(value)
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "function") return "(function)"
  if (!Predicate.isObject(value)) return Object.is(value, -0) ? "-0" : String(value)
  if (depth === 0) return "…"
  const inner = (one: unknown) => text(one, depth - 1)
  const pair = (name: string, one: unknown) => `${name}: ${inner(one)}`
  if (value instanceof Uint8Array) return `0x${Bytes.toHex(value)}`
  if (value instanceof Map) return `Map {${sorted(value, ([key, one]) => pair(inner(key), one))}}`
  if (value instanceof Set) return `Set {${sorted(value, inner)}}`
  if (Array.isArray(value)) return `[${value.map(inner).join(", ")}]`
  // Effect's data types, dates and redacted values say by themselves what they are; errors would leave out their fields.
  if (!(value instanceof Error) && "toJSON" in value && typeof value.toJSON === "function") return inner(value.toJSON())
  return `{ ${Object.entries(value)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, one]) => pair(key, one))
    .join(", ")} }`
}

// internal

const sorted = <A>(items: Iterable<A>, show: (item: A) => string): string => Array.from(items, show).sort().join(", ")
