/**
 * The command line: which verbs there are and what they take. What a verb does is in the file of its group, and is loaded
 * only when it is called.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import type * as Terminal from "@effect/platform/Terminal"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Arguments from "./Arguments.ts"
import { author, db, id, json, limit, list, load, optional, topic, withDb } from "./Common.ts"
import { cancel, consumers, parked, pause, replay, resume, retry } from "./ofConsumers.ts"
import { Io, OutputClosed, type Service } from "./Io.ts"
import * as Output from "./Output.ts"

/**
 * Runs the program with what follows its name on the command line; gives the exit code. 0: everything that was asked for
 * was done. 1: something was not, and standard error says what. 141: whoever read the output had enough.
 */
export const run = (
  argv: ReadonlyArray<string>,
  version: string
): Effect.Effect<number, never, Io | FileSystem.FileSystem | Path.Path | Terminal.Terminal> =>
  Effect.gen(function* () {
    const io = yield* Io
    const { args, json } = Arguments.read(argv)
    const named = { name: "applecart", version, executable: "applecart" }
    return yield* Command.run(
      applecart,
      named
    )(["node", "applecart", ...args]).pipe(
      Effect.as(0),
      Effect.catchAllCause((cause) => fail(io, json, cause)),
      Effect.provideService(Output.Output, { json }),
      speakingThrough(io),
      Effect.provide(
        Logger.replace(Logger.defaultLogger, Logger.withConsoleError(json ? Logger.jsonLogger : Logger.logfmtLogger))
      )
    )
  })

// internal

const fail = (io: Service, json: boolean, cause: Cause.Cause<unknown>): Effect.Effect<number> =>
  Effect.gen(function* () {
    if (Cause.isInterruptedOnly(cause)) return 130
    if (Cause.squash(cause) instanceof OutputClosed) return 141
    const Problem = yield* Effect.promise(() => import("./Problem.ts"))
    const problem = Problem.of(cause)
    yield* io.err(json ? `${JSON.stringify(problem)}\n` : `${problem.message}\n`)
    return 1
  })

/** The parser's help goes to our output; its errors are told by `fail`, in our form. */
const speakingThrough =
  (io: Service) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Console.consoleWith((console) =>
      Effect.withConsole(self, {
        ...console,
        log: (text = "") => Effect.ignore(io.out(`${io.outIsTerminal ? text : Output.plain(String(text))}\n`)),
        error: () => Effect.void
      })
    )

const keys = load(() => import("./keys.ts"))
const lists = load(() => import("./lists.ts"))
const repair = load(() => import("./repair.ts"))

const keygen = Command.make("keygen", { file: Args.text({ name: "FILE" }), json }, (options) =>
  Effect.flatMap(keys, (verbs) => verbs.keygen(options))
).pipe(Command.withDescription("Makes a signing key in a new file that only you can read."))

const publish = Command.make(
  "publish",
  {
    key: Options.text("key").pipe(
      Options.withPseudoName("FILE"),
      Options.withDescription("The signing key, from keygen.")
    ),
    topic,
    body: Args.text({ name: "BODY" }).pipe(
      Args.withDescription("The body: this text, or all of standard input with -. Without it there is none."),
      Args.optional,
      Args.map(Option.getOrUndefined)
    ),
    db,
    json
  },
  (options) => Effect.flatMap(Effect.all([keys, withDb(options)]), ([verbs, all]) => verbs.publish(all))
).pipe(Command.withDescription("Makes one operation of your own: signed, and on the disk when this returns."))

const ingest = Command.make(
  "ingest",
  {
    file: Args.text({ name: "FILE" }).pipe(
      Args.withDescription("A CBOR sequence of [header, body or null], as export writes it; - is standard input.")
    ),
    db,
    json
  },
  (options) =>
    Effect.flatMap(Effect.all([load(() => import("./ingest.ts")), withDb(options)]), ([verbs, all]) =>
      verbs.ingest(all)
    )
).pipe(Command.withDescription("Takes in operations: accepted, kept waiting, rejected, or invalid and not stored."))

const exportAll = Command.make(
  "export",
  {
    topic: optional(topic),
    author: optional(author),
    out: optional(
      Options.text("out").pipe(
        Options.withAlias("o"),
        Options.withPseudoName("FILE"),
        Options.withDescription("Where to. Without it: standard output.")
      )
    ),
    db,
    json
  },
  (options) =>
    Effect.flatMap(Effect.all([load(() => import("./export.ts")), withDb(options)]), ([verbs, all]) =>
      verbs.exportAll(all)
    )
).pipe(Command.withDescription("Writes the accepted operations for ingest, in the order of their acceptance."))

const status = Command.make("status", { db, json }, (options) =>
  Effect.flatMap(Effect.all([lists, withDb(options)]), ([verbs, all]) => verbs.status(all))
).pipe(Command.withDescription("Counts what is where."))

const topics = Command.make("topics", { db, json, limit }, (options) =>
  Effect.flatMap(Effect.all([lists, withDb(options)]), ([verbs, all]) => verbs.topics(all))
).pipe(Command.withDescription("Lists the topics that are known, and how much of each is here."))

