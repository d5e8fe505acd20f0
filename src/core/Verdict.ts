/**
 * What is to be said of an operation, in the very form in which the Rust oracle says it (vectors/verdicts.json), for
 * comparison between implementations.
 */
import * as Either from "effect/Either"
import type * as Crypto from "./Crypto.ts"
import * as Header from "./Header.ts"
import * as NodeExtensions from "./NodeExtensions.ts"
import * as Operation from "./Operation.ts"

/** A verdict. Everything but `header` and `cbor` is there only if the header is valid. */
export interface Verdict {
  /** `ok` or the error: `MissingField:backlink`. */
  readonly header: string
  /** With `DecodingHeader`: why the bytes are no canonical CBOR. */
  readonly cbor?: string
  readonly id?: string
  /** The header read as one without extensions (`Header<()>`). */
  readonly unit?: string
  /** The header read with node extensions. */
  readonly node?: string
  /** Header and body together (`validate_operation`). */
  readonly operation?: string
}

/** The verdict on an operation. Never fails: bytes of any kind have one. */
export const verdict =
  (crypto: Crypto.Service) =>
  (raw: Operation.Raw): Verdict => {
    const header = Header.decode(crypto, raw.header)
    if (Either.isLeft(header)) {
      const { cbor } = header.left
      return { header: Header.verdict(header.left), ...(cbor === undefined ? {} : { cbor }) }
    }
    const { extensions } = header.right
    const operation = Operation.checkBody(crypto, header.right, raw.body)
    return {
      header: "ok",
      id: crypto.hash(raw.header),
      unit: extensions === undefined ? "ok" : "UnexpectedExtensions",
      node: reason(NodeExtensions.decode(extensions)),
      operation: reason(operation)
    }
  }

// internal

const reason = (result: Either.Either<unknown, { readonly reason: string }>): string =>
  Either.match(result, { onLeft: (error) => error.reason, onRight: () => "ok" })
