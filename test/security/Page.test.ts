/** Every row of docs/security.md names a test that is there. */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"

const page = fs.readFileSync(path.join(import.meta.dirname, "../../docs/security.md"), "utf8")

/** The names of tests in the last cell of a row; `the same` refers to the row above. */
const named = Array.from(page.matchAll(/\| `(\w+)`: ([^|]+) \|\n/g), ([, file = "", names = ""]) =>
  names.split("; ").map((name) => ({ file, name }))
).flat()

const rows = Array.from(page.matchAll(/^\| .*\|$/gm), ([row]) => row).filter((row) => !row.endsWith("| test |"))

describe("docs/security.md", () => {
  it("has a test in each row", () => {
    for (const row of rows) assert.match(row, /`[\w/.]+`: [^|]+ \|$|the same \|$/)
    assert.isAbove(named.length, 30)
  })

  for (const { file, name } of named) {
    it(`${file}: ${name}`, () => {
      const text = fs.readFileSync(path.join(import.meta.dirname, `${file}.test.ts`), "utf8")
      assert.include(text, name)
    })
  }
})
