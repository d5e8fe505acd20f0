/** Mail: a file for each peer with all that it has published; it is read in any order, and some of it twice. */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import { Crypto, Hash, Inspect, Operations, Topic } from "applecart"
import * as Mail from "../common/mail.ts"
import { say } from "../common/story.ts"
import { Chat } from "./chat.ts"
import * as Peer from "./peer.ts"

/** What the story calls an operation. */
export type Names = Map<Hash.Hash, string>

/** Writes all that a peer has published, and still has, into a file; gives the file's name. */
export const write = (peer: Peer.Peer, title: string) =>
  Effect.gen(function* () {
    const logId = Topic.logId(yield* Crypto.Crypto, yield* Peer.room)
    return yield* Mail.write(`${peer.directory}/${title}.operations`, { author: peer.author, logId })
  }).pipe(Peer.run(peer))

const names = (called: Names, ids: ReadonlyArray<Hash.Hash>) =>
  ids.map((id) => called.get(id) ?? Hash.short(id)).join(" and ")

/**
 * A peer reads mail, two operations at a time, and the story tells what waits for what, and what was woken. Gives how many still
 * wait.
 */
export const read = (peer: Peer.Peer, called: Names, paths: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const controller = yield* Chat
    const mail = yield* Mail.shuffled(`${peer.name} reads ${paths.length}`, paths)
    // What waited when this peer was stopped is queued since it was started; it is decided again first.
    yield* controller.drain
    const waiting = new Set((yield* Inspect.waiting()).map(({ id }) => id))
    const lines: Array<string> = []
    let known = 0
    for (const some of Array.chunksOf(mail, 2)) {
      for (const answer of yield* controller.processAll(some, { source: "mail" })) {
        if (answer._tag === "Known") known++
        if (answer._tag === "Rejected") lines.push(`${names(called, [answer.id])} is not let in: ${answer.error._tag}`)
        if (answer._tag !== "Deferred") continue
        waiting.add(answer.id)
        lines.push(`${names(called, [answer.id])} waits for ${names(called, answer.until)}`)
      }
      const accepted = yield* Operations.accepted(Array.fromIterable(waiting))
      const woken = Array.fromIterable(waiting).filter((id) => accepted.has(id))
      if (woken.length > 0) lines.push(`→ here it is, so now: ${names(called, woken)}`)
      for (const id of woken) waiting.delete(id)
    }
    yield* say(
      `${peer.name} reads ${mail.length} operations, ${known} of them known${lines.length === 0 ? "." : ":"}`,
      ...lines.map((l) => `  ${l}`)
    )
    return waiting.size
  }).pipe(Peer.run(peer))
