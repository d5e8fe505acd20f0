/** A processor at work on one batch: the states that it has loaded, what it noted about the operation at hand, what changed. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { Transaction } from "../../store/Transaction.ts"
import type { Event } from "../Event.ts"
import * as Known from "./known.ts"
import type { Decision, Options, Recall, Session, State, Verdict } from "../Processor.ts"

/** Begins a batch. */
export const open = <Key extends string | number, S, In extends Event, Adds extends object, E, R>(
  options: Options<Key, S, In, Adds, E, SqlClient | R, SqlClient | Transaction | R>,
  recall: Recall<Key, S, In, Adds> | undefined
): Session<In, Adds, E, R> => {
  /** The state of every key that was asked for: as it was loaded, then as the accepted operations left it. */
  const known = new Map<Key, S | undefined>()
  const changed = new Map<Key, S>()
  let noted: ReadonlyArray<readonly [Key, S]> = []
  const state: State<Key, S> = (key) => known.get(key)

  const load = (keys: ReadonlyArray<Key>): Effect.Effect<void, SqlError, SqlClient | R> => {
    const missing = new Set<Key>()
    for (const key of keys) if (!known.has(key)) missing.add(key)
    if (missing.size === 0) return Effect.void
    const wanted = Array.from(missing)
    return Effect.map(options.load(wanted), (found) => {
      for (const key of wanted) known.set(key, found.get(key))
    })
  }

  const decide = (event: In): Effect.Effect<Verdict<Adds, E, R>> => {
    const accepted = (decision: Decision<Key, S, Adds>): Verdict<Adds, E, R> => {
      if (decision._tag === "Accept") noted = decision.state
      return decision
    }
    const checked = options.check?.(event) ?? Either.void
    const decided = checked._tag === "Left" ? Effect.fail(checked.left) : options.decide(state, event)
    const known = Known.of(decided)
    if (known?._tag === "Success") return Effect.succeed(accepted(known.value))
    return Effect.match(decided, {
      onFailure: (error) => ({
        _tag: "Reject",
        error,
        evidence: Effect.suspend(() => options.evidence?.(error, event) ?? Effect.void)
      }),
      onSuccess: accepted
    })
  }

  const { forget, redact } = options
  return {
    preload: (events) => load(events.flatMap(options.keys)),
    redact:
      redact === undefined
        ? undefined
        : (events) =>
            Effect.map(
              load(events.flatMap(options.keys)),
              () => new Set(events.filter((event) => redact(state, event)).map(({ id }) => id))
            ),
    decide: (event) => {
      const keys = options.keys(event)
      const later = options.laterKeys?.(event) ?? []
      return [...keys, ...later].every((key) => known.has(key))
        ? decide(event)
        : Effect.flatMap(load([...keys, ...later]), () => decide(event))
    },
    keep: () => {
      for (const [key, value] of noted) {
        known.set(key, value)
        changed.set(key, value)
      }
      noted = []
    },
    drop: () => {
      noted = []
    },
    complete: (draft) => {
      const outgoing = options.outgoing
      if (outgoing === undefined) return Effect.succeed(draft)
      return Effect.zipRight(
        load(outgoing.keys(draft)),
        Effect.suspend(() => outgoing.complete(state, draft))
      )
    },
    save: Effect.suspend(() => {
      if (changed.size === 0) return Effect.void
      const written = new Map(changed)
      changed.clear()
      known.clear()
      return options.save(written)
    }),
    refresh: () => {
      known.clear()
      for (const [key, value] of changed) known.set(key, value)
    },
    forget: (removal) => forget?.(removal) ?? Effect.void,
    preloadRecall: (events) => (recall?.keys === undefined ? Effect.void : load(events.flatMap(recall.keys))),
    recall: (event) => recall?.adds(state, event)
  }
}
