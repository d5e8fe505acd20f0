/**
 * Garbage collection: it frees what nobody needs, in bounded steps, and nothing that a promise needs; and after it the bytes of
 * what was removed are nowhere in the files.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import type { Scope } from "effect/Scope"
import * as path from "node:path"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import { after, content, deletes, dump, open, refused, search } from "../support/Garbage.ts"
import { Author, directory } from "../support/Peer.ts"
import * as Database from "../support/ScenarioDatabase.ts"

type Needs = SqlClient.SqlClient | Crypto.Crypto | Scope

const test = <A, E>(name: string, self: (filename: string) => Effect.Effect<A, E, Needs>) =>
  it.scopedLive(name, () =>
    Effect.flatMap(directory, (dir) => {
      const filename = path.join(dir, "peer.db")
      return self(filename).pipe(Effect.provide(SqliteClient.layer({ filename })), Effect.provide(Crypto.layer))
    })
  )

const author = (seed: number, topic = `log ${seed}`) =>
  Effect.map(Crypto.Crypto, (crypto) => new Author(crypto, seed, Topic.named(crypto, topic)))
const marker = () => globalThis.crypto.getRandomValues(new Uint8Array(16))
const raw = Operation.raw

/** So many small operations of an author, and the one that prunes them. */
const pruned = (seed: number, count: number) =>
  Effect.map(author(seed), (writer) => {
    const all = Array.from({ length: count }, () => raw(writer.next(content(marker(), 20))))
    return { writer, all, prune: raw(writer.next(content(marker(), 20), true)) }
  })

/** A pseudo-random number from 0 to `below`. */
const random = (seed: number) => {
  let state = seed >>> 0
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const sizes = [20, 20, 20, 200, 200, 200, 5000, 200_000]

/**
 * A random history of three authors: contents of all sizes, processed at once, or received and drained, some of them late;
 * prunes and deletions in between. Gives the markers of what must be gone and of what must be there.
 */
const live = (seed: number, controller: Effect.Effect.Success<typeof open>) =>
  Effect.gen(function* () {
    const pick = random(seed)
    const marks = new Map<string, { readonly marker: Uint8Array; readonly writer: number; gone: boolean }>()
    const writers = [yield* author(1), yield* author(2), yield* author(3)]
    let pending: Array<Operation.Raw> = []
    const deliver = Effect.suspend(() => {
      const raws = pending
      pending = []
      if (pick(3) === 0) raws.reverse()
      return pick(2) === 0
        ? Effect.asVoid(controller.processAll(raws))
        : Effect.asVoid(Effect.zipRight(controller.receiveAll(raws), controller.drain))
    })
    for (let round = 0; round < 60; round++) {
      const nth = pick(3)
      const writer = writers[nth]
      if (writer === undefined) continue
      const own = Array.from(marks).filter(([, mark]) => mark.writer === nth && !mark.gone)
      const what = pick(12)
      if (what === 0 && own.length > 0) {
        const chosen = own.filter(() => pick(3) === 0)
        for (const [, mark] of chosen) mark.gone = true
        if (chosen.length > 0)
          pending.push(raw(writer.next(deletes(chosen.map(([id]) => id as Operation.Operation["id"])))))
      } else {
        const prune = what === 1
        if (prune) for (const [, mark] of own) mark.gone = true
        const mark = marker()
        const { body, id, ...rest } = writer.next(content(mark, sizes[pick(sizes.length)] ?? 20), prune)
        marks.set(id, { marker: mark, writer: nth, gone: false })
        pending.push(raw({ body, id, ...rest }))
      }
      if (pick(4) === 0) yield* deliver
    }
    yield* deliver
    yield* controller.drain
    const found = (gone: boolean) =>
      Array.from(marks.values()).flatMap((mark) => (mark.gone === gone ? [mark.marker] : []))
    return { gone: found(true), kept: found(false) }
  })

describe("deleted bytes", () => {
  const trial = (seed: number, how: "as it is" | "without any of it") =>
    Effect.gen(function* () {
      const filename = path.join(yield* directory, "peer.db")
      return yield* Effect.gen(function* () {
        const controller = yield* open
        const sql = yield* SqlClient.SqlClient
        if (how === "without any of it") yield* sql`PRAGMA secure_delete = OFF`
        const { gone, kept } = yield* live(seed, controller)
        const report = yield* controller.collect({ vacuum: how === "as it is" })
        assert.deepInclude(report.file, { wal: "emptied", vacuumed: how === "as it is" })
        assert.deepInclude(yield* controller.status, { queued: 0, waiting: 0, rejected: 0 })
        const all = search(filename, kept)
        assert.isTrue(all.length >= kept.length, `${kept.length - all.length} kept bodies are not there`)
        return { removed: gone.length, found: search(filename, gone) }
      }).pipe(Effect.provide(SqliteClient.layer({ filename })))
    }).pipe(Effect.scoped, Effect.provide(Crypto.layer))

  it("are nowhere in the file or its write-ahead log after a collection", async () => {
    let removed = 0
    await FastCheck.assert(
      FastCheck.asyncProperty(FastCheck.integer({ min: 0, max: 0xffff_ffff }), async (seed) => {
        const result = await Effect.runPromise(trial(seed, "as it is"))
        removed += result.removed
        assert.deepStrictEqual(result.found, [])
      }),
      { numRuns: 30 }
    )
    assert.isAbove(removed, 100)
  })

  it("are found where they are not overwritten and the file is not rewritten", async () => {
    const results = await Promise.all([1, 2, 3].map((seed) => Effect.runPromise(trial(seed, "without any of it"))))
    for (const { found, removed } of results) {
      assert.isAbove(removed, 0)
      assert.include(found, "file")
    }
  })

  test("are not in the reason of a rejection that quoted them", (filename) =>
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const horse = yield* author(1, "elsewhere")
      const secret = "what nobody may know any more"
      const sensitive = parrot.next(refused(secret))
      assert.deepInclude(yield* controller.process(raw(sensitive)), { _tag: "Rejected" })
      assert.include(search(filename, [new TextEncoder().encode(secret)]), "-wal")
      assert.deepInclude(yield* controller.process(raw(horse.next(deletes([sensitive.id])))), { _tag: "Accepted" })
      yield* controller.collect({ vacuum: true })
      assert.deepStrictEqual(search(filename, [new TextEncoder().encode(secret)]), [])
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(
        yield* sql`SELECT body, status, json_extract(reason, '$.tag') AS tag FROM applecart_inbox`,
        [{ body: null, status: "rejected", tag: "Refused" }]
      )
    }))

  test("are in the write-ahead log until it is emptied, and the report says who is in the way", (filename) =>
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const secret = marker()
      yield* controller.process(raw(parrot.next(content(secret, 200))))
      const reader = new Sqlite(filename)
      reader.exec("BEGIN")
      reader.prepare("SELECT count(*) FROM copies").get()
      yield* controller.process(raw(parrot.next(content(marker(), 20), true)))
      const blocked = yield* controller.collect({ vacuum: true })
      assert.deepInclude(blocked.file, { wal: "blocked", vacuumed: true })
      assert.include(search(filename, [secret]), "-wal")
      reader.exec("COMMIT")
      reader.close()
      assert.deepInclude((yield* controller.collect()).file, { wal: "emptied" })
      assert.deepStrictEqual(search(filename, [secret]), [])
    }))
})

