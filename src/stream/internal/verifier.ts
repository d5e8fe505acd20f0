/**
 * Decodes and verifies many operations at once, with the signatures checked in worker threads where there are any: they
 * are most of what an operation costs, and the writer has better things to do.
 *
 * A worker only answers yes or no. Where it says no the operation is decoded once more here, which names the reason; so
 * the verdict is the same with and without it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type * as Crypto from "../../core/Crypto.ts"
import * as Header from "../../core/Header.ts"
import * as Operation from "../../core/Operation.ts"
import * as VerifyingKey from "../../core/VerifyingKey.ts"
import * as Defaults from "./defaults.ts"
import type { Check, Claim } from "./signatureWorker.ts"
import * as SignatureWorkers from "./signatureWorkers.ts"

/** An operation that was read, or why it is none. */
export type Decoded = Either.Either<Operation.Operation, Header.InvalidHeader | Operation.InvalidPayload>

/** Decodes operations. */
export interface Verifier {
  /** Gives them in their order. */
  readonly decode: (raws: ReadonlyArray<Operation.Raw>) => Effect.Effect<ReadonlyArray<Decoded>>
  /** How many calls keep all threads busy besides the one that is waited for. */
  readonly ahead: number
}

/** Checks everything on this thread. */
export const inline = (crypto: Crypto.Service): Verifier => ({
  decode: (raws) => Effect.sync(() => raws.map(Operation.decodeWith(crypto))),
  ahead: 0
})

/** Checks signatures in worker threads if this runtime has them and libsodium loads there, else on this thread. */
export const make = (crypto: Crypto.Service): Effect.Effect<Verifier, never, Scope.Scope> =>
  Effect.gen(function* () {
    const here = inline(crypto)
    if (crypto.name !== "sodium-native") return here
    const { check, size } = yield* SignatureWorkers.make
    return {
      decode: (raws) => (raws.length < Defaults.worthwhile ? here.decode(raws) : decode(crypto, check, raws)),
      ahead: size
    }
  })

// internal

const decode = (
  crypto: Crypto.Service,
  check: Check,
  raws: ReadonlyArray<Operation.Raw>
): Effect.Effect<ReadonlyArray<Decoded>> =>
  Effect.gen(function* () {
    const headers = raws.map((raw) => Header.parse(raw.header))
    const claims = raws.flatMap((raw, index): ReadonlyArray<Claim> => {
      const header = headers[index]
      if (header === undefined || Either.isLeft(header)) return []
      const { signature, verifyingKey } = header.right
      return [{ key: VerifyingKey.toBytes(verifyingKey), signature, message: Header.signingBytes(raw.header) }]
    })
    const verdicts = (yield* check(claims))[Symbol.iterator]()
    return raws.map((raw, index) => {
      const header = headers[index]
      const isValid = header !== undefined && Either.isRight(header) && verdicts.next().value === 1
      return isValid ? Operation.withHeader(crypto)(raw, header.right) : Operation.decodeWith(crypto)(raw)
    })
  })
