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
        `| ${one.row.fault}${facts(one, telling[one.row.name])} | ${count(one.trials)} | ${one.row.promises} | ${one.broken.length}${one.trouble.length > 0 ? " (shows nothing)" : ""} | ${one.seconds.toFixed(0)} | \`npm run trust -- ${one.row.name}\` |`
    ),
    ...(planted.length === 0
      ? []
      : [
          "",
          "| planted bug | caught by | seed, unit | after |",
          "|---|---|---|---:|",
          ...planted.map(({ caught, mutant, seed }) => {
            const bug = `\`${mutant.name}\`: ${mutant.what}`
            return caught === undefined
              ? `| ${bug} | **nothing** | | |`
              : `| ${bug} | \`${caught.row}\`: ${short(caught.what)} | ${seed}, ${caught.nth} | ${count(caught.trials)} trials |`
          })
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

/** What says the most of each row. The others stand on the screen. */
const telling: Readonly<Record<string, ReadonlyArray<string>>> = {
  statements: ["statements", "faults struck"],
  interrupts: ["steps", "interrupted"],
  handlers: [],
  simulation: ["published", "delivered", "crashes"],
  kills: ["at a statement"],
  processes: ["with one killed"],
  wal: ["lost something"],
  file: ["changed operations", "not brought back"],
  disk: ["on a real disk"],
  own: ["published", "refused", "killed"],
  fuzz: ["accepted", "refused"]
}

const facts = ({ facts }: Ran, names: ReadonlyArray<string> = Object.keys(facts)): string => {
  const all = names.flatMap((name) => (facts[name] === undefined ? [] : [`${count(facts[name])} ${name}`]))
  return all.length === 0 ? "" : ` (${all.join(", ")})`
}

/** The promise that does not hold and its first words, for a cell of the table: without what came before, and what exactly it was. */
const short = (text: string): string => {
  const at = text.search(/\b([PI]\d+|typed|verify|repair): /)
  const [promise = "", words = ""] = text.slice(Math.max(0, at)).split(/[:;\n] */)
  const plain = `${promise}: ${words}`.replaceAll(/[0-9a-f]{16,}/g, (hash) => `${hash.slice(0, 8)}…`)
  return plain.replaceAll("|", "\\|").slice(0, 100)
}

const commit = (): string => {
  const git = (...args: ReadonlyArray<string>) =>
    childProcess.spawnSync("git", args, { encoding: "utf8" }).stdout.trim()
  return `${git("rev-parse", "--short", "HEAD")}${git("status", "--porcelain", "--", "src", "test") === "" ? "" : " with changes"}`
}
