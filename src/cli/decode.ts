/** The verb `decode`: the verdict on operations that are given as JSON, without any database. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Bytes from "../core/Bytes.ts"
import * as Crypto from "../core/Crypto.ts"
import type * as Operation from "../core/Operation.ts"
import * as Verdict from "../core/Verdict.ts"
import * as Input from "./Input.ts"
import { Io } from "./Io.ts"

/** A line of the input is not what it should be. The verdicts on the lines before it were given. */
export class InvalidLine extends Data.TaggedError("InvalidLine")<{ readonly line: number; readonly detail: string }> {
  override get message() {
    return `Line ${this.line} is no {"h": hex, "b": hex or null}: ${this.detail}`
  }
}

/** `decode [FILE or -]`. */
export const decode = ({ file }: { readonly file: string }) =>
  Effect.gen(function* () {
    const io = yield* Io
    const verdict = Verdict.verdict(yield* Crypto.Crypto)
    const input = yield* Input.open(file)
    const lines = splitter()
    const judge = (found: ReadonlyArray<string>) =>
      Effect.gen(function* () {
        let said = ""
        let wrong: InvalidLine | undefined
        for (const line of found) {
          const raw = parse(line)
          if (Either.isLeft(raw)) {
            wrong = new InvalidLine({ line: lines.number + 1, detail: raw.left })
            break
          }
          lines.number++
          said += `${JSON.stringify(verdict(raw.right))}\n`
        }
        if (said !== "") yield* io.out(said)
        if (wrong !== undefined) return yield* wrong
      })
    yield* Stream.runForEach(input.bytes, (chunk) => Effect.flatMap(lines.push(chunk), judge))
    yield* judge(lines.end())
  }).pipe(Effect.provide(Crypto.layer))

// internal

/** The longest line: an operation of the largest size that files of operations may hold, in hex. */
const longest = 260 * 1024 * 1024

/** Cuts bytes into lines. `number`: how many were judged. */
const splitter = () => {
  const decoder = new TextDecoder()
  let rest = ""
  const state = {
    number: 0,
    push: (chunk: Uint8Array) =>
      Effect.suspend(() => {
        const parts = decoder.decode(chunk, { stream: true }).split("\n")
        const last = parts.pop() ?? ""
        if (parts.length === 0) rest += last
        else {
          parts[0] = rest + (parts[0] ?? "")
          rest = last
        }
        return rest.length > longest
          ? new InvalidLine({
              line: state.number + parts.length + 1,
              detail: `it is longer than ${longest} characters.`
            })
          : Effect.succeed<ReadonlyArray<string>>(parts)
      }),
    /** What follows the last line break, if anything does. */
    end: () => (rest === "" ? [] : [rest])
  }
  return state
}

const fromJson = Schema.decodeUnknownEither(Schema.parseJson())

/** What is wrong is told without the line itself, which may be anything: the wrong file, and that one a key. */
const parse = (line: string): Either.Either<Operation.Raw, string> => {
  const value = fromJson(line)
  if (Either.isLeft(value)) return Either.left("it is not JSON.")
  if (!Predicate.hasProperty(value.right, "h") || !isHex(value.right.h)) return Either.left("`h` is not hex.")
  const header = Bytes.fromHex(value.right.h)
  if (!Predicate.hasProperty(value.right, "b")) return Either.left("`b` is missing; it is null where there is no body.")
  const { b } = value.right
  if (b === null) return Either.right({ header, body: undefined })
  return isHex(b) ? Either.right({ header, body: Bytes.fromHex(b) }) : Either.left("`b` is neither hex nor null.")
}

const isHex = (value: unknown): value is string => typeof value === "string" && Bytes.isHex(value)
