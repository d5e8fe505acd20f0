/** Runs the command line inside the test, with captured streams and real files in a directory that goes away. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import * as Crypto from "../../src/core/Crypto.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import { Io, OutputClosed } from "../../src/cli/Io.ts"
import * as Main from "../../src/cli/main.ts"

/** What a run left. */
export interface Ran {
  readonly code: number
  readonly out: string
  readonly bytes: Uint8Array
  readonly err: string
}

export interface Streams {
  readonly stdin?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  readonly terminal?: boolean
  /** The reader of standard output goes away after so many writes. */
  readonly closesAfter?: number
}

/** Layers that the tests need. */
export const live = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeTerminal.layer, Crypto.layer)

/** Runs `applecart` with these arguments. */
export const run = (args: ReadonlyArray<string>, streams: Streams = {}) =>
  Effect.gen(function* () {
    const out: Array<Uint8Array> = []
    let err = ""
    const stdin = typeof streams.stdin === "string" ? new TextEncoder().encode(streams.stdin) : streams.stdin
    const io = {
      stdin: stdin === undefined ? Stream.empty : Stream.fromIterable(pieces(stdin, 1000)),
      out: (data: string | Uint8Array) =>
        Effect.suspend(() => {
          if (out.length === streams.closesAfter) return new OutputClosed()
          out.push(typeof data === "string" ? new TextEncoder().encode(data) : data)
          return Effect.void
        }),
      err: (text: string) => Effect.sync(() => void (err += text)),
      outIsTerminal: streams.terminal ?? false,
      errIsTerminal: streams.terminal ?? false,
      env: streams.env ?? {}
    }
    const code = yield* Effect.provideService(Main.run(args, "1.2.3"), Io, io)
    const bytes = Buffer.concat(out)
    return { code, out: bytes.toString("utf8"), bytes, err } satisfies Ran
  })

/** The objects that a run with `--json` printed. */
export const objects = (text: string): ReadonlyArray<Record<string, unknown>> =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))

/** The last object of the output. */
export const last = ({ out }: Ran): Record<string, unknown> => objects(out).at(-1) ?? {}

/** A path in a directory of its own. */
export const directory = Effect.flatMap(FileSystem.FileSystem, (fileSystem) =>
  Effect.map(
    fileSystem.makeTempDirectoryScoped(),
    (path) =>
      (name: string): string =>
        `${path}/${name}`
  )
)

export const vector = (name: string): string => new URL(`../vectors/${name}`, import.meta.url).pathname

export const read = (file: string): Uint8Array => new Uint8Array(readFileSync(file))

/** The operations in a file, as its items' bytes. */
export const items = (file: string) =>
  Effect.map(Stream.runCollect(Stream.make(read(file)).pipe(OperationSequence.decode())), (raws) =>
    Array.from(raws, OperationSequence.encode)
  )

const pieces = function* (bytes: Uint8Array, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}
