import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Scope } from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Crypto from "../../src/core/Crypto.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as Topic from "../../src/core/Topic.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Policy from "../../src/pipeline/Policy.ts"
import * as Forks from "../../src/store/Forks.ts"
import * as Transaction from "../../src/store/Transaction.ts"
import * as SqlFaults from "../../src/testing/SqlFaults.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Apples from "../support/Apples.ts"
import { Author, database, signingKey, state } from "../support/Peer.ts"

const environment = Layer.merge(database, Crypto.layer)
const test = <A, E>(name: string, self: Effect.Effect<A, E, SqlClient.SqlClient | Crypto.Crypto | Scope>) =>
  it.scoped(name, () => Effect.provide(Effect.zipRight(Apples.tables, self), environment))

const open = StreamController.make({ pipeline: Apples.pipeline, application: Apples.application })
const topicOf = (crypto: Crypto.Service) => Topic.named(crypto, "apples")
const author = (seed: number) => Effect.map(Crypto.Crypto, (crypto) => new Author(crypto, seed, topicOf(crypto)))
const pick = (apples: number, by = "parrot") => Apples.body({ pick: apples, by })
const give = (apples: number, from = "parrot", to = "horse") => Apples.body({ give: apples, from, to })

describe("process", () => {
  test(
    "accepts in the order of the log, once",
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const first = Operation.raw(parrot.next(pick(10)))
      const second = Operation.raw(parrot.next(give(4)))
      assert.deepStrictEqual(yield* controller.process(second), {
        _tag: "Deferred",
        id: parrot.operations[1]!.id,
        processor: "log-integrity",
        until: [parrot.operations[0]!.id]
      })
      assert.deepInclude(yield* controller.process(first), { _tag: "Accepted", position: 1 })
      // what waited was woken in the same transaction
      assert.deepStrictEqual(yield* controller.process(second), {
        _tag: "Known",
        id: parrot.operations[1]!.id,
        where: "accepted"
      })
      const { baskets, handled } = yield* Apples.dump
      assert.deepStrictEqual(baskets, [
        { owner: "horse", apples: 4 },
        { owner: "parrot", apples: 6 }
      ])
      assert.deepStrictEqual(
        handled,
        parrot.operations.map(({ id }, index) => ({ id, position: index + 1 }))
      )
      assert.deepInclude(yield* controller.status, {
        accepted: 2,
        queued: 0,
        waiting: 0,
        rejected: 0,
        logs: 1,
        position: 2
      })
    })
  )

  test(
    "a typed failure of the handler undoes the operation in all layers and keeps it with its reason",
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const horse = yield* author(2)
      const outcome = yield* controller.process(Operation.raw(parrot.next(give(4))))
      assert.deepInclude(outcome, { _tag: "Rejected", processor: "apples", attempts: 1, next: { _tag: "Held" } })
      assert.isTrue(outcome._tag === "Rejected" && outcome.error instanceof Apples.NotEnoughApples)
      assert.deepStrictEqual(yield* Apples.dump, { baskets: [], handled: [] })
      const { inbox, logs, operations } = yield* state
      assert.deepStrictEqual([operations, logs], [[], []])
      assert.deepInclude(inbox[0], { status: "rejected", processor: "apples", reason: "NotEnoughApples" })
      // its log waits behind it, another one goes on
      assert.deepInclude(yield* controller.process(Operation.raw(parrot.next(pick(1)))), { _tag: "Deferred" })
      assert.deepInclude(yield* controller.process(Operation.raw(horse.next(pick(9)))), { _tag: "Accepted" })
    })
  )

  test(
    "a replay accepts what was rejected once its reason is gone",
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const horse = yield* author(2)
      yield* controller.process(Operation.raw(parrot.next(give(4))))
      assert.deepStrictEqual(yield* controller.replay(), { accepted: 0, waiting: 0, rejected: 1 })
      yield* controller.process(Operation.raw(horse.next(pick(4, "parrot"))))
      assert.deepStrictEqual(yield* controller.replay(), { accepted: 1, waiting: 0, rejected: 0 })
      assert.deepStrictEqual((yield* Apples.dump).baskets, [{ owner: "horse", apples: 4 }])
    })
  )

  test(
    "a fork is rejected with both headers as evidence, also in one batch",
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const one = parrot.next(pick(1))
      const other = parrot.sign(0, undefined, pick(2))
      const child = parrot.sign(1, other.id, pick(3))
      const [, second, third] = yield* controller.processAll([one, other, child].map(Operation.raw))
      assert.deepInclude(second, { _tag: "Rejected", processor: "log-integrity" })
      assert.deepInclude(third, { _tag: "Rejected", processor: "log-integrity" })
      assert.deepStrictEqual(
        (yield* Forks.all).map(({ accepted, other, seqNum }) => ({ accepted, other, seqNum })),
        [other, child].map(({ headerBytes }) => ({ accepted: one.headerBytes, other: headerBytes, seqNum: 0 }))
      )
      // the honest log goes on
      assert.deepInclude(yield* controller.process(Operation.raw(parrot.next(pick(4)))), { _tag: "Accepted" })
    })
  )
})

