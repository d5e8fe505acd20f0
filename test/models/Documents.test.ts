/**
 * CRDT documents, with Yjs and with Automerge: a document is what its library makes of the updates that are left, however they
 * came; and what cannot be in it is said so.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as path from "node:path"
import * as Automerge from "../../examples/shared-document-automerge/automerge.ts"
import * as Yjs from "../../examples/shared-document-yjs/yjs.ts"
import type { Editor } from "../../examples/shared-document/editor.ts"
import type { Hash } from "../../src/core/Hash.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Documents from "../../src/models/Documents.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import { native } from "../core/support.ts"
import { Authors, deliver, delivery, fresh, logId, open, seeded, topic } from "../support/Models.ts"
import { directory, signingKey } from "../support/Peer.ts"

const keys = [1, 2, 3].map(signingKey)
const [key = signingKey(1)] = keys
const names = keys.map((key) => native.verifyingKey(key))
const [author = native.verifyingKey(key)] = names

const of = <State>(editor: Editor<State>, mergeEvery?: number) =>
  Documents.make({ name: "notes", version: 1, crdt: editor.crdt, mergeEvery })

/** What the library itself makes of updates. */
const merged = <State>({ crdt, text }: Editor<State>, updates: ReadonlyArray<Uint8Array>) =>
  text(updates.reduce(crdt.apply, crdt.empty()))

const textOf = <State>(
  { text }: Editor<State>,
  notes: { readonly read: Documents.Documents<never, State, never, never>["read"] }
) => Effect.map(notes.read(logId), text)

/** Somebody who writes by himself; gives an update for each piece. */
const typed = <State>({ crdt, edit, text }: Editor<State>, pieces: ReadonlyArray<string>, who = author) => {
  let state = crdt.empty()
  return pieces.map((insert) => {
    const update = edit(state, who, { at: text(state).length, remove: 0, insert })
    state = crdt.apply(state, update)
    return update
  })
}

const count = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.map(sql`SELECT * FROM ${sql(table)}`, ({ length }) => length))

/** In how many rows of any table these bytes stand. */
const found = (bytes: Uint8Array) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = yield* sql<{ name: string }>`SELECT name FROM sqlite_master WHERE type = 'table'`
    const rows = yield* Effect.forEach(tables, ({ name }) => sql`SELECT * FROM ${sql(name)}`)
    const holds = (cell: unknown) => cell instanceof Uint8Array && Buffer.from(cell).includes(Buffer.from(bytes))
    return rows.flat().filter((row) => Object.values(row).some(holds)).length
  })

const deed = FastCheck.record({
  author: FastCheck.nat({ max: 2 }),
  kind: FastCheck.constantFrom("type", "type", "type", "type", "erase", "snapshot", "compact", "delete"),
  sees: FastCheck.array(FastCheck.nat({ max: 40 }), { maxLength: 6 }),
  at: FastCheck.nat({ max: 40 }),
  insert: FastCheck.string({ minLength: 1, maxLength: 4 })
})
type Deed = typeof deed extends FastCheck.Arbitrary<infer A> ? A : never

/** What authors publish who have seen some of what the others have. */
const write = <State>({ crdt, edit, text }: Editor<State>, deeds: ReadonlyArray<Deed>) => {
  const authors = new Authors()
  const updates = new Map<Hash, Uint8Array>()
  const deleted = new Set<Hash>()
  const states = names.map(() => crdt.empty())
  const publish = (by: number, message: Documents.Message, prune = false) =>
    updates.set(authors.write({ author: by, message, prune }).id, message.bytes)
  for (const { at, author: by, insert, kind, sees } of deeds) {
    const seen = sees.flatMap((nth) => {
      const one = authors.written[nth % authors.written.length]
      return (one === undefined ? undefined : updates.get(one.id)) ?? []
    })
    const state = seen.reduce(crdt.apply, states[by]!)
    states[by] = state
    const own = authors.written.filter((one) => one.by === by)
    const after = own.at(-1)?.id
    const target = own[at % Math.max(1, own.length)]?.id
    if (kind === "delete" && target !== undefined) {
      authors.write({ author: by, message: undefined, deletes: [target] })
      deleted.add(target)
    } else if (kind === "snapshot" || kind === "compact") {
      const message = { _tag: "Snapshot" as const, bytes: crdt.save(state), ...(after === undefined ? {} : { after }) }
      publish(by, message, kind === "compact")
    } else {
      const place = at % (text(state).length + 1)
      const change =
        kind === "erase" ? { remove: Math.min(3, text(state).length - place), insert: "" } : { remove: 0, insert }
      const update = edit(state, names[by]!, { at: place, ...change })
      states[by] = crdt.apply(state, update)
      publish(by, Documents.update(update))
    }
  }
  return { authors, left: authors.left(deleted).map(({ id }) => updates.get(id)!) }
}

