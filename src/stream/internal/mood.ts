/**
 * What is tried as a whole first, since that costs nothing for each operation, and in parts where one operation spoils it. Where
 * one does there may be more, so for a while it is done in parts at once.
 */
import * as Effect from "effect/Effect"

/** Remembers where that happened lately. One for each task that is carried on. */
export interface Mood {
  careful: number
}

/** Nothing was spoilt yet. */
export const calm = (): Mood => ({ careful: 0 })

/**
 * Does it in `parts` where that was spoilt lately, else as a `whole`, which is handed what to do where it is spoilt: the parts, and
 * again for a while.
 */
export const tried = <A, E, R, E2, R2>(
  mood: Mood,
  parts: Effect.Effect<A, E, R>,
  whole: (spoilt: Effect.Effect<A, E, R>) => Effect.Effect<A, E2, R2>
): Effect.Effect<A, E | E2, R | R2> =>
  Effect.suspend((): Effect.Effect<A, E | E2, R | R2> => {
    if (mood.careful === 0) return whole(Effect.zipRight(again(mood), parts))
    mood.careful -= 1
    return parts
  })

// internal

/** How often it is done in parts then. */
const carefulFor = 16

const again = (mood: Mood): Effect.Effect<void> => Effect.sync(() => void (mood.careful = carefulFor))
