/**
 * `npm run trust`: breaks everything that can be broken, many times, and checks the promises after each.
 *
 * - nothing: every row, thoroughly, and every planted bug; writes the tables of `docs/reliability.md`
 * - `--quick`: every row with fewer units; what CI runs. Writes nothing
 * - `NAME ...`: only these rows; `mutants` stands for the planted bugs
 * - `--seed N`: other trials. Default: 1, so that a change is to blame for what turns red
 * - `--only N`: one unit of one row, as a failure asks for
 * - `--mutant NAME`: the named rows with this bug planted
 *
 * Exits with 1 if anything that must hold did not.
 */
import process from "node:process"
import * as Build from "./Build.ts"
import * as Mutants from "./Mutants.ts"
import * as Options from "./Options.ts"
import * as Report from "./Report.ts"
import * as Run from "./Run.ts"
import { rows } from "./rows/index.ts"

const options = Options.read(process.argv.slice(2))
const chosen = options.names.length === 0 ? rows : rows.filter(({ name }) => options.names.includes(name))
const unknown = options.names.filter((name) => name !== "mutants" && !rows.some((row) => row.name === name))
if (unknown.length > 0) {
  console.error(`No such row: ${unknown.join(", ")}. There are: ${rows.map(({ name }) => name).join(", ")}, mutants.`)
  process.exit(2)
}

const changes = options.mutant === undefined ? [] : Mutants.named(options.mutant).changes
const build = await Build.make(changes, { victim: chosen.some(({ victim }) => victim) })
const ran = await Run.all(build, chosen, options, { tell: (one) => Report.print(one, options) })
build.remove()
const wantsMutants = options.names.length === 0 ? options.tier === "full" : options.names.includes("mutants")
const planted =
  wantsMutants && options.only === undefined && options.mutant === undefined
    ? await Mutants.all(rows, options, Report.printMutant)
    : []
const isWhole = options.names.length === 0 && options.only === undefined && options.mutant === undefined
if (isWhole) console.log(`\n${Report.table(ran, planted)}`)
if (isWhole && options.tier === "full") Report.write(ran, planted, options)
process.exitCode = ran.every(Run.isClean) && planted.every(({ caught }) => caught !== undefined) ? 0 : 1
