/** One trial of a processor: a history in order, as it was delivered, without what was rejected, and built again. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import type * as Operation from "../../core/Operation.ts"
import type * as Event from "../../pipeline/Event.ts"
import type * as Pipeline from "../../pipeline/Pipeline.ts"
import type * as Processor from "../../pipeline/Processor.ts"
import * as StreamController from "../../stream/StreamController.ts"
import * as Delivery from "../Delivery.ts"
import * as Snapshot from "../Snapshot.ts"
import * as SqlFaults from "../SqlFaults.ts"
import * as Differences from "./differences.ts"
import * as Peer from "./peer.ts"
import * as Probe from "./probe.ts"
import type { Breach, Case, Sought } from "./search.ts"
import * as Witness from "./witness.ts"

/** The laws of processors. */
export type Law = "runs" | Witness.Law | "converges" | "traceless" | "rebuilds" | "recalls"

/** What is put to the test, and how it is stacked. */
export interface Subject<Out, Adds, E, R> {
  readonly processor: Processor.Processor<Out, Adds, E, R>
  readonly stack: (
    processor: Processor.Processor<Out, Adds, E, R>
  ) => Pipeline.Pipeline<Event.Event<Extensions.Any>, StreamController.Placed, unknown, R>
  readonly crypto: Crypto.Service
  /** Whether a law is asked for. */
  readonly asks: (law: Law) => boolean
  /** What is not compared. */
  readonly snapshot: Snapshot.Options
  /** Tables in which something of a rejection may stay. */
  readonly evidence: ReadonlyArray<string>
  /** Is told that something was accepted. */
  readonly accepted: () => void
}

/** Tries one case; gives the first law that it breaks. */
export const trial =
  <Out, Adds, E, R>(subject: Subject<Out, Adds, E, R>) =>
  ({ history, plan }: Case, sought?: Sought<Law>) =>
    Effect.gen(function* () {
      const { operations } = history
      const asks = (law: Law) => subject.asks(law) && (sought === undefined || sought.law === law)
      const first = yield* Peer.run(delivered(subject, Delivery.plain, operations, asks("rebuilds") || asks("recalls")))
      const early = first.breaches.find(({ law }) => asks(law))
      if (early !== undefined) return early
      if ((first.snapshot["applecart_operations"] ?? []).length > 0) subject.accepted()
      const rejected = new Set(first.rejected.map(({ id }) => id))
      if (asks("traceless") && rejected.size > 0) {
        const without = operations.filter(({ id }) => !rejected.has(id))
        const second = yield* Peer.run(delivered(subject, Delivery.plain, without))
        const traces = Differences.between("had they not come", second.snapshot, "as it is", first.snapshot, [
          "applecart_inbox",
          "applecart_waiting",
          "applecart_wakes",
          ...subject.evidence
        ])
        if (traces !== undefined) {
          return breach(
            "traceless",
            `${Array.from(rejected).join(", ")} left something behind, and were rejected. ${traces}`
          )
        }
      }
      if (sought?.inOrder === true) return undefined
      const other = yield* Peer.run(delivered(subject, plan, operations))
      const late = other.breaches.find(({ law }) => asks(law))
      if (late !== undefined) return { ...late, inOrder: false }
      const differs = Differences.between("in order", first.snapshot, "as delivered", other.snapshot)
      return asks("converges") && differs !== undefined ? breach("converges", differs, false) : undefined
    }).pipe(
      // Also a `SqlError`: the database is the laws' own, so it is what was tried that cannot run.
      Effect.catchAll((error) =>
        Effect.succeed(breach("runs", `it failed with ${error._tag}: ${error.message}`, false))
      ),
      Effect.catchAllDefect((defect) => Effect.succeed(breach("runs", `it died: ${String(defect)}`, false)))
    )

// internal

const breach = (law: Law, detail: string, inOrder = true): Breach<Law> => ({ law, detail, inOrder })

/** What a delivery left. */
interface Left {
  readonly breaches: ReadonlyArray<Breach<Law>>
  readonly snapshot: Snapshot.Snapshot
  readonly rejected: ReadonlyArray<Rejected>
}

