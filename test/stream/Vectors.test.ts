/**
 * What p2panda answered, step by step, and what we answer. Every difference has a rule with a name; the rules and how often
 * they apply are explained in docs/differences.md, whose numbers are compared here.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Header from "../../src/core/Header.ts"
import * as Log from "../../src/core/Log.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Forks from "../../src/store/Forks.ts"
import * as Logs from "../../src/store/Logs.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import { bytesOf, logs, native, raw } from "../core/support.ts"
import * as Apples from "../support/Apples.ts"
import { state } from "../support/Peer.ts"

interface Step {
  readonly h: string
  readonly b: string | null
  readonly id: string
  readonly seqNum: number
  readonly prune: boolean
  readonly p2panda: "Inserted" | "AlreadyExists" | "SeqNumNonIncremental" | "BacklinkMissing" | "BacklinkMismatch"
  /** Rows that p2panda's log prune removed after this step. */
  readonly pruned: number
}
interface Scenario {
  readonly scenario: number
  readonly topic: string
  readonly steps: ReadonlyArray<Step>
  /** `[seqNum, id, has body]` of what p2panda's store holds in the end. */
  readonly left: ReadonlyArray<readonly [number, string, boolean]>
}
interface BacklinkCase {
  readonly header: string
  readonly past: string | null
  readonly prune: boolean
  readonly seqNum: number
  readonly verdict: "ok" | "TooManyAuthors" | "SeqNumNonIncremental" | "BacklinkMissing" | "BacklinkMismatch"
}

// the vectors are files of this repository; their form is what the tests are about
const json = <A>(name: string): A => JSON.parse(new TextDecoder().decode(bytesOf(name))) as A
const { scenarios } = json<{ readonly scenarios: ReadonlyArray<Scenario> }>("ingest.json")
const { cases } = json<{ readonly cases: ReadonlyArray<BacklinkCase> }>("backlinks.json")

const open = StreamController.make({
  pipeline: Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Pruning.processor)),
  application: Application.none
})
const fresh = <A, E>(self: Effect.Effect<A, E, SqlClient.SqlClient | Scope.Scope>) =>
  Effect.scoped(Effect.provide(Effect.zipRight(Apples.tables, self), SqliteClient.layer({ filename: ":memory:" })))
