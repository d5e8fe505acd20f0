/**
 * A simulation: several peers in one process, each with your controller on a disk of its own, who publish, send each other what they
 * have over a bad network, crash and start again. Everything follows from a seed: who says what and when, whose turn it is, what is
 * delayed, lost, sent twice or damaged, which statement fails, where the power goes off, what the clocks say. No time passes and
 * no thread, socket or file is used; a run that shows something broken can be repeated exactly.
 *
 * In the end the faults stop, and then everybody has to have the same. See docs/simulation.md.
 *
 * @example
 * it.effect("the peers agree, whatever happens", () =>
 *   Simulation.check({
 *     open: (peer) => StreamController.make({ pipeline, application: apples, batchSize: peer.batchSize, crypto: peer.crypto }),
 *     message: Arbitrary.make(Transfer),
 *     runs: 200
 *   }).pipe(Effect.provide(Crypto.layer)))
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import type * as FastCheck from "effect/FastCheck"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Crypto from "../core/Crypto.ts"
import type { Hash } from "../core/Hash.ts"
import type * as Operation from "../core/Operation.ts"
import type { Topic } from "../core/Topic.ts"
import type * as StreamController from "../stream/StreamController.ts"
import type * as History from "./History.ts"
import * as Prepare from "./internal/simulation/prepare.ts"
import * as Run from "./internal/simulation/run.ts"
import { shrink } from "./internal/simulation/shrink.ts"
import type * as Snapshot from "./Snapshot.ts"

export { gossip } from "./internal/simulation/gossip.ts"

/** A peer that opens its database. */
export interface Peer {
  /** The letter with which the names of its operations begin: `a`, `b`, ... */
  readonly name: string
  /** Counted from 0. */
  readonly nth: number
  /** How often it has been opened before: crashes, restarts, and openings that failed. */
  readonly opened: number
  /** Another one at every opening; for the controller's option of that name. */
  readonly batchSize: number
  /** For the controller's option of that name: without it signatures are checked in a thread of their own, which no seed drives. */
  readonly crypto: Layer.Layer<Crypto.Crypto>
}

/** An operation on its way. */
export interface Sent extends Operation.Raw {
  readonly topic: Topic | undefined
}

/** What peers send each other. What is no operation arrives as it was sent, or not at all. */
export interface Message {
  readonly operations: ReadonlyArray<Sent>
  /** How far the sender's logs go: the sequence number of the head by log, for the default way to exchange operations. */
  readonly has?: ReadonlyMap<string, number> | undefined
  /** What operations of the sender wait for. */
  readonly wants?: ReadonlyArray<Hash> | undefined
}

/** A message at its end. */
export interface Arrived {
  /** The name of the sender. */
  readonly from: string
  readonly message: Message
}

/** What a peer exchanges operations with. */
export interface Node<M, E = unknown> {
  readonly peer: Peer
  readonly controller: StreamController.StreamController<M, E>
  /** The names of the others. */
  readonly others: ReadonlyArray<string>
  /** Sends something, and does not know whether it arrives. */
  readonly send: (to: string, message: Message) => Effect.Effect<void>
  /** Everything that has arrived since it was asked last; waits until there is something. */
  readonly arrived: Effect.Effect<ReadonlyArray<Arrived>>
  /** Everything that was published here since it was asked last; waits until there is something. */
  readonly published: Effect.Effect<ReadonlyArray<Sent>>
}

/** What can go wrong; each is switched on in some of the runs. */
export type Fault =
  /** Messages are lost. */
  | "loss"
  /** Messages arrive more than once. */
  | "duplication"
  /** Messages take seconds, and overtake each other. */
  | "delay"
  /** A bit of an operation is another one when it arrives. */
  | "corruption"
  /** The network falls apart into two halves, and heals. */
  | "partition"
  /** The power goes off, before or behind some statement or between two calls. */
  | "crash"
  /** A peer is closed and opened again. */
  | "restart"
  /** A statement fails, or is run and reported as failed: the disk is full, broken, or busy. */
  | "statement"
  /** Statements take a while. */
  | "slow"
  /** Another program has the database for a while. */
  | "busy"
  /** Clocks differ, and jump: a year back, fifty years forward. */
  | "clock"
  /** The disk had not written what it said it had: a crash takes the last commits with it. Only where it is asked for. */
  | "lies"

/** What peers do. Several times the same makes it more usual. */
export type Kind = Exclude<History.Kind, "fork">

