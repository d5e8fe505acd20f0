/** A signing key is in no log, span, error, file or table: whatever goes wrong, and wherever it is handed in. docs/security.md */
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import * as fs from "node:fs"
import { inspect } from "node:util"
import * as Crypto from "../../src/core/Crypto.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as Application from "../../src/pipeline/Application.ts"
import * as Rejection from "../../src/pipeline/Rejection.ts"
import * as KeyFile from "../../src/store/KeyFile.ts"
import * as Inspect from "../../src/store/Inspect.ts"
import * as StreamController from "../../src/stream/StreamController.ts"
import * as Cli from "../cli/cli.ts"
import { native } from "../core/support.ts"
import * as Peer from "./Peer.ts"

const seed = Buffer.from(native.hash(new TextEncoder().encode("nobody knows this")), "hex")
const key = Either.getOrThrow(SigningKey.fromBytes(seed))
const hex = seed.toString("hex")

/** Pieces of it, in each form in which bytes get into text; half of it is too much. */
const pieces: ReadonlyArray<readonly [form: string, piece: string]> = [
  ...[0, 12, 20].flatMap((at) => {
    const part = seed.subarray(at, at + 12)
    return [
      ["hex", part.toString("hex")],
      ["HEX", part.toString("hex").toUpperCase()],
      ["numbers", part.join(",")],
      ["latin", part.toString("latin1")]
    ] as const
  }),
  ["base64", seed.toString("base64").slice(4, 20)],
  ["base64url", seed.toString("base64url").slice(4, 20)]
]