/** The same on every peer, whatever came first, and what the library says. */
const converges = <State>(editor: Editor<State>, numRuns: number) =>
  FastCheck.assert(
    FastCheck.asyncProperty(
      FastCheck.array(deed, { maxLength: 40, size: "max" }),
      FastCheck.tuple(delivery, delivery),
      FastCheck.constantFrom(1, 2, 5, 100),
      async (deeds, ways, mergeEvery) => {
        const { authors, left } = write(editor, deeds)
        const notes = of(editor, mergeEvery)
        for (const way of ways) {
          const [text, rows] = await fresh(
            Effect.zipRight(
              deliver(notes, authors.written, way),
              Effect.all([textOf(editor, notes), count("notes_updates")])
            )
          )
          assert.strictEqual(text, merged(editor, left))
          assert.strictEqual(rows, left.length)
        }
      }
    ),
    { numRuns, ...seeded }
  )

/** What holds with both libraries. */
const suite = <State>(editor: Editor<State>, mergeEvery: number) => {
  const notes = of(editor, mergeEvery)
  const text = textOf(editor, notes)
  const compact = (controller: Effect.Effect.Success<ReturnType<typeof opened>>) =>
    notes.snapshot({ author, logId }).pipe(
      Effect.flatMap((message) => controller.publish({ key, topic, prune: true, message })),
      Effect.retry({ times: 3, while: ({ _tag }) => _tag === "SnapshotOutdated" })
    )
  const opened = () => open(notes)
  const say = (controller: Effect.Effect.Success<ReturnType<typeof opened>>, update: Uint8Array) =>
    controller.publish({ key, topic, message: Documents.update(update) })

  it("rejects what is no update, and keeps nothing of it", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* opened()
        const authors = new Authors()
        const garbage = authors.write({ author: 1, message: Documents.update(Uint8Array.of(1, 2, 3)) })
        const outcome = yield* controller.process(Operation.raw(garbage))
        assert.deepInclude(outcome, { _tag: "Rejected", processor: "notes" })
        assert.instanceOf(outcome._tag === "Rejected" && outcome.error, Documents.InvalidUpdate)
        assert.strictEqual(yield* count("notes_updates"), 0)
        assert.strictEqual(yield* text, "")
        const error = yield* Effect.flip(say(controller, Uint8Array.of(1, 2, 3)))
        assert.include(error.message, "publish it again")
      })
    ))

  it("lets only a snapshot prune, and only one that knows all that is before it", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* opened()
        const [a, b, c] = typed(editor, ["a", "b", "c"])
        const draft = { key, topic, prune: true }
        const first = yield* notes.snapshot({ author, logId })
        yield* say(controller, a!)
        assert.deepInclude(yield* Effect.flip(controller.publish({ ...draft, message: first })), {
          _tag: "SnapshotOutdated"
        })
        assert.deepInclude(yield* Effect.flip(controller.publish({ ...draft, message: Documents.update(b!) })), {
          _tag: "PruneWithoutSnapshot"
        })
        const second = yield* notes.snapshot({ author, logId })
        yield* say(controller, b!)
        assert.deepInclude(yield* Effect.flip(controller.publish({ ...draft, message: second })), {
          _tag: "SnapshotOutdated"
        })
        // as a snapshot that prunes nothing it does no harm
        yield* controller.publish({ key, topic, message: second })
        assert.strictEqual(yield* text, "ab")
        yield* compact(controller)
        yield* say(controller, c!)
        assert.strictEqual(yield* text, "abc")
        assert.deepInclude(yield* controller.status, { accepted: 2, pruned: 3 })
        assert.strictEqual(yield* count("notes_updates"), 2)
      })
    ))

  it("a deleted update is in no table, and what depends on it waits for it in vain", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* opened()
        const [before, secret, after] = typed(editor, ["before ", "the secret ", "after"])
        yield* say(controller, before!)
        const { id } = yield* say(controller, secret!)
        yield* say(controller, after!)
        assert.strictEqual(yield* text, "before the secret after")
        assert.isAbove(yield* found(new TextEncoder().encode("secret")), 1)
        yield* controller.publish({ key, topic, deletes: [id] })
        assert.strictEqual(yield* text, "before ")
        assert.strictEqual(yield* found(new TextEncoder().encode("secret")), 0)
      })
    ))

  it("all of an author's updates can be taken back", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* opened()
        for (const update of typed(editor, ["a", "b"])) yield* say(controller, update)
        yield* controller.publish({ key, topic, prune: true })
        assert.strictEqual(yield* text, "")
        assert.strictEqual(yield* count("notes_updates"), 0)
        assert.strictEqual(yield* count("notes_states"), 0)
      })
    ))

  it("keeps nothing in memory: two processes write one document", () =>
    Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const filename = path.join(yield* directory, "notes.db")
          const process = Layer.build(Layer.fresh(SqliteClient.layer({ filename })))
          const pieces = Array.from("one document")
          const updates = typed(editor, pieces)
          const processes = [yield* process, yield* process]
          const controllers = yield* Effect.forEach(processes, (client) => Effect.provide(opened(), client))
          for (const [at, update] of updates.entries()) {
            yield* say(controllers[at % 2]!, update)
            const found = yield* Effect.provide(text, processes[(at + 1) % 2]!)
            assert.strictEqual(found, pieces.slice(0, at + 1).join(""))
          }
        })
      )
    ))

  it("is empty after a reset", () =>
    fresh(
      Effect.gen(function* () {
        const controller = yield* opened()
        for (const update of typed(editor, ["a", "b", "c"])) yield* say(controller, update)
        yield* Transaction.run(notes.reset ?? Effect.void)
        assert.strictEqual((yield* count("notes_updates")) + (yield* count("notes_states")), 0)
        assert.strictEqual(yield* text, "")
      })
    ))
}