/** A controller whose handler does something odd with the body "odd", and accepts everything else. */
const odd = <E, R>(
  handle: Effect.Effect<unknown, E, R>,
  options?: { readonly timeLimit?: number; readonly batchSize?: number }
) =>
  StreamController.make({
    pipeline: Apples.pipeline,
    batchSize: options?.batchSize,
    application: Application.bytes({
      name: "odd",
      version: 1,
      timeLimit: options?.timeLimit ?? 10_000,
      handle: ({ event, message }) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`INSERT INTO handled (id, position) VALUES (${event.id}, 0)`
          if (message !== undefined && new TextDecoder().decode(message) === "odd") yield* handle
        })
    })
  })
const text = (value: string) => new TextEncoder().encode(value)

/** Three authors' operations in one batch, the second one's odd: what becomes of it, with the others accepted. */
const among = <E, R>(handle: Effect.Effect<unknown, E, R>, options?: { readonly timeLimit?: number }) =>
  Effect.gen(function* () {
    const controller = yield* odd(handle, options)
    const [a, b, c] = yield* Effect.all([author(1), author(2), author(3)])
    const operations = [a.next(text("a")), b.next(text("odd")), c.next(text("c"))]
    const [first, second, third] = yield* controller.processAll(operations.map(Operation.raw))
    assert.deepInclude(first, { _tag: "Accepted" })
    assert.deepInclude(third, { _tag: "Accepted" })
    const { handled } = yield* Apples.dump
    assert.deepStrictEqual(handled.map(({ id }) => id).sort(), [operations[0]!.id, operations[2]!.id].sort())
    assert.deepInclude(yield* controller.status, { accepted: 2, rejected: 1, position: 2 })
    if (second?._tag !== "Rejected") return assert.fail(`expected a rejection, got ${second?._tag}`)
    return second
  })
const statement = (text: string) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text))