const countBy = (names: ReadonlyArray<string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of names.toSorted()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
const header = (bytes: Uint8Array) => Either.getOrThrow(Header.decode(native, bytes))
const backlinkOf = (step: Step) => header(Bytes.fromHex(step.h)).backlink

const page = readFileSync(new URL("../../docs/differences.md", import.meta.url), "utf8")

/** The rules of docs/differences.md: `| name | count | ...` in the table under a heading. */
const documented = (heading: string): Record<string, number> => {
  const section = page.split(/^## /m).find((part) => part.startsWith(heading)) ?? ""
  return Object.fromEntries(
    [...section.matchAll(/^\| ([a-z][a-z0-9 ]*?) +\| +([\d,]+) +\|/gm)].map(([, name = "", count = ""]) => [
      name,
      Number(count.replaceAll(",", ""))
    ])
  )
}

/** p2panda 0.7.1's ingest and log prune, as far as one log and its answers go; it is held against the vectors below. */
class Panda {
  rows: Array<{ readonly seqNum: number; readonly id: string }> = []

  /** The first row of the highest sequence number. */
  get past() {
    return this.rows.reduce<(typeof this.rows)[number] | undefined>(
      (best, one) => (best === undefined || one.seqNum > best.seqNum ? one : best),
      undefined
    )
  }

  ingest(step: Step): { readonly answer: Step["p2panda"]; readonly pruned: number } {
    const answer = this.answer(step)
    if (answer === "Inserted") this.rows.push(step)
    if (!step.prune || (answer !== "Inserted" && answer !== "AlreadyExists")) return { answer, pruned: 0 }
    const before = this.rows.length
    this.rows = this.rows.filter(({ seqNum }) => seqNum >= step.seqNum)
    return { answer, pruned: before - this.rows.length }
  }

  private answer(step: Step): Step["p2panda"] {
    const { past } = this
    if (this.rows.some(({ id }) => id === step.id)) return "AlreadyExists"
    if (step.seqNum > 0 && step.prune) return "Inserted"
    if (past === undefined) return step.seqNum === 0 ? "Inserted" : "BacklinkMissing"
    if (past.seqNum + 1 !== step.seqNum) return "SeqNumNonIncremental"
    return backlinkOf(step) === past.id ? "Inserted" : "BacklinkMismatch"
  }
}

/** What our controller says, in a word. */
const word = (answer: {
  readonly _tag: string
  readonly where?: string
  readonly error?: { readonly _tag: string }
}): string =>
  answer._tag === "Known"
    ? `Known ${answer.where}`
    : answer._tag === "Rejected"
      ? (answer.error?._tag ?? "")
      : answer._tag

/** All that a rule may look at: the step, p2panda's and our head before it, and what was answered earlier. */
interface Situation {
  readonly step: Step
  readonly ours: string
  readonly past: Panda["past"]
  readonly head: Log.Head | undefined
  /** Whether p2panda's answer says: not next, something is missing before it. */
  readonly gap: boolean
  /** Whether it stands at or below p2panda's head. */
  readonly behind: boolean
  /** Operations that p2panda refused as gaps and thereby forgot. */
  readonly forgotten: ReadonlySet<string>
  /** Operations that p2panda stored and we did not, by an earlier rule. */
  readonly theirsOnly: ReadonlySet<string>
  /** Operations that we accepted and p2panda, at that time, had not. */
  readonly oursOnly: ReadonlySet<string>
  readonly known: ReadonlyMap<string, Step>
}

const refused = ({ step }: Situation) => step.p2panda !== "Inserted" && step.p2panda !== "AlreadyExists"
const isFork = (s: Situation) => refused(s) && (s.behind || s.step.p2panda === "BacklinkMismatch")

/** The first rule that applies names the step. The first four are no differences. */
const rules: ReadonlyArray<readonly [name: string, applies: (s: Situation) => boolean]> = [
  ["inserted", (s) => s.step.p2panda === "Inserted" && s.ours === "Accepted"],
  ["exists", (s) => s.step.p2panda === "AlreadyExists" && s.ours === "Known accepted"],
  ["gap", (s) => s.gap && s.ours === "Deferred"],
  ["fork", (s) => isFork(s) && s.ours === "Fork"],
  ["gap again", (s) => s.gap && s.ours === "Known waiting" && s.forgotten.has(s.step.id)],
  ["fork again", (s) => isFork(s) && s.ours === "Known rejected"],
  [
    "gap was filled",
    (s) =>
      s.ours === "Known accepted" &&
      s.forgotten.has(s.step.id) &&
      (s.gap || (s.step.p2panda === "Inserted" && !s.behind))
  ],
  [
    "further along",
    (s) => s.gap && s.ours === "Accepted" && s.head?.id === backlinkOf(s.step) && s.oursOnly.has(s.head?.id ?? "")
  ],
  ["known below the head", (s) => refused(s) && s.behind && s.ours === "Known accepted"],
  [
    "outdated",
    (s) =>
      refused(s) &&
      s.behind &&
      (s.ours === "Outdated" || s.ours === "Known pruned") &&
      s.step.seqNum < (s.head?.prunedBelow ?? 0)
  ],
  [
    "old prune point",
    (s) =>
      s.step.p2panda === "Inserted" &&
      s.step.prune &&
      s.step.seqNum <= (s.head?.seqNum ?? -1) &&
      s.ours !== "Accepted" &&
      s.ours !== "Deferred"
  ],
  [
    "other branch",
    (s) =>
      s.step.p2panda === "Inserted" &&
      (s.ours === "Fork" || s.ours === "Deferred") &&
      s.head !== undefined &&
      // what we hold is what p2panda forgot, or what is here builds on what we refused for that reason
      (s.oursOnly.has(s.head.id) || s.theirsOnly.has(backlinkOf(s.step) ?? ""))
  ],
  [
    "stored by p2panda only",
    (s) => s.step.p2panda === "AlreadyExists" && s.ours !== "Known accepted" && s.theirsOnly.has(s.step.id)
  ]
]

const accepted = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ seq_num: number; id: string; body: number; pruned_below: number }>`
    SELECT o.seq_num, lower(hex(o.id)) AS id, o.body IS NOT NULL AS body, l.pruned_below
    FROM applecart_operations o JOIN applecart_logs l USING (log) ORDER BY o.seq_num, o.id`
)

