/**
 * The operations of the controller's model test: three authors write about two topics, prune, delete, fork, and say of some
 * messages who is not to take them. Signed once; tests choose from them.
 */
import * as Either from "effect/Either"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import { native, random } from "../core/support.ts"
import { signingKey } from "./Peer.ts"

export const topics = { x: Topic.named(native, "model x"), y: Topic.named(native, "model y") }
export type TopicName = keyof typeof topics

/** The authors, by the bytes of their keys. `M` is ourselves: what is published. */
export const authors = { A: 1, B: 2, C: 3, M: 9 }
export type AuthorName = keyof typeof authors

/** The time at which every test begins, in milliseconds. */
export const epoch = 1_786_000_000_000

/** An operation as the model knows it. */
export interface Op {
  /** Author, topic and place, such as `A.x3`; for people, and told apart by `id`. */
  readonly name: string
  readonly id: string
  readonly author: AuthorName
  readonly topic: TopicName
  readonly log: string
  readonly seq: number
  readonly backlink: string | undefined
  readonly prune: boolean
  readonly deletes: ReadonlyArray<string>
  /** The message, where there is one: its number, and who is not to take it (`one`, or `one@2` for that version). */
  readonly message: { readonly n: number; readonly no: ReadonlyArray<string> } | undefined
  /** Milliseconds. */
  readonly written: number | undefined
  readonly raw: Operation.Raw
}

/** What an operation says. */
export interface Says {
  readonly prune?: boolean
  readonly deletes?: ReadonlyArray<Hash>
  readonly message?: Op["message"]
  readonly written?: number | undefined
}

/** Signs an operation at a place of a log. `own`: as the controller writes operations of our own. */
export const sign = (
  author: AuthorName,
  topic: TopicName,
  before: { readonly seq: number; readonly id: string } | undefined,
  { deletes = [], message, prune = false, written }: Says,
  own = false
): Op => {
  const fields = {
    logId: Topic.logId(native, topics[topic]),
    timestamp: written === undefined ? undefined : BigInt(written) * 1000n,
    prune,
    previous: [],
    deletes
  }
  const extensions = Either.getOrThrow(
    own ? Extensions.any.encode(Extensions.any.draft(fields)) : OpenExtensions.encode(OpenExtensions.draft(fields))
  )
  const operation = Either.getOrThrow(
    Operation.signWith(native)(signingKey(authors[author]), {
      seqNum: before === undefined ? 0 : before.seq + 1,
      // The id of an operation, which the model has as plain text.
      backlink: before?.id as Hash | undefined,
      extensions,
      body: message === undefined ? undefined : Either.getOrThrow(Cbor.encode(message))
    })
  )
  const seq = operation.header.seqNum
  const marks = `${prune ? "!" : ""}${deletes.length > 0 ? "-" : ""}${message === undefined ? "" : message.no.map((one) => `/${one}`).join("")}`
  return {
    name: `${author}.${topic}${seq}${marks}`,
    id: operation.id,
    author,
    topic,
    log: `${author}.${topic}`,
    seq,
    backlink: before?.id,
    prune,
    deletes,
    message,
    written,
    raw: Operation.raw(operation)
  }
}

/** Several pools of two dozen operations each, the same in every run. */
export const pools: ReadonlyArray<ReadonlyArray<Op>> = Array.from({ length: 8 }, (_, seed) => pool(seed + 1))

// internal

// A function declaration, since the pools above are made with it while the module loads.
function pool(seed: number): ReadonlyArray<Op> {
  const { below } = random(seed)
  const made: Array<Op> = []
  const heads = new Map<string, Op>()
  const noes = [
    ["app"],
    ["app@2"],
    ["one"],
    ["one"],
    ["one@2"],
    ["two"],
    ["two"],
    ["one", "two"],
    ["one", "three"],
    ["one", "two", "three"]
  ]
  const logs = [
    ["A", "x", 8],
    ["B", "x", 6],
    ["A", "y", 4],
    ["C", "y", 4]
  ] as const
  const left = logs.map(([, , count]) => count as number)
  for (;;) {
    const open = logs.flatMap((log, index) => ((left[index] ?? 0) > 0 ? [{ log, index }] : []))
    const one = open[below(Math.max(1, open.length))]
    if (one === undefined) break
    left[one.index] = (left[one.index] ?? 0) - 1
    const [author, topic] = one.log
    const head = heads.get(`${author}.${topic}`)
    const kind = below(12)
    const n = made.length + 1
    const no = below(5) < 2 ? (noes[below(noes.length)] ?? []) : []
    // Mostly one's own, which alone has an effect.
    const mine = made.filter((op) => op.author === author || below(4) === 0)
    const refused = mine.filter(({ message }) => (message?.no.length ?? 0) > 0)
    const targets = [1, 2, 4].includes(kind) ? [mine[below(Math.max(1, mine.length))], refused[below(4)]] : []
    const op = sign(author, topic, head, {
      prune: kind === 0,
      // Ids of operations, which the model has as plain text.
      deletes: Array.from(new Set(targets.flatMap((target) => (target === undefined ? [] : [target.id as Hash])))),
      message: kind === 3 || (kind === 1 && below(2) === 0) ? undefined : { n, no },
      written: below(8) === 0 ? undefined : epoch + (below(21) - 10) * 1000
    })
    made.push(op)
    heads.set(op.log, op)
  }
  const before = made.find(({ log, seq }) => log === "A.x" && seq === 1)
  const fork = sign("A", "x", before, { message: { n: 100, no: [] }, written: epoch })
  return [...made, { ...fork, name: `${fork.name}'` }]
}