describe("a handler that", () => {
  test(
    "violates a constraint is rejected",
    Effect.gen(function* () {
      yield* statement("CREATE TABLE small (n INTEGER CHECK (n < 10))")
      const { error } = yield* among(statement("INSERT INTO small VALUES (11)"))
      assert.deepInclude(error, { _tag: "StatementFailed", code: "SQLITE_CONSTRAINT_CHECK", constraint: true })
    })
  )

  test(
    "violates a deferred constraint is found at the commit, and the rest of the batch passes",
    Effect.gen(function* () {
      yield* statement("CREATE TABLE parents (n INTEGER PRIMARY KEY)")
      yield* statement("CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
      const { error } = yield* among(statement("INSERT INTO children VALUES (7)"))
      assert.deepInclude(error, { _tag: "StatementFailed", constraint: true })
    })
  )

  test(
    "uses a table that is not there is rejected",
    Effect.gen(function* () {
      assert.deepInclude((yield* among(statement("INSERT INTO nowhere VALUES (1)"))).error, {
        _tag: "StatementFailed",
        constraint: false
      })
    })
  )

  test(
    "breaks the commit on its retry as well is found each time, and does not stop the rest",
    Effect.gen(function* () {
      yield* statement("CREATE TABLE parents (n INTEGER PRIMARY KEY)")
      yield* statement("CREATE TABLE children (n INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)")
      const controller = yield* StreamController.make({
        pipeline: Apples.pipeline,
        policy: () => Policy.retry(Schedule.spaced("1 second").pipe(Schedule.intersect(Schedule.recurs(1)))),
        application: Application.bytes({
          name: "orphans",
          version: 1,
          handle: ({ message }) => (message?.[0] === 1 ? statement("INSERT INTO children VALUES (7)") : Effect.void)
        })
      })
      const [a, b] = yield* Effect.all([author(1), author(2)])
      const answers = yield* controller.processAll(
        [a.next(Uint8Array.of(1)), b.next(Uint8Array.of(2))].map(Operation.raw)
      )
      assert.deepStrictEqual(
        answers.map(({ _tag }) => _tag),
        ["Rejected", "Accepted"]
      )
      yield* TestClock.adjust("2 seconds")
      yield* controller.receive(Operation.raw(b.next(Uint8Array.of(3))))
      assert.deepStrictEqual(yield* controller.drain, { accepted: 1, waiting: 0, rejected: 1 })
      yield* statement("INSERT INTO parents VALUES (7)")
      assert.deepStrictEqual(yield* controller.replay(), { accepted: 1, waiting: 0, rejected: 0 })
    })
  )

  test(
    "throws is rejected, tried again, and held after three attempts",
    Effect.gen(function* () {
      const { error, next } = yield* among(
        Effect.sync(() => {
          throw new Error("a bug")
        })
      )
      assert.strictEqual(error._tag, "Defect")
      assert.include(error.message, "a bug")
      assert.deepStrictEqual(next, { _tag: "Retry", at: 100 })
    })
  )

  test(
    "interrupts itself is rejected",
    Effect.gen(function* () {
      assert.strictEqual((yield* among(Effect.interrupt)).error._tag, "Defect")
    })
  )

  test(
    "commits or begins by itself is rejected",
    Effect.gen(function* () {
      assert.deepInclude((yield* among(statement("COMMIT"))).error, { _tag: "StatementFailed" })
    })
  )

  test(
    "never ends is stopped, and the rest of the batch passes",
    Effect.gen(function* () {
      const running = yield* Effect.fork(among(Effect.never, { timeLimit: 1000 }))
      yield* TestClock.adjust("3 seconds")
      // real work lies between the timers: give it turns until it is through
      yield* Effect.repeat(
        Effect.zipRight(
          TestClock.adjust("1 second"),
          Effect.promise(() => new Promise((done) => setTimeout(done, 5)))
        ),
        { until: () => Effect.map(Fiber.poll(running), Option.isSome) }
      )
      assert.deepInclude((yield* Fiber.join(running)).error, { _tag: "TimeLimitExceeded", limitMillis: 1000 })
    })
  )

  test(
    "nests a transaction of its own gets a savepoint",
    Effect.gen(function* () {
      const { error } = yield* among(
        Effect.flatMap(SqlClient.SqlClient, (sql) =>
          Effect.zipRight(
            Effect.ignore(
              sql.withTransaction(Effect.zipRight(sql`INSERT INTO baskets VALUES ('undone', 1)`, Effect.fail("inner")))
            ),
            sql.withTransaction(sql`INSERT INTO baskets VALUES ('kept', 1)`)
          ).pipe(
            Effect.zipRight(sql`SELECT owner FROM baskets`),
            Effect.flatMap((rows) => Effect.fail({ _tag: "Seen" as const, rows }))
          )
        )
      )
      assert.deepStrictEqual(error, { _tag: "Seen", rows: [{ owner: "kept" }] })
      assert.deepStrictEqual((yield* Apples.dump).baskets, [])
    })
  )

  test(
    "detaches work finds its transaction closed",
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const late = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const detached = Deferred.await(closed).pipe(
        Effect.zipRight(Effect.exit(statement("INSERT INTO baskets VALUES ('late', 1)"))),
        Effect.flatMap((exit) => Deferred.succeed(late, exit))
      )
      const controller = yield* odd(Effect.forkDaemon(detached))
      const parrot = yield* author(1)
      assert.deepInclude(yield* controller.process(Operation.raw(parrot.next(text("odd")))), { _tag: "Accepted" })
      yield* Deferred.succeed(closed, undefined)
      assert.isTrue(Exit.isFailure(yield* Deferred.await(late)))
      assert.deepStrictEqual((yield* Apples.dump).baskets, [])
    })
  )

  test(
    "publishes from inside is told so instead of waiting for itself",
    Effect.gen(function* () {
      const parrot = yield* author(1)
      let inner: unknown
      let drain: Effect.Effect<unknown, unknown> = Effect.void
      const controller = yield* StreamController.make({
        pipeline: Apples.pipeline,
        application: Application.bytes({
          name: "nested",
          version: 1,
          handle: () =>
            Effect.catchAll(
              Effect.suspend(() => drain),
              (error) =>
                Effect.sync(() => {
                  inner = error
                })
            )
        })
      })
      drain = controller.drain
      yield* controller.process(Operation.raw(parrot.next(text("x"))))
      assert.deepInclude(inner, { _tag: "InsideTransaction", call: "drain" })
    })
  )

  test(
    "hands a call of the controller to afterCommit has it run when the transaction is over",
    Effect.gen(function* () {
      const crypto = yield* Crypto.Crypto
      let echo: Effect.Effect<unknown> = Effect.void
      const controller = yield* StreamController.make({
        pipeline: Apples.pipeline,
        application: Application.bytes({
          name: "echo",
          version: 1,
          handle: ({ message }) =>
            message?.[0] === 1 ? Transaction.afterCommit(Effect.suspend(() => echo)) : Effect.void
        })
      })
      const answer = { key: signingKey(9), topic: topicOf(crypto), message: Uint8Array.of(2) }
      echo = Effect.orDie(controller.publish(answer))
      const parrot = yield* author(1)
      yield* controller.process(Operation.raw(parrot.next(Uint8Array.of(1))))
      assert.deepInclude(yield* controller.status, { accepted: 2, position: 2 })
    })
  )

  test(
    "hands effects to afterCommit has them run after the commit, and not after a rollback",
    Effect.gen(function* () {
      const seen: Array<string> = []
      const count = Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql<{ n: number }>`SELECT count(*) AS n FROM applecart_operations`
      )
      const controller = yield* StreamController.make({
        pipeline: Apples.pipeline,
        application: Application.make({
          name: "apples",
          version: 1,
          message: Apples.Message,
          handle: ({ message }) =>
            Effect.gen(function* () {
              yield* Transaction.afterCommit(
                Effect.map(Effect.orDie(count), ([row]) => {
                  seen.push(`${JSON.stringify(message)} after ${row?.n}`)
                })
              )
              if ("give" in message) return yield* Effect.fail({ _tag: "No" as const })
            })
        })
      })
      const parrot = yield* author(1)
      yield* controller.process(Operation.raw(parrot.next(pick(1))))
      yield* controller.process(Operation.raw(parrot.next(give(1))))
      assert.deepStrictEqual(seen, [`{"pick":1,"by":"parrot"} after 1`])
    })
  )
})

