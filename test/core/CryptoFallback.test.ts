import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { vi } from "vitest"
import * as Crypto from "../../src/core/Crypto.ts"

vi.mock("sodium-native", () => {
  throw new Error("no prebuilt binary for this platform")
})

it.effect("without sodium-native the native layer fails typed, and the default is the portable one", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(Effect.provide(Crypto.Crypto, Crypto.layerNative))
    expect(error).toMatchObject({ _tag: "CryptoUnavailable", library: "sodium-native" })
    expect(error.message).toContain("Crypto.layerPortable")
    const { name } = yield* Effect.provide(Crypto.Crypto, Crypto.layer)
    expect(name).toBe("libsodium-wrappers")
  })
)
