/** One trial of an application: operation by operation, with faults, delivered again and again, emptied and built again. */
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import * as Operation from "../../core/Operation.ts"
import type * as Application from "../../pipeline/Application.ts"
import type * as Event from "../../pipeline/Event.ts"
import type * as Pipeline from "../../pipeline/Pipeline.ts"
import * as Rejection from "../../pipeline/Rejection.ts"
import * as Transaction from "../../store/Transaction.ts"
import * as StreamController from "../../stream/StreamController.ts"
import * as Delivery from "../Delivery.ts"
import type { History } from "../History.ts"
import * as Snapshot from "../Snapshot.ts"
import * as SqlFaults from "../SqlFaults.ts"
import * as Differences from "./differences.ts"
import * as Onlooker from "./onlooker.ts"
import * as Peer from "./peer.ts"
import * as Remains from "./remains.ts"
import type { Breach, Case, Sought } from "./search.ts"

/** The laws of applications. */
export type Law = "runs" | "ends" | "attached" | "atomic" | "once" | "traceless" | "forgets" | "resets" | "rebuilds"

/** What is put to the test, and what stands before it. */
export interface Subject<Out extends StreamController.Placed, A, E, R, E2, R2> {
  readonly application: Application.Application<Out, A, E, R>
  readonly pipeline: Pipeline.Pipeline<Event.Event<Extensions.Any>, Out, E2, R2>
  /** Writes what has to be there before the first operation. */
  readonly prepare: Effect.Effect<unknown, SqlError, SqlClient.SqlClient>
  readonly crypto: Crypto.Service
  /** Whether a law is asked for. */
  readonly asks: (law: Law) => boolean
  /** What is not compared. */
  readonly snapshot: Snapshot.Options
  /** Is told that an operation was accepted. */
  readonly accepted: () => void
}

/** Tries one case; gives the first law that it breaks. */
export const trial =
  <Out extends StreamController.Placed, A, E, R, E2, R2>(subject: Subject<Out, A, E, R, E2, R2>) =>
  ({ history, plan }: Case, sought?: Sought<Law>) =>
    Effect.gen(function* () {
      const { operations } = history
      const asks = (law: Law) => subject.asks(law) && (sought === undefined || sought.law === law)
      if (sought?.law !== "once") {
        const early = yield* inOrder(subject, history, asks)
        if (early !== undefined || sought?.inOrder === true) return early
      }
      if (!asks("once")) return undefined
      const again = yield* Peer.run(delivered(subject, plan, operations))
      const expected = yield* Peer.run(oneByOne(subject, again.order))
      const differs = Differences.between("handled once each", expected.tables, "as delivered", again.tables)
      return differs === undefined ? undefined : breach("once", differs, false)
    }).pipe(
      // Also a `SqlError`: the database is the laws' own, so it is what was tried that cannot run.
      Effect.catchAll((error) =>
        Effect.succeed(breach("runs", `it failed with ${error._tag}: ${error.message}`, false))
      ),
      Effect.catchAllDefect((defect) => Effect.succeed(breach("runs", `it died: ${String(defect)}`, false)))
    )

// internal

const breach = (law: Law, detail: string, inOrder = true): Breach<Law> => ({ law, detail, inOrder })

/** What a history breaks that comes in order. */
const inOrder = <Out extends StreamController.Placed, A, E, R, E2, R2>(
  subject: Subject<Out, A, E, R, E2, R2>,
  history: History,
  asks: (law: Law) => boolean
) =>
  Effect.gen(function* () {
    const { operations } = history
    const first = yield* Peer.run(oneByOne(subject, operations, { history, asks }))
    const early = first.breaches.find(({ law }) => asks(law))
    if (early !== undefined) return early
    if (asks("traceless") && first.order.length < operations.length) {
      const without = yield* Peer.run(oneByOne(subject, first.order))
      const traces = Differences.between("had they not come", without.tables, "as it is", first.tables)
      if (traces !== undefined) return breach("traceless", `rejected operations left something behind. ${traces}`)
    }
    return asks("atomic") ? yield* Peer.run(withFaults(subject, operations, first)) : undefined
  })

/** What an operation left when it was handled: the tables behind it, and the statements at which it was at work. */
interface Step {
  readonly tables: Snapshot.Snapshot
  readonly at: Onlooker.Notes["at"]
}

/** What was done when operations came one by one. */
interface Handled {
  readonly breaches: ReadonlyArray<Breach<Law>>
  /** The tables before the first operation. */
  readonly zero: Snapshot.Snapshot
  readonly steps: ReadonlyArray<Step>
  readonly tables: Snapshot.Snapshot
  /** What was accepted, in that order. */
  readonly order: ReadonlyArray<Operation.Operation>
}

