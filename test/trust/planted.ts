/** The bugs that are planted. Each is a change of a few characters that somebody might make. */
import type { Mutant } from "./Mutants.ts"

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "unsorted-keys",
    what: "the keys of a map may stand in any order",
    file: "core/CborWalk.ts",
    find: "if (difference !== 0) return difference < 0",
    replace: "if (difference !== 0) return true",
    rows: ["fuzz"]
  },
  {
    name: "surrogates",
    what: "text may hold half characters",
    file: "core/internal/Utf8.ts",
    find: "lead === 0xed ? 0x9f",
    replace: "lead === 0xed ? 0xbf",
    rows: ["fuzz"]
  },
  {
    name: "split-length",
    what: "a length that is cut by the end of a chunk is read as it stands",
    file: "core/internal/SequenceReader.ts",
    find: "if (start > reader.end) return incomplete",
    replace: "if (start > reader.end + 1) return incomplete",
    rows: ["fuzz"]
  },
  {
    name: "any-body",
    what: "a body of the right size is not hashed",
    file: "core/Operation.ts",
    find: "return foundHash === header.payloadHash ? undefined",
    replace: "return foundHash !== undefined ? undefined",
    rows: ["fuzz"]
  },
  {
    name: "tagged-header",
    what: "a tag in front of a header is looked through",
    file: "core/internal/HeaderReader.ts",
    find: "return start > 0 && !isFailure(header) ?",
    replace: "return start > 9 && !isFailure(header) ?",
    rows: ["fuzz"]
  }
]
