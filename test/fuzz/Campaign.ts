/**
 * Fuzzing one reader of bytes: inputs are damaged and crossed, and those that bring an answer that was not seen before join the
 * pool from which the next ones are made. Everything follows from the seed; nothing looks at a clock.
 */
import * as Bytes from "../../src/core/Bytes.ts"
import * as InputFaults from "../../src/testing/InputFaults.ts"

/** What a reader said: its answer in short (which error, about what, roughly where), and what does not hold. */
export interface Said {
  readonly verdict: string
  readonly broken: ReadonlyArray<string>
}

/** Something that reads bytes. */
export interface Target {
  readonly name: "header" | "extensions" | "cbor" | "sequence" | "names" | "reasons"
  /** What damage begins with. */
  readonly originals: ReadonlyArray<Uint8Array>
  /** Reads, and checks all that must hold of the answer. `random`: for choices of its own, such as where to cut. */
  readonly attempt: (bytes: Uint8Array, random: InputFaults.Random) => Said
}

/** What a campaign showed. */
export interface Showed {
  readonly tried: number
  /** The first input of each verdict. */
  readonly verdicts: ReadonlyMap<string, Uint8Array>
  readonly broken: ReadonlyArray<{ readonly input: Uint8Array; readonly what: string }>
}

/** {@link Target.attempt}, for which throwing is an answer as well, and a wrong one. */
export const attempt = ({ attempt }: Target, bytes: Uint8Array, seed: number): Said => {
  try {
    return attempt(bytes, InputFaults.random(seed))
  } catch (thrown) {
    return { verdict: "thrown", broken: [`threw ${String(thrown).slice(0, 300)}`] }
  }
}

/** Tries `count` inputs, the originals among them. */
export const run = (target: Target, seed: number, count: number): Showed => {
  const random = InputFaults.random(seed)
  const pool = [...target.originals]
  const verdicts = new Map<string, Uint8Array>()
  const broken: Array<Showed["broken"][number]> = []
  const any = () => pool[random.below(pool.length)] ?? new Uint8Array()
  for (let tried = 0; tried < count; tried++) {
    const original = target.originals[tried]
    const input = original ?? InputFaults.mutate(any(), random, { other: any(), times: 3 })
    // What has grown large by insertions is cut, so that an input costs what it costs.
    const bytes = input.length > most ? input.slice(0, most) : input
    const said = attempt(target, bytes, seed + tried)
    if (!verdicts.has(said.verdict)) {
      verdicts.set(said.verdict, bytes)
      if (pool.length < largest) pool.push(bytes)
    }
    if (said.broken.length > 0 && broken.length < enough) {
      const least = smallest(target, bytes, seed + tried)
      broken.push({ input: least, what: attempt(target, least, seed + tried).broken.join("; ") })
    }
  }
  return { tried: count, verdicts, broken }
}

/** How a failure is told: what to put into a file of the corpus, so that it is tried for ever. */
export const tell = (target: Target, { input, what }: Showed["broken"][number]): string =>
  `${target.name}: ${what}; input ${input.length === 0 ? "of no bytes" : Bytes.toHex(input)}`

/** A smaller input that is broken as well. */
export const smallest = (target: Target, bytes: Uint8Array, seed: number): Uint8Array => {
  let least = bytes
  for (let size = least.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at + size <= least.length; ) {
      const shorter = Bytes.concat([least.subarray(0, at), least.subarray(at + size)])
      if (attempt(target, shorter, seed).broken.length > 0) least = shorter
      else at += size
    }
  }
  return least
}

// internal

const most = 6000
const largest = 400
/** So many failures of a campaign are told; making them small takes time. */
const enough = 3
