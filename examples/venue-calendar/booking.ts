/** What is said about rooms, and what comes of it: the words and rules of version 1. All of it is pure. */
import * as Schema from "effect/Schema"
import { Hash, VerifyingKey, type Event } from "applecart"

/** Minutes since midnight. */
export const Time = Schema.Int.pipe(Schema.between(0, 24 * 60))

const where = { room: Schema.String, day: Schema.String }

/** Who books is not in the message: it is whoever signed it. */
export const Book = Schema.TaggedStruct("Book", { ...where, title: Schema.String, from: Time, to: Time }).pipe(
  Schema.filter(({ from, to }) => from < to || "it has to end after it begins")
)
export const Cancel = Schema.TaggedStruct("Cancel", { ...where, booking: Hash.Schema })
export const Message = Schema.Union(Book, Cancel)

/** A day in a room has a state of its own: nothing that happens elsewhere can stand in its way. */
export const place = ({ day, room }: { readonly room: string; readonly day: string }) => `${room} ${day}`

/** When something was booked, by its author's clock (microseconds), and by whom. */
export const signature = { id: Hash.Schema, by: VerifyingKey.Schema, at: Schema.Int }

/** The bookings of a day in a room, the earliest first; for bookings of the same moment the id decides, everywhere alike. */
export const Bookings = Schema.Array(Schema.Struct({ ...signature, title: Schema.String, from: Time, to: Time }))
export type Bookings = typeof Bookings.Type

interface Span {
  readonly from: number
  readonly to: number
}

export const overlap = (one: Span, other: Span) => one.from < other.to && other.from < one.to

interface Signed {
  readonly id: Hash.Hash
  readonly at: number
}

/**
 * Which of them have the room: those that no earlier one overlaps; the others wait. It follows from the bookings alone, so it
 * is the same in whatever order they came; and a cancellation takes the room from nobody.
 */
export const granted = <B extends Signed & Span>(bookings: ReadonlyArray<B>): ReadonlyArray<B> =>
  bookings.filter((one, at) => !bookings.slice(0, at).some((earlier) => overlap(earlier, one)))

/** Puts a booking where it belongs. */
export const insert = <B extends Signed>(bookings: ReadonlyArray<B>, booking: B): ReadonlyArray<B> =>
  [...bookings, booking].sort((a, b) => a.at - b.at || (a.id < b.id ? -1 : 1))

export const signed = ({ author, extensions, id }: Event.Event) => ({
  id,
  by: author,
  at: Number(extensions.timestamp ?? 0)
})

export const add = (bookings: Bookings, { from, title, to }: typeof Book.Type, event: Event.Event): Bookings =>
  insert(bookings, { ...signed(event), title, from, to })

export const remove = <B extends Signed>(bookings: ReadonlyArray<B>, booking: Hash.Hash): ReadonlyArray<B> =>
  bookings.filter(({ id }) => id !== booking)

const hours = (minutes: number) => `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}`

/** Somebody was here first. */
export class RoomTaken extends Schema.TaggedError<RoomTaken>()("RoomTaken", {
  by: VerifyingKey.Schema,
  from: Time,
  to: Time
}) {
  override get message() {
    return `The room is taken from ${hours(this.from)} to ${hours(this.to)}.`
  }
}

/** Nobody is in one room twice at a time. */
export class BookedTwice extends Schema.TaggedError<BookedTwice>()("BookedTwice", { booking: Hash.Schema }) {
  override get message() {
    return `You have booked the room for this time already (${Hash.short(this.booking)}); cancel that first.`
  }
}

/** Only whoever has booked can cancel. */
export class NotYours extends Schema.TaggedError<NotYours>()("NotYours", { booking: Hash.Schema }) {
  override get message() {
    return `${Hash.short(this.booking)} is no booking of yours.`
  }
}
