/** Work that is done in pieces, some of them ahead of whoever takes what comes of it. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/** Gives so many of the next results, in the order of the items; fewer only at the end. */
export type Take<B, E, R> = (count: number) => Effect.Effect<ReadonlyArray<B>, E, R>

/**
 * Results of work on items. `size` of them are worked on together, and so many pieces `ahead` of what is taken, or as many more as
 * were taken: while that is used, nobody is to be idle. To be taken by one fiber, with which all of the work ends.
 */
export const pieces = <A, B, E, R>(
  items: ReadonlyArray<A>,
  { ahead, size }: { readonly size: number; readonly ahead: number },
  work: (piece: ReadonlyArray<A>) => Effect.Effect<ReadonlyArray<B>, E, R>
): Take<B, E, R> => {
  const begun: Array<Fiber.RuntimeFiber<ReadonlyArray<B>, E>> = []
  let at = 0
  let ready: ReadonlyArray<B> = []
  return (count) =>
    Effect.gen(function* () {
      const most = Math.ceil(count / size) - 1 + ahead
      while (ready.length < count) {
        for (; at < items.length && begun.length <= most; at += size) {
          begun.push(yield* Effect.fork(work(items.slice(at, at + size))))
        }
        const first = begun.shift()
        if (first === undefined) break
        ready = [...ready, ...(yield* Fiber.join(first))]
      }
      const taken = ready.slice(0, count)
      ready = ready.slice(count)
      return taken
    })
}
