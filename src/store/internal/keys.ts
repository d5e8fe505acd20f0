/** Which client a client is: ours are made from others, and share their connection. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { Key } from "./root.ts"

/** The way in which a client reserves its connection; the same for all clients that share one. */
export const of = (client: SqlClient): Key => origins.get(client.reserve) ?? client.reserve

/** Records that the way in which a client of ours reserves is that of another. */
export const derive = (reserve: Key, from: Key): void => {
  origins.set(reserve, from)
}

/** True for a client that is known to be of another database than the transactions around it. */
export const isIsolated = (client: SqlClient): boolean => isolated.has(client.reserve)

/** Records that a way to reserve is that of an isolated client. */
export const isolate = (reserve: Key): void => {
  isolated.add(reserve)
}

// internal

const origins = new WeakMap<Key, Key>()
const isolated = new WeakSet<Key>()