describe("policies", () => {
  const withPolicy = (policy: Policy.Policy) =>
    StreamController.make({
      pipeline: Apples.pipeline,
      application: Apples.application,
      policy: (error) => (error._tag === "NotEnoughApples" ? policy : Policy.hold)
    })

  test(
    "skip lets the header into the log, and the log goes on",
    Effect.gen(function* () {
      const controller = yield* withPolicy(Policy.skip)
      const parrot = yield* author(1)
      const [bad, good] = [parrot.next(give(4)), parrot.next(pick(2))]
      assert.deepInclude(yield* controller.process(Operation.raw(bad)), {
        _tag: "Rejected",
        next: { _tag: "Skipped", position: 1 }
      })
      assert.deepInclude(yield* controller.process(Operation.raw(good)), { _tag: "Accepted", position: 2 })
      const { decisions, inbox, operations } = yield* state
      assert.deepStrictEqual(inbox, [])
      assert.deepInclude(decisions[0], { what: "skipped" })
      assert.deepInclude(
        operations.find((row) => row["id"] === bad.id.toUpperCase()),
        { body: "" }
      )
      assert.deepStrictEqual((yield* Apples.dump).handled, [{ id: good.id, position: 2 }])
    })
  )

  test(
    "discard remembers the id and deletes the rest; the log stays blocked",
    Effect.gen(function* () {
      const controller = yield* withPolicy(Policy.discard)
      const parrot = yield* author(1)
      const [bad, next] = [parrot.next(give(4)), parrot.next(pick(2))]
      assert.deepInclude(yield* controller.process(Operation.raw(bad)), {
        next: { _tag: "Discarded", as: "discarded" }
      })
      assert.deepInclude(yield* controller.process(Operation.raw(bad)), { _tag: "Known", where: "discarded" })
      assert.deepInclude(yield* controller.receive(Operation.raw(bad)), { _tag: "Known", where: "discarded" })
      assert.deepInclude(yield* controller.process(Operation.raw(next)), { _tag: "Deferred" })
      assert.deepInclude(yield* controller.status, { accepted: 0, waiting: 1, rejected: 0, discarded: 1 })
    })
  )

  test(
    "retry tries again when the schedule says so, then holds",
    Effect.gen(function* () {
      const controller = yield* withPolicy(
        Policy.retry(Schedule.spaced("1 minute").pipe(Schedule.intersect(Schedule.recurs(1))))
      )
      const parrot = yield* author(1)
      const outcome = yield* controller.process(Operation.raw(parrot.next(give(4))))
      assert.deepInclude(outcome, { attempts: 1, next: { _tag: "Retry", at: 60_000 } })
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 0, rejected: 1 })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 0, rejected: 1 })
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 0, rejected: 1 })
      assert.deepInclude(yield* controller.status, { rejected: 1, queued: 0 })
    })
  )

  test(
    "skip and discard by hand, and what they refuse",
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const [bad, next, last] = [parrot.next(give(4)), parrot.next(pick(2)), parrot.next(pick(3))]
      yield* controller.processAll([bad, next, last].map(Operation.raw))
      assert.deepInclude(yield* Effect.flip(controller.skip(last.id)), { _tag: "CannotSkip" })
      assert.strictEqual(yield* controller.skip(bad.id), 1)
      assert.deepStrictEqual(yield* controller.drain, { accepted: 2, waiting: 0, rejected: 0 })
      assert.deepInclude(yield* Effect.flip(controller.skip(bad.id)), { _tag: "NotInInbox", where: "accepted" })
      assert.deepInclude(yield* Effect.flip(controller.discard(last.id)), { _tag: "NotInInbox", where: "accepted" })
    })
  )
})

