/** What all trials run in: signatures that were checked once are remembered, without logs and spans. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Crypto from "../../src/core/Crypto.ts"

const most = 20_000

/** The same few signatures are checked in every trial; remembered, they are not most of its time. */
export const remembering = (crypto: Crypto.Service): Crypto.Service => {
  const known = new Map<string, boolean>()
  return {
    ...crypto,
    verify: (key, message, signature) => {
      const name = `${crypto.hash(key)}${crypto.hash(message)}${crypto.hash(signature)}`
      const verdict = known.get(name) ?? crypto.verify(key, message, signature)
      if (known.size >= most) known.clear()
      known.set(name, verdict)
      return verdict
    }
  }
}

export const environment = Layer.mergeAll(
  Layer.provide(Layer.effect(Crypto.Crypto, Effect.map(Crypto.Crypto, remembering)), Crypto.layer),
  Logger.remove(Logger.defaultLogger),
  Layer.setTracerEnabled(false)
)
