/** The bugs that are planted. Each is a change of a few characters that somebody might make. */
import type { Mutant } from "./Mutants.ts"

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "own-trusting",
    what: "what the witness knows is compared only where the log is not here at all",
    file: "stream/internal/own.ts",
    find: "if (head === undefined || head.seqNum < known.place.seqNum) {",
    replace: "if (head === undefined) {",
    rows: ["own"]
  },
  {
    name: "own-late",
    what: "the witness is not told what it missed when the database is opened",
    file: "stream/internal/own.ts",
    find: `entry?._tag === "Published" && facts.own === "witnessed"`,
    replace: `entry?._tag === "Begun" && facts.own === "witnessed"`,
    rows: ["own"]
  },
  {
    name: "own-moved",
    what: "a log that the witness never heard of is taken for one that it knows",
    file: "stream/internal/own.ts",
    find: `known === undefined ? facts.own === "unwitnessed"`,
    replace: `known === undefined ? facts.own !== "never"`,
    rows: ["own"]
  },
  {
    name: "own-unasked",
    what: "the log is confirmed though others hold more",
    file: "stream/internal/ownCalls.ts",
    find: "upTo !== undefined && upTo > (head?.seqNum ?? -1)",
    replace: "upTo !== undefined && upTo < -1",
    rows: ["own"]
  }
]
