/** Clients made from a client: one that joins our transactions well, and one for another database. */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import { identity } from "effect/Function"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Row } from "./capability.ts"
import * as Acquire from "./acquire.ts"
import { enter, leave } from "./context.ts"
import * as Keys from "./keys.ts"
import { Direct, templates, type Template } from "./direct.ts"
import { current, ofClient } from "./level.ts"
import type { Key } from "./root.ts"
import { transact } from "./transact.ts"

/** The client with our `withTransaction` and a `reserve` that joins. */
export const joining = (base: SqlClient.SqlClient): SqlClient.SqlClient => {
  const key = Keys.of(base)
  const reserve: Connection.Acquirer = Effect.contextWithEffect((context: Context.Context<Scope.Scope>) => {
    const own = ofClient(current(context), key)
    if (own !== undefined) return Effect.succeed(own)
    const open = Context.getOption(context, SqlClient.TransactionConnection)
    return current(context) === "stock" && open._tag === "Some" ? Effect.succeed(open.value[0]) : key
  })
  Keys.derive(reserve, key)
  // Rows whose columns are renamed only the client itself knows how to make.
  if (base.withoutTransforms() !== base) return derived(base, reserve, identity)
  return derived(base, reserve, (statement) => new Direct(() => statement, key), templates(base, key))
}

/** The client, blind for the transactions of others. */
export const isolated = (base: SqlClient.SqlClient): SqlClient.SqlClient => {
  const key = Keys.of(base)
  const reserve: Connection.Acquirer = Effect.contextWithEffect((context: Context.Context<Scope.Scope>) => {
    const own = ofClient(current(context), key)
    return own === undefined ? key : Effect.succeed(own)
  })
  Keys.derive(reserve, key)
  Keys.isolate(reserve)
  const route = routeTo(key)
  return derived(base, reserve, (statement) => new Routed(statement, route))
}

/** A read in the client's open transaction, if there is one, else on the client. */
export const read = (
  client: SqlClient.SqlClient,
  sql: string,
  params: ReadonlyArray<unknown>
): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  Effect.withFiberRuntime((fiber) => {
    const around = current(fiber.currentContext)
    const own = ofClient(around, Keys.of(client))
    if (own !== undefined) return own.execute(sql, params)
    const statement = client.unsafe<Row>(sql, params).withoutTransform
    if (around === undefined) return Acquire.read(statement)
    // In a transaction of the stock client, for all that can be known ours, it joins as any template does.
    return around === "stock" ? statement : Acquire.read(Effect.mapInputContext(statement, routeTo(Keys.of(client))))
  })

/** Whether a transaction of the client is open around. */
export const isOpen = (client: SqlClient.SqlClient): Effect.Effect<boolean> =>
  Effect.contextWith((context: Context.Context<never>) => ofClient(current(context), Keys.of(client))?.open ?? false)

// internal

type Route = <R>(context: Context.Context<R>) => Context.Context<R>

/** The context with the transaction of this client that is open around, and no other. */
const routeTo =
  (key: Key): Route =>
  (context) => {
    const around = current(context)
    const own = ofClient(around, key)
    return own === around ? context : own === undefined ? leave(context, Context.empty()) : enter(context, own)
  }

/** A copy of a client; a proxy, because a client is a function with many members. */
const derived = (
  base: SqlClient.SqlClient,
  reserve: Connection.Acquirer,
  wrap: <A>(statement: Statement.Statement<A>) => Statement.Statement<A>,
  template: Template = () => undefined
): SqlClient.SqlClient => {
  const members: Partial<Record<string | symbol, unknown>> = {
    reserve,
    withTransaction: <A, E, R>(self: Effect.Effect<A, E, R>) => transact(copy, self),
    withoutTransforms: () => {
      const plain = base.withoutTransforms()
      return plain === base ? copy : derived(plain, reserve, wrap)
    },
    unsafe: <A extends object>(sql: string, params?: ReadonlyArray<unknown>) => wrap(base.unsafe<A>(sql, params))
  }
  const copy: SqlClient.SqlClient = new Proxy(base, {
    get: (target, name) => (name === "safe" ? copy : (members[name] ?? Reflect.get(target, name))),
    apply: (target, self, args: ReadonlyArray<unknown>) => {
      const quick = template(args)
      if (quick !== undefined) return quick
      const made: unknown = Reflect.apply(target, self, args)
      return isStatement(made) ? wrap(made) : made
    }
  })
  return copy
}

const isStatement = (made: unknown): made is Statement.Statement<unknown> =>
  Statement.isFragment(made) && Effect.isEffect(made)

/** A statement that runs where its client's route leads. */
class Routed<A> extends Effectable.Class<ReadonlyArray<A>, SqlError> implements Statement.Statement<A> {
  readonly base: Statement.Statement<A>
  readonly route: Route
  constructor(base: Statement.Statement<A>, route: Route) {
    super()
    this.base = base
    this.route = route
  }
  get [Statement.FragmentId]() {
    return this.base[Statement.FragmentId]
  }
  get segments() {
    return this.base.segments
  }
  get withoutTransform() {
    return Effect.mapInputContext(this.base.withoutTransform, this.route<never>)
  }
  get raw() {
    return Effect.mapInputContext(this.base.raw, this.route<never>)
  }
  /** Its rows at once: a stream adds to the context that it runs in, and cannot take the transaction out of it. */
  get stream() {
    return Stream.fromIterableEffect(this)
  }
  get values() {
    return Effect.mapInputContext(this.base.values, this.route<never>)
  }
  get unprepared() {
    return Effect.mapInputContext(this.base.unprepared, this.route<never>)
  }
  compile(withoutTransform?: boolean) {
    return this.base.compile(withoutTransform)
  }
  commit() {
    return Effect.mapInputContext(this.base, this.route<never>)
  }
}
