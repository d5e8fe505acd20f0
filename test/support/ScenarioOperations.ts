/** The operations of the trust scenario, the same bytes in every run and every process, and the end each of them must come to. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Log from "../../src/core/Log.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import type { SigningKey } from "../../src/core/SigningKey.ts"
import * as Topic from "../../src/core/Topic.ts"
import { signingKey } from "./Peer.ts"
import { timestamp, type Message } from "./ScenarioApp.ts"

/** Where an operation is when everything was done. */
export type Fate = "accepted" | "skipped" | "waiting" | "rejected" | "discarded"

/** An operation of the scenario. */
export interface Item {
  readonly name: string
  readonly operation: Operation.Operation
  readonly message: Message
  readonly log: Log.Key
  readonly fate: Fate
  /** The errors with which it may be rejected, now or for ever. Anything else was not its fault. */
  readonly errors: ReadonlyArray<string>
}

/** All operations, by name and by id. */
export interface Universe {
  readonly items: ReadonlyArray<Item>
  readonly byId: ReadonlyMap<string, Item>
  readonly get: (name: string) => Item
  /** What we publish ourselves, in order; the key and the topic it is published with. */
  readonly own: ReadonlyArray<Item>
  readonly key: SigningKey
  readonly topic: Topic.Topic
}

interface Place {
  readonly topic?: string
  readonly seqNum: number
  readonly backlink?: Item | undefined
  readonly prune?: boolean
}

type Sign = (
  author: number,
  name: string,
  message: Message,
  place: Place,
  fate?: Fate,
  errors?: ReadonlyArray<string>
) => Item

const sign =
  (crypto: Crypto.Service): Sign =>
  (author, name, message, { backlink, prune, seqNum, topic }, fate = "accepted", errors = []) => {
    const key = signingKey(author)
    const logId = Topic.logId(crypto, Topic.named(crypto, topic ?? "apples"))
    const extensions = NodeExtensions.codec.draft({ logId, timestamp, prune: prune ?? false, previous: [] })
    const operation = Either.getOrThrow(
      Operation.signWith(crypto)(key, {
        seqNum,
        backlink: backlink?.operation.id,
        extensions: Either.getOrThrow(NodeExtensions.codec.encode(extensions)),
        body: Either.getOrThrow(Cbor.encode(message))
      })
    )
    return { name, operation, message, log: Log.key(operation.header.verifyingKey, logId), fate, errors }
  }

/** Parrot: a log that arrives out of order, ends in a gap that never fills, and another one that begins with a bug. */
const parrot = (make: Sign): ReadonlyArray<Item> => {
  const a0 = make(1, "a0", { pick: 10, by: "parrot" }, { seqNum: 0 })
  const a1 = make(1, "a1", { give: 4, from: "parrot", to: "horse" }, { seqNum: 1, backlink: a0 })
  const a2 = make(1, "a2", { pick: 1, by: "parrot" }, { seqNum: 2, backlink: a1 })
  const a3 = make(1, "a3", { give: 2, from: "parrot", to: "cat" }, { seqNum: 3, backlink: a2 })
  const never = make(1, "never", { pick: 1, by: "parrot" }, { seqNum: 4, backlink: a3 })
  const a5 = make(1, "a5", { pick: 1, by: "parrot" }, { seqNum: 5, backlink: never }, "waiting")
  const bug = make(1, "bug", { breaks: "code" }, { topic: "pears", seqNum: 0 }, "rejected", ["Defect"])
  return [a0, a1, a2, a3, a5, bug]
}

/** Horse: rejected until somebody else's operation is there, with a log that waits behind it; skipped by the policy; discarded. */
const horse = (make: Sign): ReadonlyArray<Item> => {
  const poor = ["NotEnoughApples"]
  const b0 = make(2, "b0", { give: 30, from: "cat", to: "horse" }, { seqNum: 0 }, "accepted", poor)
  const b1 = make(2, "b1", { pick: 2, by: "horse" }, { seqNum: 1, backlink: b0 })
  const b2 = make(2, "b2", { breaks: "manners" }, { seqNum: 2, backlink: b1 }, "skipped", ["Unwanted"])
  const b3 = make(2, "b3", { pick: 1, by: "horse" }, { seqNum: 3, backlink: b2 })
  const pear = { topic: "pears" }
  const f0 = make(2, "f0", { give: 1000, from: "horse", to: "cat" }, { ...pear, seqNum: 0 }, "discarded", poor)
  const f1 = make(2, "f1", { pick: 1, by: "horse" }, { ...pear, seqNum: 1, backlink: f0 }, "waiting")
  return [b0, b1, b2, b3, f0, f1]
}

/** Cat: forks, violates constraints at the statement and at the commit, and prunes. */
const cat = (make: Sign): ReadonlyArray<Item> => {
  const fork = ["Fork"]
  const c0 = make(3, "c0", { pick: 5, by: "cat" }, { seqNum: 0 })
  const other = make(3, "other", { pick: 6, by: "cat" }, { seqNum: 0 }, "rejected", fork)
  const child = make(3, "child", { pick: 7, by: "cat" }, { seqNum: 1, backlink: other }, "rejected", fork)
  const c1 = make(3, "c1", { pick: 30, by: "cat" }, { seqNum: 1, backlink: c0 })
  const failed = ["StatementFailed"]
  const c2 = make(3, "c2", { breaks: "constraint" }, { seqNum: 2, backlink: c1 }, "skipped", failed)
  const c3 = make(3, "c3", { breaks: "commit" }, { seqNum: 3, backlink: c2 }, "rejected", failed)
  const c4 = make(3, "c4", { pick: 1, by: "cat" }, { seqNum: 4, backlink: c3 }, "waiting")
  const pear = { topic: "pears" }
  const g2 = make(3, "g2", { pick: 1, by: "cat" }, { ...pear, seqNum: 2, backlink: c0 }, "discarded", ["Outdated"])
  const g3 = make(3, "g3", { pick: 2, by: "cat" }, { ...pear, seqNum: 3, backlink: g2, prune: true })
  return [c0, other, child, c1, c2, c3, c4, g3, g2]
}

/** Ours: what the application accepts. */
const ours = (make: Sign): ReadonlyArray<Item> => {
  const o0 = make(7, "o0", { pick: 3, by: "me" }, { seqNum: 0 })
  const o1 = make(7, "o1", { give: 1, from: "me", to: "horse" }, { seqNum: 1, backlink: o0 })
  return [o0, o1]
}

/** Signs everything. */
export const universe: Effect.Effect<Universe, never, Crypto.Crypto> = Effect.map(Crypto.Crypto, (crypto) => {
  const make = sign(crypto)
  const own = ours(make)
  const items = [...parrot(make), ...horse(make), ...cat(make), ...own]
  const byName = new Map(items.map((item) => [item.name, item]))
  return {
    items,
    byId: new Map(items.map((item) => [item.operation.id, item] as const)),
    get: (name) => {
      const item = byName.get(name)
      if (item === undefined) throw new Error(`no operation ${name}`)
      return item
    },
    own,
    key: signingKey(7),
    topic: Topic.named(crypto, "apples")
  }
})