interface Rejected {
  readonly id: string
  readonly processor: string
  readonly tag: string
  readonly message: string
}

/** `again`: everything is built again in the end, and must come to the same. */
const delivered = <Out, Adds, E, R>(
  subject: Subject<Out, Adds, E, R>,
  plan: Delivery.Plan,
  operations: ReadonlyArray<Operation.Operation>,
  again = false
) =>
  Effect.gen(function* () {
    const faults = yield* SqlFaults.SqlFaults
    const witness: Witness.Witness = {
      breaches: [],
      accepted: plan.faultEvery === 0 ? new Set() : undefined,
      adds: new Set(),
      statements: faults.count
    }
    const watched = Witness.over(subject.processor, witness)
    const open = (batchSize: number, later = 0) =>
      StreamController.make({
        pipeline: subject.stack({ ...watched, version: watched.version + later }),
        application: Probe.make(witness, 1 + later),
        batchSize,
        crypto: Layer.succeed(Crypto.Crypto, subject.crypto)
      })
    yield* Delivery.deliver(open, plan, operations)
    // What is left over comes to the same when it is tried once more, and without what nobody needs.
    yield* Effect.scoped(
      Effect.flatMap(open(100), (controller) => Effect.zipRight(controller.drain, controller.collect()))
    )
    const rejected = yield* rejections
    const breaches: Array<Breach<Law>> = [
      ...witness.breaches.map(({ detail, law }) => breach(law, detail)),
      ...bugs(subject.processor.name, rejected)
    ]
    const before = yield* Snapshot.lasting(subject.snapshot)
    if (again && breaches.length === 0) {
      yield* Effect.scoped(Effect.flatMap(open(100, 1), (controller) => controller.drain))
      breaches.push(...compareRebuilt(before, yield* Snapshot.lasting(subject.snapshot)), ...(yield* parked))
    }
    const left: Left = { breaches, rejected, snapshot: withoutAdds(before) }
    return left
  })

/** What is rejected by mistake. */
const bugs = (name: string, rejected: ReadonlyArray<Rejected>): ReadonlyArray<Breach<Law>> =>
  rejected.flatMap(({ id, message, processor, tag }) => {
    if (processor !== name) return []
    if (tag === "NothingToWaitFor") return [breach("defers", `about ${id}: ${message}`)]
    return tag === "Defect" ? [breach("runs", `about ${id}: ${firstLine(message)}`)] : []
  })

/** Without the stack behind it. */
const firstLine = (message: string): string => message.split("\n")[0] ?? message

const rejections = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<Rejected>`SELECT lower(hex(id)) AS id, processor, json_extract(reason, '$.tag') AS tag,
      json_extract(reason, '$.message') AS message FROM applecart_inbox WHERE status = 'rejected' ORDER BY entry`
)

/** What was accepted once, and is not any more. */
const parked = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ id: string; message: string }>`SELECT lower(hex(o.id)) AS id, json_extract(d.reason, '$.message') AS message
      FROM applecart_deliveries AS d JOIN applecart_operations AS o ON o.position = d.position ORDER BY d.position`,
    (rows) =>
      rows.map(({ id, message }) =>
        breach("rebuilds", `${id} was accepted, and is not when it is built again: ${message}`)
      )
  )
)

const compareRebuilt = (before: Snapshot.Snapshot, after: Snapshot.Snapshot): ReadonlyArray<Breach<Law>> => {
  const differs = (ignore: ReadonlyArray<string>) =>
    Differences.between("as it was", before, "built again", after, ignore)
  const own = differs([Probe.table])
  if (own !== undefined) return [breach("rebuilds", own)]
  const handed = differs(Object.keys(before).filter((table) => table !== Probe.table))
  return handed === undefined ? [] : [breach("recalls", handed)]
}

/** What a processor adds may be a matter of time; whoever compares peers leaves it out. */
const withoutAdds = (snapshot: Snapshot.Snapshot): Snapshot.Snapshot => ({
  ...snapshot,
  [Probe.table]: (snapshot[Probe.table] ?? []).map((row) =>
    Object.fromEntries(Object.entries(row).filter(([name]) => name !== Probe.adds))
  )
})
