/**
 * Version 1 of the calendar. It rejects what its author could have known to be wrong, and nothing else: both rules look only at
 * what the same author has said before, which stands in one log and so comes in one order everywhere. That two peers book the
 * same room is nobody's fault; both bookings are accepted, and who has the room follows from them.
 *
 * Beside it: a table of the day's plan, which is written with the event (`project`); a reader that counts how long each room is
 * in use on each day; and letters to whoever has booked.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { Application, Consumer, Events, LogIntegrity, Pipeline, StreamController, type Hash } from "applecart"
import { add, BookedTwice, Bookings, granted, Message, NotYours, overlap, place, remove } from "./booking.ts"

/** The plan of version 1, and the view through which it is read; version 2 has other tables, and puts them behind the view. */
export const plan1 = {
  name: "plan",
  up: [
    `CREATE TABLE plan_1 (place TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, starts INTEGER NOT NULL,
     ends INTEGER NOT NULL, granted INTEGER NOT NULL, PRIMARY KEY (place, id))`,
    `CREATE VIEW plan AS SELECT place, title, granted FROM plan_1`
  ]
}

const writePlan = (key: string, bookings: Bookings) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`DELETE FROM plan_1 WHERE place = ${key}`
    for (const one of bookings) {
      const has = granted(bookings).includes(one) ? 1 : 0
      yield* sql`INSERT INTO plan_1 VALUES (${key}, ${one.id}, ${one.title}, ${one.from}, ${one.to}, ${has})`
    }
  })

export const calendar = Events.make({
  name: "calendar",
  version: 1,
  message: Message,
  key: ({ message }) => place(message),
  state: Bookings,
  initial: [],
  evolve: (bookings, { event, message }) => {
    const own = bookings.filter(({ by }) => by === event.author)
    if (message._tag === "Cancel") {
      return own.some(({ id }) => id === message.booking)
        ? Either.right(remove(bookings, message.booking))
        : Either.left(new NotYours({ booking: message.booking }))
    }
    const twice = own.find((one) => overlap(one, message))
    return twice === undefined
      ? Either.right(add(bookings, message, event))
      : Either.left(new BookedTwice({ booking: twice.id }))
  },
  migrations: [plan1],
  project: ({ after, key }) => writePlan(key, after),
  reset: Application.emptying("plan_1")
})

/**
 * How long each room is in use on each day. It asks for the state as it is now, which may have more in it than the event it is
 * handed, and never less; so in the end it is right.
 */
export const makeUsage = <E>(
  version: number,
  minutes: (key: string) => Effect.Effect<number, E, SqlClient.SqlClient>
) =>
  Consumer.make({
    name: "usage",
    version,
    migrations: [{ name: "usage", up: ["CREATE TABLE usage (place TEXT PRIMARY KEY, minutes INTEGER NOT NULL)"] }],
    reset: Application.emptying("usage"),
    // Where something happened is in the messages of all versions; no more is of interest here.
    message: Schema.Struct({ room: Schema.String, day: Schema.String }),
    handle: ({ message }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const key = place(message)
        yield* sql`INSERT INTO usage VALUES (${key}, ${yield* minutes(key)})
          ON CONFLICT (place) DO UPDATE SET minutes = excluded.minutes`
      })
  })

const usage = makeUsage(1, (key) =>
  Effect.map(calendar.get(key), (bookings = []) =>
    granted(bookings).reduce((minutes, { from, to }) => minutes + to - from, 0)
  )
)

export const pipeline = Pipeline.make(LogIntegrity.processor)

export class Calendar extends StreamController.Tag<Calendar>()("Calendar", {
  pipeline,
  application: calendar,
  consumers: [usage]
}) {}

/** What readers see of the plan, whichever version has written it. */
export const plan = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ place: string; title: string; granted: number }>`
    SELECT place, title, granted FROM plan ORDER BY place, title`
  return rows.map(({ granted, place, title }) => `${place}: ${title} ${granted === 1 ? "has it" : "waits"}`)
})

export const minutesInUse = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ place: string; minutes: number }>`SELECT place, minutes FROM usage WHERE minutes > 0`
  return Object.fromEntries(rows.map(({ minutes, place }) => [place, minutes]))
})

/** How it stands with a booking, as far as this peer has heard: an earlier one may still be on its way. */
export const standing = (key: string, id: Hash.Hash) =>
  Effect.map(calendar.get(key), (bookings = []) => {
    const isBooked = bookings.some((one) => one.id === id)
    if (!isBooked) return "is cancelled"
    return granted(bookings).some((one) => one.id === id) ? "has it" : "waits"
  })
