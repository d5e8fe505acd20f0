/** Where a database stands and when a commit is on the disk, and files to measure that on. */
import * as fs from "node:fs"
import * as path from "node:path"

/** In memory; on disk, safe against a crash of the process; on disk, safe against a loss of power. */
export type Mode = "memory" | "normal" | "full"
export const modes: ReadonlyArray<Mode> = ["memory", "normal", "full"]

/** Operations to a transaction: 100; as many as the controller takes on by itself; one. */
export type Batching = "batched" | "growing" | "single"
export const batchings: ReadonlyArray<Batching> = ["batched", "growing", "single"]

/** For whoever does not decide that by himself: what grows has grown. */
export const batchSize = (batching: Batching): number => ({ batched: 100, growing: 500, single: 1 })[batching]

/** The value of `PRAGMA synchronous`. */
export const synchronous = (mode: Mode): string => (mode === "full" ? "FULL" : "NORMAL")

/** Runs with the name of a database that is gone afterwards. */
export const withFile = async <A>(mode: Mode, use: (filename: string) => Promise<A>): Promise<A> => {
  if (mode === "memory") return use(":memory:")
  fs.mkdirSync(root, { recursive: true })
  const directory = fs.mkdtempSync(path.join(root, "bench-"))
  try {
    return await use(path.join(directory, "bench.db"))
  } finally {
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

// internal

/** In the checkout: a system's own directory for such files is often in memory, where FULL means nothing. */
const root = path.resolve("node_modules/.cache/applecart")
