/** `bench.json`: what was measured, in every round, and where and when. */
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as os from "node:os"
import { spawnSync } from "node:child_process"
import type * as Report from "./Report.ts"

const Row = Schema.Struct({
  name: Schema.String,
  unit: Schema.Literal("ops/s", "µs", "ms", "MB", "bytes"),
  rounds: Schema.Array(Schema.Number),
  cpu: Schema.Array(Schema.Number),
  limits: Schema.Array(Schema.String),
  hand: Schema.optional(Schema.String)
})

const File = Schema.Struct({
  machine: Schema.Struct({ cpu: Schema.String, cores: Schema.Number, memoryGB: Schema.Number, os: Schema.String }),
  node: Schema.String,
  /** With a `+` where files were changed since. */
  commit: Schema.String,
  date: Schema.String,
  /** How many processes wanted to run, in the minute before it began and in its last one. */
  load: Schema.Struct({ before: Schema.Number, after: Schema.Number }),
  quick: Schema.Boolean,
  rows: Schema.Array(Row)
})
export type File = typeof File.Type

const loadNow = (): number => Math.round((os.loadavg()[0] ?? 0) * 10) / 10

const git = (...args: ReadonlyArray<string>): string =>
  spawnSync("git", args, { encoding: "utf8" }).stdout?.trim() ?? ""

/** What is known before anything is measured. */
export const begin = (quick: boolean): File => ({
  machine: {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.availableParallelism(),
    memoryGB: Math.round(os.totalmem() / 2 ** 30),
    os: `${os.type()} ${os.release()} ${os.arch()}`
  },
  node: process.version,
  commit: `${git("rev-parse", "HEAD") || "unknown"}${git("status", "--porcelain") === "" ? "" : "+"}`,
  date: new Date().toISOString(),
  load: { before: loadNow(), after: loadNow() },
  quick,
  rows: []
})

/** With what the parts have measured. */
export const end = (begun: File, rows: ReadonlyArray<Report.Row>): File => ({
  ...begun,
  load: { before: begun.load.before, after: loadNow() },
  rows: rows.map(({ hand, ...row }) => (hand === undefined ? row : { ...row, hand }))
})

export const write = (name: string, file: File): void =>
  fs.writeFileSync(name, `${JSON.stringify(file, (_, value: unknown) => rounded(value), 1)}\n`)

/** Reads one; what is none throws and says where it differs. */
export const read = (name: string): File =>
  Schema.decodeUnknownSync(Schema.parseJson(File))(fs.readFileSync(name, "utf8"))

/** The rows of a file. */
export const rows = (file: File): ReadonlyArray<Report.Row> => file.rows.map((row) => ({ ...row, hand: row.hand }))

// internal

/** Six digits of what was measured are more than mean something. */
const rounded = (value: unknown): unknown =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value