/** Runs a scenario; gives the rule of each step and what is left. */
const replay = (scenario: Scenario) =>
  fresh(
    Effect.gen(function* () {
      const controller = yield* open
      const panda = new Panda()
      const first = scenario.steps[0]
      if (first === undefined) return assert.fail("a scenario without steps")
      const topic = Topic.fromBytes(Bytes.fromHex(scenario.topic))
      const key = Log.key(header(Bytes.fromHex(first.h)).verifyingKey, Topic.logId(native, topic))
      const known = new Map(scenario.steps.map((step) => [step.id, step]))
      const [forgotten, theirsOnly, oursOnly] = [new Set<string>(), new Set<string>(), new Set<string>()]
      const [inserted, broughtBack] = [new Set<string>(), new Set<string>()]
      const names: Array<string> = []
      for (const [index, step] of scenario.steps.entries()) {
        const where = `scenario ${scenario.scenario}, step ${index}`
        const { past } = panda
        const head = (yield* Logs.heads([key])).get(key)
        const [answer] = yield* controller.processAll([raw(step.h, step.b)], { topic })
        if (answer === undefined) return assert.fail("no answer")
        const ours = word(answer)
        assert.deepStrictEqual(panda.ingest(step), { answer: step.p2panda, pruned: step.pruned }, `the model, ${where}`)
        const gap =
          (step.p2panda === "BacklinkMissing" && past === undefined) ||
          (step.p2panda === "SeqNumNonIncremental" && step.seqNum > (past?.seqNum ?? -1) + 1)
        const behind = past !== undefined && step.seqNum <= past.seqNum
        const situation = { step, ours, past, head, gap, behind, forgotten, theirsOnly, oursOnly, known }
        const name = rules.find(([, applies]) => applies(situation))?.[0]
        if (name === undefined) {
          return assert.fail(`unclassified: ${where}: p2panda says ${step.p2panda}, we say ${ours}`)
        }
        names.push(name)
        if (answer._tag === "Deferred") assert.deepStrictEqual([...answer.until], [backlinkOf(step)], where)
        if (step.p2panda === "Inserted") inserted.add(step.id)
        if (name === "old prune point") broughtBack.add(step.id)
        if (gap) forgotten.add(step.id)
        const now = new Set((yield* accepted).map(({ id }) => id))
        if (step.p2panda === "Inserted" && !now.has(step.id)) theirsOnly.add(step.id)
        for (const id of now) if (!inserted.has(id)) oursOnly.add(id)
      }
      return {
        names,
        kept: yield* accepted,
        forks: yield* Forks.all,
        theirsOnly,
        oursOnly,
        broughtBack,
        tables: yield* state
      }
    })
  )

/** All scenarios, run once for all tests. */
const runs = Effect.runPromise(
  Effect.forEach(scenarios, (scenario) => Effect.map(replay(scenario), (end) => ({ ...end, scenario })))
)
const ends = Effect.promise(() => runs)

/** Whether anybody who sees these two headers knows that their author signed two branches. */
const proves = (fork: Forks.Fork): boolean => {
  const [one, two] = [header(fork.accepted), header(fork.other)]
  const sameAuthor = one.verifyingKey === two.verifyingKey && one.verifyingKey === fork.author
  const samePlace = one.seqNum === two.seqNum && native.hash(fork.accepted) !== native.hash(fork.other)
  const otherPast = two.seqNum === one.seqNum + 1 && two.backlink !== native.hash(fork.accepted)
  return sameAuthor && one.seqNum === fork.seqNum && (samePlace || otherPast)
}

