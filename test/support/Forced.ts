/**
 * A test run with other defaults than the controller's own, for every test that does not choose by itself:
 *
 *     BATCH_SIZE=7 VERIFY=workers npx vitest run test/stream
 *
 * - `BATCH_SIZE`: so many operations to a transaction
 * - `VERIFY=workers`: every signature is checked in a worker, a single one too, and where a test gives libsodium by itself
 * - `VERIFY=here`: none is
 *
 * This is the one place that reads them. The module that holds the defaults is loaded with other text, by Vitest and by what
 * bundles the programs of tests.
 */
import type * as esbuild from "esbuild"
import * as fs from "node:fs"
import * as path from "node:path"
import * as process from "node:process"

const target = path.join(import.meta.dirname, "../../src/stream/internal/defaults.ts")

/** What is forced, as the module's constants. */
export const values: ReadonlyMap<string, number | boolean> = new Map([
  ...batching(process.env["BATCH_SIZE"]),
  ...verifying(process.env["VERIFY"])
])

/** For Vitest. */
export const vite = {
  name: "forced-defaults",
  enforce: "pre" as const,
  load: (id: string) => (values.size > 0 && id.split("?")[0] === target ? source() : undefined)
}

/** For programs that are bundled. */
export const bundled: esbuild.Plugin = {
  name: "forced-defaults",
  setup: (build) => {
    if (values.size === 0) return
    build.onLoad({ filter: /[/\\]defaults\.ts$/ }, (args) =>
      args.path === target ? { contents: source(), loader: "ts" } : undefined
    )
  }
}

// internal

function batching(size: string | undefined): ReadonlyArray<[string, number | boolean]> {
  if (size === undefined || size === "") return []
  if (!/^[1-9]\d*$/.test(size)) throw new Error(`BATCH_SIZE is "${size}"; give a number of operations, 1 or more`)
  return [
    ["batchSize", Number(size)],
    ["adapts", false]
  ]
}

function verifying(where: string | undefined): ReadonlyArray<[string, number | boolean]> {
  switch (where) {
    case undefined:
    case "":
      return []
    case "workers":
      return [
        ["worthwhile", 1],
        ["besideGiven", true],
        ["meanwhile", false]
      ]
    case "here":
      return [["worthwhile", Infinity]]
    default:
      throw new Error(`VERIFY is "${where}"; give "workers" or "here"`)
  }
}

/** The module's text with the forced values. A constant that is no longer there would force nothing, so it is an error. */
function source(): string {
  return Array.from(values).reduce(
    (text, [name, value]) => {
      const parts = text.split(new RegExp(`^export const ${name} = .*$`, "m"))
      if (parts.length !== 2) throw new Error(`${name} is defined ${parts.length - 1} times in ${target}, not once`)
      return parts.join(`export const ${name} = ${value}`)
    },
    fs.readFileSync(target, "utf8")
  )
}
