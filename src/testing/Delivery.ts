/**
 * Deliveries: how operations reach a peer. In any order, some twice, some much later, cut into pieces that are received or
 * processed, with restarts in between, and with a database that fails now and then. A delivery is a list of *changes* to the
 * simplest one (everything in order, all at once), so that a failing one shrinks to the few that matter.
 *
 * @example
 * FastCheck.asyncProperty(History.arbitrary(crypto), Delivery.arbitrary(), (history, plan) =>
 *   Effect.runPromise(Delivery.deliver(open, plan, history.operations).pipe(Effect.provide(database))))
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Operation from "../core/Operation.ts"
import type * as StreamController from "../stream/StreamController.ts"
import type { History } from "./History.ts"
import * as SqlFaults from "./SqlFaults.ts"

/** How a piece is handed over: processed at once, received, or received and then drained. */
export type Way = "process" | "receive" | "drain"

/**
 * A change to a delivery. Numbers are taken modulo what there is, so that any list of changes is a delivery.
 *
 * - `move`: an operation comes at another place;
 * - `repeat`: it comes there once more;
 * - `lose`: it is lost, and made good at the end; `never`: it is lost for good;
 * - `cut`: a piece ends at this place, and what follows is handed over in this way;
 * - `restart`: the peer is opened anew there;
 * - `collect`: it collects its garbage there.
 */
export type Change =
  | { readonly _tag: "move" | "repeat"; readonly which: number; readonly to: number }
  | { readonly _tag: "lose" | "never"; readonly which: number }
  | { readonly _tag: "cut"; readonly at: number; readonly way: Way }
  | { readonly _tag: "restart" | "collect"; readonly at: number }

/** How a history is delivered. */
export interface Plan {
  readonly changes: ReadonlyArray<Change>
  /** Operations to a transaction. */
  readonly batchSize: number
  /** Where there is `SqlFaults`: each call fails at every so many statements before it comes through. 0: never. */
  readonly faultEvery: number
}

/** A step of a delivery. */
export type Step<A = Operation.Operation> =
  | { readonly _tag: "Piece"; readonly way: Way; readonly operations: ReadonlyArray<A> }
  | { readonly _tag: "Restart" }
  | { readonly _tag: "Collect" }

/** What may happen on the way. */
export interface Options {
  /** Changes at the most. Default: 30. */
  readonly most?: number | undefined
  /** Which changes there are; one that is listed several times is the more usual. Default: all but `never`. */
  readonly changes?: ReadonlyArray<Change["_tag"]> | undefined
  /** Default: all three. */
  readonly ways?: ReadonlyArray<Way> | undefined
  /** Default: 100 (all at once), 1, 2 and 7. */
  readonly batchSizes?: ReadonlyArray<number> | undefined
  /** Whether the database fails now and then. Default: yes. */
  readonly faults?: boolean | undefined
}

/** The simplest delivery: in order, all at once. */
export const plain: Plan = { changes: [], batchSize: 100, faultEvery: 0 }

/** Deliveries that shrink towards {@link plain}. */
export const arbitrary = (options: Options = {}): FastCheck.Arbitrary<Plan> => {
  const kinds = options.changes ?? ["move", "move", "move", "repeat", "lose", "cut", "cut", "restart", "collect"]
  const sizes = options.batchSizes ?? [100, 1, 2, 7]
  return FastCheck.record({
    changes: FastCheck.array(change(kinds, options.ways ?? ["process", "receive", "drain"]), {
      maxLength: options.most ?? 30,
      size: "max"
    }),
    batchSize: FastCheck.constantFrom(...sizes),
    faultEvery: options.faults === false ? FastCheck.constant(0) : FastCheck.constantFrom(0, 0, 3, 11)
  })
}

/** The steps in which things are delivered: operations, or anything that stands for them. */
export const steps = <A>(plan: Plan, items: ReadonlyArray<A>): ReadonlyArray<Step<A>> => {
  const coming = order(plan.changes, items)
  const marks = new Map<number, Array<Change>>()
  for (const one of plan.changes) {
    if (!("at" in one)) continue
    const at = one.at % (coming.length + 1)
    marks.set(at, [...(marks.get(at) ?? []), one])
  }
  const made: Array<Step<A>> = []
  let piece: Array<A> = []
  let way: Way = "process"
  const end = () => {
    if (piece.length > 0) made.push({ _tag: "Piece", way, operations: piece })
    piece = []
  }
  for (let at = 0; at <= coming.length; at++) {
    for (const mark of marks.get(at) ?? []) {
      end()
      if (mark._tag === "cut") way = mark.way
      if (mark._tag === "restart") made.push({ _tag: "Restart" })
      if (mark._tag === "collect") made.push({ _tag: "Collect" })
    }
    piece.push(...coming.slice(at, at + 1))
  }
  end()
  return made
}

/**
 * A delivery in words, with the short names of operations.
 *
 * ```
 * process a1 b0 | restart | receive a0 a1 | (2 to a transaction, fails every 3 statements)
 * ```
 */
