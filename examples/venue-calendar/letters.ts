/** Letters to whoever has booked, and the post office that carries them: it knows a letter that it has carried before. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Outbox, type StreamController } from "applecart"
import { Message, place } from "./booking.ts"
import { Calendar, standing } from "./calendar.ts"

/** Stands for somebody else's server. */
export class PostOffice {
  /** What it has carried, by the key of the letter. */
  readonly carried = new Map<string, string>()
  handedIn = 0
  /** Cuts the sender's line when it has taken a letter: he does not hear that it was taken. */
  failing: Deferred.Deferred<void> | undefined = undefined

  take(key: string, text: string) {
    this.handedIn += 1
    if (!this.carried.has(key)) this.carried.set(key, text)
  }
}

const letters = (office: PostOffice) =>
  Outbox.make({
    name: "letters",
    message: Message,
    // This one also tells of what was booked before it was there.
    from: "beginning",
    send: ({ event, key, message }) =>
      Effect.gen(function* () {
        if (message._tag === "Cancel") return
        const stands = yield* standing(place(message), event.id)
        office.take(key, `${message.title}, ${place(message)}: ${stands}`)
        const { failing } = office
        if (failing === undefined) return
        yield* Deferred.succeed(failing, undefined)
        yield* Effect.never
      })
  })

/** Sends until there is nothing left to send, or until the line is cut. */
export const send = (office: PostOffice) =>
  Effect.gen(function* () {
    const controller = yield* Calendar
    const { failing } = office
    const end = failing === undefined ? allSent(controller) : Deferred.await(failing)
    yield* Effect.raceFirst(Outbox.run(controller, letters(office)), end)
  })

// internal

const allSent = <E>({ consumers }: StreamController.StreamController<never, E>) =>
  consumers.status.pipe(
    Effect.map((all) =>
      all.some(({ inFlight, lag, name, parked }) => name === "letters" && lag === 0 && inFlight === 0 && parked === 0)
    ),
    Effect.repeat({ until: (done) => done, schedule: Schedule.spaced("10 millis") }),
    Effect.asVoid
  )