describe("ingest.json", () => {
  it.effect("every step is answered as p2panda does, or differently by a rule of docs/differences.md", () =>
    Effect.gen(function* () {
      const names = (yield* ends).flatMap((one) => one.names)
      assert.lengthOf(names, scenarios.flatMap(({ steps }) => steps).length)
      assert.deepStrictEqual(countBy(names), documented("Ingest"))
    })
  )

  it.effect("each fork leaves two signed headers that prove it, and nothing else does", () =>
    Effect.gen(function* () {
      for (const { forks, scenario, tables } of yield* ends) {
        assert.isTrue(forks.every(proves), `scenario ${scenario.scenario}`)
        const evidence = forks.map(({ other }) => native.hash(other).toUpperCase()).toSorted()
        const rejected = tables.inbox.filter(({ reason }) => reason === "Fork").map(({ id }) => id)
        // what was rejected as a fork below a later prune point is pruned, and its evidence stays
        const pruned = tables.decisions.filter(({ what }) => what === "pruned").map(({ id }) => id)
        const gone = pruned.filter((id) => evidence.includes(String(id)))
        assert.deepStrictEqual(evidence, [...rejected, ...gone].toSorted(), `scenario ${scenario.scenario}`)
      }
    })
  )

  it.effect("what is left is what p2panda has left", () =>
    Effect.gen(function* () {
      let equal = 0
      for (const { broughtBack, kept, oursOnly, scenario, theirsOnly } of yield* ends) {
        const left = new Set(scenario.left.map(([, id]) => id))
        const ours = new Set(kept.map(({ id }) => id))
        const where = `scenario ${scenario.scenario}`
        if (oursOnly.size + theirsOnly.size + broughtBack.size === 0) {
          const rows = kept.map(({ body, id, seq_num }) => [seq_num, id, body === 1] as const)
          assert.deepStrictEqual<unknown>(
            rows,
            scenario.left.toSorted(([a], [b]) => a - b),
            where
          )
          equal++
        } else {
          // p2panda has, and we have not, what it let in behind its head or on another branch
          for (const id of left)
            if (!ours.has(id)) assert.isTrue(theirsOnly.has(id) || broughtBack.has(id), `${where}: ${id} is missing`)
          // we have, and p2panda has not, what it forgot, or what its other branch pruned
          const pruned = scenario.steps.some(({ id, prune }) => prune && (theirsOnly.has(id) || broughtBack.has(id)))
          for (const id of ours) {
            if (!left.has(id)) assert.isTrue(oursOnly.has(id) || pruned, `${where}: ${id} is too much`)
          }
        }
      }
      assert.include(page, `in ${equal} of the 120 logs`)
    })
  )
})

/** The name of how our place and p2panda's verdict go together. */
const placed = (one: BacklinkCase): string => {
  const { backlink, seqNum, verifyingKey } = header(Bytes.fromHex(one.header))
  const past = one.past === null ? undefined : header(Bytes.fromHex(one.past))
  const pastId = one.past === null ? undefined : native.hash(Bytes.fromHex(one.past))
  const own = past?.verifyingKey === verifyingKey
  const head =
    past === undefined || pastId === undefined || !own ? undefined : { seqNum: past.seqNum, id: pastId, prunedBelow: 0 }
  const place = Log.place(head, { seqNum, backlink, prune: one.prune })
  const ahead = seqNum > (head?.seqNum ?? -1) + 1
  const foreign = past !== undefined && !own
  if (one.verdict === "ok") {
    if (place._tag === "Next") return "next"
    if (one.prune && head !== undefined && seqNum <= head.seqNum && place._tag === "Fork")
      return "prune behind the head"
  }
  if (foreign && one.verdict === "TooManyAuthors" && place._tag === (ahead ? "Gap" : "Next")) return "log of its own"
  if (one.verdict === "BacklinkMissing" && past === undefined && place._tag === "Gap") return "gap"
  if (one.verdict === "SeqNumNonIncremental" && ahead && place._tag === "Gap") return "gap"
  if (one.verdict === "SeqNumNonIncremental" && !ahead && place._tag === "Fork") return "fork"
  if (one.verdict === "BacklinkMismatch" && place._tag === "Fork" && place.seqNum === seqNum - 1) return "fork"
  return `unclassified: p2panda says ${one.verdict}, we say ${place._tag}, at ${seqNum} after ${past?.seqNum}`
}

