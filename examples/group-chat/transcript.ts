/** The transcript of the talk: what stands where, and all peers' transcripts side by side. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { CausalOrder, Crypto, Header, Topic, type Hash, type VerifyingKey } from "applecart"
import { rows } from "./chat.ts"
import * as Clock from "../common/clock.ts"

/** A message in the talk. */
export interface Line {
  readonly id: Hash.Hash
  readonly author: VerifyingKey.VerifyingKey
  /** None: it was deleted, and only its place is left. */
  readonly text: string | undefined
  readonly quote: Hash.Hash | undefined
  readonly time: number
  readonly counter: number
}

/** A peer's transcript: the order is that of the operations, the words are the application's. */
export const read = (topic: Topic.Topic) =>
  Effect.gen(function* () {
    const logId = Topic.logId(yield* Crypto.Crypto, topic)
    const lines: Array<Line> = []
    const said = new Map((yield* rows).map((row) => [row.id, row]))
    for (const { body, counter, header, id, time } of yield* Stream.runCollect(CausalOrder.sorted({ logId }))) {
      const { payloadSize, verifyingKey: author } = yield* Header.parse(header)
      const row = said.get(id)
      const text = row?.text
      // A tombstone has never had a body, and a snapshot is no message itself.
      const isDeleted = body === undefined && payloadSize > 0
      if (row || isDeleted) lines.push({ id, author, text, quote: row?.quote ?? undefined, time, counter })
    }
    // The operations of those that a snapshot keeps are gone; it says where they stand.
    for (const { author, counter, id, quote, text, time } of said.values()) {
      if (time !== null && counter !== null) lines.push({ id, author, text, quote: quote ?? undefined, time, counter })
    }
    return lines.sort((a, b) => a.time - b.time || a.counter - b.counter || (a.id < b.id ? -1 : 1))
  })

/** The answers that do not stand behind what they quote. */
export const misplaced = (lines: ReadonlyArray<Line>) =>
  lines.filter(({ quote }, at) => quote !== undefined && !lines.slice(0, at).some(({ id }) => id === quote))

/** A column: who has it, and what it says. */
export interface Column {
  readonly title: string
  readonly lines: ReadonlyArray<Line>
}

/** Prints columns side by side. `names`: who is behind which key. */
export const sideBySide = (columns: ReadonlyArray<Column>, names: ReadonlyMap<VerifyingKey.VerifyingKey, string>) => {
  const width = Math.floor(108 / columns.length) - 3
  const written = columns.map(({ lines, title }) => [title, "─".repeat(width), ...write(lines, names, width)])
  const height = Math.max(...written.map(({ length }) => length))
  const row = (at: number) =>
    written
      .map((column) => (column[at] ?? "").padEnd(width))
      .join(" │ ")
      .trimEnd()
  return Console.log(["", ...Array.from({ length: height }, (_, at) => `   ${row(at)}`)].join("\n"))
}

// internal

const write = (
  lines: ReadonlyArray<Line>,
  names: ReadonlyMap<VerifyingKey.VerifyingKey, string>,
  width: number
): ReadonlyArray<string> => {
  const head = ({ author, time }: Line) => `${Clock.show(time)} ${names.get(author) ?? author.slice(0, 8)}`
  return lines.flatMap((line) => {
    const quoted = lines.find(({ id }) => id === line.quote)
    const answers = line.quote === undefined ? "" : ` ↳ ${quoted === undefined ? "?" : Clock.show(quoted.time)}`
    return [head(line) + answers, ...wrap(line.text ?? "(deleted)", width - 2).map((part) => `  ${part}`)]
  })
}

const wrap = (text: string, width: number): ReadonlyArray<string> => {
  const parts: Array<string> = []
  for (const word of text.split(" ")) {
    const last = parts.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) parts.splice(-1, 1, `${last} ${word}`)
    else parts.push(word)
  }
  return parts
}