describe("a collection", () => {
  test("forgets nothing by itself, and what is delivered again changes nothing", () =>
    Effect.gen(function* () {
      const controller = yield* open
      const { all, prune, writer } = yield* pruned(1, 20)
      const horse = yield* author(2)
      const discarded = raw(horse.next(after([writer.operations[19]!.id])))
      yield* controller.processAll(all.slice(0, 10))
      yield* controller.receiveAll(all.slice(10))
      yield* controller.drain
      const fork = raw(writer.sign(3, writer.operations[2]!.id, content(marker(), 30)))
      yield* controller.process(fork)
      yield* controller.process(prune)
      const cow = yield* author(3)
      cow.next(undefined)
      const waits = raw(cow.next(content(marker(), 20)))
      yield* controller.process(waits)
      yield* controller.discard(cow.operations[1]!.id, "no")
      const duck = yield* author(4)
      const shown = duck.next(content(marker(), 200))
      const gone = duck.next(content(marker(), 200))
      yield* controller.processAll([raw(shown), raw(gone), raw(duck.next(deletes([gone.id])))])
      const before = yield* dump
      assert.lengthOf(before.decisions, 23)
      const report = yield* controller.collect({ step: 7, vacuum: true })
      assert.deepInclude(report, { pruned: 0, discarded: 0, topics: 0 })
      assert.deepStrictEqual(report.processors["litter"], 24)
      assert.deepStrictEqual(yield* dump, before)
      yield* controller.processAll([...all, prune, fork, waits, ...duck.operations.map(raw)])
      yield* controller.receiveAll([...all, prune, fork, waits, ...duck.operations.map(raw)])
      yield* controller.drain
      yield* controller.replay()
      assert.deepStrictEqual(yield* dump, before)
      // A dependency on what was pruned is met.
      assert.deepInclude(yield* controller.process(discarded), { _tag: "Accepted" })
    }))

  test("forgets ids that are older than it is told; what comes again is known by the prune point", () =>
    Effect.gen(function* () {
      const controller = yield* open
      const { all, prune } = yield* pruned(1, 20)
      yield* controller.processAll([...all, prune])
      const cow = yield* author(3)
      cow.next(undefined)
      const waits = raw(cow.next(content(marker(), 20)))
      yield* controller.process(waits)
      yield* controller.discard(cow.operations[1]!.id, "no")
      const hours = yield* controller.collect({ prunedOlderThan: "1 hour", discardedOlderThan: "1 hour" })
      assert.deepInclude(hours, { pruned: 0, discarded: 0 })
      yield* Effect.sleep("5 millis")
      const before = yield* dump
      assert.deepInclude(yield* controller.collect({ prunedOlderThan: 0, step: 3 }), { pruned: 20, discarded: 0 })
      assert.lengthOf((yield* dump).decisions, 1)
      yield* controller.processAll(all.slice(0, 10))
      yield* controller.receiveAll(all.slice(10))
      yield* controller.drain
      assert.deepStrictEqual(yield* dump, before)
      assert.deepInclude(yield* controller.collect({ discardedOlderThan: 0 }), { pruned: 0, discarded: 1 })
      assert.deepInclude(yield* controller.process(waits), { _tag: "Deferred" })
    }))

  test("gives pages back to the file system where the file is set up for it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`PRAGMA auto_vacuum = INCREMENTAL`
      yield* sql`VACUUM`
      const controller = yield* open
      const parrot = yield* author(1)
      for (let nth = 0; nth < 5; nth++) yield* controller.process(raw(parrot.next(content(marker(), 200_000))))
      yield* controller.process(raw(parrot.next(content(marker(), 20), true)))
      const { file } = yield* controller.collect({ step: 100 })
      assert.isAbove(file?.pagesFreed ?? 0, 400)
      assert.deepInclude(file, { pagesFree: 0, vacuumed: false })
      assert.isBelow(file?.bytesAfter ?? Infinity, 1_000_000)
    }))

  test("leaves free pages to be used again, unless the file is rewritten", () =>
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      for (let nth = 0; nth < 5; nth++) yield* controller.process(raw(parrot.next(content(marker(), 200_000))))
      yield* controller.process(raw(parrot.next(content(marker(), 20), true)))
      const left = (yield* controller.collect()).file
      assert.deepInclude(left, { pagesFreed: 0, vacuumed: false })
      assert.isAbove(left?.pagesFree ?? 0, 400)
      const rewritten = (yield* controller.collect({ vacuum: true })).file
      assert.deepInclude(rewritten, { bytesBefore: left?.bytesAfter ?? 0, pagesFree: 0, vacuumed: true })
      assert.isAbove(rewritten?.pagesFreed ?? 0, 400)
    }))

  test("is refused inside a transaction", () =>
    Effect.gen(function* () {
      const controller = yield* open
      const error = yield* Effect.flip(Transaction.run(controller.collect({ vacuum: true })))
      assert.deepInclude(error, { _tag: "InsideTransaction", call: "collect" })
    }))

  test("lets other work in between", () =>
    Effect.gen(function* () {
      const controller = yield* open
      const { all, prune } = yield* pruned(1, 300)
      yield* controller.processAll([...all, prune])
      yield* Effect.sleep("5 millis")
      const parrot = yield* author(2)
      const collecting = yield* Effect.fork(controller.collect({ prunedOlderThan: 0, step: 1 }))
      while ((yield* controller.status).pruned === 300) yield* Effect.sleep("1 millis")
      assert.deepInclude(yield* controller.process(raw(parrot.next(content(marker(), 20)))), { _tag: "Accepted" })
      const { pruned: left } = yield* controller.status
      assert.isTrue(left > 0 && left < 300, `${left} of 300 are left`)
      assert.deepInclude(yield* Fiber.join(collecting), { pruned: 300 })
    }))

  test("is bounded: no transaction deletes more rows than a step has", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* directory, "watched.db")
      let rows = 0
      const perTransaction: Array<number> = []
      const watch: Database.Meddler = (sql, run) => {
        if (sql === "COMMIT") {
          perTransaction.push(rows)
          rows = 0
        }
        if (!/^DELETE FROM (applecart_decisions|litter)/.test(sql)) return run
        return Effect.tap(run, (gone) => Effect.sync(() => (rows += gone.length)))
      }
      yield* Effect.gen(function* () {
        const controller = yield* open
        const { all, prune } = yield* pruned(1, 500)
        yield* controller.processAll([...all, prune])
        yield* Effect.sleep("5 millis")
        perTransaction.length = 0
        const report = yield* controller.collect({ prunedOlderThan: 0, step: 10 })
        assert.deepInclude(report, { pruned: 500 })
        assert.strictEqual(report.processors["litter"], 501)
        assert.strictEqual(Math.max(...perTransaction), 10)
        assert.strictEqual(
          perTransaction.reduce((sum, one) => sum + one, 0),
          1001
        )
      }).pipe(Effect.provide(Database.meddled(filename, watch)))
    }))
})