describe("publish", () => {
  test(
    "appends to our own log; what the application rejects never existed",
    Effect.gen(function* () {
      const controller = yield* open
      const crypto = yield* Crypto.Crypto
      const say = (message: Apples.Message) =>
        controller.publish({ key: signingKey(7), topic: topicOf(crypto), message })
      const first = yield* say({ pick: 5, by: "parrot" })
      assert.deepInclude(first, { seqNum: 0, position: 1 })
      const before = [yield* state, yield* Apples.dump]
      const error = yield* Effect.flip(say({ give: 6, from: "parrot", to: "horse" }))
      assert.isTrue(error instanceof Apples.NotEnoughApples)
      assert.deepStrictEqual([yield* state, yield* Apples.dump], before)
      const second = yield* say({ give: 5, from: "parrot", to: "horse" })
      assert.deepInclude(second, { seqNum: 1, position: 2 })
      assert.strictEqual(second.operation.header.backlink, first.id)
      // anybody can take it in
      assert.deepInclude(yield* controller.process(Operation.raw(second.operation)), {
        _tag: "Known",
        where: "accepted"
      })
      yield* Operation.decode(Operation.raw(second.operation))
    })
  )
})

it.scoped("publish is on the disk when it returns, whatever the client is set to", () =>
  Effect.gen(function* () {
    const faults = yield* SqlFaults.SqlFaults
    const sql = yield* SqlClient.SqlClient
    const crypto = yield* Crypto.Crypto
    yield* Apples.tables
    yield* sql`PRAGMA synchronous = NORMAL`
    const controller = yield* open
    yield* faults.reset
    yield* controller.publish({ key: signingKey(1), topic: topicOf(crypto), message: { pick: 1, by: "parrot" } })
    const statements = yield* faults.statements
    const raised = statements.findIndex((text) => /PRAGMA synchronous = (FULL|2)/i.test(text))
    const begun = statements.findIndex((text) => text.startsWith("BEGIN"))
    const lowered = statements.findIndex((text) => /PRAGMA synchronous = (NORMAL|1)/i.test(text))
    assert.isTrue(raised >= 0 && raised < begun && begun < statements.indexOf("COMMIT"), statements.join("\n"))
    assert.isTrue(statements.indexOf("COMMIT") < lowered)
    assert.deepStrictEqual(yield* sql`PRAGMA synchronous`, [{ synchronous: 1 }])
  }).pipe(Effect.provide(Layer.merge(SqlFaults.layer.pipe(Layer.provide(database)), Crypto.layer)))
)

