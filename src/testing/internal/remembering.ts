/** Signatures that were checked once: where the same few are checked in every trial, they are most of its time. */
import type * as Crypto from "../../core/Crypto.ts"

/** So many verdicts are remembered. */
const most = 20_000

/** The crypto, remembering what it said of signatures. It is asked itself, and not a worker in its place. */
export const remembering = (crypto: Crypto.Service): Crypto.Service => {
  const known = new Map<string, boolean>()
  return {
    ...crypto,
    name: "libsodium-wrappers",
    verify: (key, message, signature) => {
      const name = `${crypto.hash(message)}${crypto.hash(signature)}${crypto.hash(key)}`
      const verdict = known.get(name) ?? crypto.verify(key, message, signature)
      if (known.size >= most) known.clear()
      known.set(name, verdict)
      return verdict
    }
  }
}
