/**
 * `npm run bench -- --latency`: how long others wait while operations stream in: anything for the event loop, a `publish`, a read
 * with a template on the client of the controller and on another one. Next to the same on an idle controller, and to the event
 * loop of the program that was written by hand.
 *
 * Exits with 1 when a result is wrong, never because it is slow.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import * as Check from "./Check.ts"
import * as Data from "./Data.ts"
import * as Hand from "./Hand.ts"
import * as Mode from "./Mode.ts"
import * as Part from "./Part.ts"
import * as Pings from "./Pings.ts"
import * as Report from "./Report.ts"
import * as Rows from "./Rows.ts"
import * as Signatures from "./Signatures.ts"
import * as Subject from "./Subject.ts"

/** How operations come: all in one call, or in pieces to the inbox while `run` processes them. */
type Way = "process" | "receive and run"

interface Plan {
  readonly rounds: number
  /** Operations that stream in. */
  readonly count: number
  /** How often each is asked of an idle controller. */
  readonly idle: number
}

const quick: Plan = { rounds: 1, count: 1_000, idle: 5 }
const whole: Plan = { rounds: 5, count: 20_000, idle: 50 }

const cases: ReadonlyArray<readonly [Way, Mode.Mode]> = [
  ["process", "normal"],
  ["process", "full"],
  ["receive and run", "normal"]
]

/** Milliseconds between two of a kind. */
const pauses = { publish: 23, "read, same client": 7, "read, other client": 7 }
type Probe = keyof typeof pauses
const probes: ReadonlyArray<Probe> = ["publish", "read, same client", "read, other client"]

/** Milliseconds that each took, by its name. */
type Times = Readonly<Record<Probe, Array<number>>>
const times = (): Times => ({ publish: [], "read, same client": [], "read, other client": [] })

interface Found {
  readonly waits: Pings.Waits
  readonly busy: Times
  readonly idle: Times
  readonly problems: ReadonlyArray<string>
}

/** The author who publishes is none of those whose operations stream in. */
const publisher = Data.signingKey(Data.authors)

const first = (sql: SqlClient.SqlClient) => sql<{ owner: string }>`SELECT owner FROM bench_apples WHERE position = ${1}`

/** Does something again and again, and notes how long after its moment it was done: that it began late counts. */
const probe = (pause: number, noted: Array<number>, self: Effect.Effect<unknown, unknown>, times = Infinity) =>
  Effect.gen(function* () {
    while (noted.length < times) {
      const due = performance.now() + pause
      yield* Effect.sleep(Duration.millis(pause))
      yield* Effect.uninterruptible(
        Effect.tap(self, () => Effect.sync(() => noted.push(Math.max(0, performance.now() - due))))
      )
    }
  })

/** Everything that is asked while operations stream in. What is read has to be right. */
const asking = (
  controller: Subject.Controller,
  sql: SqlClient.SqlClient,
  other: SqlClient.SqlClient,
  data: Data.Data
) => {
  const message = data.items[0]?.message ?? { apples: 0, note: "", owner: "" }
  const wrong: Array<string> = []
  let published = 0
  const read = (client: SqlClient.SqlClient) =>
    Effect.map(first(client), ([row]) => {
      if (row?.owner !== message.owner) wrong.push(`a read found ${JSON.stringify(row)}`)
    })
  const publish = Effect.map(controller.publish({ key: publisher, topic: data.topic, message }), ({ seqNum }) => {
    if (seqNum !== published++) wrong.push(`the place ${seqNum} was published as number ${published}`)
  })
  const what: Readonly<Record<Probe, Effect.Effect<unknown, unknown>>> = {
    publish,
    "read, same client": read(sql),
    "read, other client": read(other)
  }
  return { what, wrong, published: () => published }
}

const pieces = 100

/** Takes everything in. */
const streaming = (controller: Subject.Controller, { raws, topic }: Data.Data, way: Way) =>
  way === "process"
    ? controller.processAll(raws, { topic })
    : Effect.gen(function* () {
        const running = yield* Effect.fork(controller.run)
        for (let at = 0; at < raws.length; at += pieces)
          yield* controller.receiveAll(raws.slice(at, at + pieces), { topic })
        yield* controller.drain
        yield* Fiber.interrupt(running)
      })

const measure = (crypto: Crypto.Service, data: Data.Data, way: Way, mode: Mode.Mode, plan: Plan): Promise<Found> =>
  Subject.withController(mode, "growing", (controller, filename) =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const other = Context.get(
        yield* Layer.build(SqliteClient.layer({ filename, readonly: true })),
        SqlClient.SqlClient
      )
      // What is read has to be there.
      yield* controller.processAll(data.raws.slice(0, pieces), { topic: data.topic })
      const author = VerifyingKey.toBytes(crypto.verifyingKey(publisher))
      const { published, what, wrong } = asking(controller, sql, other, data)
      const [idle, busy] = [times(), times()]
      for (const name of probes) yield* probe(1, idle[name], what[name], plan.idle)
      const waits = yield* Effect.promise(() =>
        Pings.during(() =>
          Effect.gen(function* () {
            const asked = yield* Effect.forEach(probes, (name) =>
              Effect.fork(probe(pauses[name], busy[name], what[name]))
            )
            yield* streaming(controller, data, way)
            yield* Fiber.interruptAll(asked)
          }).pipe(Effect.runPromise)
        )
      )
      return { waits, busy, idle, problems: [...wrong, ...(yield* problems(controller, data, author, published()))] }
    })
  )

