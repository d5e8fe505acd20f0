/** Our own logs on the command line: what `status` says of them, and the verb `confirm`. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Crypto from "../core/Crypto.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"
import * as Inspect from "../store/Inspect.ts"
import * as OwnLogs from "../store/OwnLogs.ts"
import * as Witness from "../store/Witness.ts"
import { status } from "../stream/internal/ownCalls.ts"
import * as Database from "./Database.ts"
import * as Output from "./Output.ts"
import { UsageError } from "./UsageError.ts"

/** What `status` says of our own logs. */
export interface OwnFields extends OwnLogs.Counts {
  /** On which of them nothing is published, and why; or why that is not known. */
  readonly unsafe?: ReadonlyArray<{
    readonly author?: string
    readonly logId?: string
    readonly error: string
    readonly message: string
  }>
}

/** None where the database is too old to know which are our own. The witness is the file beside the database, if there is one. */
export const own: Effect.Effect<OwnFields | undefined, SqlError, SqlClient> = Effect.gen(function* () {
  if (!(yield* Inspect.hasOwn)) return undefined
  const counts = yield* OwnLogs.counts
  const witness = yield* Witness.standard
  const unsafe = yield* status(witness).pipe(
    Effect.map((logs) =>
      logs.flatMap(({ author, logId, problem }) =>
        problem === undefined ? [] : [{ author, logId, error: problem._tag, message: problem.message }]
      )
    ),
    Effect.catchTag("WitnessFailed", ({ _tag, message }) => Effect.succeed([{ error: _tag, message }]))
  )
  return unsafe.length === 0 ? counts : { ...counts, unsafe }
}).pipe(Effect.scoped)

/** The remark in the table. */
export const text = ({ ownForks, unsafe = [] }: OwnFields): string =>
  [
    ...(ownForks === 0 ? [] : [`OUR KEY HAS WRITTEN A LOG TWICE (${Output.count(ownForks, "piece")} of evidence)`]),
    ...(unsafe.length === 0 ? [] : ["nothing is published on some of them:"])
  ].join(", ")

/** `confirm --author A --topic T [--up-to N] [--fork]`. */
export const confirm = (options: {
  readonly db: string
  readonly author: string
  readonly topic: string
  readonly upTo: number | undefined
  readonly fork: boolean
}) =>
  Effect.gen(function* () {
    const author = yield* Effect.mapError(
      Schema.decodeUnknown(VerifyingKey.Schema)(options.author.toLowerCase()),
      () => new UsageError({ message: "--author takes a verifying key: 64 hex characters." })
    )
    const topic = Topic.named(yield* Crypto.Crypto, options.topic)
    const log = yield* Database.work(options.db, false, ({ own }) =>
      options.fork ? own.acknowledgeFork({ author, topic }) : own.confirm({ author, topic }, { upTo: options.upTo })
    )
    const { here, logId } = log
    const next = here === undefined ? 0 : here + 1
    yield* Output.result(
      `Confirmed: what is published next in this log of yours gets number ${next}.\n  If somebody holds another operation of that number, the log is forked by it.`,
      { author, logId, here }
    )
  }).pipe(Effect.provide(Crypto.layer))