const log = Command.make("log", list, (options) =>
  Effect.flatMap(Effect.all([lists, withDb(options)]), ([verbs, all]) => verbs.log(all))
).pipe(Command.withDescription("Lists accepted operations, newest last."))

const waiting = Command.make("waiting", list, (options) =>
  Effect.flatMap(Effect.all([lists, withDb(options)]), ([verbs, all]) => verbs.waiting(all))
).pipe(Command.withDescription("Lists operations that wait for others, and for which."))

const rejected = Command.make("rejected", list, (options) =>
  Effect.flatMap(Effect.all([lists, withDb(options)]), ([verbs, all]) => verbs.rejected(all))
).pipe(Command.withDescription("Lists rejected operations: who said no, why, how often."))

const show = Command.make("show", { id, db, json }, (options) =>
  Effect.flatMap(Effect.all([load(() => import("./show.ts")), withDb(options)]), ([verbs, all]) => verbs.show(all))
).pipe(Command.withDescription("Takes one operation apart, and says where it is."))

const skip = Command.make("skip", { id, db, json }, (options) =>
  Effect.flatMap(Effect.all([repair, withDb(options)]), ([verbs, all]) => verbs.skip(all))
).pipe(Command.withDescription("Lets only an operation's header into its log, so that the log goes on."))

const discard = Command.make(
  "discard",
  {
    id,
    why: optional(
      Options.text("why").pipe(Options.withPseudoName("TEXT"), Options.withDescription("Kept with the decision."))
    ),
    db,
    json
  },
  (options) => Effect.flatMap(Effect.all([repair, withDb(options)]), ([verbs, all]) => verbs.discard(all))
).pipe(Command.withDescription("Deletes an operation that was not accepted, and never takes it in again."))

const collect = Command.make(
  "collect",
  {
    vacuum: Options.boolean("vacuum").pipe(
      Options.withDescription("Also rewrites the file, so that no deleted byte is left in it.")
    ),
    olderThan: optional(
      Options.text("older-than").pipe(
        Options.withPseudoName("DURATION"),
        Options.filterMap(Duration.decodeUnknown, "--older-than takes a number and a unit, such as '90 days'"),
        Options.withDescription("Also forgets the ids of what was pruned longer ago than, for example, '90 days'.")
      )
    ),
    db,
    json
  },
  (options) =>
    Effect.flatMap(Effect.all([load(() => import("./collect.ts")), withDb(options)]), ([verbs, all]) =>
      verbs.collect(all)
    )
).pipe(Command.withDescription("Frees what pruning, deletion, skip and discard left behind and nobody needs."))

const confirm = Command.make(
  "confirm",
  {
    author,
    topic,
    upTo: optional(
      Options.integer("up-to").pipe(
        Options.withPseudoName("N"),
        Options.withDescription("The newest number of the log that others hold: refused where less is here.")
      )
    ),
    fork: Options.boolean("fork").pipe(
      Options.withDescription("Goes on although the log was written twice, or others hold what was discarded here.")
    ),
    db,
    json
  },
  (options) =>
    Effect.flatMap(Effect.all([load(() => import("./own.ts")), withDb(options)]), ([verbs, all]) => verbs.confirm(all))
).pipe(
  Command.withDescription("Says that others hold nothing newer of a log of yours, so that you publish on it again.")
)

const verify = Command.make(
  "verify",
  {
    from: Options.text("from").pipe(
      Options.withPseudoName("FILE"),
      Options.withDescription("Also repairs it with the operations of this export. May be given more than once."),
      Options.repeated
    ),
    into: optional(
      Options.text("into").pipe(
        Options.withPseudoName("FILE"),
        Options.withDescription("Copies what can be read into this new file, and repairs that.")
      )
    ),
    db,
    json
  },
  (options) =>
    Effect.flatMap(Effect.all([load(() => import("./verify.ts")), withDb(options)]), ([verbs, all]) =>
      verbs.verify(all)
    )
).pipe(
  Command.withDescription("Looks for damage: every hash, signature and log. Writes nothing unless told to repair.")
)

const decode = Command.make(
  "decode",
  {
    file: Args.text({ name: "FILE" }).pipe(
      Args.withDescription('One {"h": hex, "b": hex or null} per line; - (the default) is standard input.'),
      Args.withDefault("-")
    ),
    json
  },
  (options) =>
    Effect.flatMap(
      load(() => import("./decode.ts")),
      (verbs) => verbs.decode(options)
    )
).pipe(Command.withDescription("The verdict on each operation as JSON, needs no database."))

const applecart = Command.make("applecart").pipe(
  Command.withDescription("Signed operations in, one transaction each, accepted or rejected, replayed."),
  Command.withSubcommands([
    keygen,
    publish,
    ingest,
    exportAll,
    status,
    topics,
    log,
    waiting,
    rejected,
    show,
    replay,
    skip,
    discard,
    consumers,
    parked,
    retry,
    pause,
    resume,
    cancel,
    collect,
    confirm,
    verify,
    decode
  ])
)
