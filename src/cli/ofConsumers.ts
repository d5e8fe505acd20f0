/** The verbs about consumers, and `replay`: what they take. What they do is in the files of their groups. */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { author, db, json, limit, load, optional, topic, withDb } from "./Common.ts"
import * as Moment from "./Moment.ts"

const lists = load(() => import("./consumers.ts"))
const requests = load(() => import("./requests.ts"))

const name = Args.text({ name: "NAME" }).pipe(Args.withDescription("A consumer, as `consumers` lists it."))

const whole = (from: number, what: string) =>
  Schema.Int.pipe(
    Schema.between(from, Number.MAX_SAFE_INTEGER, { message: () => `${what} takes a whole number from ${from} on` })
  )

const position = (option: string, from: number, description: string) =>
  optional(
    Options.integer(option).pipe(
      Options.withPseudoName("N"),
      Options.withSchema(whole(from, `--${option}`)),
      Options.withDescription(description)
    )
  )

const moment = (option: string, description: string) =>
  optional(
    Options.text(option).pipe(
      Options.withPseudoName("T"),
      Options.filterMap(Moment.parse, `--${option} takes a moment in UTC, such as ${Moment.example}`),
      Options.withDescription(description)
    )
  )

/** `consumers`. */
export const consumers = Command.make("consumers", { db, json }, (options) =>
  Effect.flatMap(Effect.all([lists, withDb(options)]), ([verbs, all]) => verbs.consumers(all))
).pipe(Command.withDescription("Lists who reads what is accepted, how far each is, and the replays that are not done."))

/** `parked NAME [--limit N] [--after POSITION]`. */
export const parked = Command.make(
  "parked",
  {
    name,
    limit: Options.withDescription(limit, "How many at the most: the first ones."),
    after: position("after", 0, "Only positions after this one."),
    db,
    json
  },
  (options) => Effect.flatMap(Effect.all([lists, withDb(options)]), ([verbs, all]) => verbs.parked(all))
).pipe(Command.withDescription("Lists what a consumer has rejected, oldest first: why, how often, when next."))

/** `retry NAME [POSITION...]`. */
export const retry = Command.make(
  "retry",
  {
    name,
    positions: Args.integer({ name: "POSITION" }).pipe(
      Args.withSchema(whole(1, "POSITION")),
      Args.withDescription("Only these positions. Without one: all that it has parked."),
      Args.repeated
    ),
    db,
    json
  },
  (options) => Effect.flatMap(Effect.all([requests, withDb(options)]), ([verbs, all]) => verbs.retry(all))
).pipe(Command.withDescription("Asks for what a consumer has parked to be handed to it again."))

/** `pause NAME`. */
export const pause = Command.make("pause", { name, db, json }, (options) =>
  Effect.flatMap(Effect.all([requests, withDb(options)]), ([verbs, all]) => verbs.pause(all, true))
).pipe(Command.withDescription("Hands nothing to a consumer until it is resumed; the others go on."))

/** `resume NAME`. */
export const resume = Command.make("resume", { name, db, json }, (options) =>
  Effect.flatMap(Effect.all([requests, withDb(options)]), ([verbs, all]) => verbs.pause(all, false))
).pipe(Command.withDescription("Hands a consumer again what there is for it."))

/** `replay`: what was not accepted; with `--consumer` what was. */
export const replay = Command.make(
  "replay",
  {
    topic: optional(topic),
    author: optional(author),
    consumer: optional(
      Options.text("consumer").pipe(
        Options.withPseudoName("NAME"),
        Options.withDescription("Asks for accepted operations to be handed to this consumer again.")
      )
    ),
    from: position("from", 1, "With --consumer: from this position on."),
    to: position("to", 1, "With --consumer: up to this position, itself included."),
    acceptedSince: moment("accepted-since", "With --consumer: accepted then or later."),
    acceptedUntil: moment("accepted-until", "With --consumer: accepted before then."),
    writtenSince: moment("written-since", "With --consumer: written then or later, by its author's clock."),
    writtenUntil: moment("written-until", "With --consumer: written before then, by its author's clock."),
    dryRun: Options.boolean("dry-run").pipe(
      Options.withDescription("With --consumer: says what would be replayed, and asks for nothing.")
    ),
    db,
    json
  },
  (options) =>
    Effect.flatMap(Effect.all([load(() => import("./replay.ts")), withDb(options)]), ([verbs, all]) =>
      verbs.replay(all)
    )
).pipe(
  Command.withDescription(
    "Tries again what is waiting or rejected; with --consumer, asks for accepted operations to be handed over again."
  )
)

/** `cancel NUMBER`. */
export const cancel = Command.make(
  "cancel",
  {
    number: Args.integer({ name: "NUMBER" }).pipe(
      Args.withSchema(whole(1, "NUMBER")),
      Args.withDescription("The replay, as `consumers` lists it.")
    ),
    db,
    json
  },
  (options) => Effect.flatMap(Effect.all([requests, withDb(options)]), ([verbs, all]) => verbs.cancel(all))
).pipe(Command.withDescription("Ends a replay that is not done; what it has done stays done."))
