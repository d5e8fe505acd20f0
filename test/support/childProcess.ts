/** Starts processes of their own. Their code is transpiled once, since loading sources would be most of a short life. */
import * as Effect from "effect/Effect"
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as process from "node:process"
import * as url from "node:url"
import * as ts from "typescript"

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
  /** The next line it says from now on that has this property. */
  readonly said: (property: string) => Promise<void>
}

/** Transpiles the sources and the support of the tests into a directory; gives the way to start `child.ts` there. */
export const build = (dir: string) =>
  Effect.sync(() => {
    for (const part of ["src", "test/support"]) transpile(path.join(root, part), path.join(dir, part))
    fs.writeFileSync(path.join(dir, "package.json"), `{ "type": "module" }`)
    fs.symlinkSync(path.join(root, "node_modules"), path.join(dir, "node_modules"))
    const main = path.join(dir, "test/support/child.js")
    return (...args: ReadonlyArray<string>): Child => start(main, args)
  })

/** Starts `child.ts` with arguments. */
export type Start = Effect.Effect.Success<ReturnType<typeof build>>

// internal

const transpile = (from: string, to: string): void => {
  fs.mkdirSync(to, { recursive: true })
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name)
    if (entry.isDirectory()) transpile(source, path.join(to, entry.name))
    else if (/^[^.].*\.ts$/.test(entry.name)) {
      const { outputText } = ts.transpileModule(fs.readFileSync(source, "utf8"), {
        compilerOptions: {
          module: ts.ModuleKind.ESNext,
          target: ts.ScriptTarget.ES2022,
          verbatimModuleSyntax: true,
          rewriteRelativeImportExtensions: true
        }
      })
      fs.writeFileSync(path.join(to, entry.name.replace(/\.ts$/, ".js")), outputText)
    }
  }
}

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
    said: (property) =>
      new Promise((resolve) => {
        const look = () => {
          const there = out.includes(`"${property}":`) || child.exitCode !== null || child.signalCode !== null
          if (there) resolve()
          return there
        }
        if (!look()) waiting.push(look)
      })
  }
}
