/**
 * Decodes and verifies operations, with the signatures of many checked in worker threads where there are any: they are most
 * of what an operation costs, and the writer has better things to do.
 *
 * A worker only answers yes or no, and the rest is read when it is needed: what is checked ahead of the writer are bytes. Where it
 * does not say yes the operation is verified here, which names the reason; so the verdict is the same with and without it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import type * as Crypto from "../../core/Crypto.ts"
import * as Header from "../../core/Header.ts"
import * as Operation from "../../core/Operation.ts"
import * as Defaults from "./defaults.ts"
import * as SignatureWorkers from "./signatureWorkers.ts"

/** An operation that was read, or why it is none. */
export type Decoded = Either.Either<Operation.Operation, Header.InvalidHeader | Operation.InvalidPayload>

/** An operation that is still to be read, and whether a worker has found its signature valid. */
export interface Seen {
  readonly raw: Operation.Raw
  readonly isVerified: boolean
}

/** Decodes operations. */
export interface Verifier {
  /** Has their signatures checked, as far as that is done elsewhere; gives them in their order. */
  readonly see: (raws: ReadonlyArray<Operation.Raw>) => Effect.Effect<ReadonlyArray<Seen>>
  /** Reads one, and checks what was not checked elsewhere. */
  readonly decode: (seen: Seen) => Decoded
  /** How many calls of `see` keep all threads busy besides the one that is waited for. */
  readonly ahead: number
}

/** Checks everything on this thread. */
export const inline = (crypto: Crypto.Service): Verifier => ({
  see: (raws) => Effect.succeed(raws.map((raw) => ({ raw, isVerified: false }))),
  decode: ({ raw }) => Operation.decodeWith(crypto)(raw),
  ahead: 0
})

/** Checks signatures in worker threads if this runtime has them and libsodium loads there, else on this thread. */
export const make = (crypto: Crypto.Service): Effect.Effect<Verifier, never, Scope.Scope> =>
  Effect.gen(function* () {
    const here = inline(crypto)
    if (crypto.name !== "sodium-native") return here
    const { check, size } = yield* SignatureWorkers.make
    const see: Verifier["see"] = (raws) =>
      Effect.map(check(raws.map(({ header }) => header)), (verdicts) =>
        raws.map((raw, nth) => ({ raw, isVerified: verdicts[nth] === 1 }))
      )
    return {
      see: (raws) => (raws.length < Defaults.worthwhile ? here.see(raws) : see(raws)),
      decode: (seen) => (seen.isVerified ? read(crypto, seen) : here.decode(seen)),
      ahead: size + slack
    }
  })

// internal

/** Calls more than there are threads, since the writer comes back for them at uneven intervals. */
const slack = 3

const read = (crypto: Crypto.Service, { raw }: Seen): Decoded => {
  const header = Header.parse(raw.header)
  // What is wrong with a header has an order, in which its signature has a place.
  return Either.isRight(header) ? Operation.withHeader(crypto)(raw, header.right) : Operation.decodeWith(crypto)(raw)
}
