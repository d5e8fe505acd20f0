/** Ids as people type them: whole, or as many characters as it takes to mean only one. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Hash from "../core/Hash.ts"
import * as Inspect from "../store/Inspect.ts"
import { UsageError } from "./UsageError.ts"

/** No operation has an id that begins like this. */
export class NotFound extends Data.TaggedError("NotFound")<{ readonly id: string }> {
  override get message() {
    return `No operation ${this.id} is known here. \`applecart log\`, \`waiting\` and \`rejected\` list ids.`
  }
}

/** Several operations have ids that begin like this. */
export class Ambiguous extends Data.TaggedError("Ambiguous")<{
  readonly prefix: string
  readonly ids: ReadonlyArray<Hash.Hash>
}> {
  override get message() {
    return `Several operations begin with ${this.prefix}: ${this.ids.join(", ")}. Give more characters.`
  }
}

/** The operation that is meant. */
export const find = (text: string): Effect.Effect<Hash.Hash, UsageError | NotFound | Ambiguous | SqlError, SqlClient> =>
  Effect.gen(function* () {
    const prefix = text.toLowerCase()
    if (!/^[0-9a-f]{6,64}$/.test(prefix)) {
      return yield* new UsageError({
        message: `"${text}" is no id. Give its 64 hex characters, or at least the first 6.`
      })
    }
    const ids = yield* Inspect.find(prefix, 3)
    const [id] = ids
    if (id === undefined) return yield* new NotFound({ id: prefix })
    return ids.length === 1 ? id : yield* new Ambiguous({ prefix, ids })
  })
