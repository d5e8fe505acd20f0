/** The bugs that are planted. Each is a change of a few characters that somebody might make. */
import type { Mutant } from "./Mutants.ts"

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "verify-bodies",
    what: "verify does not look at bodies",
    file: "store/internal/verifying.ts",
    find: "  if (whole) return undefined\n",
    replace: "  if (!whole || whole) return undefined\n",
    rows: ["file"]
  },
  {
    name: "verify-ids",
    what: "verify does not compare ids with hashes",
    file: "store/internal/verifying.ts",
    find: `if (Cells.hash(row, "id") !== id) {`,
    replace: `if (Cells.hash(row, "id") === undefined) {`,
    rows: ["file"]
  },
  {
    name: "repair-body",
    what: "a repair forgets to put the body back",
    file: "store/internal/mendOperations.ts",
    find: "if (given !== undefined && isOwn(given)) return given",
    replace: "",
    rows: ["file"]
  }
]