describe("any delivery of edits, snapshots and deletions ends in the same document", () => {
  it("with Yjs", () => converges(Yjs.editor, 25))
  it("with Automerge", () => converges(Automerge.editor, 12))
})

describe("with Yjs", () => suite(Yjs.editor, 100))
describe("with Yjs, merged at once", () => suite(Yjs.editor, 1))
describe("with Automerge", () => suite(Automerge.editor, 100))
describe("with Automerge, merged at once", () => suite(Automerge.editor, 1))

class Closed extends Schema.TaggedError<Closed>()("Closed", {}) {}

describe("documents", () => {
  it("of different topics are different, and empty where nobody has written", () =>
    fresh(
      Effect.gen(function* () {
        const notes = of(Yjs.editor)
        const controller = yield* open(notes)
        const [update] = typed(Yjs.editor, ["a"])
        yield* controller.publish({
          key,
          topic: Topic.named(native, "another"),
          message: Documents.update(update!)
        })
        assert.strictEqual(yield* textOf(Yjs.editor, notes), "")
      })
    ))

  it("a handler of one's own has a veto", () =>
    fresh(
      Effect.gen(function* () {
        const notes = Documents.make({
          name: "notes",
          version: 1,
          crdt: Yjs.editor.crdt,
          handle: ({ event, message }) =>
            message._tag === "Update" && event.author !== author ? new Closed() : Effect.void
        })
        const controller = yield* open(notes)
        const [a, b] = typed(Yjs.editor, ["a", "b"])
        yield* controller.publish({ key, topic, message: Documents.update(a!) })
        const other = controller.publish({ key: signingKey(2), topic, message: Documents.update(b!) })
        assert.deepStrictEqual(yield* Effect.flip(other), new Closed())
        assert.strictEqual(yield* count("notes_updates"), 1)
        assert.strictEqual(yield* textOf(Yjs.editor, notes), "a")
      })
    ))

  for (const mergeEvery of [1, 100]) {
    it(`leave out an update that contradicts what is here (merged every ${mergeEvery})`, () =>
      fresh(
        Effect.gen(function* () {
          const notes = of(Automerge.editor, mergeEvery)
          const controller = yield* open(notes)
          const publish = (update: Uint8Array) => controller.publish({ key, topic, message: Documents.update(update) })
          const [first, second] = typed(Automerge.editor, ["first", " and on"])
          const [contradiction] = typed(Automerge.editor, ["another first"])
          assert.throws(() => merged(Automerge.editor, [first!, contradiction!]), /duplicate seq/)
          for (const update of [first!, contradiction!, second!]) yield* publish(update)
          assert.strictEqual(yield* textOf(Automerge.editor, notes), "first and on")
        })
      ))
  }

  it("are written down a page at a time, also when much is left of what was written down", () =>
    fresh(
      Effect.gen(function* () {
        const notes = of(Yjs.editor, 50)
        const controller = yield* open(notes)
        const pieces = Array.from({ length: 600 }, (_, n) => `${n} `)
        const authors = new Authors()
        for (const update of typed(Yjs.editor, pieces)) authors.write({ author: 0, message: Documents.update(update) })
        const [own, last] = typed(Yjs.editor, ["!", "?"], names[1])
        const deleted = authors.write({ author: 1, message: Documents.update(own!) }).id
        yield* controller.processAll(authors.written.map(Operation.raw))
        const written = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT position FROM notes_states`)
        const whole = pieces.join("")
        assert.deepStrictEqual(yield* written, [{ position: 600 }])
        assert.strictEqual((yield* textOf(Yjs.editor, notes)).replace("!", ""), whole)
        const more = [
          authors.write({ author: 1, message: undefined, deletes: [deleted] }),
          ...[1, 2, 3, 4].map(() => authors.write({ author: 1, message: Documents.update(last!) }))
        ]
        const positions: Array<unknown> = []
        for (const one of more) {
          yield* controller.process(Operation.raw(one))
          positions.push((yield* written)[0]?.position)
          assert.strictEqual(yield* textOf(Yjs.editor, notes), whole)
        }
        assert.deepStrictEqual(positions, [undefined, 256, 512, 605, 605])
      })
    ))
})
