/**
 * What not to do: "first come, first served". The rule looks at what happens to be here, and rejects a booking that its author
 * could not know to be wrong. It is the first chapter's application, and nobody else's.
 */
import * as Either from "effect/Either"
import { Events, LogIntegrity, Pipeline, StreamController } from "applecart"
import { add, Bookings, Message, overlap, place, remove, RoomTaken } from "./booking.ts"

export const firstCome = Events.make({
  name: "first_come",
  version: 1,
  message: Message,
  key: ({ message }) => place(message),
  state: Bookings,
  initial: [],
  evolve: (bookings, { event, message }) => {
    if (message._tag === "Cancel") return Either.right(remove(bookings, message.booking))
    const other = bookings.find((one) => overlap(one, message))
    return other === undefined
      ? Either.right(add(bookings, message, event))
      : Either.left(new RoomTaken({ by: other.by, from: other.from, to: other.to }))
  }
})

export class FirstCome extends StreamController.Tag<FirstCome>()("FirstCome", {
  pipeline: Pipeline.make(LogIntegrity.processor),
  application: firstCome
}) {}