/** What was published stands somewhere between the others, which are in their order. */
const problems = (controller: Subject.Controller, data: Data.Data, author: Uint8Array, published: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const read = (text: string) => sql.unsafe<Check.Row>(text)
    const operations = yield* read(Check.queries.operations)
    const isOwn = (row: Check.Row) => sameBytes(author, row["author"])
    const own = new Set(operations.filter(isOwn).map(({ position }) => position))
    const others = (rows: ReadonlyArray<Check.Row>) =>
      rows.filter(({ position }) => !own.has(position)).map((row, index) => ({ ...row, position: index + 1 }))
    const application = yield* read(Check.queries.application)
    const tables = {
      operations: others(operations),
      logs: (yield* read(Check.queries.logs)).filter((row) => !isOwn(row)),
      application: others(application)
    }
    const { accepted, queued, rejected, waiting } = yield* controller.status
    const found = [...Check.problems(tables, data)]
    const all = data.items.length + published
    if (own.size !== published) found.push(`${own.size} operations are there of ${published} that were published`)
    if (accepted !== all || application.length !== all)
      found.push(`${accepted} were accepted, ${application.length} handled, of ${all}`)
    if (queued + rejected + waiting > 0) found.push(`${queued + rejected + waiting} are left in the inbox`)
    return found
  })

const sameBytes = (a: Uint8Array, b: unknown) => b instanceof Uint8Array && Buffer.compare(a, b) === 0

/** The event loop of the program that was written by hand. */
const byHand = (crypto: Crypto.Service, pool: Signatures.Pool, data: Data.Data, mode: Mode.Mode) =>
  Mode.withFile(mode, async (filename) => {
    const db = Rows.open(filename, mode)
    try {
      return await Pings.during(() => Hand.take(crypto, pool, Rows.checking(db), data.raws, Mode.batchSize("growing")))
    } finally {
      db.close()
    }
  })

const quantiles = [
  ["p50", 0.5],
  ["p99", 0.99],
  ["longest", 1]
] as const

const note = (results: Report.Results, name: string, values: ReadonlyArray<number>, limit?: string) => {
  for (const [which, part] of quantiles) {
    const limits = limit === undefined ? [] : [`${limit}/${which}`]
    results.note(`${name}/${which}`, "ms", Pings.quantile(values, part), { limits })
  }
}

const round = async (
  { crypto, data, pool }: { readonly crypto: Crypto.Service; readonly data: Data.Data; readonly pool: Signatures.Pool },
  plan: Plan,
  results: Report.Results
): Promise<void> => {
  for (const mode of ["normal", "full"] as const) {
    note(results, `latency/by hand/${mode}/event loop`, await byHand(crypto, pool, data, mode))
  }
  for (const [way, mode] of cases) {
    const name = `latency/${way}/${mode}`
    const { busy, idle, problems, waits } = await measure(crypto, data, way, mode, plan)
    note(results, `${name}/event loop`, waits, `latency/by hand/${mode}/event loop`)
    for (const probe of probes) {
      note(results, `${name}/idle/${probe}`, idle[probe])
      // A short stream may be over before its turn came.
      if (busy[probe].length > 0) note(results, `${name}/${probe}`, busy[probe], `${name}/idle/${probe}`)
    }
    results.wrong(name, problems)
  }
}

/** A line for what has three numbers, next to what it is without the stream, or by hand. */
const table = (rows: ReadonlyArray<Report.Row>): string => {
  const lines = new Map(Report.lines(rows).map((line) => [line.row.name, line]))
  const names = new Set(Array.from(lines.keys(), (name) => name.slice(0, name.lastIndexOf("/"))))
  // What is idle stands beside what is not.
  const busy = Array.from(names).filter((name) => !name.includes("/idle/"))
  const cells = busy.map((name) => {
    const each = quantiles.map(([which]) => lines.get(`${name}/${which}`))
    const limit = each[0]?.limit?.name
    return [
      name,
      ...each.flatMap((line) =>
        line === undefined ? ["", ""] : [Report.number(line.median), Report.percent(line.spread)]
      ),
      ...each.map((line) => (line?.limit === undefined ? "" : Report.number(line.limit.median))),
      limit?.slice(0, limit.lastIndexOf("/")) ?? ""
    ]
  })
  const head = ["ms", "p50", "±", "p99", "±", "longest", "±", "there p50", "p99", "longest", "next to"]
  return Report.table(head, cells, [0, 10])
}

const main = async (): Promise<void> => {
  const plan = Part.quick ? quick : whole
  const crypto = await Effect.runPromise(Part.crypto)
  const pool = await Signatures.pool(crypto)
  const data = Data.make(crypto, plan.count)
  console.log(`## Latency

While ${plan.count} operations stream in, as many to a transaction as the controller takes on (by hand 500). Event loop: how long a message of another thread waits that \
comes at any moment. The others: from the moment at which they were due, until they were done. Medians of ${plan.rounds} rounds.`)
  // Nobody is measured cold.
  await round({ crypto, pool, data: Data.first(data, 500) }, quick, new Report.Results())
  const results = new Report.Results()
  for (let nth = 0; nth < plan.rounds; nth++) await round({ crypto, pool, data }, plan, results)
  await pool.close()
  console.log(`\n${table(results.rows)}\n\n${Math.round(Part.seconds())} s, load ${Report.load()}\n`)
  Part.finish(results)
}

await main()
