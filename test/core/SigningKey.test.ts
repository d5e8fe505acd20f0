import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Logger from "effect/Logger"
import { inspect } from "node:util"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import { cryptos, headers } from "./support.ts"

const seed = "f47b55d7a1cc5ee3effd80a4e4a0c33112317d0432da9de6ae019ae7e78e16aa"
const key = Either.getOrThrow(SigningKey.fromHex(seed))

/** Whether some writing of the seed is in the text: hex, or the numbers of its bytes. */
const leaks = (text: string) =>
  text.toLowerCase().includes(seed.slice(0, 8)) ||
  /244\D+(1\D+)?123\D+(2\D+)?85\D+(3\D+)?215/.test(text) ||
  text.includes("9HtV1")

describe("SigningKey", () => {
  it("the detector finds what it is to find", () => {
    const bytes = Bytes.fromHex(seed)
    for (const text of [
      seed,
      inspect(bytes),
      String(bytes),
      JSON.stringify(bytes),
      inspect({ a: [bytes] }, { depth: 5 })
    ])
      expect(leaks(text), text).toBe(true)
    expect(leaks(Buffer.from(bytes).toString("base64"))).toBe(true)
  })

  it.effect("is never printed, logged or traced", () =>
    Effect.gen(function* () {
      const holder = { key, keys: [key], nested: { deep: { key } } }
      const lines: Array<string> = []
      const loggers = [Logger.stringLogger, Logger.logfmtLogger, Logger.jsonLogger].map((logger) =>
        Logger.map(logger, (line) => void lines.push(line))
      )
      yield* Effect.log("the key", key, holder).pipe(
        Effect.annotateLogs({ key, holder }),
        Effect.withSpan("span", { attributes: { key } }),
        Effect.provide(
          Logger.replace(
            Logger.defaultLogger,
            loggers.reduce((a, b) => Logger.zipLeft(a, b))
          )
        )
      )
      const failure = yield* Effect.flip(Effect.sandbox(Effect.fail(holder)))
      const texts = [
        ...lines,
        String(key),
        `${String(holder.keys)}`,
        JSON.stringify(holder),
        inspect(holder, { depth: 10, showHidden: true }),
        inspect(key, { customInspect: true }),
        String(failure),
        JSON.stringify(failure)
      ]
      expect(lines.length).toBeGreaterThanOrEqual(1)
      for (const text of texts) expect(leaks(text), text).toBe(false)
      expect(JSON.stringify(key)).toBe('"<redacted>"')
    })
  )

  it("toHex is the way out, and back in", () => {
    expect(SigningKey.toHex(key)).toBe(seed)
    expect(SigningKey.toHex(Either.getOrThrow(SigningKey.fromHex(seed.toUpperCase())))).toBe(seed)
    expect(SigningKey.toHex(Either.getOrThrow(SigningKey.fromBytes(Bytes.fromHex(seed))))).toBe(seed)
  })

  it("keeps its own copy of the bytes", () => {
    const bytes = Bytes.fromHex(seed)
    const own = Either.getOrThrow(SigningKey.fromBytes(bytes))
    bytes.fill(0)
    expect(SigningKey.toHex(own)).toBe(seed)
  })

  it("what is no key is refused without telling it", () => {
    const wrong = [
      SigningKey.fromHex(seed.slice(2)),
      SigningKey.fromHex(seed.slice(1) + "x"),
      SigningKey.fromHex(`${seed}00`)
    ]
    const sizes = [0, 31, 33, 64].map((size) => SigningKey.fromBytes(Bytes.fromHex(seed.repeat(2)).slice(0, size)))
    for (const result of [...wrong, ...sizes]) {
      const error = Either.getOrThrow(Either.flip(result))
      expect(error._tag).toBe("InvalidSigningKey")
      expect(leaks(error.message + inspect(error, { depth: 5 }) + JSON.stringify(error) + String(error.stack))).toBe(
        false
      )
    }
    expect(wrong.map((result) => Either.getOrThrow(Either.flip(result)).reason)).toEqual(["Length", "NotHex", "Length"])
  })

  it.effect("generate makes keys that work and differ", () =>
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      const [a, b] = [yield* SigningKey.generate, yield* SigningKey.generate]
      expect(SigningKey.toHex(a)).not.toBe(SigningKey.toHex(b))
      expect(crypto.verifyingKey(a)).not.toBe(crypto.verifyingKey(b))
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.each(cryptos)("the public half is p2panda's ($name)", (crypto) => {
    for (const { secret, verifyingKey } of headers)
      expect(crypto.verifyingKey(Either.getOrThrow(SigningKey.fromHex(secret)))).toBe(verifyingKey)
  })
})