describe("receive", () => {
  test(
    "is durable and idempotent, and what is left over is replayed on the next start",
    Effect.gen(function* () {
      const parrot = yield* author(1)
      const [first, second] = [parrot.next(pick(3)), parrot.next(give(1))]
      yield* Effect.scoped(
        Effect.gen(function* () {
          const controller = yield* open
          assert.deepInclude(yield* controller.receive(Operation.raw(second)), { _tag: "Queued" })
          assert.deepInclude(yield* controller.receive(Operation.raw(second)), { _tag: "Known", where: "queued" })
          assert.deepStrictEqual(yield* controller.drain, { accepted: 0, waiting: 1, rejected: 0 })
          yield* controller.receive(Operation.raw(first))
        })
      )
      const controller = yield* open
      assert.deepStrictEqual(yield* controller.drain, { accepted: 2, waiting: 0, rejected: 0 })
      assert.deepInclude(yield* controller.status, { accepted: 2, queued: 0, waiting: 0 })
    })
  )

  test(
    "is bounded; what would need no room is still accepted",
    Effect.gen(function* () {
      const controller = yield* StreamController.make({
        pipeline: Apples.pipeline,
        application: Apples.application,
        capacity: 2
      })
      const [parrot, horse] = yield* Effect.all([author(1), author(2)])
      const waiting = [1, 2, 3, 4].map(() => parrot.next(pick(1))).slice(1)
      const answers = yield* controller.processAll([...waiting, horse.next(pick(1, "horse"))].map(Operation.raw))
      assert.deepStrictEqual(
        answers.map(({ _tag }) => _tag),
        ["Deferred", "Deferred", "InboxFull", "Accepted"]
      )
      assert.deepInclude(yield* Effect.flip(controller.receive(Operation.raw(horse.next(undefined)))), {
        _tag: "InboxFull",
        capacity: 2
      })
      assert.deepInclude(yield* controller.process(Operation.raw(parrot.operations[0]!)), { _tag: "Accepted" })
    })
  )

  test(
    "an invalid operation is a typed error, leaves no row and costs the others nothing",
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const good = Operation.raw(parrot.next(pick(1)))
      const forged = { header: good.header.map((byte, index) => (index === 60 ? byte ^ 1 : byte)), body: good.body }
      assert.deepInclude(yield* Effect.flip(controller.process(forged)), {
        _tag: "InvalidHeader",
        reason: "InvalidSignature"
      })
      const wrongBody = { header: good.header, body: pick(100) }
      assert.deepInclude(yield* Effect.flip(controller.receive(wrongBody)), { _tag: "InvalidPayload" })
      const answers = yield* controller.processAll([forged, good, wrongBody])
      assert.deepStrictEqual(
        answers.map(({ _tag }) => _tag),
        ["InvalidHeader", "Accepted", "InvalidPayload"]
      )
      assert.deepStrictEqual((yield* state).inbox, [])
      const elsewhere = Topic.named(yield* Crypto.Crypto, "pears")
      assert.deepInclude(yield* Effect.flip(controller.process(good, { topic: elsewhere })), { _tag: "WrongTopic" })
    })
  )
})

describe("run", () => {
  test(
    "processes what is received, and the outcomes are a stream",
    Effect.gen(function* () {
      const controller = yield* open
      const parrot = yield* author(1)
      const outcomes = yield* Effect.fork(Stream.runCollect(Stream.take(controller.outcomes, 3)))
      yield* Effect.yieldNow()
      const running = yield* Effect.fork(controller.run)
      yield* controller.receiveAll(
        [parrot.next(pick(3)), parrot.next(give(1)), parrot.next(give(9))].map(Operation.raw)
      )
      const seen = Array.from(yield* Fiber.join(outcomes), ({ _tag }) => _tag)
      assert.deepStrictEqual(seen, ["Accepted", "Accepted", "Rejected"])
      yield* Fiber.interrupt(running)
    })
  )
})

describe("opening", () => {
  test(
    "another application's database is refused, and so is one that cannot be rebuilt",
    Effect.gen(function* () {
      yield* Effect.scoped(open)
      const none = StreamController.make({ pipeline: Apples.pipeline, application: Application.none })
      assert.deepInclude(yield* Effect.flip(none), { _tag: "WrongApplication", expected: "apples", found: "none" })
      const next = StreamController.make({
        pipeline: Apples.pipeline,
        application: { ...Apples.application, version: 2 }
      })
      assert.deepInclude(yield* Effect.flip(next), { _tag: "CannotRebuild", name: "apples" })
    })
  )
})
