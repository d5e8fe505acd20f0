/** Writes down what calls of a controller say, outside the database: what was confirmed has to hold. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Intake from "../../../stream/internal/intake.ts"
import type { StreamController } from "../../../stream/StreamController.ts"
import * as Promises from "../../Promises.ts"
import { broke, count, say, type Member, type World } from "./world.ts"

/** The same controller, whose answers are written down. */
export const recorded = <M, E>(
  world: World<M, E>,
  member: Member<M, E>,
  controller: StreamController<M, E>
): StreamController<M, E> => {
  const note = (answers: ReadonlyArray<Intake.Answer<E> | Intake.Stored<E>>) => {
    for (const one of answers) member.told.push(...Promises.told(one))
    const told = answers.flatMap((one) => news(world, one))
    if (told.length > 0) say(world, `${member.name}: ${told.join(", ")}`)
  }
  const watched = <A, Err>(call: string, self: Effect.Effect<A, Err>): Effect.Effect<A, Err> =>
    Effect.tapErrorCause(self, (cause) => Effect.sync(() => failed(world, member, call, cause)))
  return {
    ...controller,
    process: (raw, from) => Effect.tap(watched("process", controller.process(raw, from)), (one) => note([one])),
    receive: (raw, from) => Effect.tap(watched("receive", controller.receive(raw, from)), (one) => note([one])),
    processAll: (raws, from) => Effect.tap(watched("processAll", controller.processAll(raws, from)), note),
    receiveAll: (raws, from) => Effect.tap(watched("receiveAll", controller.receiveAll(raws, from)), note),
    publish: (draft) => watched("publish", controller.publish(draft)),
    drain: watched("drain", controller.drain),
    replay: (which) => watched("replay", controller.replay(which))
  }
}

/** An error in a few words. */
export const describe = (error: unknown): string => {
  if (!Predicate.isTagged(error, "SqlError")) return tag(error)
  const cause = Predicate.hasProperty(error, "cause") ? error.cause : undefined
  return `SqlError ${cause instanceof Error ? cause.message : String(cause)}`
}

// internal

const tag = (error: unknown): string =>
  Predicate.hasProperty(error, "_tag") ? String(error._tag) : error instanceof Error ? error.message : String(error)

const failed = <M, E>(world: World<M, E>, member: Member<M, E>, call: string, cause: Cause.Cause<unknown>): void => {
  if (Cause.isInterruptedOnly(cause)) return
  const what = `${member.name}: ${call} failed: ${describe(Cause.squash(cause))}`
  count(world, "calls failed")
  say(world, what)
  if (Cause.isDie(cause)) broke(world, `P4: ${what}, which is a bug and no typed error`)
}

const news = <E>(
  world: Pick<World<never, never>, "names" | "facts">,
  answer: Intake.Answer<E> | Intake.Stored<E>
): ReadonlyArray<string> => {
  switch (answer._tag) {
    case "Accepted":
      return [`${world.names.name(answer.id)} accepted at ${answer.position}`]
    case "Queued":
      return [`${world.names.name(answer.id)} queued`]
    case "Deferred":
      return [`${world.names.name(answer.id)} waits for ${answer.until.map((id) => world.names.name(id)).join(" ")}`]
    case "Rejected":
      count(world, answer.next._tag === "Refused" ? "refused" : "rejected")
      return [`${world.names.name(answer.id)} ${answer.next._tag.toLowerCase()}: ${tag(answer.error)}`]
    case "Known":
      return []
    default:
      count(world, "invalid")
      return [`told ${answer._tag}`]
  }
}
