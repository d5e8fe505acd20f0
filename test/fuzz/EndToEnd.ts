/**
 * Damaged and invented operations through a whole controller. Each is told an outcome or a typed error; what is stored is what a
 * second reader finds valid, each in one place; what was refused is nowhere.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { isDeepStrictEqual } from "node:util"
import * as Bytes from "../../src/core/Bytes.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as Header from "../../src/core/Header.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Pipeline from "../../src/pipeline/Pipeline.ts"
import * as CausalOrder from "../../src/processors/CausalOrder.ts"
import * as Deletion from "../../src/processors/Deletion.ts"
import * as Limits from "../../src/processors/Limits.ts"
import * as LogIntegrity from "../../src/processors/LogIntegrity.ts"
import * as Pruning from "../../src/processors/Pruning.ts"
import * as Topics from "../../src/processors/Topics.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import type { Random } from "../../src/testing/InputFaults.ts"
import * as InputFaults from "../../src/testing/InputFaults.ts"
import * as originals from "./originals.ts"
import * as Reference from "./reference.ts"

const Message = Schema.Union(
  Schema.Struct({ text: Schema.String }),
  Schema.Struct({ to: Schema.String, apples: Schema.Int }),
  Schema.Array(Schema.Unknown)
)

class TooManyApples extends Schema.TaggedError<TooManyApples>()("TooManyApples", { to: Schema.String }) {}

/** Keeps the texts that it reads, and says no to some. */
const application = Application.make({
  name: "fuzzed",
  version: 1,
  migrations: [{ name: "texts", up: ["CREATE TABLE texts (position INTEGER PRIMARY KEY, text TEXT NOT NULL)"] }],
  message: Message,
  handle: ({ message, position }) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      if ("apples" in message && message.apples > 100) return yield* new TooManyApples({ to: message.to })
      if ("text" in message) yield* sql`INSERT INTO texts (position, text) VALUES (${position}, ${message.text})`
    })
})

/** A controller as an application would have it, on the database around. Clocks are free: what is written far ahead counts. */
export const open = StreamController.make({
  pipeline: Pipeline.make(Limits.make({ bodySize: 3000, ahead: Infinity })).pipe(
    Pipeline.andThen(LogIntegrity.processor),
    Pipeline.andThen(CausalOrder.processor),
    Pipeline.andThen(Pruning.processor),
    Pipeline.andThen(Deletion.processor),
    Pipeline.andThen(Topics.processor)
  ),
  application
})

/** What the database says afterwards, and what was counted. */
export interface Showed {
  readonly broken: ReadonlyArray<string>
  readonly tried: number
  readonly answers: ReadonlyMap<string, number>
}

/** Gives a fresh controller `rounds` times `size` operations. `crypto`: whose verdict the answers are compared with. */
export const run = (crypto: Crypto.Service, random: Random, rounds: number, size: number) =>
  Effect.gen(function* () {
    const controller = yield* open
    const broken: Array<string> = []
    const answers = new Map<string, number>()
    const valid = originals.operations(crypto)
    const known = new Map(valid.map((one) => [one.id, Operation.raw(one)]))
    const given = new Map<string, Operation.Raw>()
    for (let round = 0; round < rounds; round++) {
      const raws = incoming(crypto, known, size, random)
      const said = yield* controller.processAll(raws)
      for (const [at, answer] of said.entries()) {
        const raw = raws[at] ?? { header: new Uint8Array(), body: undefined }
        const about = judge(crypto, raw, answer)
        if (about !== undefined) broken.push(`${about}: ${tell(raw)}`)
        const tag = answer instanceof Error ? `${answer._tag} ${"reason" in answer ? answer.reason : ""}` : answer._tag
        answers.set(tag, (answers.get(tag) ?? 0) + 1)
        if (!(answer instanceof Error)) given.set(answer.id, raw)
      }
      if (said.length !== raws.length) broken.push(`typed: ${raws.length} operations have ${said.length} answers`)
    }
    broken.push(...(yield* stored(crypto, new Set(given.keys()))))
    return { broken, tried: rounds * size, answers } satisfies Showed
  })

