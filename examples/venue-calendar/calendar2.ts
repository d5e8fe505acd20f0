/**
 * Version 2 of the calendar: a booking says how long it takes instead of when it ends, the plan has another table, and nobody
 * has a room for more than four hours. What was accepted under version 1 is read as before, and built anew on start.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Application, Events, StreamController } from "applecart"
import * as V1 from "./booking.ts"
import { makeUsage, pipeline, plan1 } from "./calendar.ts"

const longest = 4 * 60

const Minutes = Schema.Int.pipe(Schema.positive())

const Book = Schema.TaggedStruct("Book", {
  room: Schema.String,
  day: Schema.String,
  title: Schema.String,
  from: V1.Time,
  minutes: Minutes
})

const shorten = <B extends { readonly from: number; readonly to: number }>({ to, ...rest }: B) => ({
  ...rest,
  minutes: to - rest.from
})
const lengthen = <B extends { readonly from: number; readonly minutes: number }>({ minutes, ...rest }: B) => ({
  ...rest,
  to: rest.from + minutes
})

/** What was said is never rewritten; it is read as what it would be called today. What is said from now on is a {@link Book}. */
const OldBook = Schema.transform(V1.Book, Schema.typeSchema(Book), { strict: true, decode: shorten, encode: lengthen })

const Message = Schema.Union(Book, OldBook, V1.Cancel)

const Booking = Schema.Struct({ ...V1.signature, title: Schema.String, from: V1.Time, minutes: Minutes })
const Bookings = Schema.Array(Booking)
type Bookings = typeof Bookings.Type

const granted = (bookings: Bookings) => V1.granted(bookings.map(lengthen)).map(({ id }) => id)

export class TooLong extends Schema.TaggedError<TooLong>()("TooLong", { minutes: Schema.Int }) {
  override get message() {
    return `Nobody has a room for ${this.minutes} minutes; book ${longest} at the most.`
  }
}

/** What happens while an event is handled: nothing, on a calm day. The story has a power cut, too. */
export class Power extends Context.Tag("Power")<Power, { readonly at: (position: number) => Effect.Effect<void> }>() {
  static readonly on = Layer.succeed(Power, { at: () => Effect.void })
}

const writePlan = (key: string, bookings: Bookings) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`DELETE FROM plan_2 WHERE place = ${key}`
    for (const one of bookings) {
      const has = granted(bookings).includes(one.id) ? 1 : 0
      yield* sql`INSERT INTO plan_2 VALUES (${key}, ${one.id}, ${one.title}, ${one.from}, ${one.minutes}, ${has})`
    }
  })

/** In the transaction in which everything is there: readers of the view see the new table, and the old one goes. */
const showPlan = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP VIEW plan`
  yield* sql`CREATE VIEW plan AS SELECT place, title, granted FROM plan_2`
  yield* sql`DROP TABLE IF EXISTS plan_1`
})

export const calendar = Events.make({
  name: "calendar",
  version: 2,
  message: Message,
  key: ({ message }) => V1.place(message),
  state: Bookings,
  earlier: Schema.transform(V1.Bookings, Schema.typeSchema(Bookings), {
    strict: true,
    decode: (bookings) => bookings.map(shorten),
    encode: (bookings) => bookings.map(lengthen)
  }),
  initial: [],
  evolve: (bookings, { event, message }) => {
    const own = bookings.filter(({ by }) => by === event.author)
    if (message._tag === "Cancel") {
      return own.some(({ id }) => id === message.booking)
        ? Either.right(V1.remove(bookings, message.booking))
        : Either.left(new V1.NotYours({ booking: message.booking }))
    }
    const { from, minutes, title } = message
    if (minutes > longest) return Either.left(new TooLong({ minutes }))
    const twice = own.find((one) => V1.overlap(lengthen(one), lengthen(message)))
    return twice === undefined
      ? Either.right(V1.insert(bookings, { ...V1.signed(event), title, from, minutes }))
      : Either.left(new V1.BookedTwice({ booking: twice.id }))
  },
  migrations: [
    plan1,
    {
      name: "plan_2",
      up: [
        `CREATE TABLE plan_2 (place TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, starts INTEGER NOT NULL,
         minutes INTEGER NOT NULL, granted INTEGER NOT NULL, PRIMARY KEY (place, id))`
      ]
    }
  ],
  project: ({ after, key, position }) =>
    Effect.zipRight(
      writePlan(key, after),
      Effect.flatMap(Power, ({ at }) => at(position))
    ),
  reset: Application.emptying("plan_2"),
  ready: showPlan
})

/** It reads what the calendar has made, so it is made anew as well. */
const usage = makeUsage(2, (key) =>
  Effect.map(calendar.get(key), (bookings = []) =>
    bookings.filter(({ id }) => granted(bookings).includes(id)).reduce((sum, { minutes }) => sum + minutes, 0)
  )
)

/** Small batches, so that the story has something to tell on the way. */
export class Calendar2 extends StreamController.Tag<Calendar2>()("Calendar2", {
  pipeline,
  application: calendar,
  consumers: [usage],
  batchSize: 50
}) {}
