/**
 * What is still to be decided in a transaction: a stack of wake-ups, and below it what the transaction took on.
 *
 * What is woken is decided before anything else, so the top comes first. A wake-up whose last operation was decided leaves the
 * stack before that one wakes others: a chain, however long, needs one place.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type { Transaction } from "../../store/Transaction.ts"
import * as Waiting from "../../store/Waiting.ts"
import * as Wakes from "../../store/Wakes.ts"
import * as Candidates from "./candidates.ts"

/** Operations to be decided one after the other. `waking`: what woke them, if anything did. */
export interface Frame<X extends Extensions.Fields> {
  readonly waking: Waking | undefined
  candidates: ReadonlyArray<Candidates.Candidate<X>>
}

/** A wake-up at work. */
interface Waking {
  readonly of: Wakes.Wake
  /** Its number, where it is noted. */
  readonly wake: number | undefined
  /** Up to where its operations were decided. */
  decided: Wakes.Cursor
  /** Up to where they were read, and whether there may be more. */
  read: Wakes.Cursor
  more: boolean
}

/** The stack. `root`: what its wake-ups are noted under, once one was. */
export interface Frames<X extends Extensions.Fields> {
  root: number | undefined
  readonly base: Frame<X>
  readonly stack: Array<Frame<X>>
}

/** A stack without wake-ups. */
export const make = <X extends Extensions.Fields>(
  root: number | undefined,
  candidates: ReadonlyArray<Candidates.Candidate<X>>
): Frames<X> => ({ root, base: { waking: undefined, candidates }, stack: [] })

/** Puts a wake-up on top. */
export const push = <X extends Extensions.Fields>(frames: Frames<X>, of: Wakes.Wake): void =>
  place(frames, of, undefined, Wakes.begin(of))

/** Takes on the newest of the noted wake-ups that are ours, or nobody's yet; gives whether there was one. */
export const resume = <X extends Extensions.Fields>(
  frames: Frames<X>
): Effect.Effect<boolean, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const own = frames.root === undefined ? undefined : yield* Wakes.next(frames.root)
    const pending = own ?? (yield* Wakes.next(undefined))
    if (pending === undefined) return false
    frames.root ??= pending.wake
    if (pending.root === undefined) yield* Wakes.claim(pending.wake, frames.root)
    place(frames, pending.of, pending.wake, pending.after)
    return true
  })

/** Reads the next operations of a wake-up; gives how many rows were looked at in vain. */
export const read = <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  frame: Frame<X>,
  waking: Waking,
  limit: number
): Effect.Effect<number, SqlError, SqlClient | Transaction> =>
  Effect.gen(function* () {
    const page = yield* Waiting.woken(waking.of, waking.read, limit)
    frame.candidates = yield* Candidates.readable(codec, page.woken)
    waking.read = page.at
    waking.more = page.more
    if (frame.candidates.length === 0) waking.decided = page.at
    return page.seen - frame.candidates.length
  })

/** The first `count` operations of a frame were decided. A wake-up that has nobody left leaves the stack. */
export const advance = <X extends Extensions.Fields>(
  frames: Frames<X>,
  frame: Frame<X>,
  count: number
): Effect.Effect<void, SqlError, Transaction> => {
  const { waking } = frame
  const last = frame.candidates[count - 1]
  frame.candidates = frame.candidates.slice(count)
  if (waking === undefined) return Effect.void
  waking.decided = frame.candidates.length === 0 ? waking.read : (last?.woken ?? waking.decided)
  if (waking.more || frame.candidates.length > 0) return Effect.void
  frames.stack.pop()
  return waking.wake === undefined ? Effect.void : Wakes.done(waking.wake)
}

/** Notes what of the stack is left for another transaction. */
export const note = <X extends Extensions.Fields>(frames: Frames<X>): Effect.Effect<void, SqlError, Transaction> =>
  Effect.gen(function* () {
    for (const { waking } of frames.stack) {
      if (waking === undefined) continue
      if (waking.wake === undefined) frames.root = yield* Wakes.push(waking.of, waking.decided, frames.root)
      else yield* Wakes.move(waking.wake, waking.decided)
    }
  })

// internal

const place = <X extends Extensions.Fields>(
  { stack }: Frames<X>,
  of: Wakes.Wake,
  wake: number | undefined,
  from: Wakes.Cursor
): void => void stack.push({ waking: { of, wake, decided: from, read: from, more: true }, candidates: [] })
