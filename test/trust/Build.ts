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

export const make = async (changes: ReadonlyArray<Change> = []): Promise<Build> => {
  // Inside node_modules, from where native code is loaded.
  const cache = path.join(root, "node_modules/.cache/applecart")
  fs.mkdirSync(cache, { recursive: true })
  const dir = fs.mkdtempSync(path.join(cache, "trust-"))
  const program = path.join(dir, "child.mjs")
  await esbuild.build({
    entryPoints: [path.join(root, "test/trust/child.ts")],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["better-sqlite3", "sodium-native", "esbuild"],
    // Bundled CommonJS asks for Node's modules in its own way.
    banner: { js: `import { createRequire } from "node:module"\nconst require = createRequire(import.meta.url)` },
    plugins: [planting(changes)]
  })
  return { program, remove: () => fs.rmSync(dir, { recursive: true, force: true }) }
}

// internal

const planting = (changes: ReadonlyArray<Change>): esbuild.Plugin => ({
  name: "planting",
  setup: (build) => {
    build.onLoad({ filter: /\.ts$/ }, (args) => {
      const own = changes.filter(({ file }) => args.path === path.join(root, "src", file))
      if (own.length === 0) return undefined
      const text = own.reduce(plant, fs.readFileSync(args.path, "utf8"))
      return { contents: text, loader: "ts" }
    })
  }
})

/** A mutant that no longer fits the code would show nothing. */
const plant = (text: string, { file, find, replace }: Change): string => {
  const parts = text.split(find)
  if (parts.length !== 2) throw new Error(`"${find}" stands ${parts.length - 1} times in src/${file}, not once`)
  return parts.join(replace)
}
