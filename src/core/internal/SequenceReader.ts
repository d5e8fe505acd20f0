/**
 * The reader behind `OperationSequence.decode`: bytes are pushed in, whole items come out.
 */
import type * as Chunk from "effect/Chunk"
import * as CborHead from "./CborHead.ts"
import type { Raw } from "../Operation.ts"
import type { InvalidSequence } from "../OperationSequence.ts"

/** What an `InvalidSequence` is made of. */
export type Failure = ConstructorParameters<typeof InvalidSequence>[0]

/** The state of reading one sequence. */
export interface SequenceReader {
  readonly maxItemBytes: number
  /** The bytes from `start` until before `end` belong to the item that is not complete yet. */
  buffer: Uint8Array
  start: number
  end: number
  /** How many bytes of the sequence were before `start`. */
  offset: number
  items: number
}

/** A reader at the beginning of a sequence. */
export const make = (maxItemBytes: number): SequenceReader => ({
  maxItemBytes,
  buffer: new Uint8Array(0),
  start: 0,
  end: 0,
  offset: 0,
  items: 0
})

/** Takes more bytes; complete items go to `found`, in memory of their own. After a failure nothing may be pushed. */
export const push = (
  reader: SequenceReader,
  chunks: Chunk.Chunk<Uint8Array>,
  found: Array<Raw>
): Failure | undefined => {
  for (const chunk of chunks) {
    append(reader, chunk)
    const failure = take(reader, found)
    if (failure !== undefined) return failure
  }
  return undefined
}

/** The sequence ends here: it must not do so inside an item. */
export const end = (reader: SequenceReader): Failure | undefined =>
  reader.start === reader.end
    ? undefined
    : {
        reason: "Truncated",
        offset: reader.offset + reader.end - reader.start,
        item: reader.items,
        detail: `the bytes end inside the item that begins at byte ${reader.offset}`
      }

// internal

/** Memory follows the bytes that came, doubling, and never a length that was declared. */
const append = (reader: SequenceReader, chunk: Uint8Array): void => {
  const kept = reader.end - reader.start
  if (kept === 0) {
    // the chunk itself serves as the buffer: it is full, so nothing is ever put behind it and the source's memory is safe
    reader.buffer = chunk
  } else if (reader.end + chunk.length > reader.buffer.length) {
    const larger = new Uint8Array(Math.max(kept * 2, kept + chunk.length))
    larger.set(reader.buffer.subarray(reader.start, reader.end))
    larger.set(chunk, kept)
    reader.buffer = larger
  } else {
    reader.buffer.set(chunk, reader.end)
    reader.end += chunk.length
    return
  }
  reader.start = 0
  reader.end = kept + chunk.length
}

/** Takes all complete items out of the buffer. */
const take = (reader: SequenceReader, found: Array<Raw>): Failure | undefined => {
  for (;;) {
    const item = next(reader)
    if (item === incomplete) return undefined
    if ("reason" in item) return item
    found.push({
      header: reader.buffer.slice(item.header.start, item.header.end),
      body: item.body && reader.buffer.slice(item.body.start, item.body.end)
    })
    const size = (item.body?.end ?? item.header.end + 1) - reader.start
    reader.start += size
    reader.offset += size
    reader.items++
  }
}

interface Range {
  readonly start: number
  readonly end: number
}

const incomplete = "incomplete"

const next = (reader: SequenceReader): typeof incomplete | Failure | { header: Range; body: Range | undefined } => {
  if (reader.start === reader.end) return incomplete
  const initial = reader.buffer[reader.start] ?? 0
  if (initial !== 0x82) return wrongStart(reader, initial)
  const header = string(reader, reader.start + 1)
  if (header === incomplete || "reason" in header) return header
  if (header.end >= reader.end) return incomplete
  if (reader.buffer[header.end] === 0xf6) return { header, body: undefined }
  const body = string(reader, header.end)
  return body === incomplete || "reason" in body ? body : { header, body }
}

const wrongStart = (reader: SequenceReader, initial: number): Failure =>
  initial === 0x9f || (initial >= 0x98 && initial <= 0x9b)
    ? fail(reader, "NonDeterministic", reader.start, "an array of two begins with 82")
    : fail(reader, "UnexpectedType", reader.start, "an item is an array of two, which begins with 82")

const fail = (reader: SequenceReader, reason: Failure["reason"], at: number, detail: string): Failure => ({
  reason,
  offset: reader.offset + at - reader.start,
  item: reader.items,
  detail
})

/** Where the bytes of the byte string at `at` are. A string that will not fit is refused before its bytes have come. */
const string = (reader: SequenceReader, at: number): typeof incomplete | Failure | Range => {
  if (at >= reader.end) return incomplete
  const info = (reader.buffer[at] ?? 0) & 31
  if ((reader.buffer[at] ?? 0) >> 5 !== 2 || (info > 27 && info < 31))
    return fail(reader, "UnexpectedType", at, "header and body are byte strings, a missing body is null")
  if (info === 31) return fail(reader, "NonDeterministic", at, "the byte string has no definite length")
  const start = at + 1 + (info < 24 ? 0 : 1 << (info - 24))
  if (start > reader.end) return incomplete
  const { argument } = CborHead.read(reader.buffer, at)
  if (info >= 24 && argument < (info === 24 ? 24 : 2 ** (4 * (start - at - 1))))
    return fail(reader, "NonDeterministic", at, "the length is not in its shortest form")
  const end = start + argument
  if (end - reader.start > reader.maxItemBytes)
    return fail(reader, "TooLarge", at, `more than ${reader.maxItemBytes} bytes; raise maxItemBytes if that is right`)
  return end > reader.end ? incomplete : { start, end }
}