describe("a collection that is cut short", () => {
  /** A closed database with garbage of all kinds, and what it looks like when all of it was collected. */
  const template = Effect.gen(function* () {
    const filename = path.join(yield* Database.directory, "template.db")
    yield* Effect.gen(function* () {
      const controller = yield* open
      const { all, prune } = yield* pruned(1, 30)
      yield* controller.processAll([...all, prune])
      yield* Effect.sleep("5 millis")
    }).pipe(Effect.scoped, Effect.provide(Database.plain(filename)))
    return filename
  })
  const everything = { prunedOlderThan: 0, step: 10, vacuum: true } as const
  const finish = Effect.gen(function* () {
    const controller = yield* open
    const report = yield* controller.collect(everything)
    assert.deepInclude(report.file, { wal: "emptied", vacuumed: true })
    assert.deepStrictEqual(yield* (yield* SqlClient.SqlClient)`PRAGMA integrity_check`, [{ integrity_check: "ok" }])
    const parrot = yield* author(9)
    assert.deepInclude(yield* controller.process(raw(parrot.next(undefined))), { _tag: "Accepted" })
    return { ...(yield* dump), litter: yield* (yield* SqlClient.SqlClient)`SELECT id FROM litter` }
  }).pipe(Effect.scoped)

  it.scopedLive("by a fault at any statement breaks nothing, and the next one finishes", () =>
    Effect.gen(function* () {
      const from = yield* template
      const statements = yield* Database.withCopy(from, (filename) =>
        Effect.gen(function* () {
          const faults = yield* SqlFaults.SqlFaults
          const controller = yield* open
          yield* faults.reset
          yield* controller.collect(everything)
          return yield* faults.statements
        }).pipe(Effect.scoped, Effect.provide(Database.meddled(filename)))
      )
      const expected = yield* Database.withCopy(from, (filename) => Effect.provide(finish, Database.plain(filename)))
      assert.isAbove(statements.length, 40)
      assert.include(statements, "VACUUM")
      assert.include(statements, "PRAGMA wal_checkpoint(TRUNCATE)")
      let failed = 0
      for (let at = 1; at <= statements.length; at++) {
        for (const fault of [SqlFaults.failBefore("full"), SqlFaults.failAfter("io"), SqlFaults.failBefore("busy")]) {
          yield* Database.withCopy(from, (filename) =>
            Effect.gen(function* () {
              const faults = yield* SqlFaults.SqlFaults
              const exit = yield* Effect.scoped(
                Effect.gen(function* () {
                  const controller = yield* open
                  yield* faults.reset
                  yield* faults.arm({ at, fault })
                  return yield* Effect.exit(controller.collect(everything))
                })
              )
              yield* faults.disarm
              if (Exit.isFailure(exit)) {
                failed++
                assert.isTrue(Cause.isFailure(exit.cause), `${statements[at - 1]}: ${Cause.pretty(exit.cause)}`)
              }
              assert.deepStrictEqual(yield* finish, expected, `${fault._tag} at ${at}: ${statements[at - 1]}`)
            }).pipe(Effect.provide(Database.meddled(filename)))
          )
        }
      }
      assert.isAbove(failed, statements.length)
    }).pipe(Effect.provide(Crypto.layer))
  )

  it.scopedLive("by an interruption breaks nothing, and the next one finishes", () =>
    Effect.gen(function* () {
      const from = yield* template
      const expected = yield* Database.withCopy(from, (filename) => Effect.provide(finish, Database.plain(filename)))
      let interrupted = 0
      for (let turns = 0; turns < 20; turns++) {
        yield* Database.withCopy(from, (filename) =>
          Effect.gen(function* () {
            const exit = yield* Effect.scoped(
              Effect.gen(function* () {
                const controller = yield* open
                const collecting = yield* Effect.fork(controller.collect({ ...everything, step: 3 }))
                for (let turn = 0; turn < turns; turn++) yield* Effect.promise(() => new Promise(setImmediate))
                return yield* Fiber.interrupt(collecting)
              })
            )
            if (Exit.isInterrupted(exit)) interrupted++
            assert.deepStrictEqual(yield* finish, expected)
          }).pipe(Effect.provide(Database.plain(filename)))
        )
      }
      assert.isAbove(interrupted, 5)
    }).pipe(Effect.provide(Crypto.layer))
  )
})
