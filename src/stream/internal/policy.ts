/** What happens to rejected operations where nobody says otherwise. */
import * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"
import * as Policy from "../../pipeline/Policy.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Limits from "../../processors/Limits.ts"
import { Outdated } from "../../processors/LogIntegrity.ts"

/**
 * Rejected operations are held until they are replayed, with three exceptions: a bug gets three attempts, nothing is kept of
 * what its log was pruned past, and what is beyond the limits is not taken in. One that is too much for now, and stands in
 * the inbox already, is tried again in the next window, but not more often than every minute.
 */
export const defaultPolicy = (error: unknown): Policy.Policy => {
  if (error instanceof Rejection.Defect) return Policy.defects
  if (error instanceof Outdated) return Policy.pruned
  if (error instanceof Limits.TooLarge || error instanceof Limits.TimestampAhead) return Policy.refuse()
  if (!(error instanceof Limits.RateExceeded)) return Policy.hold
  return Policy.refuse(Policy.retry(Schedule.spaced(Duration.max(Duration.millis(error.per), "1 minute"))))
}
