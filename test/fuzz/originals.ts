/** Valid inputs of every kind, made here so that a row can be bundled without any file. */
import * as Either from "effect/Either"
import * as Bytes from "../../src/core/Bytes.ts"
import * as Cbor from "../../src/core/Cbor.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as Header from "../../src/core/Header.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as OpenExtensions from "../../src/core/OpenExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as OperationSequence from "../../src/core/OperationSequence.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Topic from "../../src/core/Topic.ts"
import type { VerifyingKey } from "../../src/core/VerifyingKey.ts"
import type { Random } from "../../src/testing/InputFaults.ts"
import * as InputFaults from "../../src/testing/InputFaults.ts"

export const key = (seed: number): SigningKey.SigningKey =>
  Either.getOrThrow(SigningKey.fromBytes(new Uint8Array(32).fill(seed)))

const open = (fields: Parameters<typeof OpenExtensions.draft>[0], rest: ReadonlyMap<string, Uint8Array> = new Map()) =>
  Either.getOrThrow(OpenExtensions.encode({ ...OpenExtensions.draft(fields), rest }))
const node = (fields: Parameters<typeof NodeExtensions.draft>[0]) =>
  Either.getOrThrow(NodeExtensions.encode(NodeExtensions.draft(fields)))

/** Extensions of both formats, sparse and full. */
export const extensions = (crypto: Crypto.Service): ReadonlyArray<Uint8Array> => {
  const logId = Topic.logId(crypto, Topic.named(crypto, "apples"))
  const some = ["a", "b", "c"].map((text) => crypto.hash(new TextEncoder().encode(text)))
  return [
    node({ logId, timestamp: 0n }),
    node({ logId, timestamp: 2n ** 64n - 1n, prune: true }),
    Bytes.concat([
      Bytes.fromHex("8501015820"),
      Bytes.fromHex(logId),
      Bytes.fromHex(`00825820${some[0]}5820${some[1]}`)
    ]),
    open({ logId }),
    open({ logId, timestamp: 1_786_000_000_000_000n, previous: some, deletes: some.slice(1), prune: true }),
    open(
      { logId },
      new Map([
        ["colour", Bytes.fromHex("63726564")],
        ["prune", Uint8Array.of(0xf4)]
      ])
    )
  ]
}

/** Values of every kind. */
export const values: ReadonlyArray<Uint8Array> = [
  { to: "horse", apples: 3 },
  [1, -1, 1.5, 1e300, NaN, -0, Infinity, 2 ** 53, 2n ** 64n - 1n, -(2n ** 64n), 2n ** 70n, null, true, false],
  new Map<unknown, unknown>([
    [1, "one"],
    ["two", [2]],
    [new Uint8Array(3), new Map([[1.5, new Map()]])]
  ]),
  [new Cbor.Tagged({ tag: 1, value: 5 }), new Cbor.Simple({ value: 99 }), new Uint8Array(40), [undefined]],
  { __proto__x: { constructor: "\ufeff", "": "ä€😀" }, list: Array.from({ length: 30 }, (_, n) => n * 1000) },
  Array.from({ length: 60 }).reduce<unknown>((inner) => [inner], 0)
].map((value) => Either.getOrThrow(Cbor.encode(value)))

/** Operations that can be accepted one after the other, of two authors. */
export const operations = (crypto: Crypto.Service): ReadonlyArray<Operation.Operation> => {
  const topic = Topic.named(crypto, "apples")
  const made: Array<Operation.Operation> = []
  for (const author of [1, 2]) {
    let before: Operation.Operation | undefined
    for (const [seqNum, bytes] of extensions(crypto).entries()) {
      // The dependencies of these are nowhere.
      const one = seqNum === 2 || seqNum === 4 ? node({ logId: Topic.logId(crypto, topic), timestamp: 7n }) : bytes
      before = sign(crypto, author, {
        seqNum,
        backlink: before?.id,
        extensions: one,
        body: seqNum % 3 === 2 ? undefined : values[seqNum]
      })
      made.push(before)
    }
  }
  return made
}

export const sign = (crypto: Crypto.Service, author: number, draft: Operation.Draft): Operation.Operation =>
  Either.getOrThrow(Operation.signWith(crypto)(key(author), draft))

