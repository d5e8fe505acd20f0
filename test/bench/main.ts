/**
 * `npm run bench`: what an operation costs from its bytes to its commit, next to what bounds it, measured in one run.
 *
 * - nothing: operations a second, latency and growth; writes `bench.json` into the current directory
 * - `--throughput`, `--latency`, `--growth`: only these
 * - `--waiting`: what waiting and waking cost as the backlog grows, up to 100,000 operations
 * - `--rebuild`: handing all that was accepted to a consumer, up to 1,000,000 operations; killed on the way
 * - `--quick`: every part of these, or those that are named, in less than a minute; it says that they work, not how fast
 * - `--profile [memory|normal|full] [batched|single]`: where the time of `ingest` goes
 * - `compare A B`: what changed between two such files, and what of it is more than noise
 *
 * It compiles first and measures what it compiled. The package is compiled code, and what tsx makes of the sources is
 * slower by a tenth: it gives every function its name again whenever one is made.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript"
import * as BenchFile from "./BenchFile.ts"
import type * as Report from "./Report.ts"

/** Checkouts may share their modules; each has a build of its own. */
const build = path.resolve("node_modules/.cache/applecart", `build-${path.basename(process.cwd())}`)

/** Types are not looked at; `npm run check` does that. */
const options: ts.CompilerOptions = {
  module: ts.ModuleKind.ESNext,
  target: ts.ScriptTarget.ES2022,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true
}

const compile = (directory: string): void => {
  for (const name of fs.readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".ts")) continue
    const target = path.join(build, directory, name.replace(/\.ts$/, ".js"))
    fs.mkdirSync(path.dirname(target), { recursive: true })
    const text = fs.readFileSync(path.join(directory, name), "utf8")
    fs.writeFileSync(target, ts.transpileModule(text, { compilerOptions: options }).outputText)
  }
}

/** The parts, and the programs that measure them. `always`: also where none is named; the others take long. */
const parts = [
  { name: "throughput", program: "run", always: true },
  { name: "latency", program: "latency", always: true },
  { name: "growth", program: "growth", always: true },
  { name: "waiting", program: "waiting", always: false },
  { name: "rebuild", program: "rebuild", always: false }
]

const prepare = (): void => {
  fs.rmSync(build, { recursive: true, force: true })
  fs.mkdirSync(build, { recursive: true })
  fs.writeFileSync(path.join(build, "package.json"), JSON.stringify({ type: "module" }))
  for (const directory of ["src", "test/bench", "test/support"]) compile(directory)
}

/** Runs a program of the bench; gives whether it succeeded. */
const start = (program: string, args: ReadonlyArray<string>): boolean => {
  const file = path.join(build, "test/bench", `${program}.js`)
  return spawnSync(process.execPath, ["--expose-gc", file, ...args], { stdio: "inherit" }).status === 0
}

/** Measures these parts, one process after the other, and writes down what they measured. */
const measure = (chosen: typeof parts, args: ReadonlyArray<string>): boolean => {
  const begun = BenchFile.begin(args.includes("--quick"))
  const collected = path.join(build, "rows.json")
  const rows: Array<Report.Row> = []
  let ok = true
  for (const { program } of chosen) {
    fs.rmSync(collected, { force: true })
    ok = start(program, [...args, "--rows", collected]) && ok
    if (fs.existsSync(collected)) rows.push(...JSON.parse(fs.readFileSync(collected, "utf8")))
  }
  BenchFile.write("bench.json", BenchFile.end(begun, rows))
  console.log(`written to bench.json`)
  return ok
}

const args = process.argv.slice(2)
const named = parts.filter(({ name }) => args.includes(`--${name}`))
const usual = parts.filter(({ always }) => always || args.includes("--quick"))
prepare()
const ok =
  args[0] === "compare" || args.includes("--profile")
    ? start(args[0] === "compare" ? "compare" : "profile", args)
    : measure(named.length > 0 ? named : usual, args)
process.exitCode = ok ? 0 : 1
