/** Counts what becomes of the operations that one run of `ingest` reads, and tells of those that were not accepted. */
import * as Effect from "effect/Effect"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Hash } from "../core/Hash.ts"
import type * as Outcome from "../pipeline/Outcome.ts"
import * as Rejection from "../pipeline/Rejection.ts"
import * as Inspect from "../store/Inspect.ts"
import * as Operations from "../store/Operations.ts"
import type { InboxFull, Invalid } from "../stream/Errors.ts"
import type { Io, OutputError } from "./Io.ts"
import * as Output from "./Output.ts"

/** Every operation that was read counts once: `received` is the sum of the others. */
export interface Counts {
  received: number
  accepted: number
  /** Were here before, or came a second time. */
  known: number
  waiting: number
  rejected: number
  invalid: number
  /** Neither accepted nor kept, because the inbox is full. */
  refused: number
}

/** The counts of one run, and what is still open. */
export interface Tally {
  readonly counts: Counts
  /**
   * Operations of this run that went to the inbox, with their numbers. What comes later may still wake them, so they are
   * counted at the end. There are never more than the inbox holds, and those that left it since.
   */
  readonly open: Map<Hash, number>
  /** How many single problems people were told of. */
  told: number
}

/** Nothing counted yet. */
export const make = (): Tally => ({
  counts: { received: 0, accepted: 0, known: 0, waiting: 0, rejected: 0, invalid: 0, refused: 0 },
  open: new Map(),
  told: 0
})

type Answer = Outcome.Outcome<Error> | Invalid | InboxFull

/** Counts the answers to the next operations. */
export const add = (
  tally: Tally,
  answers: ReadonlyArray<Answer>
): Effect.Effect<void, OutputError, Io | Output.Output> =>
  Effect.gen(function* () {
    const { counts, open } = tally
    for (const answer of answers) {
      const item = counts.received++
      if (answer instanceof Error) {
        const outcome = answer._tag === "InboxFull" ? "refused" : "invalid"
        counts[outcome]++
        yield* tell(tally, { item, outcome, error: answer._tag, message: answer.message })
      } else if (open.has(answer.id) || isKnown(answer)) counts.known++
      else if (answer._tag === "Accepted") counts.accepted++
      else if (answer._tag === "Rejected" && (answer.next._tag === "Discarded" || answer.next._tag === "Refused")) {
        yield* rejected(tally, answer.id, item, Rejection.encode(answer.error))
      } else open.set(answer.id, item)
    }
  })

/** Finds out where the open ones stand, and counts them. After this the counts are final. */
export const settle = (tally: Tally): Effect.Effect<void, SqlError | OutputError, Io | Output.Output | SqlClient> =>
  Effect.gen(function* () {
    const all = Array.from(tally.open)
    for (let from = 0; from < all.length; from += page) {
      const some = all.slice(from, from + page)
      const accepted = yield* Operations.accepted(some.map(([id]) => id))
      tally.counts.accepted += accepted.size
      for (const [id, item] of some) {
        if (!accepted.has(id)) yield* count(tally, id, item, yield* Inspect.show(id))
      }
    }
    tally.open.clear()
    if (tally.told > most) yield* Output.note(`… and ${tally.told - most} more; --json tells of each.`)
  })

// internal

const page = 1000
/** How many single problems people are told of. */
const most = 5

interface Told {
  readonly id?: Hash
  readonly item: number
  readonly outcome: "invalid" | "rejected" | "waiting" | "refused"
  readonly error: string
  readonly message: string
}

const isKnown = (answer: Outcome.Outcome<Error>) => answer._tag === "Known" && answer.where !== "queued"

const count = (tally: Tally, id: Hash, item: number, found: Inspect.Found | undefined) => {
  switch (found?._tag) {
    case "Accepted":
      return Effect.sync(() => void tally.counts.accepted++)
    case "Rejected":
      return rejected(tally, id, item, found.reason)
    case "Discarded":
      return rejected(tally, id, item, found.why ?? "")
    default: {
      tally.counts.waiting++
      const until = found?._tag === "Waiting" ? `Waits for ${found.until.join(", ")}.` : "Is to be tried again."
      return tell(tally, { id, item, outcome: "waiting", error: "Deferred", message: until })
    }
  }
}

const rejected = (tally: Tally, id: Hash, item: number, reason: string) => {
  tally.counts.rejected++
  const { message, tag } = Rejection.decode(reason)
  return tell(tally, { id, item, outcome: "rejected", error: tag, message })
}

/** Programs are told of every operation that was not accepted, people of the first few that have a problem. */
const tell = (tally: Tally, told: Told): Effect.Effect<void, OutputError, Io | Output.Output> =>
  Effect.gen(function* () {
    const { json } = yield* Output.Output
    if (json) return yield* Output.result("", { ...told })
    if (told.outcome === "waiting") return
    tally.told++
    if (tally.told > most) return
    const which = told.id === undefined ? `item ${told.item}` : `item ${told.item}, ${told.id}`
    yield* Output.note(`${told.outcome}: ${which}: ${Output.safe(told.message)}`)
  })
