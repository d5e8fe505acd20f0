/** The inputs that are kept: `corpus/TARGET/NAME.hex`, two lines each, what is said of it and the bytes. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Bytes from "../../src/core/Bytes.ts"

const directory = path.join(import.meta.dirname, "corpus")

export interface Kept {
  readonly target: string
  readonly name: string
  readonly verdict: string
  readonly bytes: Uint8Array
}

/** All of them, or those of one target. */
export const read = (target?: string): ReadonlyArray<Kept> =>
  fs
    .readdirSync(directory)
    .filter((one) => target === undefined || one === target)
    .flatMap((target) =>
      fs.readdirSync(path.join(directory, target)).map((name): Kept => {
        const [verdict = "", hex = ""] = fs.readFileSync(path.join(directory, target, name), "utf8").split("\n")
        return { target, name, verdict, bytes: Bytes.fromHex(hex) }
      })
    )

/** Adds one, unless there is one of that name. */
export const add = ({ bytes, name, target, verdict }: Kept): boolean => {
  const file = path.join(directory, target, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  if (fs.existsSync(file)) return false
  fs.writeFileSync(file, `${verdict}\n${Bytes.toHex(bytes)}\n`)
  return true
}

/** How many bytes all files have. */
export const size = (): number =>
  read().reduce((sum, { name, target }) => sum + fs.statSync(path.join(directory, target, name)).size, 0)
