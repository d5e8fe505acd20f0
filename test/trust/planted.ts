/** The bugs that are planted. Each is a change of a few characters that somebody might make. */
import type { Mutant } from "./Mutants.ts"

export const mutants: ReadonlyArray<Mutant> = []
