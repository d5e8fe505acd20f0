/**
 * Signatures and hashes.
 *
 * Signatures decide who agrees with whom, so they come from libsodium on every platform: its verdict is p2panda's
 * (ed25519-dalek `verify_strict`) on every published edge case, which neither `node:crypto` nor noble can say
 * (docs/crypto.md). BLAKE3 comes from `hash-wasm`.
 */
import { ed25519 } from "@noble/curves/ed25519.js"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createBLAKE3 } from "hash-wasm"
import * as Hash from "./Hash.ts"
import type { SigningKey } from "./SigningKey.ts"
import * as VerifyingKey from "./VerifyingKey.ts"

/** The cryptography that everything else uses. All of it is synchronous; loading it is not, which the layers do. */
export class Crypto extends Context.Tag("applecart/Crypto")<
  Crypto,
  {
    /** Which library checks the signatures. */
    readonly name: "sodium-native" | "libsodium-wrappers"
    /** BLAKE3-256. */
    readonly hash: (bytes: Uint8Array) => Hash.Hash
    /**
     * Whether the 64-byte `signature` over `message` is that of the 32-byte `key`, exactly as p2panda decides it:
     * canonical s, no small-order key or R, no cofactor. Wrong lengths are `false`, nothing throws.
     */
    readonly verify: (key: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean
    /** Whether 32 bytes are a point of the curve, to name the failure of a signature. Slow (0.2 ms). */
    readonly isPoint: (key: Uint8Array) => boolean
    /** The 64-byte signature (RFC 8032, deterministic). */
    readonly sign: (key: SigningKey, message: Uint8Array) => Uint8Array
    /** The public half. */
    readonly verifyingKey: (key: SigningKey) => VerifyingKey.VerifyingKey
    /** Bytes from the system's secure randomness. */
    readonly randomBytes: (size: number) => Uint8Array
  }
>() {}

/** What `Crypto` offers, for functions that take it as an argument instead of from the context. */
export type Service = Crypto["Type"]

/** `sodium-native` does not load here: no prebuilt binary for this platform, or not installed. Use `layer` or `layerPortable`. */
export class CryptoUnavailable extends Schema.TaggedError<CryptoUnavailable>()("CryptoUnavailable", {
  library: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.library} does not load here (${this.detail}). Crypto.layerPortable works everywhere; Crypto.layer chooses by itself.`
  }
}

// internal

/** The part of libsodium that is used, in the shape both bindings can be brought into. */
interface Sodium {
  readonly verify: (signature: Uint8Array, message: Uint8Array, key: Uint8Array) => boolean
  readonly sign: (message: Uint8Array, secret: Uint8Array) => Uint8Array
  readonly keyPair: (seed: Uint8Array) => { readonly public: Uint8Array; readonly secret: Uint8Array }
  readonly random: (size: number) => Uint8Array
}

interface Native {
  readonly crypto_sign_verify_detached: (signature: Uint8Array, message: Uint8Array, key: Uint8Array) => boolean
  readonly crypto_sign_detached: (signature: Uint8Array, message: Uint8Array, secret: Uint8Array) => void
  readonly crypto_sign_seed_keypair: (key: Uint8Array, secret: Uint8Array, seed: Uint8Array) => void
  readonly randombytes_buf: (bytes: Uint8Array) => void
}

const isNative = (module: unknown): module is Native =>
  Predicate.hasProperty(module, "crypto_sign_verify_detached") &&
  Predicate.hasProperty(module, "crypto_sign_detached") &&
  Predicate.hasProperty(module, "crypto_sign_seed_keypair") &&
  Predicate.hasProperty(module, "randombytes_buf")

const isPoint = (key: Uint8Array): boolean => {
  try {
    ed25519.Point.fromBytes(key, true)
    return true
  } catch {
    return false
  }
}

/** The pair exists only while it is used; the expanded secret is wiped at once. */
const withSecret = <A>(sodium: Sodium, key: SigningKey, use: (pair: ReturnType<Sodium["keyPair"]>) => A): A => {
  const pair = sodium.keyPair(Redacted.value(key))
  try {
    return use(pair)
  } finally {
    pair.secret.fill(0)
  }
}

const service = (name: Service["name"], sodium: Sodium): Effect.Effect<Service> =>
  Effect.map(
    Effect.promise(() => createBLAKE3()),
    (blake3) => {
      const hash = (bytes: Uint8Array) => Hash.fromHexUnsafe(blake3.init().update(bytes).digest("hex"))
      return Crypto.of({
        name,
        hash,
        verify: (key, message, signature) =>
          key.length === 32 && signature.length === 64 && sodium.verify(signature, message, key),
        isPoint,
        sign: (key, message) => withSecret(sodium, key, (pair) => sodium.sign(message, pair.secret)),
        verifyingKey: (key) => withSecret(sodium, key, (pair) => VerifyingKey.fromBytes(pair.public)),
        randomBytes: sodium.random
      })
    }
  )

// A variable, so that bundlers for the browser do not follow it.
const nativeModule = "sodium-native"

const unavailable = (cause: unknown) => new CryptoUnavailable({ library: nativeModule, detail: String(cause) })

const loadNative: Effect.Effect<Sodium, CryptoUnavailable> = Effect.flatMap(
  Effect.tryPromise({
    try: (): Promise<unknown> => import(nativeModule),
    catch: unavailable
  }),
  (module) => {
    const native = Predicate.hasProperty(module, "default") ? module.default : module
    return isNative(native) ? Effect.succeed(fromNative(native)) : Effect.fail(unavailable("its functions are missing"))
  }
)

const fromNative = (native: Native): Sodium => ({
  verify: (signature, message, key) => native.crypto_sign_verify_detached(signature, message, key),
  sign: (message, secret) => {
    const signature = new Uint8Array(64)
    native.crypto_sign_detached(signature, message, secret)
    return signature
  },
  keyPair: (seed) => {
    const pair = { public: new Uint8Array(32), secret: new Uint8Array(64) }
    native.crypto_sign_seed_keypair(pair.public, pair.secret, seed)
    return pair
  },
  random: (size) => {
    const bytes = new Uint8Array(size)
    native.randombytes_buf(bytes)
    return bytes
  }
})

const loadPortable: Effect.Effect<Sodium> = Effect.promise(async () => {
  const { default: sodium } = await import("libsodium-wrappers")
  await sodium.ready
  return {
    verify: (signature, message, key) => sodium.crypto_sign_verify_detached(signature, message, key),
    sign: (message, secret) => sodium.crypto_sign_detached(message, secret),
    keyPair: (seed) => {
      const pair = sodium.crypto_sign_seed_keypair(seed)
      return { public: pair.publicKey, secret: pair.privateKey }
    },
    random: (size) => sodium.randombytes_buf(size)
  }
})

/** `sodium-native`: prebuilt for Node, the fastest. Fails where it does not load. */
export const layerNative: Layer.Layer<Crypto, CryptoUnavailable> = Layer.effect(
  Crypto,
  Effect.flatMap(loadNative, (sodium) => service("sodium-native", sodium))
)

/** `libsodium-wrappers`: WebAssembly, in the browser and on every Node. */
export const layerPortable: Layer.Layer<Crypto> = Layer.effect(
  Crypto,
  Effect.flatMap(loadPortable, (sodium) => service("libsodium-wrappers", sodium))
)

/** `sodium-native` where it loads, `libsodium-wrappers` otherwise. The verdicts are the same. */
export const layer: Layer.Layer<Crypto> = Layer.catchAll(layerNative, () => layerPortable)
