/**
 * A fault at every third statement of the trust scenario: busy, full disk, I/O error; before the statement or after it; once or
 * for ever; one of the twelve at each. `TRUST=full` tries all twelve at every statement, and `npm run trust -- statements` every
 * statement of generated scenarios.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import type * as Database from "../support/ScenarioDatabase.ts"
import * as Trial from "../support/ScenarioTrial.ts"

const kinds = ["busy", "full", "io"] as const
const harms = kinds.flatMap((kind) =>
  [SqlFaults.failBefore(kind), SqlFaults.failAfter(kind)].flatMap((fault) =>
    [false, true].map((forever) => ({ fault, forever, label: `${fault._tag} ${kind}${forever ? " for ever" : ""}` }))
  )
)

/** The harms of the n-th statement. Five and twelve have no common divisor, so all twelve are used along the scenario. */
const harmsAt = (at: number) => {
  if (Trial.everything) return harms
  return at % 3 === 0 ? [harms[((at / 3) * 5) % harms.length]!] : []
}

describe("a fault at a statement", () => {
  it.live(
    "leaves what the model allows, and the scenario ends as if there had been none",
    () =>
      Effect.gen(function* () {
        const bench = yield* Trial.bench
        assert.deepStrictEqual(bench.broken, [])
        const broken: Array<string> = []
        let trials = 0
        for (const [index, statement] of bench.statements.entries()) {
          for (const { fault, forever, label } of harmsAt(index + 1)) {
            trials++
            const found = yield* Trial.run(bench, { plan: { at: index + 1, fault, forever } })
            for (const what of found)
              broken.push(`${label} at ${index + 1} (${statement.trim().slice(0, 60)}): ${what}`)
          }
        }
        console.log(
          `faults: ${bench.statements.length} statements, ${trials} trials with ${Trial.finishedOnce()} ends, ${broken.length} violations`
        )
        assert.deepStrictEqual(broken.slice(0, 20), [])
        const { length } = bench.statements
        assert.strictEqual(trials, Trial.everything ? length * harms.length : Math.floor(length / 3))
      }).pipe(Effect.scoped, Effect.provide(Trial.environment)),
    3_600_000
  )
})

/** A database client that is broken on purpose, and the statement's fault (if any) that brings it to light. */
interface Sabotage {
  readonly what: string
  readonly meddler: () => Database.Meddler
  /** The promise that the model must see broken. */
  readonly breaks: RegExp
  /** Where only an interrupted run shows it: from this statement on (counted from 0) everything fails. */
  readonly at?: (statements: ReadonlyArray<string>) => number
  /** Only that statement fails. */
  readonly once?: boolean
}

const nothing = Effect.succeed([])
const dropping =
  (text: RegExp): Sabotage["meddler"] =>
  () =>
  (sql, run) =>
    text.test(sql) ? nothing : run

/** Commits what there is after every operation, and begins a new transaction for the rest. */
const committingEarly: Sabotage["meddler"] = () => (sql, run, also) =>
  /^INSERT INTO handled/.test(sql) ? Effect.zipLeft(run, Effect.zipRight(also("COMMIT"), also("BEGIN IMMEDIATE"))) : run

/** Puts the acknowledgement off until something is asked of the database after the commit. */
const acknowledgingLate: Sabotage["meddler"] = () => {
  let late: Effect.Effect<unknown, SqlError> = Effect.void
  return (sql, run) => {
    if (/^UPDATE applecart_consumers/.test(sql)) {
      late = run
      return nothing
    }
    if (sql === "COMMIT") return run
    const before = late
    late = Effect.void
    return Effect.zipRight(before, run)
  }
}

/** Commits instead of rolling back, the first time after a handler has written. */
const committingFailure: Sabotage["meddler"] = () => {
  let written = false
  return (sql, run, also) => {
    if (/^INSERT INTO handled/.test(sql)) written = true
    if (sql !== "ROLLBACK" || !written) return run
    written = false
    return also("COMMIT")
  }
}

/** Sends another statement instead, the n-th time where that is among `when`. */
const replacing =
  (text: string, other: string, when: (nth: number) => boolean): Sabotage["meddler"] =>
  () => {
    let times = 0
    return (sql, run, also) => (sql === text && when(++times) ? also(other) : run)
  }

