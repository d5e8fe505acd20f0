/**
 * Operations in a file or on a wire: a CBOR sequence whose items are `[header bytes, body bytes or null]`, canonical.
 *
 * Read as a stream in memory that is bounded by the largest item and one chunk. What is inside the header is not looked at
 * here. After a wrong item nothing can be trusted any more, so it ends the stream; everything before it is emitted first.
 */
import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Bytes from "./Bytes.ts"
import * as CborHead from "./internal/CborHead.ts"
import * as SequenceReader from "./internal/SequenceReader.ts"
import type { Raw } from "./Operation.ts"

/** The bytes are no sequence of operations from here on. */
export class InvalidSequence extends Schema.TaggedError<InvalidSequence>()("InvalidSequence", {
  /** `TooLarge`: beyond `maxItemBytes`. `Truncated`: the bytes end inside an item. */
  reason: Schema.Literal("UnexpectedType", "NonDeterministic", "TooLarge", "Truncated"),
  /** The byte where it was noticed, counted from 0 at the beginning of the whole sequence. */
  offset: Schema.Number,
  /** Which item, counted from 0: how many were read before it. */
  item: Schema.Number,
  detail: Schema.String
}) {
  override get message() {
    return `Item ${this.item} of the sequence is not an operation (${this.reason} at byte ${this.offset}): ${this.detail}. The ${this.item} before it were read.`
  }
}

/** How to read. */
export interface Options {
  /** The largest item in bytes, heads included. A hostile file can take about three times as much memory. Default 128 MiB. */
  readonly maxItemBytes?: number | undefined
}

/**
 * Reads operations from bytes that come in chunks of any size.
 *
 * ```ts
 * const operations = fileSystem.stream("log.cbor").pipe(OperationSequence.decode())
 * ```
 */
export const decode =
  (options?: Options) =>
  <E, R>(stream: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Raw, E | InvalidSequence, R> =>
    // suspended, so that every run of the stream begins with a reader of its own
    Stream.suspend(() => {
      const reader = SequenceReader.make(options?.maxItemBytes ?? 128 * 1024 * 1024)
      return Stream.fromChannel(Channel.pipeTo(Stream.toChannel(stream), read<E>(reader)))
    })

/** One operation as an item. Items one after the other are a sequence. An empty body is written as it is. */
export const encode = (raw: Raw): Uint8Array =>
  Bytes.concat([
    Uint8Array.of(0x82),
    CborHead.bytes(raw.header),
    raw.body === undefined ? Uint8Array.of(0xf6) : CborHead.bytes(raw.body)
  ])

// internal

type Reading<E> = Channel.Channel<Chunk.Chunk<Raw>, Chunk.Chunk<Uint8Array>, E | InvalidSequence, E, unknown, unknown>

const read = <E>(reader: SequenceReader.SequenceReader): Reading<E> =>
  Channel.readWithCause({
    onInput: (chunks: Chunk.Chunk<Uint8Array>) =>
      emit<E>(reader, (found) => SequenceReader.push(reader, chunks, found)),
    onFailure: (cause: Cause.Cause<E>) => Channel.failCause(cause),
    onDone: () => emitLast<E>(SequenceReader.end(reader))
  })

/** Hands on what was found, then goes on, or fails with what was found after it. */
const emit = <E>(
  reader: SequenceReader.SequenceReader,
  push: (found: Array<Raw>) => SequenceReader.Failure | undefined
): Reading<E> =>
  Channel.suspend(() => {
    const found: Array<Raw> = []
    const failure = push(found)
    const next = failure === undefined ? read<E>(reader) : emitLast<E>(failure)
    return found.length === 0 ? next : Channel.zipRight(Channel.write(Chunk.unsafeFromArray(found)), next)
  })

const emitLast = <E>(failure: SequenceReader.Failure | undefined): Reading<E> =>
  failure === undefined ? Channel.void : Channel.fail(new InvalidSequence(failure))
