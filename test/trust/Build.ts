/** Bundles the trials once, since loading hundreds of files would be most of a short process; with a bug planted if one is given. */
import * as esbuild from "esbuild"
import * as fs from "node:fs"
import * as path from "node:path"
import * as url from "node:url"

const root = url.fileURLToPath(new URL("../..", import.meta.url))

/** A bug to be planted: in this file of `src` this text is replaced. */
export interface Patch {
  readonly file: string
  readonly find: string
  readonly replace: string
}

export interface Build {
  /** The program: `child.ts`. */
  readonly program: string
  readonly remove: () => void
}

export const make = async (patch?: Patch): Promise<Build> => {
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
    plugins: patch === undefined ? [] : [planting(patch)]
  })
  return { program, remove: () => fs.rmSync(dir, { recursive: true, force: true }) }
}

// internal

const planting = ({ file, find, replace }: Patch): esbuild.Plugin => {
  const target = path.join(root, "src", file)
  return {
    name: "planting",
    setup: (build) => {
      build.onLoad({ filter: /\.ts$/ }, (args) => {
        if (args.path !== target) return undefined
        const text = fs.readFileSync(target, "utf8")
        const parts = text.split(find)
        // A mutant that no longer fits the code would show nothing.
        if (parts.length !== 2) throw new Error(`"${find}" stands ${parts.length - 1} times in src/${file}, not once`)
        return { contents: parts.join(replace), loader: "ts" }
      })
    }
  }
}
