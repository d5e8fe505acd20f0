/** What all runs of a simulation share: a database as it is when it was opened once, and signatures that were checked once. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Crypto from "../../../core/Crypto.ts"
import type { Fault, Kind, OpenError, Options, Peer } from "../../Simulation.ts"
import { PeerClock } from "./clock.ts"
import * as Connection from "./connection.ts"
import { Disk, type Image } from "./disk.ts"
import { remembering } from "../remembering.ts"
import { Random } from "./random.ts"
import { Turns } from "./turns.ts"

/** A simulation with everything filled in. */
export interface Prepared<M, E> {
  readonly options: Options<M, E>
  readonly crypto: Crypto.Service
  readonly image: Image
  readonly peers: readonly [least: number, most: number]
  readonly steps: readonly [least: number, most: number]
  readonly kinds: readonly [Kind, ...ReadonlyArray<Kind>]
  readonly faults: ReadonlyArray<Fault>
}

export const prepare = <M, E>(
  options: Options<M, E>,
  given: Crypto.Service
): Effect.Effect<Prepared<M, E>, OpenError> =>
  Effect.gen(function* () {
    // All peers check the same signatures.
    const crypto = remembering(given)
    const [kind = "say", ...kinds] = options.kinds ?? usual
    return {
      options,
      crypto,
      image: yield* migrated(options, crypto),
      peers: options.peers ?? [3, 7],
      steps: options.steps ?? [6, 24],
      kinds: [kind, ...kinds],
      faults: options.faults ?? ordinary
    }
  })

/** What happens where nobody says; a disk that lies only where it is listed. */
export const ordinary: ReadonlyArray<Fault> = [
  "loss",
  "duplication",
  "delay",
  "corruption",
  "partition",
  "crash",
  "restart",
  "statement",
  "slow",
  "busy",
  "clock"
]

/** A peer at an opening. */
export const peer = (crypto: Crypto.Service, nth: number, opened: number, batchSize: number): Peer => ({
  name: String.fromCharCode(97 + nth),
  nth,
  opened,
  batchSize,
  crypto: Layer.succeed(Crypto.Crypto, crypto)
})

// internal

const usual: ReadonlyArray<Kind> = ["say", "say", "say", "say", "say", "say", "prune", "delete"]

/** The first opening, where nothing is wrong. Its times are those of every run. */
const migrated = <M, E>({ open }: Options<M, E>, crypto: Crypto.Service): Effect.Effect<Image, OpenError> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Disk(undefined)),
    (disk) =>
      Effect.gen(function* () {
        const client = yield* Connection.client(disk)
        yield* Effect.scoped(open(peer(crypto, 0, 0, 100))).pipe(
          Effect.provideService(SqlClient.SqlClient, client),
          Effect.withClock(new PeerClock(new Turns(new Random(0, 0), 0)))
        )
        return disk.image()
      }),
    (disk) => Effect.sync(() => disk.close())
  )
