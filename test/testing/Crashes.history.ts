/** What the program of Crashes.test.ts takes in: the same in both processes. */
import type * as History from "../../src/testing/History.ts"

export const deeds: ReadonlyArray<History.Deed> = Array.from({ length: 30 }, (_, at) => ({
  author: at % 3,
  topic: 0,
  kind: "say",
  after: [],
  deletes: [],
  skew: 0,
  body: Uint8Array.of(at)
}))