/** Files of operations. */
export const sequences = (crypto: Crypto.Service): ReadonlyArray<Uint8Array> => {
  const items = operations(crypto).map((one) => OperationSequence.encode(Operation.raw(one)))
  const small = [[], [1], [1, 2, 3]].map((bytes) => Uint8Array.from(bytes))
  return [
    items[0] ?? new Uint8Array(),
    Bytes.concat(items.slice(0, 3)),
    Bytes.concat(small.map((header) => OperationSequence.encode({ header, body: small[2] }))),
    Bytes.concat(small.map((header) => OperationSequence.encode({ header, body: undefined }))),
    OperationSequence.encode({ header: new Uint8Array(300), body: new Uint8Array(0) })
  ]
}

/**
 * An operation that its author really signed, whatever it says: nothing that a signature protects from gets this far. `known`:
 * what it may continue and refer to. None where no header can say that.
 */
export const invented = (
  crypto: Crypto.Service,
  known: ReadonlyMap<Hash, Operation.Raw>,
  random: Random
): Operation.Raw | undefined => {
  const { below } = random
  const ids = [...known.keys()]
  const id = (): Hash => ids[below(ids.length)] ?? crypto.hash(Uint8Array.of(below(4)))
  const seqNum = [0, 0, 1, 2, below(20), 2 ** 32 - 1][below(6)] ?? 0
  const made = Operation.signWith(crypto)(key(1 + below(authors)), {
    seqNum,
    backlink: seqNum === 0 ? undefined : id(),
    extensions: said(crypto, id, random),
    body: body(random)
  })
  const continued = below(2) === 0 ? known.get(id()) : undefined
  return Either.match(
    continued === undefined ? made : after(crypto, continued, said(crypto, id, random), body(random)),
    {
      onLeft: () => undefined,
      onRight: Operation.raw
    }
  )
}

const authors = 40
const byAuthor = new Map<VerifyingKey, SigningKey.SigningKey>()

const keys = (crypto: Crypto.Service): ReadonlyMap<VerifyingKey, SigningKey.SigningKey> => {
  for (let nth = byAuthor.size; nth < authors; nth++) byAuthor.set(crypto.verifyingKey(key(nth + 1)), key(nth + 1))
  return byAuthor
}

/** Signed by the same author, right behind it. */
const after = (
  crypto: Crypto.Service,
  before: Operation.Raw,
  extensions: Uint8Array | undefined,
  body: Uint8Array | undefined
) =>
  Either.flatMap(Header.parse(before.header), ({ seqNum, verifyingKey }) => {
    return Operation.signWith(crypto)(keys(crypto).get(verifyingKey) ?? key(1), {
      seqNum: seqNum + 1,
      backlink: crypto.hash(before.header),
      extensions,
      body
    })
  })

const said = (crypto: Crypto.Service, id: () => Hash, random: Random): Uint8Array | undefined => {
  const { below } = random
  const some = () => unique(Array.from({ length: below(3) }, id))
  const logId = Topic.logId(crypto, Topic.named(crypto, ["apples", "apples", "apples", "pears"][below(4)] ?? ""))
  const timestamp = [undefined, 0n, 1_786_000_000_000_000n, 2n ** 63n, 2n ** 64n - 1n][below(5)]
  const prune = below(8) === 0
  const all = extensions(crypto)
  const kinds = [
    () => node({ logId, timestamp: timestamp ?? 5n, prune }),
    () => open({ logId, timestamp, prune, previous: some(), deletes: some() }),
    () => open({ logId, timestamp, deletes: some() }),
    () => InputFaults.mutate(all[below(all.length)] ?? new Uint8Array(), random, { times: 2 })
  ]
  return kinds[below(kinds.length)]?.()
}

const body = (random: Random): Uint8Array | undefined => {
  const { below } = random
  const value = values[below(2)] ?? new Uint8Array()
  return [undefined, value, value, InputFaults.mutate(value, random), text(random)][below(5)]
}

const unique = <A>(items: ReadonlyArray<A>): ReadonlyArray<A> => [...new Set(items)]

const texts = [
  "'); DROP TABLE applecart_operations; --",
  "\u0000",
  "ä\ud83d\ude00",
  "__proto__",
  "x".repeat(2000),
  "%s?",
  ""
]
const text = ({ below }: Random): Uint8Array => Either.getOrThrow(Cbor.encode({ text: texts[below(texts.length)] }))
