/**
 * Whether it is safe to publish on a log of our own: what the database shows of it is compared with what the witness knows.
 *
 * The witness is told three times: before the first commit of a log that it was begun, so that a log which it never heard of is one
 * that came from elsewhere; right after each commit, before anybody else sees what was committed; and, before a commit or when the
 * database is opened, what it missed because the process ended in between. So it is never more than one operation behind, and
 * ahead only where commits were lost.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Log from "../../core/Log.ts"
import * as OwnLogs from "../../store/OwnLogs.ts"
import type * as Transaction from "../../store/Transaction.ts"
import type * as Witness from "../../store/Witness.ts"
import { OwnLogBehind, OwnLogForked, OwnLogUnwitnessed, type Unsafe, type WitnessFailed } from "../OwnErrors.ts"

/** What is known of a log inside and outside the database. */
export interface Seen {
  readonly facts: OwnLogs.Facts
  /** None where there is no witness. */
  readonly witness: { readonly name: string; readonly known: Witness.Known | undefined } | undefined
}

/** What is known of a log. */
export const see = (
  witness: Witness.Service | undefined,
  name: OwnLogs.Name
): Effect.Effect<Seen, SqlError | WitnessFailed, SqlClient> =>
  Effect.gen(function* () {
    const facts = yield* OwnLogs.of(name)
    if (witness === undefined) return { facts, witness }
    const known = (yield* witness.all).get(Log.key(name.author, name.logId))
    return { facts, witness: { name: witness.name, known } }
  })

/** Why nothing may be published, as far as the database itself shows it. */
export const shown = ({
  author,
  forkedAt,
  head,
  heard = -1,
  inInbox = -1,
  logId
}: OwnLogs.Facts): OwnLogBehind | OwnLogForked | undefined => {
  if (forkedAt !== undefined) return new OwnLogForked({ author, logId, seqNum: forkedAt })
  const have = head?.seqNum
  if (inInbox > (have ?? -1)) return new OwnLogBehind({ author, logId, have, known: inInbox, by: "inbox" })
  return heard > (have ?? -1) ? new OwnLogBehind({ author, logId, have, known: heard, by: "discarded" }) : undefined
}

/** What the witness is to be told before anything is published; nothing where it knows all. Fails where it is not safe. */
export const judge = ({
  facts,
  witness
}: Seen): Effect.Effect<Witness.Entry | undefined, Unsafe | SqlError, SqlClient> =>
  Effect.gen(function* () {
    const problem = shown(facts)
    if (problem !== undefined) return yield* problem
    if (witness === undefined) return undefined
    const { author, head, logId } = facts
    const { known, name } = witness
    const log = Log.key(author, logId)
    if (known?.place !== undefined) {
      if (!(yield* agrees(facts, known.place)))
        return yield* new OwnLogForked({ author, logId, seqNum: known.place.seqNum })
      if (head === undefined || head.seqNum < known.place.seqNum) {
        return yield* new OwnLogBehind({ author, logId, have: head?.seqNum, known: known.place.seqNum, by: "witness" })
      }
      return head.seqNum === known.place.seqNum ? undefined : { _tag: "Published", log, place: head }
    }
    if (head === undefined) return known === undefined ? { _tag: "Begun", log } : undefined
    // Where it was begun and published the process ended before it could say so; what was never to be witnessed is so from now on.
    const isOurs = known === undefined ? facts.own === "unwitnessed" : facts.own !== "never"
    const isOld = facts.own === "never" && facts.old
    if (isOurs || isOld) return { _tag: "Published", log, place: head }
    return yield* new OwnLogUnwitnessed({ author, logId, have: head.seqNum, witness: name })
  })

/** Whether what stands in the log at this place is what the witness says; what is not there yet or was pruned cannot differ. */
export const agrees = (
  { head, ...name }: OwnLogs.Facts,
  place: Witness.Place
): Effect.Effect<boolean, SqlError, SqlClient> => {
  if (head === undefined || head.seqNum < place.seqNum) return Effect.succeed(true)
  if (head.seqNum === place.seqNum) return Effect.succeed(head.id === place.id)
  return Effect.map(OwnLogs.at(name, place.seqNum), (id) => id === undefined || id === place.id)
}

/** A log on which it is safe to publish; inside a transaction. */
export interface Safe {
  /** Right before the commit: what has to be remembered of the log, in the database and outside. */
  readonly begin: Effect.Effect<void, SqlError | WitnessFailed, Transaction.Transaction>
}

/** Makes sure that it is safe to publish on a log. Whoever comes next waits until this transaction ends. */
export const enter = (
  witness: Witness.Service | undefined,
  name: OwnLogs.Name
): Effect.Effect<Safe, Unsafe | SqlError | WitnessFailed, SqlClient> =>
  Effect.gen(function* () {
    const seen = yield* see(witness, name)
    const entry = yield* judge(seen)
    const { own } = seen.facts
    const isNew = own === "never" || (own === "unwitnessed" && witness !== undefined)
    return {
      begin: Effect.zipRight(
        isNew ? OwnLogs.claim(name, witness !== undefined) : Effect.void,
        witness === undefined || entry === undefined ? Effect.void : witness.write(entry)
      )
    }
  })

/**
 * Tells the witness what it missed, when a database is opened: before anything of it is handed on. What is not safe to publish on is
 * told whoever publishes, and everything else goes on.
 */
export const catchUp = (witness: Witness.Service | undefined): Effect.Effect<void, SqlError, SqlClient> =>
  witness === undefined
    ? Effect.void
    : Effect.gen(function* () {
        const own = yield* OwnLogs.all
        if (own.length === 0) return
        const known = yield* witness.all
        for (const facts of own) {
          const seen = { name: witness.name, known: known.get(Log.key(facts.author, facts.logId)) }
          const judged = yield* Effect.either(judge({ facts, witness: seen }))
          if (judged._tag === "Left" && judged.left instanceof SqlError) return yield* judged.left
          const entry = judged._tag === "Right" ? judged.right : undefined
          if (entry?._tag === "Published" && facts.own === "witnessed") yield* witness.write(entry)
        }
      }).pipe(Effect.catchTag("WitnessFailed", (error) => Effect.logWarning(error.message)))
