/** Starts programs as processes of their own, hears what they say, and kills them. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as childProcess from "node:child_process"
import * as process from "node:process"
import * as readline from "node:readline"
import type { Readable } from "node:stream"
import { descriptor, variable, write, type Line, type Orders } from "./orders.ts"

/** A program and its arguments. */
export type Command = readonly [program: string, ...args: ReadonlyArray<string>]

/** How a process ended, and what it said. */
export interface Ended {
  readonly signal: string | null
  readonly code: number | null
  readonly lines: ReadonlyArray<Line>
  readonly stderr: string
}

/** A process that was started. It is killed when the scope closes, at the latest. */
export interface Running {
  /** Until it has begun and then confirmed or noted something so many times, or is no more. */
  readonly said: (times: number) => Effect.Effect<void>
  readonly kill: Effect.Effect<void>
  readonly ended: Effect.Effect<Ended>
}

/** What of stderr is kept: its end. */
const kept = 4000

export const start = (command: Command, orders: Orders): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => spawn(command, orders)),
    (running) => Effect.zipRight(running.kill, running.ended)
  )

// internal

const spawn = ([program, ...args]: Command, orders: Orders): Running => {
  const child = childProcess.spawn(program, args, {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: { ...process.env, [variable]: write(orders) }
  })
  const lines: Array<Line> = []
  let stderr = ""
  let isOver = false
  let waiting: Array<() => boolean> = []
  const look = () => {
    waiting = waiting.filter((one) => !one())
  }
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-kept)
  })
  const own = child.stdio[descriptor]
  // What a kill cut off in the middle of a line was not said; so it is no JSON, and comes last.
  const hear = (text: string) => {
    const line = parse(text)
    if (line !== undefined) lines.push(line)
    look()
  }
  if (isReadable(own)) readline.createInterface(own).on("line", hear)
  const ended = new Promise<Ended>((resolve) => {
    const end = (code: number | null, signal: string | null) => {
      isOver = true
      resolve({ code, signal, lines, stderr })
      look()
    }
    child.on("close", end)
    child.on("error", (error) => {
      stderr += String(error)
      end(null, null)
    })
  })
  return {
    said: (times) =>
      Effect.async<void>((resume) => {
        const is = () => {
          // The first line says that it begins.
          const there = isOver || lines.length > times
          if (there) resume(Effect.void)
          return there
        }
        if (!is()) waiting.push(is)
      }),
    kill: Effect.sync(() => void child.kill("SIGKILL")),
    ended: Effect.promise(() => ended)
  }
}

const isReadable = (stream: unknown): stream is Readable =>
  typeof stream === "object" && stream !== null && "on" in stream && "read" in stream

const parse = (text: string): Line | undefined => {
  try {
    // Written by Victim.ts.
    return JSON.parse(text) as Line
  } catch {
    return undefined
  }
}
