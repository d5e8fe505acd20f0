/** What peers of this story do: book, cancel, and read each other's mail. Which application they run is theirs to say. */
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Crypto, Topic, type Hash, type StreamController } from "applecart"
import * as Clock from "../common/clock.ts"
import * as Mail from "../common/mail.ts"
import type { Peer } from "../common/peer.ts"
import type { Book, Message } from "./booking.ts"

/** Any version's controller that understands what version 1 says. */
type Controller<E> = StreamController.StreamController<typeof Message.Type, E>

/** Starts the peer, does something, and stops it; so all that is left is what stands in its database. */
export const run = <A, E, R>({ directory }: Peer, layer: Layer.Layer<A, E, R>) =>
  Effect.provide(Layer.provideMerge(layer, database(directory)))

export const database = (directory: string) => SqliteClient.layer({ filename: `${directory}/calendar.db` })

export const topic = Effect.map(Crypto.Crypto, (crypto) => Topic.named(crypto, "the farm's rooms"))

const day = "Saturday"

/** Books a room at a time of the day; gives the booking's id. */
export const book = <E>(
  controller: Controller<E>,
  { key }: Peer,
  booking: Omit<typeof Book.Type, "_tag" | "day"> & { readonly day?: string }
) =>
  Effect.gen(function* () {
    const message = { day, ...booking, _tag: "Book" } as const
    return (yield* controller.publish({ key, topic: yield* topic, message })).id
  })

export const cancel = <E>(controller: Controller<E>, { key }: Peer, room: string, booking: Hash.Hash) =>
  Effect.flatMap(topic, (topic) => controller.publish({ key, topic, message: { _tag: "Cancel", day, room, booking } }))

/** Writes what the current peer has published into a file. */
export const write = ({ author, directory }: Peer, title: string) =>
  Mail.write(`${directory}/${title}.operations`, { author })

/** Reads mail, in an order of one's own and some of it twice; gives what was rejected, as `error: how often`. */
export const read = <E extends { readonly _tag: string }>(
  controller: StreamController.StreamController<never, E>,
  peer: Peer,
  files: ReadonlyArray<string>
) =>
  Effect.gen(function* () {
    const rejected: Record<string, number> = {}
    for (const answer of yield* controller.processAll(yield* Mail.shuffled(peer.name, files))) {
      if (answer._tag === "Rejected") rejected[answer.error._tag] = (rejected[answer.error._tag] ?? 0) + 1
    }
    return rejected
  })

/** It is so many minutes after eight. */
export const at = (minutes: number) => Clock.at(`${8 + Math.floor(minutes / 60)}:${minutes % 60}`)