/** What is simulated. */
export interface Options<M, E> {
  /** Opens a peer's controller; on the database that the surrounding `SqlClient` is on. Opened once more after each crash. */
  readonly open: (
    peer: Peer
  ) => Effect.Effect<StreamController.StreamController<M, E>, StreamController.OpenError, SqlClient | Scope.Scope>
  /** What is published. */
  readonly message: FastCheck.Arbitrary<M>
  /** How many peers there are, at least and at the most. Default: 3 to 7, rather few. */
  readonly peers?: readonly [least: number, most: number] | undefined
  /** How many things happen, at least and at the most, until the faults stop. Default: 6 to 24. */
  readonly steps?: readonly [least: number, most: number] | undefined
  /** Default: mostly `say`; `prune` and `delete` want their processors. */
  readonly kinds?: ReadonlyArray<Kind> | undefined
  /** Default: 1. */
  readonly topics?: number | undefined
  /** What may go wrong. Default: everything but `lies`. */
  readonly faults?: ReadonlyArray<Fault> | undefined
  /** Operations of others than the peers: some runs have one of these histories, handed to peers at any time, and in the end to all. */
  readonly strangers?: ReadonlyArray<History.History> | undefined
  /** How peers exchange operations. Default: {@link gossip}. What it fails with is a `SqlError`, or broken. */
  readonly sync?: ((node: Node<M, E>) => Effect.Effect<unknown, unknown, SqlClient>) | undefined
  /** Whether operations wait for those that they name (`CausalOrder`). Default: no. */
  readonly causal?: boolean | undefined
  /** What must hold of a database besides the promises, after a crash and in the end: sentences about what does not. */
  readonly check?: ((peer: Peer) => Effect.Effect<ReadonlyArray<string>, SqlError, SqlClient>) | undefined
  /** Tables and columns in which peers may differ in the end. */
  readonly snapshot?: Snapshot.Options | undefined
}

/** Which run. `steps` and `without` make it a smaller one. */
export interface Replay {
  readonly seed: number
  /** Ends after so many steps. Default: as many as the seed says. */
  readonly steps?: number | undefined
  /** Faults that do not happen. */
  readonly without?: ReadonlyArray<Fault> | undefined
}

/** What a run showed. */
export interface Report {
  readonly replay: Replay
  /** What does not hold, each as a sentence that begins with the number of its promise. None where all is well. */
  readonly broken: ReadonlyArray<string>
  /** What happened, a line each: the same for the same replay, to the byte. */
  readonly log: ReadonlyArray<string>
  /** How often what happened: that faults really struck. */
  readonly facts: Readonly<Record<string, number>>
}

/** A run showed something that must not be. */
export class SimulationFailed extends Schema.TaggedError<SimulationFailed>()("SimulationFailed", {
  seed: Schema.Number,
  /** The smallest run that was found to show it, as the argument of {@link Simulation.run}. */
  repeat: Schema.String,
  broken: Schema.Array(Schema.String),
  log: Schema.Array(Schema.String)
}) {
  override get message() {
    const left = this.log.length - shown
    return [
      `The peers broke a promise with seed ${this.seed}:`,
      ...this.broken.slice(0, 10).map((one) => `  ${one}`),
      `What happened${left > 0 ? ` (the last ${shown} of ${this.log.length} lines)` : ""}:`,
      ...this.log.slice(-shown).map((line) => `  ${line}`),
      `The same once more: ${this.repeat}`
    ].join("\n")
  }
}

/** So much of what happened stands in the message. */
const shown = 60

/** A simulation that is prepared: the tables are made, and every run begins with a copy. */
export interface Simulation {
  /** Makes one run, and tells what it showed. */
  readonly run: (replay: Replay) => Effect.Effect<Report>
}

/** Why there is nothing to be simulated: a controller cannot be opened where nothing is wrong. */
export type OpenError = StreamController.OpenError

/** Prepares a simulation. */
export const make = <M, E>(options: Options<M, E>): Effect.Effect<Simulation, OpenError, Crypto.Crypto> =>
  Effect.gen(function* () {
    const prepared = yield* Prepare.prepare(options, yield* Crypto.Crypto)
    return { run: (replay) => Run.run(prepared, replay) }
  })

/**
 * Makes many runs and fails at the first that shows something broken, with the smallest run that was found to show it, and how to
 * repeat it. `seed`: that of the first run; the next has the next.
 */
export const check = <M, E>(
  options: Options<M, E> & { readonly runs?: number | undefined; readonly seed?: number | undefined }
): Effect.Effect<void, SimulationFailed | OpenError, Crypto.Crypto> =>
  Effect.gen(function* () {
    const simulation = yield* make(options)
    const { runs = 100, seed = 1 } = options
    for (let nth = 0; nth < runs; nth++) {
      const report = yield* simulation.run({ seed: seed + nth })
      if (report.broken.length > 0) return yield* failed(yield* shrink(simulation, report))
    }
  })

/** The key of a peer, counted from 0: the same in every run. */
export { signingKey } from "./History.ts"

/** A failed run as an error. */
export const failed = ({ broken, log, replay }: Report): SimulationFailed =>
  new SimulationFailed({ seed: replay.seed, repeat: `simulation.run(${JSON.stringify(replay)})`, broken, log })
