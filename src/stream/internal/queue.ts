/** What is pending or queued in the inbox, as a source for a transaction. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Wakes from "../../store/Wakes.ts"
import type { Setup, Source } from "./setup.ts"
import * as Candidates from "./candidates.ts"

/** The newest of the pending wake-ups, or, if there is none, the oldest queued operations. */
export const fromInbox = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>
): Source<X, never> =>
  Effect.gen(function* () {
    const pending = yield* Wakes.newest
    if (pending !== undefined) return { candidates: [], known: [], resumes: true, root: pending.root }
    yield* Inbox.queueDue(yield* Clock.currentTimeMillis)
    for (;;) {
      const entries = yield* Inbox.queued(setup.pace.size())
      const candidates = yield* Candidates.readable(
        setup.codec,
        entries.map((entry) => ({ entry }))
      )
      if (candidates.length > 0 || entries.length === 0) {
        return { candidates, known: [], resumes: false, root: undefined }
      }
    }
  })
