/** Starts processes of their own. Their code is bundled once, since loading hundreds of files would be most of a short life. */
import * as Effect from "effect/Effect"
import * as esbuild from "esbuild"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as process from "node:process"
import * as url from "node:url"
import * as Forced from "./Forced.ts"

const root = url.fileURLToPath(new URL("../..", import.meta.url))

/** How a process ended, and what it said. */
export interface Ended {
  readonly signal: NodeJS.Signals | null
  readonly code: number | null
  readonly lines: ReadonlyArray<unknown>
  readonly stderr: string
}

/** A process that was started. */
export interface Child {
  readonly process: childProcess.ChildProcess
  readonly ended: Effect.Effect<Ended>
  /** Until it has said this property, so many times if a number is given, or is no more. */
  readonly said: (property: string, times?: number) => Promise<void>
}

/** Bundles a program, `child.ts` where no other is named, into a directory; gives the way to start it there. */
export const build = (dir: string, program = path.join(import.meta.dirname, "child.ts")) =>
  Effect.promise(async () => {
    const main = path.join(dir, "child.mjs")
    await esbuild.build({
      entryPoints: [program],
      outfile: main,
      bundle: true,
      platform: "node",
      format: "esm",
      // Native code is loaded from where it is installed.
      external: ["better-sqlite3", "sodium-native"],
      // Bundled CommonJS asks for Node's modules in its own way.
      banner: { js: `import { createRequire } from "node:module"\nconst require = createRequire(import.meta.url)` },
      plugins: [Forced.bundled]
    })
    fs.symlinkSync(path.join(root, "node_modules"), path.join(dir, "node_modules"))
    return (...args: ReadonlyArray<string>): Child => start(main, args)
  })

/** Starts `child.ts` with arguments. */
export type Start = Effect.Effect.Success<ReturnType<typeof build>>

// internal

const start = (main: string, args: ReadonlyArray<string>): Child => {
  const child = childProcess.spawn(process.execPath, [main, ...args], { stdio: ["pipe", "pipe", "pipe"] })
  let out = ""
  let stderr = ""
  let waiting: Array<() => boolean> = []
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text
    waiting = waiting.filter((look) => !look())
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  const ended = new Promise<Ended>((resolve) =>
    child.on("close", (code, signal) => {
      // What a kill cut off in the middle of a line was not said.
      const lines = out
        .split("\n")
        .slice(0, -1)
        .map((line): unknown => JSON.parse(line))
      resolve({ code, signal, lines, stderr })
      for (const look of waiting) look()
    })
  )
  return {
    process: child,
    ended: Effect.promise(() => ended),
    said: (property, times = 1) =>
      new Promise((resolve) => {
        const look = () => {
          const isGone = child.exitCode !== null || child.signalCode !== null
          const there = isGone || out.split(`"${property}":`).length > times
          if (there) resolve()
          return there
        }
        if (!look()) waiting.push(look)
      })
  }
}
