/**
 * What is still to be decided in a transaction: a stack of wake-ups, and below it what the transaction took on.
 *
 * What is woken is decided before anything else, so the top comes first. A wake-up whose last operation was decided leaves the
 * stack before that one wakes others: a chain, however long, needs one place.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as Extensions from "../../core/Extensions.ts"
import type { Transaction } from "../../store/Transaction.ts"
import * as Waiting from "../../store/Waiting.ts"
import * as Wakes from "../../store/Wakes.ts"
import * as Candidates from "./candidates.ts"
import type { Taken } from "./setup.ts"

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
  /** How much room there was then. */
  readWith: number
}

/** The stack, and what the transaction may still do. */
export interface Frames<X extends Extensions.Fields> {
  /** What its wake-ups are noted under, once one was. */
  root: number | undefined
  readonly base: Frame<X>
  readonly stack: Array<Frame<X>>
  /** How many operations the transaction may still decide. */
  room: number
  /** Whether there may be wake-ups that an earlier transaction has noted. */
  resuming: boolean
  /** When entries were decided last, by how much room there was: a wake-up that had read them before is not to decide them. */
  readonly decided: Map<number, number>
  /** How many operations of a log that wakes one by one are read ahead. Grows as long as it does so. */
  ahead: number
}

/** A stack without wake-ups. */
export const make = <X extends Extensions.Fields>(
  { candidates, resumes, root }: Taken<X>,
  room: number
): Frames<X> => ({
  root,
  base: { waking: undefined, candidates },
  stack: [],
  room,
  resuming: resumes,
  decided: new Map(),
  ahead: 4
})

/** Puts a wake-up on top. */
export const push = <X extends Extensions.Fields>(frames: Frames<X>, of: Wakes.Wake): void =>
  place(frames, of, undefined, Wakes.begin(of))

/**
 * The frame that has the operations to be decided next; none when there is nothing left, or no room. `loaded` is told of those
 * that were read.
 */
export const next = Effect.fnUntraced(function* <X extends Extensions.Fields, R>(
  codec: Extensions.Codec<X>,
  frames: Frames<X>,
  loaded: (candidates: ReadonlyArray<Candidates.Candidate<X>>) => Effect.Effect<void, SqlError, R>
) {
  while (frames.room > 0) {
    if (frames.stack.length === 0 && frames.resuming) frames.resuming = yield* resume(frames)
    const frame = frames.stack.at(-1) ?? frames.base
    sift(frames, frame)
    if (frame.candidates.length > 0) return frame
    if (frame.waking === undefined) return undefined
    if (frame.waking.more) {
      yield* read(codec, frames, frame, frame.waking)
      yield* loaded(frame.candidates)
    } else yield* advance(frames, frame, 0)
  }
  return undefined
})

/**
 * The first `count` operations of a frame were decided. A wake-up that has nobody left leaves the stack; so does one of whose
 * chain the last one that was decided either wakes the next by a wake-up of its own, or does not wake it.
 */
export const advance = <X extends Extensions.Fields>(
  frames: Frames<X>,
  frame: Frame<X>,
  count: number
): Effect.Effect<void, SqlError, Transaction> => {
  const { waking } = frame
  frames.room -= count
  for (const { entry } of frame.candidates.slice(0, count))
    if (entry !== undefined) frames.decided.set(entry, frames.room)
  const last = frame.candidates[count - 1]
  const rest = frame.candidates.slice(count)
  frame.candidates = rest[0]?.follows === true ? [] : rest
  if (waking === undefined) return Effect.void
  waking.decided = frame.candidates.length === 0 ? waking.read : (last?.woken ?? waking.decided)
  if (waking.more || frame.candidates.length > 0) return Effect.void
  frames.stack.pop()
  return waking.wake === undefined ? Effect.void : Wakes.done(waking.wake)
}

/** Notes what of the stack is left for another transaction. */
export const note = Effect.fnUntraced(function* <X extends Extensions.Fields>(frames: Frames<X>) {
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
): void => void stack.push({ waking: { of, wake, decided: from, read: from, more: true, readWith: 0 }, candidates: [] })

/** Takes on the newest of the noted wake-ups that are ours, or nobody's yet; gives whether there was one. */
const resume = Effect.fnUntraced(function* <X extends Extensions.Fields>(frames: Frames<X>) {
  const own = frames.root === undefined ? undefined : yield* Wakes.next(frames.root)
  const pending = own ?? (yield* Wakes.next(undefined))
  if (pending === undefined) return false
  frames.root ??= pending.wake
  if (pending.root === undefined) yield* Wakes.claim(pending.wake, frames.root)
  place(frames, pending.of, pending.wake, pending.after)
  return true
})

/** Takes out of a wake-up whom another one that came on top of it has woken, too. */
const sift = <X extends Extensions.Fields>({ decided }: Frames<X>, frame: Frame<X>): void => {
  if (frame.waking === undefined) return
  const { readWith } = frame.waking
  const left = frame.candidates.filter(({ entry = 0 }) => (decided.get(entry) ?? Infinity) >= readWith)
  if (left.length === 0) frame.waking.decided = frame.waking.read
  frame.candidates = left
}

/** Reads the next operations of a wake-up. Who waits for others as well takes its room, too: that is read and written. */
const read = Effect.fnUntraced(function* <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  frames: Frames<X>,
  frame: Frame<X>,
  waking: Waking
) {
  const page = yield* Waiting.woken(waking.of, waking.read, frames.room)
  frame.candidates = yield* Candidates.readable(codec, page.woken)
  waking.read = page.at
  waking.more = page.more
  waking.readWith = frames.room
  frames.room -= page.met + page.woken.length - frame.candidates.length
  yield* readAhead(codec, frames, frame, waking)
})

/** Where the next operation of the log is all that is woken, the log is read on as far as that goes on. */
const readAhead = Effect.fnUntraced(function* <X extends Extensions.Fields>(
  codec: Extensions.Codec<X>,
  frames: Frames<X>,
  frame: Frame<X>,
  { more, of }: Waking
) {
  const [first, second] = frame.candidates
  if (more || first === undefined || second !== undefined || of.place === undefined || frames.room < 2) return
  const seqNum = of.place.seqNum + 1
  if (first.woken?.seqNum !== seqNum) return
  const count = Math.min(frames.ahead, frames.room - 1)
  const chain = Candidates.chained(codec, yield* Waiting.chain(first.event.id, { ...of.place, seqNum }, count))
  frames.ahead = chain.length === frames.ahead ? frames.ahead * 2 : Math.max(1, chain.length)
  frame.candidates = [first, ...chain]
})
