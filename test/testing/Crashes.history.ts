/** What the program of Crashes.test.ts takes in: the same in both processes. */
import * as History from "../../src/testing/History.ts"

export const deeds: ReadonlyArray<History.Deed> = Array.from({ length: 30 }, (_, at) =>
  History.say(at % 3, { body: Uint8Array.of(at) })
)
