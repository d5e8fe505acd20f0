/**
 * Looks on while a processor works, and notes what a processor must not do: decide differently about the same, read what changes
 * from call to call, change what it was given, ask for states that it has not named, save what cannot be read back, wait for what
 * is here.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Event } from "../../pipeline/Event.ts"
import type * as Processor from "../../pipeline/Processor.ts"
import * as Canonical from "./canonical.ts"
import * as Purity from "./purity.ts"

/** The laws that show while a processor works. */
export type Law = "deterministic" | "pure" | "saves" | "defers"

/** Something that must not be. Ids stand in it as they are. */
export interface Breach {
  readonly law: Law
  readonly detail: string
}

/** What was seen of one processor since it was made. */
export interface Witness {
  /** What is broken, each as often as it happened. */
  readonly breaches: Array<Breach>
  /** What was accepted, by id, as far as it is known. `undefined`: nobody keeps account of it, since calls fail. */
  readonly accepted: Set<string> | undefined
  /** Under which names it adds something to events. */
  readonly adds: Set<string>
  /** How many statements were run. */
  readonly statements: Effect.Effect<number>
}

/** The processor, with the witness looking on. */
export const over = <In, Adds, E, R>(
  processor: Processor.Processor<In, Adds, E, R>,
  witness: Witness
): Processor.Processor<In, Adds, E, R> =>
  processor.watched((parts) => ({
    ...parts,
    decide: (state, event) => decide(parts, witness, state, event),
    save: (changed) => Effect.zipRight(parts.save(changed), readBack(parts, witness, changed))
  }))

// internal

const decide = <Key extends string | number, S, In extends Event, Adds extends object, E, R>(
  parts: Processor.Parts<Key, S, In, Adds, E, R>,
  witness: Witness,
  state: Processor.State<Key, S>,
  event: In
): Effect.Effect<Processor.Decision<Key, S, Adds>, E> =>
  Effect.gen(function* () {
    const breach = (law: Law, detail: string) =>
      void witness.breaches.push({ law, detail: `about ${event.id}: ${detail}` })
    const mine = new Set<Key>([...parts.keys(event), ...(parts.laterKeys?.(event) ?? [])])
    const inputs = () => Canonical.text([event, Array.from(mine, (key) => [key, state(key)])])
    const asked: Processor.State<Key, S> = (key) => {
      if (!mine.has(key))
        breach("deterministic", `it asks for the state of ${key}, which neither \`keys\` nor \`laterKeys\` names`)
      return state(key)
    }
    const before = inputs()
    const statements = yield* witness.statements
    const { exit, read } = yield* Purity.watch(Effect.suspend(() => parts.decide(asked, event)))
    if ((yield* witness.statements) > statements) breach("pure", "it runs a statement when it decides")
    if (read.size > 0) breach("pure", `it reads ${Array.from(read).join(", ")} when it decides`)
    if (inputs() !== before) breach("pure", "it changes the state or the event that it was given")
    const first = Canonical.text(exit)
    const second = Canonical.text(yield* Effect.exit(Effect.suspend(() => parts.decide(state, event))))
    if (first !== second) breach("deterministic", `asked twice, it decides differently: first ${first}, then ${second}`)
    if (Exit.isSuccess(exit)) note(witness, exit.value, event, breach)
    return yield* exit
  })

const note = <Key, S, Adds extends object>(
  witness: Witness,
  decision: Processor.Decision<Key, S, Adds>,
  event: Event,
  breach: (law: Law, detail: string) => void
): void => {
  if (decision._tag === "Accept") return Object.keys(decision.adds).forEach((name) => witness.adds.add(name))
  if (decision.until.includes(event.id)) breach("defers", "it waits for itself")
  if (decision.until.length === 0 && decision.deadline === undefined) breach("defers", "it waits for nothing")
  const here = decision.until.filter((id) => witness.accepted?.has(id))
  if (here.length > 0) breach("defers", `it waits for ${here.join(", ")}, which was accepted already`)
}

const readBack = <Key extends string | number, S, In extends Event, Adds extends object, E, R>(
  parts: Processor.Parts<Key, S, In, Adds, E, R>,
  witness: Witness,
  changed: ReadonlyMap<Key, S>
) =>
  Effect.map(parts.load(Array.from(changed.keys())), (found) => {
    for (const [key, state] of changed) {
      const [saved, loaded] = [Canonical.text(state), Canonical.text(found.get(key))]
      if (saved !== loaded) {
        witness.breaches.push({ law: "saves", detail: `of ${key}: saved was ${saved}, and read back is ${loaded}` })
        return
      }
    }
  })
