/**
 * The file of a witness, on Node: lines are appended, and on the disk before anything else happens. The calls are synchronous, as
 * those of SQLite beside them are.
 *
 * Other processes may append at the same time, and may put a shorter file in its place: so the file is looked at before each use,
 * and after each line whether it still is the one that has the name. What is not to be read as a line is passed over.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Fs from "node:fs"
import type * as Log from "../../core/Log.ts"
import type { Entry, Known } from "../Witness.ts"
import * as Lines from "./witnessLines.ts"

/** What is needed of Node. */
export interface Node {
  readonly fs: typeof Fs
  readonly dirname: (path: string) => string
}

/** That of this runtime, if it has any. */
export const node: Effect.Effect<Node | undefined> = Effect.promise(async () => {
  try {
    const [fs, { dirname }] = await Promise.all([import("node:fs"), import("node:path")])
    // Bundlers for the browser put an empty module in its place.
    return typeof fs.fdatasyncSync === "function" ? { fs, dirname } : undefined
  } catch {
    return undefined
  }
})

/** What went wrong with the file. */
export interface Trouble {
  readonly code: string | undefined
  readonly detail: string
}

/** A file of lines. */
export interface File {
  readonly all: Effect.Effect<ReadonlyMap<Log.Key, Known>, Trouble>
  readonly append: (entry: Entry) => Effect.Effect<void, Trouble>
  readonly close: Effect.Effect<void>
}

/** What is known of a log after something was told of it. */
export type Absorb = (known: Known | undefined, entry: Entry) => Known

/**
 * The file is made with the first line. One that is larger than `compactAbove` bytes is written anew, with a line for each log, before
 * something is appended first.
 */
export const make = (node: Node, path: string, absorb: Absorb, compactAbove = 1 << 20): File => {
  const { fs } = node
  let open: Open | undefined

  const close = () => {
    if (open !== undefined) fs.closeSync(open.fd)
    open = undefined
  }

  const begin = (fd: number): Open => ({
    fd,
    ino: fs.fstatSync(fd).ino,
    read: 0,
    titled: false,
    lines: 0,
    damaged: 0,
    known: new Map()
  })

  /** What has the name now, read as far as there are whole lines; none where there is no such file. */
  const refresh = (): Open | undefined => {
    const there = fs.statSync(path, { throwIfNoEntry: false })
    if (there === undefined || there.ino !== open?.ino || there.size < open.read) close()
    if (there === undefined) return undefined
    open ??= begin(fs.openSync(path, "r"))
    take(fs, open, absorb)
    return open
  }

  let isOpened = false
  /** Once, before the first line: whoever only reads changes nothing. */
  const tidy = (): void => {
    if (isOpened) return
    const found = refresh()
    isOpened = true
    const isLarge = found !== undefined && found.read > compactAbove && found.lines > 2 * found.known.size
    if (isLarge) compact(node, path, found)
  }

  /** Until the line stands in the file that has the name: somebody may have put another in its place meanwhile. */
  const append = (entry: Entry): void => {
    tidy()
    for (;;) {
      const found = refresh()
      const fd = fs.openSync(path, "a", 0o600)
      try {
        const { ino } = fs.fstatSync(fd)
        const titled = found?.ino === ino && found.titled
        write(fs, fd, `${titled ? "" : `\n${Lines.title}\n`}${Lines.write(entry)}`)
        if (found === undefined) syncDirectory(node, path)
        if (fs.statSync(path, { throwIfNoEntry: false })?.ino === ino) return
      } finally {
        fs.closeSync(fd)
      }
    }
  }

  /** After a failure nothing is taken for read: it is begun anew. */
  const attempt = <A>(evaluate: () => A): Effect.Effect<A, Trouble> =>
    Effect.try({
      try: evaluate,
      catch: (cause) => {
        close()
        return trouble(cause)
      }
    })

  const all = attempt(() => refresh()?.known ?? new Map<Log.Key, Known>())
  const told = { damaged: 0 }
  const warn = Effect.suspend(() => {
    const damaged = open?.damaged ?? 0
    if (damaged === told.damaged) return Effect.void
    told.damaged = damaged
    return Effect.logWarning(`${damaged} damaged lines of the witness ${path} were passed over`)
  })
  return {
    all: Effect.tap(all, () => warn),
    append: (entry) => attempt(() => append(entry)),
    close: Effect.sync(close)
  }
}

