/** What `npm run trust` tells: on the screen, and in docs/reliability.md. */
import * as childProcess from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as process from "node:process"
import * as url from "node:url"
import type { Planted } from "./Mutants.ts"
import type { Options } from "./Options.ts"
import { isClean, type Ran } from "./Run.ts"

const page = url.fileURLToPath(new URL("../../docs/reliability.md", import.meta.url))

/** So many failures of a row are told; the first ones say enough. */
const most = 10

export const print = (ran: Ran, options: Options): void => {
  const { broken, row, seconds, trials, trouble } = ran
  const mutant = options.mutant === undefined ? "" : ` --mutant ${options.mutant}`
  console.log(
    `${isClean(ran) ? "holds " : "BROKEN"} ${row.name}: ${count(trials)} trials, ${broken.length} violations, ${seconds.toFixed(0)} s${facts(ran)}`
  )
  for (const what of trouble) console.log(`  shows nothing: ${what}`)
  for (const { nth, what } of broken.slice(0, most)) {
    const quick = options.tier === "quick" ? " --quick" : ""
    console.log(
      `  ${what}\n    repeat: npm run trust -- ${row.name}${quick}${mutant} --seed ${options.seed} --only ${nth}`
    )
  }
  if (broken.length > 0) console.log(`  commit ${commit()}, Node ${process.version}`)
}

export const printMutant = ({ caught, mutant, seconds }: Planted): void => {
  console.log(
    caught === undefined
      ? `MISSED mutant ${mutant.name}: ${mutant.what} (${seconds.toFixed(0)} s)`
      : `caught mutant ${mutant.name} by ${caught.row} --only ${caught.nth} after ${caught.trials} trials, ${seconds.toFixed(0)} s: ${caught.what.slice(0, 160)}`
  )
}

/** The table, as Markdown. */
export const table = (ran: ReadonlyArray<Ran>, planted: ReadonlyArray<Planted>): string =>
  [
    "| fault class | trials | promises checked | violations | seconds | command |",
    "|---|---:|---|---:|---:|---|",
    ...ran.map(
      (one) =>
        `| ${one.row.fault}${facts(one)} | ${count(one.trials)} | ${one.row.promises} | ${one.broken.length}${one.trouble.length > 0 ? " (shows nothing)" : ""} | ${one.seconds.toFixed(0)} | \`npm run trust -- ${one.row.name}\` |`
    ),
    ...(planted.length === 0
      ? []
      : [
          "",
          "| planted bug | caught by | seed, unit | after |",
          "|---|---|---|---:|",
          ...planted.map(({ caught, mutant, seed }) =>
            caught === undefined
              ? `| ${mutant.what} | **nothing** | | |`
              : `| \`${mutant.name}\`: ${mutant.what} | \`${caught.row}\`: ${cell(caught.what)} | ${seed}, ${caught.nth} | ${count(caught.trials)} trials |`
          )
        ])
  ].join("\n")

/** Puts the table into the page, between its marks. */
export const write = (ran: ReadonlyArray<Ran>, planted: ReadonlyArray<Planted>, options: Options): void => {
  const text = fs.readFileSync(page, "utf8")
  const [begin, end] = ["<!-- table: npm run trust -->", "<!-- end of the table -->"]
  const [before, rest = ""] = text.split(begin)
  const after = rest.slice(rest.indexOf(end))
  const date = new Date().toISOString().slice(0, 10)
  const where = `${date}, commit ${commit()}, Node ${process.version}, ${os.availableParallelism()} cores, seed ${options.seed}.`
  fs.writeFileSync(page, `${before}${begin}\n\n${where}\n\n${table(ran, planted)}\n\n${after}`)
}

// internal

const count = (number: number): string => number.toLocaleString("en")

const cell = (text: string): string => text.slice(0, 120).replaceAll("|", "\\|").replaceAll("\n", " ")

const facts = ({ facts }: Ran): string => {
  const all = Object.entries(facts).map(([name, number]) => `${count(number)} ${name}`)
  return all.length === 0 ? "" : ` (${all.join(", ")})`
}

const commit = (): string => {
  const git = (...args: ReadonlyArray<string>) =>
    childProcess.spawnSync("git", args, { encoding: "utf8" }).stdout.trim()
  return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain", "--", "src", "test") === "" ? "" : " with changes"}`
}
