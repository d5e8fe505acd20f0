/**
 * Statements that go straight to the open transaction of their client: three quarters of the time of one are the span around it, and
 * half of the rest is putting its text together, which is the same each time.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"
import type { Row } from "./capability.ts"
import { current, ofClient } from "./level.ts"
import type { Key } from "./root.ts"

/** A statement for what a client was called with, where that can be made more quickly than by the client. */
export type Template = (args: ReadonlyArray<unknown>) => Statement.Statement<unknown> | undefined

type Compiled = readonly [sql: string, params: ReadonlyArray<unknown>]

/**
 * Templates of a client of SQLite whose values are all parameters: what such a one is compiled to depends on nothing but its
 * text, so the client compiles each of them once.
 */
export const templates = (client: SqlClient, key: Key): Template => {
  if (!client.onDialectOrElse({ sqlite: () => true, orElse: () => false })) return () => undefined
  const texts: Texts = new WeakMap()
  return ([strings, ...values]) =>
    isTemplate(strings) && values.every(isParameter) ? new OfTemplate(client, key, texts, strings, values) : undefined
}

/** A statement that a client makes as soon as it is asked for more than to be run in a transaction. */
export class Direct<A> extends Effectable.Class<ReadonlyArray<A>, SqlError> implements Statement.Statement<A> {
  readonly make: () => Statement.Statement<A>
  readonly key: Key
  made: Statement.Statement<A> | undefined = undefined

  constructor(make: () => Statement.Statement<A>, key: Key) {
    super()
    this.make = make
    this.key = key
  }

  get base(): Statement.Statement<A> {
    this.made ??= this.make()
    return this.made
  }
  get [Statement.FragmentId]() {
    return this.base[Statement.FragmentId]
  }
  get segments() {
    return this.base.segments
  }
  get withoutTransform() {
    return this.base.withoutTransform
  }
  get raw() {
    return this.base.raw
  }
  get stream() {
    return this.base.stream
  }
  get values() {
    return this.base.values
  }
  get unprepared() {
    return this.base.unprepared
  }
  compile(withoutTransform?: boolean) {
    return this.base.compile(withoutTransform)
  }
  /** What is run. */
  compiled(): Compiled {
    return this.base.compile()
  }
  commit(): Effect.Effect<ReadonlyArray<A>, SqlError> {
    return Effect.withFiberRuntime((fiber) => {
      const own = ofClient(current(fiber.currentContext), this.key)
      if (own === undefined || isObserved(fiber)) return this.base
      const [sql, params] = this.compiled()
      // What a row looks like is said by whoever writes the statement, here as with any client.
      return own.execute(sql, params) as Effect.Effect<ReadonlyArray<A>, SqlError>
    })
  }
}

// internal

/** The texts of templates. */
type Texts = WeakMap<TemplateStringsArray, string>

class OfTemplate extends Direct<Row> {
  readonly texts: Texts
  readonly strings: TemplateStringsArray
  readonly params: ReadonlyArray<unknown>

  constructor(
    client: SqlClient,
    key: Key,
    texts: Texts,
    strings: TemplateStringsArray,
    params: ReadonlyArray<unknown>
  ) {
    super(() => client<Row>(strings, ...params), key)
    this.texts = texts
    this.strings = strings
    this.params = params
  }

  override compiled(): Compiled {
    const text = this.texts.get(this.strings)
    if (text !== undefined) return [text, this.params]
    const compiled = super.compiled()
    this.texts.set(this.strings, compiled[0])
    return compiled
  }
}

const isTemplate = (strings: unknown): strings is TemplateStringsArray => Array.isArray(strings) && "raw" in strings

/** What a client takes for a parameter and nothing else. */
const isParameter = (value: unknown): value is string | number | bigint | null | Uint8Array =>
  typeof value === "string" ||
  typeof value === "number" ||
  typeof value === "bigint" ||
  value === null ||
  value instanceof Uint8Array

/** Whether anybody sees the spans of statements, or changes statements: spans of the default tracer nobody sees. */
const isObserved = (fiber: Fiber.RuntimeFiber<unknown, unknown>): boolean =>
  fiber.currentTracer !== defaultTracer || fiber.getFiberRef(Statement.currentTransformer)._tag === "Some"

const defaultTracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)