/** Sends a statement twice. */
const twice =
  (text: RegExp): Sabotage["meddler"] =>
  () =>
  (sql, run) =>
    text.test(sql) ? Effect.zipRight(run, run) : run

/** Where the first accepted operation is acknowledged. */
const acknowledging = (statements: ReadonlyArray<string>) => {
  const handled = statements.findIndex((statement) => /^INSERT INTO handled/.test(statement))
  return statements.findIndex((statement, at) => at > handled && /^UPDATE applecart_consumers/.test(statement))
}

/** Where the first accepted operation is written. */
const appending = (statements: ReadonlyArray<string>) =>
  statements.findIndex((statement) => /^INSERT INTO applecart_operations/.test(statement))

/** The statement behind the commit that follows. */
const behindAcceptance = (statements: ReadonlyArray<string>) =>
  statements.indexOf("COMMIT", acknowledging(statements)) + 1

const sabotages: ReadonlyArray<Sabotage> = [
  { what: "savepoints are not rolled back", meddler: dropping(/^ROLLBACK TO/), breaks: /P1: the baskets/ },
  {
    what: "rollbacks commit",
    meddler: committingFailure,
    breaks: /P1: the handled/,
    at: appending,
    once: true
  },
  {
    what: "commits are skipped",
    meddler: replacing("COMMIT", "ROLLBACK", (nth) => nth > 2),
    breaks: /P3: .* confirmed/
  },
  {
    what: "commits come early",
    meddler: committingEarly,
    breaks: /P1: the handled/,
    at: acknowledging
  },
  {
    what: "acknowledgements come after the commit",
    meddler: acknowledgingLate,
    breaks: /P1: apples has acknowledged/,
    at: behindAcceptance
  },
  {
    // What was not acknowledged is handed over again before anything else is accepted.
    what: "nothing is acknowledged",
    meddler: dropping(/^UPDATE applecart_consumers .* WHERE role/),
    breaks: /P2: what was handled was handed over again/
  },
  {
    what: "accepted operations stay in the inbox",
    meddler: dropping(/^DELETE FROM applecart_inbox/),
    breaks: /P3: .* several places/
  },
  {
    what: "nobody is woken",
    meddler: dropping(/^SELECT EXISTS \(SELECT 1 FROM applecart_waiting WHERE until/),
    breaks: /P3: /
  },
  {
    what: "what is to be woken in another transaction is not noted",
    meddler: dropping(/^INSERT INTO applecart_wakes/),
    breaks: /P3: /
  },
  {
    what: "waits are not noted",
    meddler: dropping(/^INSERT INTO applecart_waiting/),
    breaks: /P3: .* waits for nothing/
  },
  { what: "handlers' writes happen twice", meddler: twice(/INSERT INTO baskets/), breaks: /P1: the baskets/ },
  {
    what: "a processor's state is not saved",
    meddler: dropping(/^INSERT INTO tally/),
    breaks: /P1: the processor's table/
  },
  {
    what: "received operations are not stored",
    meddler: dropping(/^INSERT INTO applecart_inbox/),
    breaks: /P3: .* confirmed/
  },
  {
    what: "what leaves the inbox goes on being counted",
    meddler: dropping(/^CREATE TRIGGER applecart_inbox_shares_delete/),
    breaks: /P10: the inbox/
  },
  { what: "heads do not move", meddler: dropping(/^INSERT INTO applecart_logs/), breaks: /P\d|typed|verdict/ }
]

describe("the harness bites when", () => {
  for (const { at, breaks, meddler, once, what } of sabotages) {
    it.live(what, () =>
      Effect.gen(function* () {
        // Some of it shows only where operations share a transaction.
        const batchSize = 100
        const bench = yield* Trial.benchOf(batchSize)
        assert.deepStrictEqual(bench.broken, [])
        const index = at?.(bench.statements)
        assert.notStrictEqual(index, -1)
        const fault = SqlFaults.failBefore("io")
        const plan = index === undefined ? {} : { plan: { at: index + 1, fault, forever: once !== true } }
        const broken = yield* Trial.run(bench, { meddler: meddler(), batchSize, ...plan })
        assert.isTrue(
          broken.some((one) => breaks.test(one)),
          `no violation matches ${String(breaks)} among ${JSON.stringify(broken.map((one) => one.slice(0, 200)))}`
        )
      }).pipe(Effect.scoped, Effect.provide(Trial.environment))
    )
  }
})
