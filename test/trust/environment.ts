/** What all trials run in: signatures that were checked once are remembered, without logs and spans. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Crypto from "../../src/core/Crypto.ts"
import { remembering } from "../../src/testing/internal/remembering.ts"

export const environment = Layer.mergeAll(
  Layer.provide(Layer.effect(Crypto.Crypto, Effect.map(Crypto.Crypto, remembering)), Crypto.layer),
  Logger.remove(Logger.defaultLogger),
  Layer.setTracerEnabled(false)
)