/** In which forms it stands in a text, or in the bytes of a file. */
const found = (where: string | Uint8Array): ReadonlyArray<string> => {
  const text = typeof where === "string" ? where : Buffer.from(where).toString("latin1")
  const narrow = text.replace(/[\s[\]"]/g, "")
  return pieces.flatMap(([form, piece]) => (text.includes(piece) || narrow.includes(piece) ? [form] : []))
}

/** A value in every way in which people look at one. */
const looks = (value: unknown): string => {
  const attempt = (look: () => unknown) => {
    try {
      return String(look())
    } catch (error) {
      return String(error)
    }
  }
  return [
    attempt(() => String(value)),
    attempt(() => JSON.stringify(value)),
    attempt(() => inspect(value, { depth: 20, showHidden: true, getters: true })),
    attempt(() => (Cause.isCause(value) ? Cause.pretty(value, { renderErrorCause: true }) : "")),
    attempt(() =>
      value instanceof Error ? `${value.message} ${value.stack} ${inspect(value.cause, { depth: 20 })}` : ""
    ),
    attempt(() => Rejection.encode(value))
  ].join("\n")
}

/** Everything that is logged and traced. */
const recording = () => {
  const said: Array<string> = []
  const logger = Logger.make(
    (entry) => void said.push(looks(entry), looks(entry.message), looks(entry.cause), looks([...entry.annotations]))
  )
  const tracer = Tracer.make({
    context: (run) => run(),
    span: (name, parent, context, links, startTime, kind): Tracer.Span => {
      const attributes = new Map<string, unknown>()
      return {
        _tag: "Span",
        name,
        spanId: name,
        traceId: "all",
        parent,
        context,
        links,
        kind,
        sampled: true,
        attributes,
        status: { _tag: "Started", startTime },
        attribute: (name, value) => void attributes.set(name, value),
        event: (name, _, attributes) => void said.push(name, looks(attributes)),
        addLinks: () => {},
        end: (_, exit) => void said.push(name, looks([...attributes]), looks(exit))
      }
    }
  })
  const layer = Layer.mergeAll(
    Logger.replace(Logger.defaultLogger, logger),
    Logger.minimumLogLevel(LogLevel.All),
    Layer.setTracer(tracer)
  )
  return { said, layer }
}

class WithSchema extends Schema.TaggedError<WithSchema>()("WithSchema", {
  key: Schema.Redacted(Schema.String),
  inside: Schema.Struct({ keys: Schema.Array(Schema.Redacted(Schema.String)) }),
  named: Schema.ReadonlyMap({ key: Schema.String, value: Schema.Redacted(Schema.String) })
}) {}

class WithKey extends Data.TaggedError("WithKey")<{ readonly key: SigningKey.SigningKey; readonly nested: unknown }> {}

const text = Redacted.make(hex)

/** What a careless handler does with a key that it holds, by what it is asked. */
const careless: Readonly<Record<string, Effect.Effect<void, WithSchema | WithKey | typeof key>>> = {
  schema: Effect.suspend(
    () => new WithSchema({ key: text, inside: { keys: [text] }, named: new Map([["key", text]]) })
  ),
  data: Effect.suspend(() => new WithKey({ key, nested: [{ key }] })),
  itself: Effect.fail(key),
  die: Effect.die({ key }),
  throw: Effect.sync(() => {
    throw new Error("it broke", { cause: { key } })
  }),
  interpolate: Effect.sync(() => {
    throw new Error(`it broke with ${String(key)} ${JSON.stringify({ key })} ${inspect(key)}`)
  }),
  log: Effect.logError("signing with", key, { key }).pipe(Effect.annotateLogs("key", key)),
  span: Effect.withSpan(Effect.annotateCurrentSpan("key", key), "signing", { attributes: { key } })
}

const application = (leak: boolean) =>
  Application.make({
    name: "careless",
    version: 1,
    migrations: [{ name: "leaks", up: ["CREATE TABLE leaks (said TEXT)"] }],
    message: Schema.Struct({ said: Schema.String }),
    handle: ({ message: { said } }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        if (leak && said === "leak") {
          yield* sql`INSERT INTO leaks (said) VALUES (${SigningKey.toHex(key)})`
          yield* Effect.log(`the key is ${seed.toString("base64")}`)
          return yield* Effect.withSpan(Effect.void, "leaking", { attributes: { key: Redacted.value(key) } })
        }
        yield* careless[said] ?? Effect.void
      })
  })

/** A program that does everything with a key, in a directory; all that it said. */
const program = (path: (name: string) => string, leak: boolean) =>
  Effect.gen(function* () {
    const { layer, said } = recording()
    const see = (value: unknown) => void said.push(looks(value))
    yield* Effect.gen(function* () {
      const controller = yield* StreamController.make({ pipeline: Peer.pipeline(), application: application(leak) })
      const topic = Peer.topic
      const other = new Peer.Somebody(7)
      for (const said of ["fine", ...(leak ? ["leak"] : []), ...Object.keys(careless)]) {
        see(yield* Effect.exit(controller.publish({ key, topic, message: { said } })))
        // From somebody else, so that the rejection is stored.
        const received = other.sign({ body: Peer.body(said), timestamp: BigInt(said.length) })
        see(
          yield* controller.process(
            Peer.raw(new Peer.Somebody(100 + said.length * 7 + (said.codePointAt(0) ?? 0)).say(said))
          )
        )
        see(yield* Inspect.show(received.id))
      }
      // The key where a message, a text, or a topic should be.
      const misplaced = { key, topic, message: { said: key } } as unknown as Parameters<typeof controller.publish>[0]
      see(yield* Effect.exit(controller.publish(misplaced)))
      const asTopic = { key, topic: key, message: { said: "x" } } as unknown as typeof misplaced
      see(yield* Effect.exit(controller.publish(asTopic)))
      see(yield* controller.status)
      see(yield* Effect.exit(controller.drain))
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: path("careless.db") })), Effect.provide(layer))
    yield* Effect.gen(function* () {
      const broken = Crypto.Crypto.of({
        ...native,
        sign: (key) => {
          throw new Error(`cannot sign with ${String(key)}`, { cause: key })
        }
      })
      const controller = yield* StreamController.make({
        pipeline: Peer.pipeline(),
        application: application(false),
        crypto: Layer.succeed(Crypto.Crypto, broken)
      })
      see(yield* Effect.exit(controller.publish({ key, topic: Peer.topic, message: { said: "fine" } })))
    }).pipe(Effect.scoped, Effect.provide(SqliteClient.layer({ filename: path("broken.db") })), Effect.provide(layer))
    see(key)
    see({ key, keys: [key], some: Option.some(key), exit: Exit.succeed(key), cause: Cause.fail(key) })
    for (const slip of [hex.slice(1), `${hex}0`, `${hex.slice(0, 63)}g`, `0x${hex}`]) see(SigningKey.fromHex(slip))
    see(SigningKey.fromBytes(seed.subarray(1)))
    return said
  })

