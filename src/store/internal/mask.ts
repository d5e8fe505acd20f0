/**
 * Regions of effects that cannot be interrupted, for what runs often and leads to much.
 *
 * For each such region, and for each service that is provided, Effect assigns a new function to a property. V8 makes functions
 * that are assigned so in its old generation, where they stay until all of the heap is collected; and until then everything that
 * they lead to counts as alive, is copied twice and moved there as well. On the way of every operation that was most of what
 * collecting garbage cost. So what they lead to here is a box, which is emptied when its content is run.
 *
 * A generator that is made for each call (`Effect.gen` around the arguments of a function) is kept by V8 in the same way. What
 * is called for each operation or batch is an `Effect.fnUntraced`, whose generator is made once.
 */
import * as Effect from "effect/Effect"

/** `restore` of `Effect.uninterruptibleMask`. What it gives is to be run once. */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** `Effect.uninterruptibleMask`. */
export const mask = <A, E, R>(run: (restore: Restore) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => masked({ content: run }))

/** The same effect, to be run once, which nobody who holds it afterwards keeps in memory. */
export const handed = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => unpacked({ content: effect })

// internal

interface Box<A> {
  content: A | undefined
}

// These are here by themselves so that no function of theirs has anything but a box around it.

const masked = <A, E, R>(box: Box<(restore: Restore) => Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) => take(box)((effect) => restore(handed(effect))))

const unpacked = <A, E, R>(box: Box<Effect.Effect<A, E, R>>): Effect.Effect<A, E, R> => Effect.suspend(() => take(box))

const take = <A>(box: Box<A>): A => {
  const { content } = box
  box.content = undefined
  if (content === undefined) throw new Error("an effect that is to be run once was run again")
  return content
}
