/**
 * `npm run bench`: what an operation costs from its bytes to its commit, next to what bounds it, measured in one run.
 *
 * - nothing: at the most six minutes; writes `bench.json` into the current directory
 * - `--quick`: less than one; its numbers say that it works, not how fast
 * - `--waiting`: what waiting and waking cost as the backlog grows; with `--quick` up to 5,000 operations instead of 100,000
 * - `--rebuild`: handing all that was accepted to a consumer, up to 1,000,000 operations; killed on the way; with `--quick` 20,000
 * - `--profile [memory|normal|full] [batched|single]`: where the time of `ingest` goes
 *
 * It compiles first and measures what it compiled. The package is compiled code, and what tsx makes of the sources is
 * slower by a tenth: it gives every function its name again whenever one is made.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript"

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

fs.rmSync(build, { recursive: true, force: true })
fs.mkdirSync(build, { recursive: true })
fs.writeFileSync(path.join(build, "package.json"), JSON.stringify({ type: "module" }))
compile("src")
compile("test/bench")
compile("test/support")
const asked = ["profile", "waiting", "rebuild"].find((name) => process.argv.includes(`--${name}`)) ?? "run"
const program = path.join(build, "test/bench", `${asked}.js`)
const result = spawnSync(process.execPath, ["--expose-gc", program, ...process.argv.slice(2)], { stdio: "inherit" })
process.exitCode = result.status ?? 1
