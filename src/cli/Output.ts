/**
 * What all verbs have in common in how they speak: to people in short aligned text, to programs (`--json`) in one JSON
 * object per line and nothing else. Results go to standard output, everything else to standard error.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { Io, type OutputError } from "./Io.ts"

/** Whom the output is for. */
export class Output extends Context.Tag("applecart/cli/Output")<Output, { readonly json: boolean }>() {}

/** The fields of a JSON object; those that are undefined are left out. */
export type Fields = Readonly<Record<string, unknown>>

/** A result: text for people (one line or more), or an object for programs. */
export const result = (text: string, fields: Fields): Effect.Effect<void, OutputError, Io | Output> =>
  Effect.gen(function* () {
    const io = yield* Io
    const { json } = yield* Output
    yield* io.out(`${json ? JSON.stringify(fields) : text}\n`)
  })

/** Many results. `text` makes all of the text for people, which is a table as a rule. */
export const results = <A>(
  items: ReadonlyArray<A>,
  text: (items: ReadonlyArray<A>) => string,
  fields: (item: A) => Fields
): Effect.Effect<void, OutputError, Io | Output> =>
  Effect.gen(function* () {
    const io = yield* Io
    const { json } = yield* Output
    const all = json ? items.map((item) => `${JSON.stringify(fields(item))}\n`).join("") : `${text(items)}\n`
    if (all.length > 0) yield* io.out(all)
  })

/** A remark for people, on standard error. */
export const note = (text: string): Effect.Effect<void, never, Io | Output> =>
  Effect.gen(function* () {
    const io = yield* Io
    const { json } = yield* Output
    if (!json) yield* io.err(`${text}\n`)
  })

/** Shows how far long work has come. */
export interface Progress {
  /** Says it when it is time to; asked often, it answers rarely. */
  readonly show: (text: () => string) => Effect.Effect<void>
  /** Takes the last line away again. */
  readonly end: Effect.Effect<void>
}

/**
 * Progress for people on standard error: in place and ten times a second on a terminal, else a line every five seconds.
 * None for programs.
 */
export const progress: Effect.Effect<Progress, never, Io | Output> = Effect.gen(function* () {
  const io = yield* Io
  const { json } = yield* Output
  const terminal = io.errIsTerminal
  const pause = terminal ? 100 : 5000
  let last = yield* Clock.currentTimeMillis
  let shown = false
  return {
    show: (text) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (json || now - last < pause) return Effect.void
        last = now
        shown = true
        return io.err(terminal ? `\r\u001b[K${text()}` : `${text()}\n`)
      }),
    end: Effect.suspend(() => (shown && terminal ? io.err("\r\u001b[K") : Effect.void))
  }
})

/** Columns, as wide as their widest cell; numbers to the right. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string | number>>, indent = ""): string => {
  const widths: Array<number> = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, String(cell).length)
  }
  const aligned = (row: ReadonlyArray<string | number>) =>
    row.map((cell, column) => {
      const width = widths[column] ?? 0
      return typeof cell === "number" || cell === "-" ? String(cell).padStart(width) : cell.padEnd(width)
    })
  return rows.map((row) => (indent + aligned(row).join("  ")).trimEnd()).join("\n")
}

/** Text that somebody else wrote, on one line and without what a terminal would obey. */
export const safe = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, " ").trim()

/** Text without colours. */
// oxlint-disable-next-line no-control-regex -- these are what is looked for
export const plain = (text: string): string => text.replace(/\u001b\[[0-9;]*m/g, "").trim()

/** A moment, from milliseconds since the epoch: `2026-01-31 12:00:00Z`. */
export const time = (millis: number): string => new Date(millis).toISOString().replace("T", " ").replace(/\.\d+/, "")

/** `1 operation`, `2 operations`. */
export const count = (number: number, thing: string): string => `${number} ${thing}${number === 1 ? "" : "s"}`
