/** Chapters 4 and 5: what is done with accepted events besides, and a new version of the application. */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { fork } from "node:child_process"
import * as Clock from "../common/clock.ts"
import type * as Peers from "../common/peer.ts"
import { chapter, check, say } from "../common/story.ts"
import { Calendar, minutesInUse, plan } from "./calendar.ts"
import * as V2 from "./calendar2.ts"
import type { Cast } from "./conflicts.ts"
import { PostOffice, send } from "./letters.ts"
import * as Peer from "./peer.ts"

export const four = ({ parrot }: Cast) =>
  Effect.gen(function* () {
    const asParrot = Peer.run(parrot, Calendar.layer)
    yield* chapter("4. A table of how long rooms are in use, and letters")
    yield* say("A consumer is handed what was accepted, with a position of its own.")
    const used = Effect.zipRight(
      Effect.flatMap(Calendar, ({ drain }) => drain),
      minutesInUse
    )
    yield* check("minutes in use", yield* asParrot(used), { "barn Saturday": 120, "stable Saturday": 120 })
    yield* say("", "Parrot's outbox writes to whoever has booked. The first letter is taken, but the line is cut")
    yield* say("before Parrot hears that it was, and Parrot is stopped.")
    const office = new PostOffice()
    office.failing = yield* Deferred.make<void>()
    yield* asParrot(send(office))
    yield* check("letters taken", office.carried.size, 1)
    yield* say("", "It starts again later, and sends what it does not know to be sent.")
    office.failing = undefined
    yield* Clock.at("11:00")
    yield* asParrot(send(office))
    yield* check("letters handed in", office.handedIn, 5)
    yield* check("letters carried, by their keys", office.carried.size, 4)
    yield* Effect.forEach(office.carried.values(), (text) => say(`  "${text}"`))
  })

const lessons = 300

/** Owl's school fills the loft, and the last thing that it books is an exam of six hours. */
const term = (owl: Peers.Peer) =>
  Effect.gen(function* () {
    const controller = yield* Calendar
    for (let lesson = 0; lesson < lessons; lesson++) {
      const from = 8 * 60 + (lesson % 6) * 60
      const day = `day ${Math.floor(lesson / 6) + 1}`
      yield* Peer.book(controller, owl, { room: "loft", day, title: `Lesson ${lesson + 1}`, from, to: from + 60 })
    }
    yield* Peer.book(controller, owl, { room: "loft", day: "day 99", title: "Exam", from: 8 * 60, to: 14 * 60 })
    return yield* Peer.write(owl, "term")
  }).pipe(Peer.run(owl, Calendar.layer))

/** How far a process came: the position at which the power went, and the last one that it had committed. */
const Reached = Schema.Struct({ reached: Schema.Int, done: Schema.Int })

/** Builds in a process of its own, does something when that is in the middle, with a transaction open, and kills it. */
const powerCut = <A, E, R>(directory: string, position: number, meanwhile: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => fork(new URL("./rebuild.ts", import.meta.url), [directory, String(position)])),
    (child) =>
      Effect.gen(function* () {
        const said = yield* Effect.async<unknown>((resume) => {
          child.once("message", (message) => resume(Effect.succeed(message)))
          child.once("exit", () => resume(Effect.succeed("it has ended")))
        })
        const seen = yield* meanwhile
        const signal = yield* Effect.async<string | null>((resume) => {
          child.once("exit", (_, signal) => resume(Effect.succeed(signal)))
          child.kill("SIGKILL")
        })
        return { ...(yield* Schema.decodeUnknown(Reached)(said)), seen, signal }
      }),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  ).pipe(Effect.timeout("1 minute"))

