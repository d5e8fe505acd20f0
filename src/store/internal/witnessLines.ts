/**
 * What a witness is told, as lines of text: a word, the log, the place, and a checksum. What was cut off or damaged is no line, and
 * whoever reads on finds the next one, since each begins with a line break of its own.
 */
import * as Hash from "../../core/Hash.ts"
import * as Log from "../../core/Log.ts"
import type { Entry } from "../Witness.ts"

/** The first line of a file of ours: nothing else is ever appended to. */
export const title = "applecart own logs 1"

/** A line, with the breaks around it. */
export const write = (entry: Entry): string => {
  const place = entry._tag === "Begun" || entry.place === undefined ? "-" : `${entry.place.seqNum} ${entry.place.id}`
  const words = `${entry._tag} ${entry.log} ${place}`
  return `\n${words} ${checksum(words)}\n`
}

/** What a line says; none where it was damaged. */
export const read = (line: string): Entry | undefined => {
  const end = line.lastIndexOf(" ")
  const words = line.slice(0, end)
  if (end < 0 || checksum(words) !== line.slice(end + 1)) return undefined
  const [tag, log, seqNum, id] = words.split(" ")
  const parts = Log.parse(log ?? "")
  if (parts === undefined) return undefined
  const key = Log.key(parts.author, parts.logId)
  const place = id !== undefined && Hash.is(id) ? { seqNum: Number(seqNum), id } : undefined
  if (tag === "Begun") return { _tag: "Begun", log: key }
  if (tag === "Confirmed") return { _tag: "Confirmed", log: key, place }
  return tag === "Published" && place !== undefined ? { _tag: "Published", log: key, place } : undefined
}

// internal

/** FNV-1a, 32 bits: it is there to notice damage. */
const checksum = (text: string): string => {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, "0")
}