/** A peer with the application, and what was seen of it. */
const begin = <Out extends StreamController.Placed, A, E, R, E2, R2>(subject: Subject<Out, A, E, R, E2, R2>) =>
  Effect.gen(function* () {
    const faults = yield* SqlFaults.SqlFaults
    const seen = Onlooker.notes()
    const application = Onlooker.over(subject.application, seen, faults)
    const open = (batchSize = 100, later = 0) =>
      StreamController.make({
        pipeline: subject.pipeline,
        application: { ...application, version: application.version + later },
        batchSize,
        // What was rejected may be accepted by now, and would not be what was built again.
        replayOnStart: later === 0,
        crypto: Layer.succeed(Crypto.Crypto, subject.crypto)
      })
    yield* Effect.scoped(open())
    yield* subject.prepare
    const tables = Snapshot.own({ columns: [], ...subject.snapshot })
    return { faults, seen, open, tables }
  })

/** `whole`: everything that can be asked of one peer is asked. */
const oneByOne = <Out extends StreamController.Placed, A, E, R, E2, R2>(
  subject: Subject<Out, A, E, R, E2, R2>,
  operations: ReadonlyArray<Operation.Operation>,
  whole: { readonly history: History; readonly asks: (law: Law) => boolean } | undefined = undefined
) =>
  Effect.gen(function* () {
    const { faults, open, seen, tables } = yield* begin(subject)
    const zero = yield* tables
    const breaches: Array<Breach<Law>> = []
    const steps: Array<Step> = []
    yield* Effect.scoped(
      Effect.gen(function* () {
        const controller = yield* open()
        for (const operation of operations) {
          seen.at = undefined
          yield* faults.reset
          const answers = yield* controller.processAll([Operation.raw(operation)])
          const { at } = seen
          for (const answer of answers) breaches.push(...bugs(subject.application.name, answer))
          if (whole?.asks("atomic") === true) steps.push({ at, tables: yield* tables })
        }
      })
    )
    const last = yield* tables
    const order = yield* acceptance(seen, operations)
    if (order.some(({ body }) => body !== undefined)) subject.accepted()
    for (const id of seen.detached)
      breaches.push(breach("attached", `when ${id} was handled, work went on that the handler had not waited for`))
    if (whole !== undefined && breaches.length === 0) {
      if (whole.asks("forgets")) breaches.push(...(yield* remains(whole.history, last)))
      if (whole.asks("resets") || whole.asks("rebuilds"))
        breaches.push(...(yield* rebuilt(subject, { open, tables, zero, last })))
    }
    const handled: Handled = { breaches, zero, steps, tables: last, order }
    return handled
  })

/** What is rejected by mistake. */
const bugs = (name: string, answer: Delivery.Answer<unknown>): ReadonlyArray<Breach<Law>> => {
  if (answer._tag !== "Rejected" || answer.processor !== name) return []
  const { error, id } = answer
  if (error instanceof Rejection.TimeLimitExceeded) return [breach("ends", `about ${id}: ${error.message}`)]
  const isBug = error instanceof Rejection.Defect || (error instanceof Rejection.StatementFailed && !error.constraint)
  return isBug ? [breach("runs", `about ${id}: ${error.message.split("\n")[0]}`)] : []
}

/** What was accepted, in that order, whether it is still here or not. */
const acceptance = ({ handled }: Onlooker.Notes, operations: ReadonlyArray<Operation.Operation>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: string }>`SELECT lower(hex(id)) AS id FROM applecart_operations
      UNION SELECT lower(hex(id)) FROM applecart_decisions WHERE what IN ('pruned', 'deleted')`
    const there = new Set(rows.map(({ id }) => id))
    const byId = new Map<string, Operation.Operation>(operations.map((one) => [one.id, one]))
    return Array.from(handled)
      .sort(([one], [other]) => one - other)
      .flatMap(([, id]) => (there.has(id) ? (byId.get(id) ?? []) : []))
  })

const remains = (history: History, tables: Snapshot.Snapshot) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: string }>`
      SELECT lower(hex(id)) AS id FROM applecart_decisions WHERE what IN ('pruned', 'deleted')`
    const found = Remains.find(history, new Set(rows.map(({ id }) => id)), tables)
    return found === undefined
      ? []
      : [
          breach(
            "forgets",
            `the body of ${found.id} is gone, and "${found.what}" of it is still in table ${found.table}`
          )
        ]
  })

