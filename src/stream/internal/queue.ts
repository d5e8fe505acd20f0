/** What is queued in the inbox, as a source for a transaction. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Inbox from "../../store/Inbox.ts"
import type { Setup, Source } from "./setup.ts"
import * as Candidates from "./candidates.ts"

/** The oldest queued operations. One that does not read back is rejected on the spot, so that it holds nobody up. */
export const fromInbox = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>
): Source<X, never> =>
  Effect.gen(function* () {
    yield* Inbox.queueDue(yield* Clock.currentTimeMillis)
    for (;;) {
      const entries = yield* Inbox.queued(setup.batchSize)
      const candidates: Array<Candidates.Candidate<X>> = []
      for (const entry of entries) {
        const restored = Candidates.restore(setup.codec, entry)
        if (restored._tag === "Right") candidates.push(restored.right)
        else {
          const reason = Rejection.encode(restored.left)
          const attempts = entry.attempts + 1
          yield* Inbox.reject(entry.id, { processor: "inbox", reason, attempts, notBefore: undefined })
        }
      }
      if (candidates.length > 0 || entries.length === 0) return candidates
    }
  })
