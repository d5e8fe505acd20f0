/** What a driver and the program that it kills tell each other. */
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { Told } from "../Promises.ts"

/** A statement at which a program kills itself: the n-th (from 1) whose text begins with `text`. */
export const At = Schema.Struct({
  text: Schema.String,
  nth: Schema.Int,
  when: Schema.Literal("before", "after")
})
export type At = typeof At.Type

/** What a program is told when it is started. */
export const Orders = Schema.Struct({
  /** The database. */
  filename: Schema.String,
  /** How often the program was started on it before. */
  nth: Schema.Int,
  /** Randomness of its own. */
  seed: Schema.Int,
  /** Nobody kills it: it finishes, and ends by itself. */
  isLast: Schema.Boolean,
  /** What the driver's `options` drew for this start: JSON. */
  options: Schema.Unknown,
  at: Schema.optional(At)
})
export type Orders = typeof Orders.Type

/** The environment variable that holds the orders. */
export const variable = "APPLECART_VICTIM"

/** The file descriptor on which a program answers, a line of JSON each. */
export const descriptor = 3

/** What a program says: that it begins, what was confirmed to it, or what it wants the check to know. */
export type Line = { readonly begun: true } | { readonly told: ReadonlyArray<Told> } | { readonly note: unknown }

const decode = Schema.decodeUnknownEither(Schema.parseJson(Orders))
const encodeOrders = Schema.encodeSync(Schema.parseJson(Orders))

/** Reads the orders, if there are any. */
export const read = (text: string | undefined): Orders | undefined => Either.getOrUndefined(decode(text))

export const write = (orders: Orders): string => encodeOrders(orders)
