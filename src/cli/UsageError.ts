/** The command line itself was wrong, or does not fit what is there. */
import * as Data from "effect/Data"

/** What was wrong and what to write instead. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}
