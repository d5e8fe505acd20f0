/**
 * The witness: what is remembered outside the database of how far our own logs are. A database that was restored from a backup,
 * or whose last commits were lost, does not know what it has forgotten; the witness does, and so nothing is published at a place
 * that was given before (docs/own-log.md).
 *
 * It keeps of each log of our own the newest place that was ever published, and of nothing else anything. There are no secrets in
 * it, but whoever can change it can let us fork our log.
 *
 * @example
 * StreamController.make({ pipeline, application, witness: Witness.file("/media/other-disk/parrot.own") })
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Hash from "../core/Hash.ts"
import type * as Log from "../core/Log.ts"
import * as DatabaseFile from "./DatabaseFile.ts"
import * as WitnessFile from "./internal/witnessFile.ts"

/** The witness could not be read or written. Nothing was published because of it, unless the error around it says so. */
export class WitnessFailed extends Schema.TaggedError<WitnessFailed>()("WitnessFailed", {
  /** Which one: the path of its file. */
  witness: Schema.String,
  what: Schema.Literal("read", "write"),
  /** What the system says, such as ENOSPC. */
  code: Schema.optional(Schema.String),
  detail: Schema.String
}) {
  override get message() {
    const what = this.what === "read" ? "read" : "written"
    return `The witness of our own logs, ${this.witness}, could not be ${what}: ${this.detail}. Check the permissions and the room on its disk; until then nothing is published.`
  }
}

/** A place in a log, and the operation that stands there. */
export interface Place {
  readonly seqNum: number
  readonly id: Hash.Hash
}

/** What is known of a log of our own. Without a `place` it was begun, and perhaps nothing was published. */
export interface Known {
  readonly place: Place | undefined
}

/**
 * What the witness is told:
 *
 * - `Begun`: something will be published on the log, for the first time;
 * - `Published`: the place was given; it moves nothing back;
 * - `Confirmed`: somebody knows that the log goes no further than this, whatever was said before.
 */
export type Entry =
  | { readonly _tag: "Begun"; readonly log: Log.Key }
  | { readonly _tag: "Published"; readonly log: Log.Key; readonly place: Place }
  | { readonly _tag: "Confirmed"; readonly log: Log.Key; readonly place: Place | undefined }

/** What a witness can do. */
export interface Service {
  /** Which one it is, for people: the path of its file. */
  readonly name: string
  /** What it knows, with what other processes have told it meanwhile. */
  readonly all: Effect.Effect<ReadonlyMap<Log.Key, Known>, WitnessFailed>
  /** Tells it something. It is on the disk when this returns, and is known whatever becomes of this process. */
  readonly write: (entry: Entry) => Effect.Effect<void, WitnessFailed>
}

/** The witness of a controller. An implementation of one's own folds what it is told with {@link absorb}. */
export class Witness extends Context.Tag("applecart/Witness")<Witness, Service>() {}

/** What is known of a log after something was told of it. Told twice, or late by another process, is as told once. */
export const absorb = (known: Known | undefined, entry: Entry): Known => {
  switch (entry._tag) {
    case "Begun":
      return known ?? { place: undefined }
    case "Confirmed":
      return { place: entry.place }
    case "Published":
      return known?.place !== undefined && known.place.seqNum > entry.place.seqNum ? known : { place: entry.place }
  }
}

/**
 * A file of lines, on Node: appended to and on the disk (`fdatasync`) before `publish` returns. Made when something is published
 * first, with mode 0600. Keep it where no backup of the database brings it back: beside the key, on another disk. Two processes, and
 * two databases, may share it.
 */
export const file = (path: string): Layer.Layer<Witness> =>
  Layer.scoped(
    Witness,
    Effect.flatMap(WitnessFile.node, (node) => ofFile(node, path))
  )

/** Remembers as long as the layer lives. For tests. */
export const memory: Layer.Layer<Witness> = Layer.sync(Witness, () => {
  const known = new Map<Log.Key, Known>()
  return {
    name: "memory",
    all: Effect.sync(() => new Map(known)),
    write: (entry) => Effect.sync(() => void known.set(entry.log, absorb(known.get(entry.log), entry)))
  }
})

/** What the file beside a database is called. */
export const beside = (database: string): string => `${database}-own`

/**
 * What a controller has where nobody says: on Node, and where the database is a file, the file beside it. None in memory, and on
 * other runtimes and databases.
 */
export const standard: Effect.Effect<Service | undefined, SqlError, SqlClient | Scope.Scope> = Effect.gen(function* () {
  const database = yield* DatabaseFile.path
  if (database === undefined) return undefined
  const node = yield* WitnessFile.node
  return node === undefined ? undefined : yield* ofFile(node, beside(database))
})

// internal

const ofFile = (node: WitnessFile.Node | undefined, path: string): Effect.Effect<Service, never, Scope.Scope> =>
  Effect.gen(function* () {
    const failed =
      (what: "read" | "write") =>
      ({ code, detail }: WitnessFile.Trouble) =>
        new WitnessFailed({ witness: path, what, code, detail })
    if (node === undefined) {
      const nowhere = { code: undefined, detail: "this runtime has no files; give `witness` a layer of its own" }
      const write = Effect.fail(failed("write")(nowhere))
      return { name: path, all: Effect.fail(failed("read")(nowhere)), write: () => write }
    }
    const lines = yield* Effect.acquireRelease(
      Effect.sync(() => WitnessFile.make(node, path, absorb)),
      ({ close }) => close
    )
    return {
      name: path,
      all: Effect.mapError(lines.all, failed("read")),
      write: (entry) => Effect.mapError(lines.append(entry), failed("write"))
    }
  })