export const five = ({ horse, owl, parrot }: Cast) =>
  Effect.gen(function* () {
    yield* chapter("5. A new version: durations instead of ends, and nobody has a room for more than four hours")
    const file = yield* term(owl)
    yield* Effect.flatMap(Calendar, (controller) => Peer.read(controller, parrot, [file])).pipe(
      Peer.run(parrot, Calendar.layer)
    )
    const inParrots = Effect.provide(Peer.database(parrot.directory))
    const before = yield* inParrots(plan)
    yield* say(
      `Owl's school books the loft ${lessons} times. Parrot installs version 2, which begins to build its tables,`
    )
    yield* say("and has a power cut: its process is killed (SIGKILL) with a transaction open. Meanwhile readers look.")
    const { done, reached, seen, signal } = yield* powerCut(parrot.directory, 160, inParrots(readers))
    yield* check("the process ends with", signal, "SIGKILL")
    yield* check("the position it was at, and its last commit", [reached, done].join(", "), "160, 150")
    yield* check("while it builds, lines of the plan", seen.lines, before.length)
    yield* check("  and the barn, in minutes", seen.barn, "Hurdles 120, Napping 120")
    yield* check("after it was killed, lines of the plan", (yield* inParrots(plan)).length, before.length)
    yield* say("", "Parrot starts again. It goes on where it was:")
    yield* goOn(done).pipe(Peer.run(parrot, V2.Calendar2.layer))
    const after = new Set(yield* inParrots(plan))
    const missing = before.filter((line) => !after.has(line))
    yield* check("lines of the new plan", after.size, before.length - 1)
    yield* check("  and what is missing", missing.join("; "), "loft day 99: Exam has it")
    yield* check("tables of version 1 that are left", (yield* inParrots(oldTables)).length, 0)
    yield* others({ horse, parrot })
  })

/** What readers see who have version 2, through the view and through the state. */
const readers = Effect.gen(function* () {
  const lines = (yield* plan).length
  const barn = (yield* V2.calendar.get("barn Saturday")) ?? []
  return { lines, barn: barn.map(({ minutes, title }) => `${title} ${minutes}`).join(", ") }
})

const oldTables = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1 FROM sqlite_master WHERE name = 'plan_1'`)

const goOn = (done: number) =>
  Effect.gen(function* () {
    const { consumers, drain } = yield* V2.Calendar2
    const steps: Array<number> = []
    const told = consumers.progress.pipe(
      Stream.filter(({ consumer, what }) => consumer === "calendar" && what === "build"),
      Stream.runForEach(({ parked, position, until }) => {
        steps.push(position)
        return say(`  built ${position} of ${until}${parked === 0 ? "" : `, ${parked} rejected`}`)
      })
    )
    yield* Effect.raceFirst(Effect.zipRight(told, Effect.never), drain)
    yield* check("the first step after the last one before", (steps[0] ?? 0) - done, 50)
    const parked = yield* consumers.parked("calendar")
    yield* check("what it does not accept any more", parked.map(({ reason }) => reason.tag).join(", "), "TooLong")
    yield* Effect.forEach(parked, ({ position, reason }) => say(`  position ${position}: "${reason.message}"`))
    const { "barn Saturday": barn, "loft day 1": loft } = yield* minutesInUse
    yield* check("minutes in use, counted again", { barn, loft }, { barn: 120, loft: 360 })
  })

/** Not everybody updates on the same day. */
const others = ({ horse, parrot }: Pick<Cast, "horse" | "parrot">) =>
  Effect.gen(function* () {
    yield* say("", "Parrot books in version 2's words. Horse, with version 1, does not understand them yet.")
    const file = yield* Effect.gen(function* () {
      const controller = yield* V2.Calendar2
      const message = { _tag: "Book", room: "barn", day: "Sunday", title: "Singing", from: 600, minutes: 90 } as const
      yield* controller.publish({ key: parrot.key, topic: yield* Peer.topic, message })
      return yield* Peer.write(parrot, "sunday")
    }).pipe(Peer.run(parrot, V2.Calendar2.layer))
    const read = Effect.flatMap(Calendar, (controller) => Peer.read(controller, horse, [file]))
    yield* check("Horse rejects, and keeps", yield* read.pipe(Peer.run(horse, Calendar.layer)), { InvalidMessage: 1 })
    yield* say("Horse installs version 2. What it kept is tried again on start.")
    const updated = Effect.zipRight(
      Effect.flatMap(V2.Calendar2, ({ drain }) => drain),
      Effect.map(plan, (lines) => lines.filter((line) => line.includes("Sunday")).join("; "))
    )
    const sunday = yield* updated.pipe(Peer.run(horse, V2.Calendar2.layer))
    yield* check("Horse's plan for Sunday", sunday, "barn Sunday: Singing has it")
  })
