/** What the verbs have in common in what they take. */
import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Io } from "./Io.ts"
import { UsageError } from "./UsageError.ts"

/** An option that need not be given. */
export const optional = <A>(option: Options.Options<A>): Options.Options<A | undefined> =>
  Options.map(Options.optional(option), Option.getOrUndefined)

/** What all verbs take, or many. */
export const json = Options.boolean("json").pipe(Options.withDescription("For programs: one JSON object per line."))
export const db = optional(
  Options.text("db").pipe(
    Options.withPseudoName("FILE"),
    Options.withDescription("The database. Default: what the environment variable APPLECART_DB says.")
  )
)
export const topic = Options.text("topic").pipe(
  Options.withPseudoName("T"),
  Options.withDescription("A topic: 64 hex characters, or any other text as its name.")
)
export const author = Options.text("author").pipe(
  Options.withPseudoName("A"),
  Options.withDescription("The verifying key of an author.")
)
export const limit = Options.integer("limit").pipe(
  Options.withSchema(
    Schema.Int.pipe(Schema.between(1, 1_000_000, { message: () => "--limit takes a number from 1 to 1000000" }))
  ),
  Options.withDefault(20),
  Options.withDescription("How many at the most: the newest ones.")
)
export const id = Args.text({ name: "ID" }).pipe(
  Args.withDescription("An id: 64 hex characters, or so many of its first (6 or more) that it is the only one.")
)
/** What the lists take. */
export const list = { db, json, limit, topic: optional(topic), author: optional(author) }

/** The database that is meant: fails where nobody says. */
export const withDb = <A extends { readonly db: string | undefined }>(
  options: A
): Effect.Effect<Omit<A, "db"> & { readonly db: string }, UsageError, Io> =>
  Effect.flatMap(Io, ({ env }) => {
    const file = options.db ?? env["APPLECART_DB"]
    return file === undefined || file === ""
      ? new UsageError({ message: "Which database? Say it with --db FILE, or set APPLECART_DB." })
      : Effect.succeed({ ...options, db: file })
  })

/** The file of a group of verbs, when one of them is called. */
export const load = <A>(module: () => Promise<A>): Effect.Effect<A> => Effect.promise(module)
