/**
 * The bugs that are planted. Each is a small change that somebody might make, and every one breaks a promise. A change that no longer
 * fits the library's text is an error, so that the list stays true.
 */
import type { Change } from "./Build.ts"
import type { Mutant } from "./Mutants.ts"

const change = (file: string, find: string, replace: string): Change => ({ file, find, replace })

/** Every so manieth time something is asked, counted over the whole process. */
const nth = (every: number) => `(globalThis.planted = (globalThis.planted ?? 0) + 1) % ${every} === 0`

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "commit-skipped",
    what: "every fortieth transaction is rolled back instead of committed, and says that it was committed",
    rows: ["statements", "simulation"],
    changes: [
      change(
        "store/internal/transact.ts",
        `Root.control(root, "COMMIT")`,
        `Root.control(root, ${nth(40)} ? "ROLLBACK" : "COMMIT")`
      )
    ]
  },
  {
    name: "savepoint-kept",
    what: "what a handler wrote before it said no is not rolled back",
    rows: ["statements", "handlers"],
    changes: [
      change(
        "store/internal/settle.ts",
        "Root.control(root, `ROLLBACK TO ${level.name}`)",
        "Effect.succeed<ReadonlyArray<object>>([])"
      )
    ]
  },
  {
    name: "part-kept",
    what: "what a handler wrote before it said no is kept, where it ran without a savepoint",
    rows: ["statements", "handlers"],
    changes: [
      change(
        "store/internal/settle.ts",
        "root.writes !== level.writesBefore || level.child !== undefined",
        "level.child !== undefined"
      )
    ]
  },
  {
    name: "rollback-forgotten",
    what: "a transaction whose COMMIT failed is not rolled back",
    rows: ["statements"],
    changes: [
      change(
        "store/internal/transact.ts",
        "Effect.map(rollback(root), (undone) => ({",
        `Effect.map(Effect.succeed<Root.Undone>("done"), (undone) => ({`
      )
    ]
  },
  {
    name: "acknowledged-apart",
    what: "the acknowledgement is written in a transaction of its own, after the commit",
    rows: ["statements", "kills"],
    changes: [
      change(
        "stream/internal/attempt.ts",
        "yield* Consumers.acknowledge(position)",
        "yield* Transaction.afterCommit(Effect.ignore(Transaction.run(Consumers.acknowledge(position))))"
      )
    ]
  },
  {
    name: "prefix-acknowledged",
    what: "what a consumer rejects is not parked: acknowledging what comes after it acknowledges it",
    rows: ["statements"],
    changes: [change("stream/internal/handover.ts", "void refused.push({ position, error })", "void [position, error]")]
  },
  {
    name: "wake-up-lost",
    what: "what an accepted operation wakes is not decided behind it",
    rows: ["statements", "simulation"],
    changes: [
      change("stream/internal/rounds.ts", "return { round, waking: wake }", "return { round, waking: undefined }")
    ]
  },
  {
    name: "wake-up-not-noted",
    what: "what there was no room to wake is not noted for the next transaction",
    rows: ["statements", "simulation", "kills"],
    changes: [change("stream/internal/rounds.ts", "yield* Frames.note(frames)", "yield* Effect.void")]
  },
  {
    name: "pruned-before-accepted",
    what: "what a prune operation removes goes before the application has said yes",
    rows: ["statements", "simulation"],
    changes: [
      change(
        "pipeline/Batch.ts",
        "return Effect.matchCauseEffect(isApart ? Transaction.savepoint(whole) : Transaction.part(whole), {",
        `const early = Effect.forEach(removes, (removal) => Removal.apply(removal, acceptedAt), { discard: true })
      return Effect.matchCauseEffect(Effect.zipRight(early, isApart ? Transaction.savepoint(whole) : Transaction.part(whole)), {`
      )
    ]
  },
  {
    name: "state-kept-over-no",
    what: "a processor's new state stays in memory although the operation was rejected",
    rows: ["simulation", "statements"],
    changes: [
      change(
        "pipeline/internal/session.ts",
        "drop: () => {\n      noted = []",
        "drop: () => {\n      for (const [key, value] of noted) known.set(key, value)\n      noted = []"
      )
    ]
  },
  {
    name: "state-cached-over-rollback",
    what: "processors remember their state from one batch to the next, also over a rollback",
    rows: ["statements", "processes"],
    changes: [
      change(
        "pipeline/Batch.ts",
        `import * as Rejection from "./Rejection.ts"`,
        `import * as Rejection from "./Rejection.ts"\nconst sessions = new WeakMap()`
      ),
      change(
        "pipeline/Batch.ts",
        "const session = definition.pipeline.open()",
        "const session: ReturnType<typeof definition.pipeline.open> = sessions.get(definition) ?? definition.pipeline.open()\n    sessions.set(definition, session)"
      ),
      change("pipeline/internal/session.ts", "      changed.clear()\n      known.clear()", "      changed.clear()")
    ]
  },
  {
    name: "inbox-kept",
    what: "an operation that was accepted stays in the inbox",
    rows: ["statements"],
    changes: [change("stream/internal/settle.ts", "yield* Inbox.take(accepted)", "yield* Inbox.take([])")]
  },
  {
    name: "gone-comes-back",
    what: "an operation that was pruned or discarded is taken in again when somebody sends it",
    rows: ["statements", "simulation"],
    changes: [
      change("stream/internal/candidates.ts", "if (decided !== undefined) known.set(id, decided)\n    else if", "if")
    ]
  },
  {
    name: "deleted-body-kept",
    what: "the body of an operation that comes after its tombstone is kept",
    rows: ["statements", "simulation"],
    changes: [change("pipeline/Batch.ts", "return Event.withoutBody(event)", "return event")]
  },
  {
    name: "full-disk-blamed",
    what: "a full disk is taken for the operation's own fault",
    rows: ["statements", "disk"],
    changes: [change("store/SqlReason.ts", `new Set(["Busy", "Full", "Io",`, `new Set(["Busy", "Io",`)]
  },
  {
    name: "backlink-ignored",
    what: "the next operation of a log need not name the one before it",
    rows: ["wal"],
    changes: [
      change("core/Log.ts", "return claim.backlink === head?.id ? next : fork(claim.seqNum - 1)", "return next")
    ]
  },
  {
    name: "late-write",
    what: "a fiber that a handler left behind may write after the operation has ended",
    rows: ["handlers"],
    changes: [change("store/internal/settle.ts", "at = at.child) at.open = false", "at = at.child) void at.open")]
  },
  {
    name: "handler-throws",
    what: "a handler that throws takes the whole call with it",
    rows: ["handlers"],
    changes: [
      change(
        "pipeline/Batch.ts",
        "Effect.suspend(() => definition.application.handle(event, ledger.next()))",
        "definition.application.handle(event, ledger.next())"
      )
    ]
  },
  {
    name: "no-rollback",
    what: "a transaction that failed is left open",
    rows: ["statements"],
    changes: [
      change(
        "store/internal/transact.ts",
        "if (Exit.isFailure(exit)) return Effect.as(rollback(root), { exit, hooks: [] })",
        "if (Exit.isFailure(exit)) return Effect.succeed({ exit, hooks: [] })"
      )
    ]
  },
  {
    name: "connection-lost",
    what: "whoever is interrupted while it takes the connection takes it along",
    rows: ["interrupts"],
    changes: [
      change(
        "store/internal/acquire.ts",
        "Effect.flatMap(Effect.forkDaemon(Effect.uninterruptible(self)), (fiber) => restore(Fiber.join(fiber)))",
        "restore(self)"
      )
    ]
  },
  {
    name: "no-transaction",
    what: "what is done for an operation is committed statement by statement",
    rows: ["kills"],
    changes: [
      change(
        "store/internal/root.ts",
        "root.sqlite ? execute(root, sql, [])",
        `sql === "BEGIN IMMEDIATE" || sql === "COMMIT" ? Effect.succeed([]) : root.sqlite ? execute(root, sql, [])`
      )
    ]
  },
  {
    name: "position-later",
    what: "a reader's position moves some milliseconds after the commit of what it wrote",
    rows: ["kills"],
    changes: [
      change(
        "stream/internal/handover.ts",
        "return [yield* taken.leave(refused)]",
        `const left = []
      const leave = Effect.orDie(Transaction.run(taken.leave(refused), { busyLimit }))
      yield* Transaction.afterCommit(Effect.delay(Effect.map(leave, (one) => void left.push(one)), "10 millis"))
      return left`
      )
    ]
  },
  {
    name: "verify-bodies",
    what: "verify does not look at bodies",
    rows: ["file"],
    changes: [
      change(
        "store/internal/verifying.ts",
        "  if (whole) return undefined\n",
        "  if (!whole || whole) return undefined\n"
      )
    ]
  },
  {
    name: "verify-ids",
    what: "verify does not compare ids with hashes",
    rows: ["file"],
    changes: [
      change(
        "store/internal/verifying.ts",
        `if (Cells.hash(row, "id") !== id) {`,
        `if (Cells.hash(row, "id") === undefined) {`
      )
    ]
  },
  {
    name: "repair-body",
    what: "a repair forgets to put the body back",
    rows: ["file"],
    changes: [change("store/internal/mendOperations.ts", "if (given !== undefined && isOwn(given)) return given", "")]
  },
  {
    name: "own-trusting",
    what: "what the witness knows is compared only where the log is not here at all",
    rows: ["own"],
    changes: [
      change(
        "stream/internal/own.ts",
        "if (head === undefined || head.seqNum < known.place.seqNum) {",
        "if (head === undefined) {"
      )
    ]
  },
  {
    name: "own-late",
    what: "the witness is not told what it missed when the database is opened",
    rows: ["own"],
    changes: [
      change(
        "stream/internal/own.ts",
        `entry?._tag === "Published" && facts.own === "witnessed"`,
        `entry?._tag === "Begun" && facts.own === "witnessed"`
      )
    ]
  },
  {
    name: "own-moved",
    what: "a log that the witness never heard of is taken for one that it knows",
    rows: ["own"],
    changes: [
      change(
        "stream/internal/own.ts",
        `known === undefined ? facts.own === "unwitnessed"`,
        `known === undefined ? facts.own !== "never"`
      )
    ]
  },
  {
    name: "own-unasked",
    what: "the log is confirmed though others hold more",
    rows: ["own"],
    changes: [
      change(
        "stream/internal/ownCalls.ts",
        "upTo !== undefined && upTo > (head?.seqNum ?? -1)",
        "upTo !== undefined && upTo < -1"
      )
    ]
  },
  {
    name: "unsorted-keys",
    what: "the keys of a map may stand in any order",
    rows: ["fuzz"],
    changes: [
      change("core/CborWalk.ts", "if (difference !== 0) return difference < 0", "if (difference !== 0) return true")
    ]
  },
  {
    name: "surrogates",
    what: "text may hold half characters",
    rows: ["fuzz"],
    changes: [change("core/internal/Utf8.ts", "lead === 0xed ? 0x9f", "lead === 0xed ? 0xbf")]
  },
  {
    name: "split-length",
    what: "a length that is cut by the end of a chunk is read as it stands",
    rows: ["fuzz"],
    changes: [
      change(
        "core/internal/SequenceReader.ts",
        "if (start > reader.end) return incomplete",
        "if (start > reader.end + 1) return incomplete"
      )
    ]
  },
  {
    name: "any-body",
    what: "a body of the right size is not hashed",
    rows: ["fuzz"],
    changes: [
      change(
        "core/Operation.ts",
        "return foundHash === header.payloadHash ? undefined",
        "return foundHash !== undefined ? undefined"
      )
    ]
  },
  {
    name: "tagged-header",
    what: "a tag in front of a header is looked through",
    rows: ["fuzz"],
    changes: [
      change(
        "core/internal/HeaderReader.ts",
        "return start > 0 && !isFailure(header) ?",
        "return start > 9 && !isFailure(header) ?"
      )
    ]
  }
]
