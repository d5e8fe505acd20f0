/** Bundles the trials once, since loading hundreds of files would be most of a short process; with a bug planted if one is given. */
import * as esbuild from "esbuild"
import * as fs from "node:fs"
import * as path from "node:path"
import * as url from "node:url"

const root = url.fileURLToPath(new URL("../..", import.meta.url))

/** A change of the library: in this file of `src` this text, which stands there once, is replaced. */
export interface Change {
  readonly file: string
  readonly find: string
  readonly replace: string
}

export interface Build {
  /** The program: `child.ts`. */
  readonly program: string
  readonly remove: () => void
}

/** `victim`: whether `victim.ts` is started as well. */
export const make = async (changes: ReadonlyArray<Change> = [], { victim = true } = {}): Promise<Build> => {
  // Inside node_modules, from where native code is loaded.
  const cache = path.join(root, "node_modules/.cache/applecart")
  fs.mkdirSync(cache, { recursive: true })
  const dir = fs.mkdtempSync(path.join(cache, "trust-"))
  const program = path.join(dir, "child.mjs")
  const shared: Shared = {
    bundle: true,
    platform: "node",
    external: ["better-sqlite3", "sodium-native", "esbuild"],
    plugins: changes.length === 0 ? [] : [planting(changes)]
  }
  await esbuild.build({
    ...shared,
    entryPoints: [path.join(root, "test/trust/child.ts")],
    outfile: program,
    format: "esm",
    // Bundled CommonJS asks for Node's modules in its own way.
    banner: { js: `import { createRequire } from "node:module"\nconst require = createRequire(import.meta.url)` }
  })
  if (victim) await makeVictim(dir, shared)
  return { program, remove: () => fs.rmSync(dir, { recursive: true, force: true }) }
}

// internal

type Shared = Pick<esbuild.BuildOptions, "bundle" | "platform" | "external" | "plugins">

const makeVictim = async (dir: string, shared: Shared): Promise<void> => {
  await esbuild.build({
    ...shared,
    entryPoints: [path.join(root, "test/trust/victim.ts")],
    outfile: path.join(dir, "victim.code.cjs"),
    format: "cjs",
    minify: true,
    define: { "import.meta.url": "__url" },
    banner: { js: `const __url = require("node:url").pathToFileURL(__filename).href` },
    // A script that is not loaded by Node's own loader cannot import.
    supported: { "dynamic-import": false }
  })
  fs.writeFileSync(path.join(dir, "victim.cjs"), start)
}

/**
 * Starts `victim.ts`, which rows kill by the thousand, from V8's own compiled form; that is kept by the first start that ends by
 * itself. It makes a start cost 110 ms of processor time and not 190, 45 of which are Node's own.
 */
const start = `
const fs = require("node:fs"), vm = require("node:vm"), Module = require("node:module"), path = require("node:path")
const filename = path.join(__dirname, "victim.code.cjs")
const kept = filename + ".cache"
const cachedData = fs.existsSync(kept) ? fs.readFileSync(kept) : undefined
const script = new vm.Script(Module.wrap(fs.readFileSync(filename, "utf8")), { filename, cachedData })
if (cachedData === undefined) process.on("exit", () => {
  const made = kept + process.pid
  fs.writeFileSync(made, script.createCachedData())
  fs.renameSync(made, kept)
})
const made = { exports: {} }
script.runInThisContext()(made.exports, require, made, filename, __dirname)
`

const planting = (changes: ReadonlyArray<Change>): esbuild.Plugin => {
  const planted = new Map<string, string>()
  for (const change of changes) {
    const file = path.join(root, "src", change.file)
    planted.set(file, plant(planted.get(file) ?? fs.readFileSync(file, "utf8"), change))
  }
  // Asked of as few files as possible: each costs a message.
  const names = Array.from(planted.keys(), (file) => path.basename(file).replaceAll(".", "\\."))
  return {
    name: "planting",
    setup: (build) => {
      build.onLoad({ filter: new RegExp(`/(${names.join("|")})$`) }, (args) => {
        const contents = planted.get(args.path)
        return contents === undefined ? undefined : { contents, loader: "ts" }
      })
    }
  }
}

/** A mutant that no longer fits the code would show nothing. */
const plant = (text: string, { file, find, replace }: Change): string => {
  const parts = text.split(find)
  if (parts.length !== 2) throw new Error(`"${find}" stands ${parts.length - 1} times in src/${file}, not once`)
  return parts.join(replace)
}