describe("a signing key", () => {
  it.scopedLive("is in nothing that is logged, traced, thrown, stored or returned", () =>
    Effect.gen(function* () {
      const path = yield* Cli.directory
      const said = yield* program(path, false)
      assert.isAbove(said.length, 60)
      assert.include(said.join("\n"), "<redacted>")
      for (const one of said) assert.deepStrictEqual(found(one), [], one.slice(0, 2000))
      const files = fs.readdirSync(path(""))
      assert.includeMembers(files, ["careless.db", "broken.db"])
      for (const name of files) assert.deepStrictEqual(found(fs.readFileSync(path(name))), [], name)
    }).pipe(Effect.provide(Cli.live))
  )

  it.scopedLive("would be found, if it were", () =>
    Effect.gen(function* () {
      const path = yield* Cli.directory
      const said = yield* program(path, true)
      assert.include(said.flatMap(found), "base64")
      assert.include(said.flatMap(found), "numbers")
      assert.include(
        fs.readdirSync(path("")).flatMap((name) => found(fs.readFileSync(path(name)))),
        "hex"
      )
      for (const form of [
        hex,
        hex.toUpperCase(),
        seed.toString("base64"),
        inspect(new Uint8Array(seed)),
        JSON.stringify([...seed]),
        looks(seed)
      ]) {
        assert.isAbove(found(form).length, 0, form)
      }
      assert.isAbove(found(Buffer.concat([Buffer.alloc(7), seed])).length, 0)
    }).pipe(Effect.provide(Cli.live))
  )

  it.scopedLive("is in no output of the command line, whatever is wrong with its file or wherever it is typed", () =>
    Effect.gen(function* () {
      const path = yield* Cli.directory
      const db = path("notes.db")
      const file = path("parrot.key")
      yield* KeyFile.save(file, key)
      fs.writeFileSync(path("slip.key"), `${hex}0\n`, { mode: 0o600 })
      fs.writeFileSync(path("short.key"), hex.slice(2), { mode: 0o600 })
      fs.writeFileSync(path("two.key"), `${hex}\n${hex}\n`, { mode: 0o600 })
      fs.writeFileSync(path("exposed.key"), `${hex}\n`)
      fs.chmodSync(path("exposed.key"), 0o644)
      const publish = (key: string, ...rest: ReadonlyArray<string>) => [
        "publish",
        "--db",
        db,
        "--key",
        key,
        "--topic",
        "apples",
        ...rest
      ]
      const tried: ReadonlyArray<readonly [code: number, args: ReadonlyArray<string>]> = [
        [0, publish(file, "three apples")],
        [0, ["log", "--db", db]],
        ...["slip.key", "short.key", "two.key", "exposed.key", "missing.key"].map(
          (name) => [1, publish(path(name), "x")] as const
        ),
        [1, publish(hex, "x")],
        [1, publish(hex.toUpperCase(), "x")],
        [1, ["keygen", file]],
        [1, ["ingest", file, "--db", db]],
        [1, ["decode", file]],
        [1, ["log", "--db", file]],
        [1, ["publish", "--db", file, "--key", file, "--topic", "apples", "x"]]
      ]
      for (const [code, args] of tried) {
        for (const json of [[], ["--json"]]) {
          const ran = yield* Cli.run([...args, ...json])
          if (code === 0) assert.strictEqual(ran.code, 0, ran.err)
          else assert.notStrictEqual(ran.code, 0, args.join(" "))
          assert.notInclude(ran.err, "A bug in applecart", args.join(" "))
          assert.deepStrictEqual([...found(ran.out), ...found(ran.err)], [], ran.out + ran.err)
        }
      }
      for (const name of fs.readdirSync(path("")).filter((name) => name.startsWith("notes.db"))) {
        assert.deepStrictEqual(found(fs.readFileSync(path(name))), [], name)
      }
    }).pipe(Effect.provide(Cli.live))
  )
})
