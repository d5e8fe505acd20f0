/** How many operations a second somebody handles, of late. In memory: it is of interest only while it happens. */

/** Seconds that are looked back on. */
const span = 10

export interface Rates {
  /** `now`: milliseconds since the epoch. */
  readonly add: (name: string, operations: number, now: number) => void
  /** Operations a second. */
  readonly of: (name: string, now: number) => number
}

export const make = (): Rates => {
  /** By name and second. */
  const counts = new Map<string, Map<number, number>>()
  return {
    add: (name, operations, now) => {
      const second = Math.floor(now / 1000)
      const own = counts.get(name) ?? new Map<number, number>()
      own.set(second, (own.get(second) ?? 0) + operations)
      for (const earlier of own.keys()) if (earlier <= second - span) own.delete(earlier)
      counts.set(name, own)
    },
    of: (name, now) => {
      const second = Math.floor(now / 1000)
      let operations = 0
      for (const [at, count] of counts.get(name) ?? []) if (at > second - span && at <= second) operations += count
      return operations / span
    }
  }
}