export const show = (plan: Plan, history: Pick<History, "entries">): string => {
  const names = history.entries.map(({ name }) => name)
  const words = steps(plan, names).map((step) =>
    step._tag === "Piece"
      ? `${step.way === "drain" ? "receive and drain" : step.way} ${step.operations.join(" ")}`
      : step._tag.toLowerCase()
  )
  const rest = [
    ...(plan.batchSize < 100 ? [`${plan.batchSize} to a transaction`] : []),
    ...(plan.faultEvery > 0 ? [`fails every ${plan.faultEvery} statements`] : [])
  ]
  return [...words, ...(rest.length > 0 ? [`(${rest.join(", ")})`] : [])].join(" | ")
}

/** What a delivery asks of a controller, whatever its messages. */
export interface Peer<out E>
  extends Pick<StreamController.StreamController<never, E>, "processAll" | "receiveAll" | "drain" | "collect"> {}

/** What a peer said to an operation that was handed to it. */
export type Answer<E> =
  Effect.Effect.Success<ReturnType<Peer<E>["processAll" | "receiveAll"]>> extends ReadonlyArray<infer A> ? A : never

/**
 * Delivers operations to a peer, opens it anew at each restart, and drains it at the end. Gives all that it answered
 * (`Promises.told` reads it). Where the context has `SqlFaults`, calls fail as the plan says, and are made again.
 */
export const deliver = <E, E2, R>(
  open: (batchSize: number) => Effect.Effect<Peer<E>, E2, R>,
  plan: Plan,
  operations: ReadonlyArray<Operation.Operation>
): Effect.Effect<ReadonlyArray<Answer<E>>, E2 | SqlError | StreamController.Failure, Exclude<R, Scope.Scope>> =>
  Effect.gen(function* () {
    const answers: Array<Answer<E>> = []
    const rest = [...steps(plan, operations)]
    const faults = yield* Effect.serviceOption(SqlFaults.SqlFaults)
    const call = stubborn(Option.getOrUndefined(faults), plan.faultEvery)
    const session = Effect.gen(function* () {
      const peer = yield* open(plan.batchSize)
      for (let step = rest.shift(); step !== undefined && step._tag !== "Restart"; step = rest.shift()) {
        if (step._tag === "Collect") {
          yield* call(peer.collect())
          continue
        }
        const raws = step.operations.map(Operation.raw)
        if (step.way === "process") answers.push(...(yield* call(peer.processAll(raws))))
        else answers.push(...(yield* call(peer.receiveAll(raws))))
        if (step.way === "drain") yield* call(peer.drain)
      }
      if (rest.length === 0) yield* call(peer.drain)
    })
    do yield* Effect.scoped(session)
    while (rest.length > 0)
    return answers
  })

// internal

const change = (kinds: ReadonlyArray<Change["_tag"]>, ways: ReadonlyArray<Way>): FastCheck.Arbitrary<Change> => {
  const number = FastCheck.nat({ max: 60 })
  const of = <const Tag extends Change["_tag"]>(tag: Tag) => ({ _tag: FastCheck.constant(tag) })
  return FastCheck.oneof(
    ...kinds.map((kind): FastCheck.Arbitrary<Change> => {
      switch (kind) {
        case "move":
        case "repeat":
          return FastCheck.record({ ...of(kind), which: number, to: number })
        case "lose":
        case "never":
          return FastCheck.record({ ...of(kind), which: number })
        case "cut":
          return FastCheck.record({ ...of(kind), at: number, way: FastCheck.constantFrom(...ways) })
        case "restart":
        case "collect":
          return FastCheck.record({ ...of(kind), at: number })
      }
    })
  )
}

/** What comes, in the order in which it comes. */
const order = <A>(changes: ReadonlyArray<Change>, items: ReadonlyArray<A>): ReadonlyArray<A> => {
  const coming = [...items]
  const late: Array<A> = []
  for (const change of changes) {
    if (!("which" in change)) continue
    const from = change.which % Math.max(1, coming.length)
    const found = change._tag === "repeat" ? coming.slice(from, from + 1) : coming.splice(from, 1)
    if ("to" in change) coming.splice(change.to % (coming.length + 1), 0, ...found)
    else if (change._tag === "lose") late.push(...found)
  }
  return [...coming, ...late]
}

/** Lets a call fail at later and later statements, as if the machine had stopped there, and makes it again until it comes through. */
const stubborn =
  (faults: SqlFaults.SqlFaults["Type"] | undefined, every: number) =>
  <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    faults === undefined || every === 0
      ? call
      : Effect.gen(function* () {
          for (let at = every; at < every * 4; at += every) {
            yield* faults.reset
            yield* faults.arm({ at, fault: SqlFaults.failBefore("io") })
            const exit = yield* Effect.exit(call)
            yield* faults.disarm
            if (Exit.isSuccess(exit)) return exit.value
          }
          return yield* call
        })