// internal

const tell = ({ body, header }: Operation.Raw): string =>
  JSON.stringify({ h: Bytes.toHex(header), b: body === undefined ? null : Bytes.toHex(body) })

/** Valid ones, damaged ones and invented ones; those that are valid can be referred to later. */
const incoming = (
  crypto: Crypto.Service,
  known: Map<ReturnType<Crypto.Service["hash"]>, Operation.Raw>,
  size: number,
  random: Random
): ReadonlyArray<Operation.Raw> => {
  const ids = [...known.keys()]
  const some = Array.from({ length: size >> 1 }, () => known.get(ids[random.below(ids.length)] ?? ids[0]!)!)
  const sent = InputFaults.deliver(some, random, { damaged: 70 }).map(({ raw }) => raw)
  while (sent.length < size) {
    const made = originals.invented(crypto, known, random)
    if (made === undefined) continue
    sent.push(made)
    if (known.size < 300) known.set(crypto.hash(made.header), made)
  }
  return sent.slice(0, size)
}

type Answer = Effect.Effect.Success<ReturnType<Effect.Effect.Success<typeof open>["processAll"]>>[number]

/** What is wrong with an answer. */
const judge = (crypto: Crypto.Service, raw: Operation.Raw, answer: Answer): string | undefined => {
  const expected = Either.flatMap(Operation.decodeWith(crypto)(raw), ({ header }) =>
    Extensions.any.decode(header.extensions)
  )
  if (Either.isLeft(expected)) {
    // Whoever checked it, this thread or another, with whichever library.
    return isDeepStrictEqual(answer, expected.left) ? undefined : `P8: answered ${String(answer)}, not ${expected.left}`
  }
  if (answer instanceof Error) return `P3: valid, and answered ${answer._tag}: ${answer.message}`
  if (answer._tag === "Rejected" && answer.error._tag === "Defect") return `typed: a defect: ${answer.error.detail}`
  return answer.id === crypto.hash(raw.header) ? undefined : "P8: answered with another id"
}

/** What is wrong with what is stored. `known`: what was answered with an outcome. */
const stored = (crypto: Crypto.Service, known: ReadonlySet<string>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const broken: Array<string> = []
    const rows = yield* sql<{ id: string; header: Uint8Array; body: Uint8Array | null }>`
      SELECT lower(hex(id)) AS id, header, body FROM applecart_operations
      UNION ALL SELECT lower(hex(id)), header, body FROM applecart_inbox`
    const places = new Map<string, number>()
    for (const { body, header, id } of rows) {
      const bytes = new Uint8Array(header)
      places.set(id, (places.get(id) ?? 0) + 1)
      const read = Reference.header(bytes)
      const fits = body === null || (body.length === read?.payloadSize && crypto.hash(body) === read.payloadHash)
      if (read === undefined || !fits) broken.push(`P8: stored although it is not valid: ${Bytes.toHex(bytes)}`)
      if (Either.isLeft(Header.decode(crypto, bytes))) broken.push(`P8: stored without a signature: ${id}`)
      if (crypto.hash(bytes) !== id) broken.push(`P8: stored under another id: ${id}`)
      if (!known.has(id)) broken.push(`P8: stored although it was refused: ${id}`)
    }
    const gone = yield* sql<{ id: string }>`SELECT lower(hex(id)) AS id FROM applecart_decisions WHERE what = 'pruned'`
    for (const { id } of gone) places.set(id, (places.get(id) ?? 0) + 1)
    for (const [id, count] of places) if (count > 1) broken.push(`P3: in ${count} places: ${id}`)
    const [check] = yield* sql<{ integrity_check: string }>`PRAGMA integrity_check`
    if (check?.integrity_check !== "ok") broken.push(`P1: the database is damaged: ${check?.integrity_check}`)
    return broken
  })
