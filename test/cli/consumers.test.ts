/** Verbs about consumers: what they ask for is carried out by the controller that has the handlers. */
import { assert, describe, it } from "@effect/vitest"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { readdirSync } from "node:fs"
import * as Cbor from "../../src/core/Cbor.ts"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Hash from "../../src/core/Hash.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Moment from "../../src/cli/Moment.ts"
import * as Migrations from "../../src/store/Migrations.ts"
import * as Tables from "../../src/store/Tables.ts"
import * as Peer from "../support/Peer.ts"
import * as Reading from "../support/Reading.ts"
import { directory, last, live, objects, read, run, vector } from "./cli.ts"

const readers = () => [Reading.reader("one"), Reading.reader("odd", 1, (n) => n % 2 === 0)]

type Controller = Effect.Effect.Success<ReturnType<typeof Reading.open>>

/** Opens the controller that has the handlers, does something, and closes it. */
const owner = <A, E>(
  db: string,
  use: (controller: Controller) => Effect.Effect<A, E, SqlClient.SqlClient>,
  consumers = readers()
) =>
  // How much a puller takes at once depends on it.
  Reading.open(consumers, Reading.application(), { batchSize: 100 }).pipe(
    Effect.flatMap(use),
    Effect.scoped,
    Effect.provide(SqliteClient.layer({ filename: db })),
    Effect.orDie
  )

/** What the program does when it runs next; and what a reader has noted then. */
const drained = (db: string, name: string) =>
  owner(db, (controller) => Effect.zipRight(controller.drain, Reading.noted(name)))

/**
 * A database with two readers, of which `odd` parks 2 and 4. 1 to 3 are under `apples`, of an author whose clock says August 2026,
 * and were accepted on 1 January 1970; 4 and 5 are our own under `pears`, a day later.
 */
const made = Effect.gen(function* () {
  const path = yield* directory
  const db = path("a.db")
  const crypto = yield* Crypto.Crypto
  const topic = Topic.named(crypto, "apples")
  const author = new Peer.Author(crypto, 1, topic)
  // The clock is one for all tests of this file.
  yield* TestClock.setTime(0)
  yield* owner(db, (controller) =>
    Effect.gen(function* () {
      for (const n of [1, 2, 3]) {
        const { body, headerBytes } = author.next(yield* Cbor.encode({ n }))
        yield* controller.process({ header: headerBytes, body }, { topic })
      }
      yield* TestClock.setTime(24 * 3600 * 1000)
      const own = { key: Peer.signingKey(2), topic: Topic.named(crypto, "pears") }
      for (const n of [4, 5]) yield* controller.publish({ ...own, message: { n } })
      yield* controller.drain
    })
  )
  return { path, db, author: String(author.operations[0]?.header.verifyingKey) }
})

/** Runs a verb on a database; gives its objects, and its error if it had one. */
const asked = (db: string, ...args: ReadonlyArray<string>) =>
  Effect.map(run([...args, "--db", db, "--json"]), ({ code, err, out }) => {
    const [error] = objects(err)
    return { code, items: objects(out), error: error?.["error"], message: String(error?.["message"]) }
  })

const consumer = (db: string, name: string) =>
  Effect.map(asked(db, "consumers"), ({ items }) => items.find((item) => item["name"] === name) ?? {})

const replays = (db: string) =>
  Effect.map(asked(db, "consumers"), ({ items }) => items.filter((item) => item["replay"] !== undefined))