describe("backlinks.json", () => {
  it("every case is placed as p2panda does, or differently by a rule of docs/differences.md", () => {
    assert.deepStrictEqual(countBy(cases.map(placed)), documented("Backlinks"))
  })
})

const sequence = (name: string) =>
  Effect.map(Stream.runCollect(Stream.make(bytesOf(name)).pipe(OperationSequence.decode())), Chunk.toReadonlyArray)
const headsOf = (name: "logs" | "pruned") =>
  logs(name)
    .logs.map(({ author, head, logId, to }) => ({ author, logId, to, head }))
    .toSorted((a, b) => (`${a.author}${a.logId}` < `${b.author}${b.logId}` ? -1 : 1))
const ourHeads = Effect.map(state, ({ logs }) =>
  logs.map((row) => ({
    author: String(row["author"]).toLowerCase(),
    logId: String(row["log_id"]).toLowerCase(),
    to: row["head_seq_num"],
    head: String(row["head"]).toLowerCase()
  }))
)

describe("logs.cbor", () => {
  it.effect("is accepted whole, once", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open
        const operations = yield* sequence("logs.cbor")
        const answers = yield* controller.processAll(operations)
        assert.deepStrictEqual(countBy(answers.map(word)), { Accepted: 5000 })
        // in the order of the file, without a hole
        assert.deepStrictEqual(
          answers.map((answer) => (answer._tag === "Accepted" ? answer.position : 0)),
          operations.map((_, index) => index + 1)
        )
        assert.deepStrictEqual(yield* ourHeads, headsOf("logs"))
        const before = yield* state
        const again = yield* controller.processAll(operations)
        assert.deepStrictEqual(countBy(again.map(word)), { "Known accepted": 5000 })
        assert.deepStrictEqual(yield* state, before)
        const stored = before.operations.map(({ header }) => header)
        const given = operations.map((one) => [native.hash(one.header), Bytes.toHex(one.header).toUpperCase()] as const)
        assert.deepStrictEqual(
          stored,
          given.toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, bytes]) => bytes)
        )
      })
    )
  )
})

describe("pruned.cbor", () => {
  it.effect("is accepted whole, although its logs begin in the middle", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* open
        const operations = yield* sequence("pruned.cbor")
        const answers = yield* controller.processAll(operations)
        assert.deepStrictEqual(countBy(answers.map(word)), { Accepted: operations.length })
        assert.deepStrictEqual(yield* ourHeads, headsOf("pruned"))
        // each log begins at its prune point
        const starts = new Map(logs("pruned").logs.map(({ author, from, logId }) => [`${author}/${logId}`, from]))
        for (const row of (yield* state).logs) {
          const name = `${String(row["author"])}/${String(row["log_id"])}`.toLowerCase()
          assert.strictEqual(row["pruned_below"], starts.get(name))
        }
      })
    )
  )
})

describe("what a fork proves", () => {
  it("a pair of headers that does not contradict itself proves nothing", () => {
    const steps = scenarios[0]?.steps ?? []
    const [one, two] = steps.map(({ h }) => Bytes.fromHex(h))
    if (one === undefined || two === undefined) return assert.fail("no steps")
    const fork = (accepted: Uint8Array, other: Uint8Array): Forks.Fork => ({
      author: header(one).verifyingKey,
      logId: LogId.fromBytes(new Uint8Array(32)),
      seqNum: 0,
      accepted,
      other
    })
    assert.isFalse(proves(fork(one, two)))
    assert.isFalse(proves(fork(one, one)))
  })
})
