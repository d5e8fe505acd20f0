/**
 * How many operations go into one transaction. A commit costs as much as many operations do, so under load there are more of them
 * as long as they are quick; whoever waits for the database waits for the transaction, so there are fewer where they are slow.
 */

export interface Pace {
  /** How many the next transaction takes on at the most. */
  readonly size: () => number
  /** A transaction decided so many, and took so long. */
  readonly took: (count: number, millis: number) => void
}

/** Always as many. */
export const fixed = (size: number): Pace => ({ size: () => size, took: () => {} })

/** Begins with `usual`. */
export const adaptive = (usual: number): Pace => {
  let size = usual
  return {
    size: () => size,
    took: (count, millis) => {
      if (millis > longest) size = Math.max(1, Math.floor(size / 2))
      // Twice as many would take twice as long.
      else if (count >= size && 2 * millis <= longest) size = Math.min(most, 2 * size)
    }
  }
}

// internal

/** Milliseconds that others may have to wait for a transaction. */
const longest = 50

/** Beyond this the share of the commit is too small to matter. */
const most = 500