it.layer(live)((it) => {
  describe("consumers", () => {
    it.scoped("are listed with their places and what they have parked, and counted by status", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        const { items } = yield* asked(db, "consumers")
        assert.deepStrictEqual(
          items,
          ["app", "one", "odd"].map((name) => ({
            name,
            role: name === "app" ? "application" : "reader",
            version: 1,
            state: "live",
            position: 5,
            paused: false,
            lag: 0,
            parked: name === "odd" ? 2 : 0,
            inFlight: 0
          }))
        )
        const people = (yield* run(["consumers", "--db", db])).out
        assert.match(people, /^name +role +version +state +position +lag +parked +in flight\n/)
        assert.match(people, /\nodd +reader +1 +live +5 +0 +2 +0\n/)
        const counted = last(yield* run(["status", "--db", db, "--json"]))
        assert.deepInclude(counted, { consumers: 3, lag: 0, parked: 2, inFlight: 0, replays: 0, rejected: 0 })
        assert.match((yield* run(["status", "--db", db])).out, /consumers +3 +all of them up to date, 2 parked: /)
      })
    )

    it.scoped("that are behind, are built, or wait to be emptied are told as that", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        yield* owner(db, () => Effect.void, [Reading.reader("one", 2), ...readers().slice(1), Reading.reader("late")])
        assert.deepInclude(yield* consumer(db, "one"), { state: "reset", version: 2 })
        assert.deepInclude(yield* consumer(db, "late"), { state: "building", position: 0, lag: 5 })
        const people = (yield* run(["consumers", "--db", db])).out
        assert.match(people, /one +reader +2 +to be reset /)
        assert.match(people, /late +reader +1 +building 0 % /)
        assert.match((yield* run(["status", "--db", db])).out, /consumers +4 +up to 5 positions behind, 2 parked/)
        const reset = yield* asked(db, "replay", "--consumer", "one")
        assert.deepStrictEqual([reset.code, reset.error], [1, "UsageError"])
        assert.include(reset.message, "handed everything again")
        assert.deepStrictEqual(yield* replays(db), [])
      })
    )

    it.scoped("that pull are listed with what is in somebody's hands, paused, and replayed", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        yield* owner(db, (controller) => Stream.runDrain(Stream.take(controller.pull("mail", { inFlight: 2 }), 1)))
        assert.deepInclude(yield* consumer(db, "mail"), { role: "puller", position: 2, lag: 3, inFlight: 2 })
        assert.match((yield* run(["status", "--db", db])).out, /up to 3 positions behind, 2 parked, 2 in flight/)
        assert.strictEqual((yield* asked(db, "pause", "mail")).code, 0)
        const replay = yield* asked(db, "replay", "--consumer", "mail", "--to", "1")
        assert.deepStrictEqual(replay.items, [{ consumer: "mail", replay: 1, from: 1, to: 1 }])
        yield* drained(db, "one")
        assert.deepStrictEqual(yield* replays(db), [])
      })
    )
  })

  describe("parked", () => {
    it.scoped("operations are listed page by page, and handed over again when that is asked for", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        const parked = yield* asked(db, "parked", "odd")
        const logged = (yield* asked(db, "log")).items
        assert.deepStrictEqual(
          parked.items.map(({ attempts, data, error, id, position, since }) => [
            position,
            attempts,
            error,
            id,
            since,
            data
          ]),
          [
            [2, 1, "Unlucky", logged[1]?.["id"], "1970-01-02T00:00:00.000Z", { _tag: "Unlucky", n: 2 }],
            [4, 1, "Unlucky", logged[3]?.["id"], "1970-01-02T00:00:00.000Z", { _tag: "Unlucky", n: 4 }]
          ]
        )
        const page = (...args: ReadonlyArray<string>) =>
          Effect.map(asked(db, "parked", "odd", ...args), ({ items }) => items.map(({ position }) => position))
        assert.deepStrictEqual(yield* page("--limit", "1"), [2])
        assert.deepStrictEqual(yield* page("--after", "2"), [4])
        assert.deepStrictEqual(yield* page("--after", "4"), [])
        const first = (yield* run(["parked", "odd", "--limit", "1", "--db", db])).out
        assert.match(first, /^position 2, [0-9a-f]{16}: Unlucky, tried once since 1970-01-02 00:00:00Z\n {2}.*2/)
        assert.include(first, "More of them: applecart parked odd --after 2\n")
        assert.include((yield* run(["parked", "one", "--db", db])).out, "Nothing of one is parked")

        assert.deepStrictEqual((yield* asked(db, "retry", "odd", "2", "2")).items, [{ consumer: "odd", retried: 1 }])
        assert.deepInclude((yield* asked(db, "parked", "odd")).items[0], { notBefore: "1970-01-02T00:00:00.000Z" })
        assert.match((yield* run(["parked", "odd", "--db", db])).out, /00Z, again when its program runs\n/)
        yield* drained(db, "odd")
        const attempts = Effect.map(asked(db, "parked", "odd"), ({ items }) => items.map(({ attempts }) => attempts))
        assert.deepStrictEqual(yield* attempts, [2, 1])
        const some = yield* asked(db, "retry", "odd", "4", "5")
        assert.deepStrictEqual(
          [some.code, some.items, some.error],
          [1, [{ consumer: "odd", retried: 1 }], "Incomplete"]
        )
        const all = yield* run(["retry", "odd", "--db", db])
        assert.match(all.out, /^Asked for 2 parked operations to be handed to odd again\. The program/)
        const lucky = [Reading.reader("one"), Reading.reader("odd")]
        yield* owner(db, (controller) => controller.drain, lucky)
        assert.deepStrictEqual((yield* asked(db, "parked", "odd")).items, [])
        assert.strictEqual(yield* drained(db, "odd"), "1 3 5 2 4")
        assert.strictEqual((yield* run(["retry", "odd", "--db", db])).out, "Nothing of that is parked by odd.\n")
      })
    )
  })

  describe("pause and resume", () => {
    it.scoped("hold a consumer where it is, also what was asked of it, and let it go on", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        assert.deepStrictEqual((yield* asked(db, "pause", "one")).items, [{ consumer: "one", paused: true }])
        assert.include((yield* run(["pause", "odd", "--db", db])).out, "applecart resume odd")
        assert.include((yield* run(["retry", "odd", "--db", db])).out, "after applecart resume odd")
        assert.include((yield* run(["replay", "--consumer", "one", "--db", db])).out, "after applecart resume one")
        assert.match((yield* run(["consumers", "--db", db])).out, /one +reader +1 +paused /)
        assert.strictEqual(yield* drained(db, "one"), "1 2 3 4 5")
        assert.deepInclude((yield* replays(db))[0], { replay: 1, consumer: "one", position: 0, until: 5, handled: 0 })
        assert.deepStrictEqual((yield* asked(db, "resume", "one")).items, [{ consumer: "one", paused: false }])
        assert.strictEqual(yield* drained(db, "one"), "1 2 3 4 5 1* 2* 3* 4* 5*")
      })
    )
  })

  describe("replay --consumer", () => {
    it.scoped("hands over again what is meant, by position, topic, author and either clock, as a dry run says", () =>
      Effect.gen(function* () {
        const { author, db } = yield* made
        const cases: ReadonlyArray<readonly [string, string]> = [
          ["", "1 2 3 4 5"],
          ["--from 2 --to 4", "2 3 4"],
          ["--to 99 --from=5", "5"],
          ["--from 6", ""],
          ["--topic apples", "1 2 3"],
          [`--author ${author}`, "1 2 3"],
          [`--author ${author} --topic pears`, ""],
          ["--accepted-since 1970-01-02", "4 5"],
          ["--accepted-until 1970-01-02", "1 2 3"],
          ["--accepted-since 1970-01-02T00:30+01:00 --from 5", "5"],
          ["--written-since 2026-08-01T12:00:00Z", "1 2 3"],
          ["--written-until 2026-08-01", "4 5"],
          ["--written-since 2026-08-01 --written-until 2026-09-01 --to 2", "1 2"]
        ]
        let before = "1 2 3 4 5"
        for (const [text, expected] of cases) {
          const options = text.split(" ").filter((word) => word !== "")
          const meant = expected.split(" ").filter((word) => word !== "")
          const plan = yield* asked(db, "replay", "--consumer", "one", ...options, "--dry-run")
          const operations = meant.length
          assert.deepInclude(plan.items[0], { consumer: "one", dryRun: true, operations, withoutBody: 0 }, text)
          assert.strictEqual(plan.items[0]?.["first"], operations === 0 ? undefined : Number(meant[0]), text)
          assert.strictEqual(plan.items[0]?.["last"], operations === 0 ? undefined : Number(meant.at(-1)), text)
          assert.deepStrictEqual(yield* replays(db), [])
          assert.strictEqual((yield* asked(db, "replay", "--consumer", "one", ...options)).code, 0, text)
          assert.lengthOf(yield* replays(db), 1)
          const after = yield* drained(db, "one")
          const again = meant.map((n) => ` ${n}*`).join("")
          assert.strictEqual(after, before + again, text)
          assert.deepStrictEqual(yield* replays(db), [], text)
          before = after
        }
        assert.deepInclude(yield* consumer(db, "one"), { position: 5, lag: 0 })
        assert.strictEqual(yield* drained(db, "odd"), "1 3 5")
      })
    )

    it.scoped("is told to people, with its progress, until it is done or cancelled", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        const plan = ["replay", "--consumer", "odd", "--topic", "apples", "--accepted-since", "1970-01-01", "--db", db]
        const dry = (yield* run([...plan, "--dry-run"])).out
        assert.include(dry, "Would hand odd 3 operations again: positions 1 to 3, 1 author, 1 known topic.\n")
        assert.match((yield* run(plan)).out, /^Asked for replay 1 of odd, positions 1 to 5\. The program/)
        assert.match((yield* run([...plan, "--from", "3", "--to", "4"])).out, /replay 2 of odd, positions 3 to 4\./)
        assert.include(
          (yield* run(["consumers", "--db", db])).out,
          "Replay 1 of odd (topic 15de7c8f, accepted since 1970-01-01 00:00:00Z): at position 0 of 5 (0 %), 0 handled, 0 parked"
        )
        assert.deepInclude((yield* replays(db))[1], { replay: 2, from: 3, to: 4, position: 2, until: 4, parked: 0 })
        assert.match((yield* run(["status", "--db", db])).out, /2 parked, 2 replays: applecart consumers/)
        const cancelled = yield* asked(db, "cancel", "1")
        assert.deepStrictEqual(cancelled.items, [{ replay: 1, consumer: "odd", position: 0, handled: 0, parked: 0 }])
        assert.strictEqual(yield* drained(db, "odd"), "1 3 5 3*")
        for (const [number, state] of [
          ["1", "was cancelled before"],
          ["2", "is done"],
          ["3", "is not known here"]
        ] as const) {
          const again = yield* asked(db, "cancel", number)
          assert.deepStrictEqual([again.code, again.error], [1, "NotRunning"])
          assert.strictEqual(again.message, `Replay ${number} ${state}. Those that are not done: none.`)
        }
      })
    )

    it.scoped("is carried out by a program that is running, when it looks next", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        yield* owner(db, (controller) =>
          Effect.gen(function* () {
            yield* Effect.fork(controller.run)
            const replay = run(["replay", "--consumer", "one", "--from", "5", "--db", db])
            assert.strictEqual((yield* Effect.provide(replay, live)).code, 0)
            for (let second = 0; second < 5 && (yield* controller.consumers.replays).length > 0; second++) {
              yield* TestClock.adjust("1 second")
              yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 50)))
            }
            assert.strictEqual(yield* Reading.noted("one"), "1 2 3 4 5 5*")
          })
        )
      })
    )

    it.scoped("counts what has no body any more", () =>
      Effect.gen(function* () {
        const { db } = yield* made
        const id = String((yield* asked(db, "log")).items[3]?.["id"])
        if (!Hash.is(id)) return assert.fail("nothing was published")
        yield* owner(db, (controller) =>
          Effect.gen(function* () {
            const topic = Topic.named(yield* Crypto.Crypto, "pears")
            yield* controller.publish({ key: Peer.signingKey(2), topic, deletes: [id] })
            yield* controller.drain
          }).pipe(Effect.provide(Crypto.layer))
        )
        const plan = yield* run(["replay", "--consumer", "one", "--topic", "pears", "--dry-run", "--db", db])
        assert.match(plan.out, /positions 4 to 6, .*\n {2}1 of them without body: it was deleted, or skipped\.\n/)
      })
    )
  })

  describe("wrong input", () => {
    it.scoped("changes nothing, and says what there is", () =>
      Effect.gen(function* () {
        const { db, path } = yield* made
        const before = read(db)
        const unknown = ["parked two", "retry two", "pause two", "resume two", "replay --consumer two"]
        for (const verb of [...unknown, "replay --consumer two --dry-run", "pause app", "resume app"]) {
          const { code, error, items, message } = yield* asked(db, ...verb.split(" "))
          assert.deepStrictEqual([code, error, items], [1, "UnknownConsumer", []], verb)
          assert.include(message, '"one", "odd"', verb)
        }
        const usage = [
          "--from 2",
          "--to 2",
          "--accepted-since 1970-01-01",
          "--accepted-until 1970-01-01",
          "--dry-run",
          "--written-since 1970-01-01",
          "--written-until 1970-01-01",
          "--topic apples --from 1"
        ]
        for (const options of usage) {
          const { code, error, message } = yield* asked(db, "replay", ...options.split(" "))
          assert.deepStrictEqual([code, error], [1, "UsageError"], options)
          assert.include(message, "--consumer NAME", options)
        }
        for (const options of [
          "--from 0",
          "--from 1.5",
          "--to x",
          "--from 3 --to 2",
          "--from -1",
          "--author me",
          "--accepted-since yesterday",
          "--written-until 2026-02-30",
          "--accepted-since 10:00",
          "--accepted-since 1970-01-02 --accepted-until 1970-01-02",
          "--written-since 1970-01-03 --written-until 1970-01-02"
        ]) {
          const { code, error } = yield* asked(db, "replay", "--consumer", "one", ...options.split(" "))
          assert.deepStrictEqual([code, error], [1, "UsageError"], options)
        }
        for (const verb of [
          "parked",
          "retry",
          "retry odd x",
          "retry odd 0",
          "pause",
          "cancel",
          "cancel x",
          "cancel 0"
        ]) {
          const { code, error } = yield* asked(db, ...verb.split(" "))
          assert.deepStrictEqual([code, error], [1, "UsageError"], verb)
        }
        assert.strictEqual((yield* asked(db, "parked", "odd", "--after", "-1")).code, 1)
        assert.deepStrictEqual(read(db), before)
        assert.deepStrictEqual(readdirSync(path("")), ["a.db", "a.db-own"])
      })
    )

    it.scoped("of a database: one that is not there, and one of an older version", () =>
      Effect.gen(function* () {
        const path = yield* directory
        const verbs = ["consumers", "parked x", "retry x", "pause x", "resume x", "replay --consumer x", "cancel 1"]
        const all = [...verbs, "replay --consumer x --dry-run"]
        for (const verb of all) assert.strictEqual((yield* asked(path("a.db"), ...verb.split(" "))).error, "NoDatabase")
        assert.deepStrictEqual(readdirSync(path("")), [])
        const before = Tables.migrations.slice(
          0,
          Tables.migrations.findIndex(({ name }) => name === "consumers")
        )
        yield* Migrations.run([{ owner: Tables.owner, migrations: before }]).pipe(
          Effect.provide(SqliteClient.layer({ filename: path("old.db") }))
        )
        for (const verb of all) {
          assert.strictEqual((yield* asked(path("old.db"), ...verb.split(" "))).error, "OldDatabase", verb)
        }
        const status = yield* asked(path("old.db"), "status")
        assert.strictEqual(status.code, 0)
        assert.notProperty(status.items[0], "consumers")
        yield* run(["ingest", vector("pruned.cbor"), "--db", path("own.db")])
        assert.deepInclude((yield* asked(path("own.db"), "status")).items[0], { consumers: 0, lag: 0, parked: 0 })
      })
    )
  })

  it("reads moments in UTC unless they say otherwise, and only those that there are", () => {
    const at = (text: string) =>
      Option.getOrUndefined(Option.map(Moment.parse(text), (at) => new Date(at).toISOString()))
    assert.strictEqual(at("2026-01-31"), "2026-01-31T00:00:00.000Z")
    assert.strictEqual(at("2026-01-31T12:00"), "2026-01-31T12:00:00.000Z")
    assert.strictEqual(at("2026-01-31 12:00:01Z"), "2026-01-31T12:00:01.000Z")
    assert.strictEqual(at("2026-01-31T12:00:00.5+0130"), "2026-01-31T10:30:00.500Z")
    assert.strictEqual(at("2024-02-29t12:00:00-01:00"), "2024-02-29T13:00:00.000Z")
    const wrong = [
      "",
      "now",
      "2026",
      "2026-1-1",
      "2026-02-29",
      "2026-01-01T25:00",
      "2026-01-01T12",
      "12:00",
      "1769860800"
    ]
    for (const text of wrong) assert.isUndefined(at(text), text)
  })
})