// internal

interface Open {
  readonly fd: number
  /** Which file it is: another one may get the name. */
  readonly ino: number
  /** Up to where it was read: behind a line break. */
  read: number
  /** Whether its title was seen. */
  titled: boolean
  lines: number
  damaged: number
  readonly known: Map<Log.Key, Known>
}

const trouble = (cause: unknown): Trouble => ({
  code: Predicate.hasProperty(cause, "code") && typeof cause.code === "string" ? cause.code : undefined,
  detail: cause instanceof Error ? cause.message : String(cause)
})

const most = 1 << 16

/** Reads on, as far as there are whole lines: the last one may be about to be written. */
const take = (fs: Node["fs"], open: Open, absorb: Absorb): void => {
  for (;;) {
    const left = fs.fstatSync(open.fd).size - open.read
    if (left <= 0) return
    const buffer = new Uint8Array(Math.min(left, most))
    const part = buffer.subarray(0, fs.readSync(open.fd, buffer, 0, buffer.length, open.read))
    const end = part.lastIndexOf(0x0a) + 1
    if (end === 0 && part.length < most) return
    // More than this without a break is none of ours.
    const whole = end === 0 ? part : part.subarray(0, end)
    open.read += whole.length
    for (const line of new TextDecoder("latin1").decode(whole).split("\n")) understand(open, line, absorb)
  }
}

const understand = (open: Open, text: string, absorb: Absorb): void => {
  // What a loss of power can leave at the end of a file.
  const line = text.replaceAll("\0", "")
  if (line === "") return
  if (line === Lines.title) {
    open.titled = true
    return
  }
  // A title that was cut off is followed by a whole one.
  if (!open.titled && Lines.title.startsWith(line)) return
  if (!open.titled) throw new Error(`it is something else: it does not begin with "${Lines.title}"`)
  const entry = Lines.read(line)
  if (entry === undefined) {
    open.damaged += 1
    return
  }
  open.lines += 1
  open.known.set(entry.log, absorb(open.known.get(entry.log), entry))
}

/** All of it, or an error: a part that is left of a line is none. */
const write = (fs: Node["fs"], fd: number, text: string): void => {
  const bytes = new TextEncoder().encode(text)
  if (fs.writeSync(fd, bytes) !== bytes.length) throw new Error("the disk took only a part of a line")
  fs.fdatasyncSync(fd)
}

/** So that a file that was just made, or given its name, is there after a loss of power. */
const syncDirectory = ({ dirname, fs }: Node, path: string): void => {
  let fd: number
  try {
    fd = fs.openSync(dirname(path), "r")
  } catch {
    // Windows opens no directories; that names last is its own business.
    return
  }
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Milliseconds after which a file that was begun and not finished is of nobody any more, by the times of the file system. */
const abandoned = 60_000

/**
 * Puts a file in its place that has one line for each log; not where another process is about to do the same.
 * What others append meanwhile is appended again: whoever has checked that the old file has the name had written before it lost it.
 */
const compact = (node: Node, path: string, old: Open): void => {
  const { fs } = node
  const next = `${path}-next`
  const left = fs.statSync(next, { throwIfNoEntry: false })
  if (left !== undefined && left.mtimeMs > fs.fstatSync(old.fd).mtimeMs - abandoned) return
  fs.rmSync(next, { force: true })
  const fd = fs.openSync(next, "ax", 0o600)
  try {
    const lines = Array.from(old.known, ([log, { place }]) => Lines.write({ _tag: "Confirmed", log, place }))
    write(fs, fd, `${Lines.title}\n${lines.join("")}`)
    fs.renameSync(next, path)
    syncDirectory(node, path)
    const buffer = new Uint8Array(Math.max(0, fs.fstatSync(old.fd).size - old.read))
    const rest = buffer.subarray(0, fs.readSync(old.fd, buffer, 0, buffer.length, old.read))
    if (rest.length > 0) write(fs, fd, `\n${new TextDecoder("latin1").decode(rest)}\n`)
  } finally {
    fs.closeSync(fd)
  }
}
