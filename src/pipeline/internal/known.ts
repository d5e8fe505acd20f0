/**
 * Effects that need not be run for what they give: `Effect.succeed`, `Effect.fail`, `Either` and the like. Most processors decide
 * so, and a step of the run loop for each layer of each operation would cost more than the decision.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"

/** What the effect gives, if that is known. */
export const of = <A, E, R>(self: Effect.Effect<A, E, R>): Exit.Exit<A, E> | undefined => {
  // What an effect that is an exit, or an Either, holds is what it gives; the guards know nothing of its types.
  if (Exit.isExit(self)) return self as Exit.Exit<A, E>
  if (!Either.isEither(self)) return undefined
  const either = self as Either.Either<A, E>
  return either._tag === "Right" ? Exit.succeed(either.right) : Exit.fail(either.left)
}

/** `Effect.flatMap`, at once where what the first gives is known. */
export const flatMap = <A, E, R, B, E2, R2>(
  self: Effect.Effect<A, E, R>,
  f: (a: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> => {
  const known = of(self)
  return known?._tag === "Success" ? f(known.value) : Effect.flatMap(self, f)
}

/** `Effect.map`, at once where what it is of is known. */
export const map = <A, E, R, B>(self: Effect.Effect<A, E, R>, f: (a: A) => B): Effect.Effect<B, E, R> => {
  const known = of(self)
  return known?._tag === "Success" ? Effect.succeed(f(known.value)) : Effect.map(self, f)
}