/** Empties it, and builds it again. */
const rebuilt = <Out extends StreamController.Placed, A, E, R, E2, R2, E3, R3, E4, R4, X>(
  { application: { reset } }: Pick<Subject<Out, A, E, R, E2, R2>, "application">,
  peer: {
    readonly open: (batchSize: number, later: number) => Effect.Effect<Delivery.Peer<X>, E3, R3>
    readonly tables: Effect.Effect<Snapshot.Snapshot, E4, R4>
    readonly zero: Snapshot.Snapshot
    readonly last: Snapshot.Snapshot
  }
) =>
  Effect.gen(function* () {
    if (reset === undefined) return []
    yield* Transaction.run(reset)
    const empty = Differences.between("in the beginning", peer.zero, "after the reset", yield* peer.tables)
    yield* Effect.scoped(Effect.flatMap(peer.open(100, 1), ({ drain }) => drain))
    const differs = Differences.between("as it was", peer.last, "built again", yield* peer.tables)
    return [
      ...(empty === undefined ? [] : [breach("resets", empty)]),
      ...(differs === undefined ? [] : [breach("rebuilds", differs)])
    ]
  })

/** How many operations of a history are tried with faults: the first ones, the last ones, some between. */
const mostTargets = 3

/** A fault at every statement of the handler: everything of the operation is there, or nothing. */
const withFaults = <Out extends StreamController.Placed, A, E, R, E2, R2>(
  subject: Subject<Out, A, E, R, E2, R2>,
  operations: ReadonlyArray<Operation.Operation>,
  { steps, zero }: Handled
) =>
  Effect.gen(function* () {
    const { faults, open, tables } = yield* begin(subject)
    const controller = yield* open()
    const candidates = steps.flatMap(({ at }, index) => (at === undefined || at.to < at.from ? [] : [index]))
    const every = Math.max(1, Math.ceil(candidates.length / mostTargets))
    const targets = new Set(candidates.filter((_, nth) => nth % every === 0))
    for (const [index, operation] of operations.entries()) {
      const step = steps[index]
      const before = steps[index - 1]?.tables ?? zero
      if (step?.at !== undefined && targets.has(index)) {
        const peer = { faults, tables, process: controller.processAll([Operation.raw(operation)]) }
        const torn = yield* strike(peer, { id: operation.id, at: step.at, before, after: step.tables })
        if (torn !== undefined) return torn
      }
      yield* controller.processAll([Operation.raw(operation)])
    }
    return undefined
  }).pipe(Effect.scoped)

/** Lets one statement after the other of an operation fail, until it is accepted all the same. */
const strike = <X, E, R, E2, R2>(
  peer: {
    readonly faults: SqlFaults.SqlFaults["Type"]
    readonly tables: Effect.Effect<Snapshot.Snapshot, E, R>
    readonly process: Effect.Effect<ReadonlyArray<Delivery.Answer<X>>, E2, R2>
  },
  operation: {
    readonly id: string
    readonly at: NonNullable<Step["at"]>
    readonly before: Snapshot.Snapshot
    readonly after: Snapshot.Snapshot
  }
) =>
  Effect.gen(function* () {
    const { after, at, before, id } = operation
    for (let nth = at.from; nth <= at.to; nth++) {
      yield* peer.faults.reset
      yield* peer.faults.arm({ at: nth, fault: SqlFaults.failBefore("io") })
      const result = yield* Effect.either(peer.process)
      const statement = (yield* peer.faults.statements)[nth - 1]
      yield* peer.faults.disarm
      const where = `when the disk failed at "${statement}" of ${id}`
      if (result._tag === "Left") {
        const differs = Differences.between("before", before, "after it failed", yield* peer.tables)
        if (differs !== undefined) return breach("atomic", `${where}, a part remained. ${differs}`)
        continue
      }
      const differs = Differences.between("without the fault", after, "with it", yield* peer.tables)
      if (differs === undefined) return undefined
      return result.right.some(({ _tag }) => _tag === "Rejected")
        ? breach("atomic", `${where}, it was rejected; a SqlError is nobody's verdict, let it through`)
        : breach("atomic", `${where}, it was accepted without a part. ${differs}`)
    }
    return undefined
  })

const delivered = <Out extends StreamController.Placed, A, E, R, E2, R2>(
  subject: Subject<Out, A, E, R, E2, R2>,
  plan: Delivery.Plan,
  operations: ReadonlyArray<Operation.Operation>
) =>
  Effect.gen(function* () {
    const { open, seen, tables } = yield* begin(subject)
    yield* Delivery.deliver(open, plan, operations)
    yield* Effect.scoped(Effect.flatMap(open(), ({ drain }) => drain))
    return { tables: yield* tables, order: yield* acceptance(seen, operations) }
  })
